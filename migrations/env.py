"""How migrations run: one at a time over all replicas, and never waiting long for a lock.

`bridge.storage.migrate` calls this with the database URL in the configuration's attributes.
"""

import asyncio
import logging

from alembic import context
from sqlalchemy import Connection, inspect, text

from bridge.errors import DatabaseUnfit, StorageError
from bridge.storage.database import build_engine
from bridge.storage.installed_triggers import ensure_triggers
from bridge.storage.migrate import MIGRATED, VERSION_TABLE, Migrated, is_newer, read_revision
from bridge.storage.tables import metadata

LOCK_SECONDS = 60
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
    found = str(read_revision(connection))
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


def _lock(connection: Connection) -> None:
    """Let one process migrate at a time; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET statement_timeout = '{LOCK_SECONDS}s'"))
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": LOCK_NUMBER})
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.execute(text("SET statement_timeout = 0"))
    elif connection.dialect.name == "mysql":
        got = connection.execute(text("SELECT GET_LOCK(:name, :wait)"), {"name": LOCK_NAME, "wait": LOCK_SECONDS})
        if got.scalar() != 1:
            raise StorageError("Another process is migrating this database; try again when it is done.")
        connection.execute(text("SET SESSION lock_wait_timeout = 5"))
    connection.commit()


async def _migrate() -> None:
    # The lock belongs to the connection and is released with it, also when the process dies.
    engine = build_engine(context.config.attributes["url"], pool_size=1)
    try:
        async with engine.connect() as opened:
            connection = await opened.execution_options(begin_immediate=True)
            await connection.run_sync(_lock)
            await connection.run_sync(_refuse_foreign_tables)
            found = await connection.run_sync(read_revision)
            await connection.commit()
            if found is not None and is_newer(found):
                context.config.attributes[MIGRATED] = Migrated(found, is_newer=True)
                return
            await connection.run_sync(_run)
            await connection.commit()
            context.config.attributes[MIGRATED] = await connection.run_sync(_make_triggers)
            await connection.commit()
    finally:
        await engine.dispose()


# MariaDB names no primary key, and its driver warns of each.
logging.getLogger("asyncmy").setLevel(logging.ERROR)
asyncio.run(_migrate())
