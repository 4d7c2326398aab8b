"""Bring a database to the newest schema, and tell whether it is there (Alembic, one chain for three databases)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from bridge.errors import DatabaseUnavailable, DatabaseUnfit, SchemaOutdated, StorageError
from bridge.storage.database import Db
from bridge.storage.installed_triggers import TRUST, is_refused

HERE = Path(__file__).resolve()
MIGRATED = "migrated"
"""The attribute of Alembic's configuration in which `migrations/env.py` leaves what was done."""
VERSION_TABLE = "keycloak_bridge_schema"
"""Not Alembic's own name: applications that share the database may use Alembic too."""
LONGEST_WAIT = timedelta(seconds=60)
"""For another process that migrates."""
LOCKED: set[object] = {"55P03", "40P01", 1205, 1213}
"""A lock was not had in time, or not without a deadlock: SQLSTATE of PostgreSQL, number of MariaDB."""
LOCKED_SQLITE = "database is locked"


@dataclass(frozen=True)
class Migrated:
    """The revision a database is at, and what keeps it from being complete: MariaDB refused the triggers."""

    revision: str
    incomplete: DatabaseUnfit | None = None
    is_newer: bool = False
    """Made by a newer version of the bridge, and left as it is."""


def upgrade(url: str, *, revision: str = "head", longest_wait: timedelta = LONGEST_WAIT) -> Migrated:
    """Run all migrations a database lacks, and make the triggers. Must not be called from a running event loop.

    Raises:
        DatabaseUnavailable: the database cannot be reached or refuses, or somebody holds a lock on a table.
        DatabaseUnfit: it holds tables of these names that were made by others.
        StorageError: another process is migrating it for longer than `longest_wait`, or there is no such revision.
    """
    from alembic import command  # noqa: PLC0415 - heavy, and only this function needs it

    config = _config(url, longest_wait=longest_wait)
    _translated(lambda: command.upgrade(config, revision))
    done: Migrated = config.attributes[MIGRATED]
    return done


def downgrade(url: str, *, revision: str) -> None:
    """Take migrations back to a revision; for tests and emergencies.

    Raises:
        DatabaseUnavailable: as `upgrade` does.
        DatabaseUnfit: a newer version made the schema; or the triggers must go, and MariaDB does not let this user
            drop them.
        StorageError: as `upgrade` does.
    """
    from alembic import command  # noqa: PLC0415 - as above

    config = _config(url, longest_wait=LONGEST_WAIT)
    _translated(lambda: command.downgrade(config, revision))
    done: Migrated = config.attributes[MIGRATED]
    if done.is_newer:
        raise DatabaseUnfit(
            f"The database is at schema {done.revision}, which a newer version made; it was left as it is.",
            hint="Only that version can take its migrations back.",
        )


def newest_revision() -> str:
    """Return the revision this version of the bridge needs."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    return str(ScriptDirectory(str(_script_directory())).get_current_head())


def read_revision(connection: Connection) -> str | None:
    """Return the revision of the database's schema; None when it was never migrated."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return found


def is_newer(revision: str) -> bool:
    """Whether a revision is none of those known here, so that a newer version must have made it."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    return revision not in {one.revision for one in ScriptDirectory(str(_script_directory())).walk_revisions()}


async def check_schema(db: Db) -> str:
    """Refuse a database that was not migrated to this version, and return its revision.

    A newer one is accepted: each migration lets the release before it go on working, and replicas are replaced one
    after the other. `is_newer` tells.

    Raises:
        SchemaOutdated: with the command that mends it.
    """
    found, newest = await db.run_sync(read_revision), newest_revision()
    if found is None or (found != newest and not is_newer(found)):
        raise SchemaOutdated(
            f"The database is at schema {found or 'none'}, and this version needs {newest}.",
            hint="Run: keycloak-bridge migrate",
        )
    return found


def was_locked(error: DBAPIError) -> bool:
    """Whether somebody else held a lock for too long."""
    original: Any = error.orig
    return bool({getattr(original, "sqlstate", None), *original.args[:1]} & LOCKED) or LOCKED_SQLITE in str(original)


def _config(url: str, *, longest_wait: timedelta) -> Any:
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(_script_directory()).replace("%", "%%"))
    config.attributes |= {"url": url, "longest_wait": longest_wait}
    return config


def _script_directory() -> Path:
    """Return where the migrations lie: inside the installed package, or beside it in a checkout."""
    installed = HERE.parents[1] / "migrations"
    return installed if installed.is_dir() else HERE.parents[2] / "migrations"


def _translated(run: Callable[[], None]) -> None:
    from alembic.util.exc import CommandError  # noqa: PLC0415 - as above

    try:
        run()
    except CommandError as error:
        raise StorageError(
            f"The database cannot be migrated: {error}", hint=f"The newest revision is {newest_revision()}."
        ) from error
    except DBAPIError as error:
        raise _explain(error) from error
    except OSError as error:
        raise _unreachable(error) from error


def _explain(error: DBAPIError) -> StorageError:
    if is_refused(error):
        return DatabaseUnfit(
            "MariaDB writes a binary log and does not let this user drop triggers (error 1419).",
            hint=f"As an administrator of MariaDB: {TRUST}; or run this as a user with SUPER.",
        )
    if was_locked(error):
        return DatabaseUnavailable(
            "The database cannot be migrated now: another transaction holds a lock on a table that must be changed. "
            "Nothing is lost, and what was done stays done.",
            hint="End the transaction that holds it, or wait for its end; then again: keycloak-bridge migrate",
        )
    return _unreachable(error.orig or error)


def _unreachable(error: BaseException) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"The database cannot be migrated: {str(error).splitlines()[0][:300]}",
        hint="Look at database.url; the database must exist and its user must own it.",
    )
