"""The triggers that a database has: made by `migrate`, looked at by `check` and `serve`.

They are no part of a revision of the schema: MariaDB may refuse them (then everything else must still be applied), and
SQLite drops them when a revision builds a table anew. So `migrate` makes what is missing whenever it reaches the
newest schema.
"""

import secrets
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from bridge.errors import DatabaseUnfit
from bridge.storage.database import Db
from bridge.storage.database_clock import read_clock
from bridge.storage.tables import session_revocation, sys_user, sys_usersession
from bridge.storage.tables.columns import database_ago, database_now
from bridge.storage.triggers import TRIGGERS, Definition, Trigger, function_name, render

TRUST = "SET GLOBAL log_bin_trust_function_creators = 1"
MIGRATE = "keycloak-bridge migrate"
NEEDS_SUPER = 1419
NOT_WORKING = {1142, 1143, 1449}
"""MariaDB: a right is missing (often that of a trigger's definer), or the definer is gone."""
_MARKS = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'",
    "mysql": "SELECT TRIGGER_NAME, CONCAT_WS(' ', ACTION_TIMING, EVENT_MANIPULATION, 'ON', EVENT_OBJECT_TABLE, "
    "ACTION_STATEMENT) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()",
    "postgresql": "SELECT t.tgname, concat_ws(' ', obj_description(t.oid, 'pg_trigger'), p.prosrc) "
    "FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE t.tgenabled <> 'D' AND p.prosecdef "
    "AND t.tgrelid IN (to_regclass('sys_user'), to_regclass('sys_usersession'))",
}


def ensure_triggers(connection: Connection) -> DatabaseUnfit | None:
    """Make the triggers that are missing or differ, and commit each: it locks one table, and never two at once.

    Returns:
        What to set when MariaDB does not let this user make triggers, else None.
    """
    for definition in _find_outdated(connection):
        try:
            for statement in definition.statements:
                connection.exec_driver_sql(statement)
            connection.commit()
        except DBAPIError as error:
            if not is_refused(error):
                raise
            return describe_refusal()
    return None


def drop_triggers(connection: Connection) -> None:
    """Drop the triggers: while they exist, `session_revocation` must."""
    dialect = connection.dialect.name
    for trigger in TRIGGERS:
        table = f" ON {trigger.table}" if dialect == "postgresql" else ""
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {trigger.name}{table}")
    if dialect == "postgresql":
        for name in {function_name(trigger.table) for trigger in TRIGGERS}:
            connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {name}()")


def is_refused(error: DBAPIError) -> bool:
    """Whether MariaDB keeps its binary log and does not let this user make or drop triggers."""
    return _code(error) == NEEDS_SUPER


def describe_refusal() -> DatabaseUnfit:
    """Return what to tell when triggers were refused; no exception is raised."""
    return DatabaseUnfit(
        "MariaDB writes a binary log and does not let this user make triggers (error 1419). Everything else is done; "
        "without the triggers the service reads the row at each request.",
        hint=f"As an administrator of MariaDB: {TRUST}; or run this as a user with SUPER. Then again: {MIGRATE}",
    )


async def find_missing_triggers(db: Db) -> tuple[str, ...]:
    """Return the names of the triggers that are not there or do not work. Whatever it tries is taken back.

    On MariaDB only who may make triggers sees them; so they are tried.
    """
    if db.dialect.name == "mysql":
        return await _try_triggers(db)
    return tuple(definition.name for definition in await db.run_sync(_find_outdated))


async def describe_mend(db: Db) -> str:
    """Return the line that makes missing triggers."""
    if db.dialect.name == "mysql":
        query = text("SELECT @@global.log_bin, @@global.log_bin_trust_function_creators")
        if tuple((await db.execute(query)).one()) == (1, 0):
            return f"In MariaDB as an administrator: {TRUST}; then: {MIGRATE}"
    return MIGRATE


def _find_outdated(connection: Connection) -> list[Definition]:
    dialect = connection.dialect.name
    schema = connection.exec_driver_sql(_SCHEMA).scalar() if dialect == "postgresql" else None
    wanted = [render(trigger, dialect, schema=schema) for trigger in TRIGGERS]
    present = {str(name): str(mark) for name, mark in connection.exec_driver_sql(_MARKS[dialect])}
    return [definition for definition in wanted if present.get(definition.name) != definition.mark]


_SCHEMA = (
    "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.oid = to_regclass('sys_usersession')"
)


async def _try_triggers(db: Db) -> tuple[str, ...]:
    """Change a session and a person of our own making, and see which changes leave a row."""
    name = f"~{secrets.token_hex(16)}"
    since = await read_clock(db)
    savepoint = await db.begin_nested()
    try:
        await _insert_probe(db, name)
        return tuple([trigger.name for trigger in TRIGGERS if not await _appends(db, trigger, name, since=since)])
    except DBAPIError as error:
        if _code(error) not in NOT_WORKING:
            raise
        return tuple(trigger.name for trigger in TRIGGERS)
    finally:
        await savepoint.rollback()


async def _insert_probe(db: Db, name: str) -> None:
    await db.execute(insert(sys_user).values(User=name, Package=name))
    await db.execute(
        insert(sys_usersession).values(
            SessionId=name,
            User=name,
            Package=name,
            SessionType="web",
            CreatedAt=database_ago(1),
            ExpiresAt=database_now(),
        )
    )


async def _appends(db: Db, trigger: Trigger, name: str, *, since: datetime) -> bool:
    table = {"sys_user": sys_user, "sys_usersession": sys_usersession}[trigger.table]
    of_probe = table.c.User == name
    r = session_revocation.c
    count = select(func.count()).where(r.at >= since, r.username == name, r.kind == trigger.kind)
    before = (await db.execute(count)).scalar_one()
    if trigger.event == "UPDATE":
        changed = "Email" if table is sys_user else "SessionType"
        await db.execute(update(table).where(of_probe).values({changed: "probe"}))
    else:
        await db.execute(delete(table).where(of_probe))
    return bool((await db.execute(count)).scalar_one() == before + 1)


def _code(error: DBAPIError) -> object:
    return error.orig.args[0] if error.orig is not None and error.orig.args else None
