"""How migrations run: one at a time over all replicas, and never waiting long for a lock.

`bridge.storage.migrate` calls this with the database URL in the configuration's attributes.
"""

import asyncio
import logging

from alembic import context
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from bridge.errors import DatabaseUnfit, StorageError
from bridge.storage.database import build_engine
from bridge.storage.installed_triggers import ensure_triggers
from bridge.storage.migrate import MIGRATED, VERSION_TABLE, Migrated, is_newer, read_revision, was_locked
from bridge.storage.tables import metadata

EARLIER_VERSION_TABLE = "alembic_version"
"""Alembic's own name, under which an earlier state of this version kept its revision."""
LOCK_NAME = "keycloak-bridge-migrate"
LOCK_NUMBER = 7_021_996_451_330_118
"""The same lock on PostgreSQL, which names advisory locks by number."""


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        render_as_batch=connection.dialect.name == "sqlite",
        # SQLite has no lock of its own for this: there the one transaction that writes is the lock.
        transaction_per_migration=connection.dialect.name != "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


def _make_triggers(connection: Connection) -> Migrated:
    """Make the triggers that are missing once the newest schema is reached; an older one works without them."""
    found = read_revision(connection) or "none"
    return Migrated(found, ensure_triggers(connection) if found == context.script.get_current_head() else None)


def _refuse_foreign_tables(connection: Connection) -> None:
    """Leave tables of another making as they are: converting them is not part of this version."""
    present = set(inspect(connection).get_table_names())
    foreign = sorted(present & {"sys_user", "sys_usersession"})
    if foreign and VERSION_TABLE not in present:
        raise DatabaseUnfit(
            f"The database already has {' and '.join(foreign)}, which this command did not make.",
            hint="Name an empty database in database.url; existing tables are not converted in this version.",
        )


def _take_over_version(connection: Connection) -> None:
    """Bring our revision from Alembic's own table into ours; what applications keep there stays."""
    tables = {EARLIER_VERSION_TABLE, "sys_user"}
    if read_revision(connection) is not None or not tables <= set(inspect(connection).get_table_names()):
        return
    found = [str(one) for one in connection.execute(text("SELECT version_num FROM alembic_version")).scalars()]
    for ours in [one for one in found if not is_newer(one)]:
        MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).stamp(context.script, ours)
        if found == [ours]:
            connection.execute(text("DROP TABLE alembic_version"))
        else:
            connection.execute(text("DELETE FROM alembic_version WHERE version_num = :ours"), {"ours": ours})


def _lock(connection: Connection) -> None:
    """Let one process migrate at a time; SQLite has one writer anyway."""
    seconds = context.config.attributes["longest_wait"].total_seconds()
    got = True
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text(f"SET lock_timeout = {seconds * 1000:.0f}"))
        got = _try_lock_of_postgresql(connection)
        connection.execute(text("SET lock_timeout = '5s'"))
    elif connection.dialect.name == "mysql":
        wanted = {"name": LOCK_NAME, "seconds": seconds}
        got = connection.execute(text("SELECT GET_LOCK(:name, :seconds)"), wanted).scalar() == 1
        connection.execute(text("SET SESSION lock_wait_timeout = 5"))
    if not got:
        raise StorageError("Another process is migrating this database; try again when it is done.")
    connection.commit()


def _try_lock_of_postgresql(connection: Connection) -> bool:
    try:
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": LOCK_NUMBER})
    except DBAPIError as error:
        if not was_locked(error):
            raise
        connection.rollback()
        return False
    return True


async def _migrate() -> None:
    # The lock belongs to the connection and is released with it, also when the process dies.
    attributes = context.config.attributes
    engine = build_engine(attributes["url"], pool_size=1, longest=attributes["longest_wait"])
    try:
        async with engine.connect() as opened:
            connection = await opened.execution_options(begin_immediate=True)
            await connection.run_sync(_lock)
            await connection.run_sync(_take_over_version)
            await connection.run_sync(_refuse_foreign_tables)
            found = await connection.run_sync(read_revision)
            await connection.commit()
            if found is not None and is_newer(found):
                attributes[MIGRATED] = Migrated(found, is_newer=True)
                return
            await connection.run_sync(_run)
            await connection.commit()
            attributes[MIGRATED] = await connection.run_sync(_make_triggers)
            await connection.commit()
    finally:
        await engine.dispose()


# MariaDB names no primary key, and its driver warns of each.
logging.getLogger("asyncmy").setLevel(logging.ERROR)
asyncio.run(_migrate())
