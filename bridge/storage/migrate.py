"""Bring a database to the newest schema, and tell whether it is there (Alembic, one chain for three databases)."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from bridge.errors import DatabaseUnavailable, SchemaOutdated
from bridge.storage.database import Db

HERE = Path(__file__).resolve()


def upgrade(url: str, *, revision: str = "head") -> None:
    """Run all migrations a database lacks. Must not be called from a running event loop.

    Raises:
        DatabaseUnavailable: the database cannot be reached or refuses.
        DatabaseUnfit: it holds tables of these names that were made by others.
    """
    from alembic import command  # noqa: PLC0415 - heavy, and only this function needs it

    _translated(lambda: command.upgrade(_config(url), revision))


def downgrade(url: str, *, revision: str) -> None:
    """Take migrations back to a revision; for tests and emergencies."""
    from alembic import command  # noqa: PLC0415 - as above

    _translated(lambda: command.downgrade(_config(url), revision))


def newest_revision() -> str:
    """Return the revision this version of the bridge needs."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    return str(ScriptDirectory(str(_script_directory())).get_current_head())


async def check_schema(db: Db) -> None:
    """Refuse a database that was not migrated to this version.

    Raises:
        SchemaOutdated: with the command that mends it.
    """
    newest = newest_revision()
    if await db.run_sync(lambda connection: sa.inspect(connection).has_table("alembic_version")):
        found = (await db.execute(sa.text("SELECT version_num FROM alembic_version"))).scalar()
    else:
        found = None
    if found != newest:
        raise SchemaOutdated(
            f"The database is at schema {found or 'none'}, and this version needs {newest}.",
            hint="Run: keycloak-bridge migrate",
        )


def _config(url: str) -> Any:
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(_script_directory()).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def _script_directory() -> Path:
    """Return where the migrations lie: inside the installed package, or beside it in a checkout."""
    installed = HERE.parents[1] / "migrations"
    return installed if installed.is_dir() else HERE.parents[2] / "migrations"


def _translated(run: Any) -> None:
    try:
        run()
    except (DBAPIError, OSError) as error:
        original = error.orig if isinstance(error, DBAPIError) else error
        raise DatabaseUnavailable(
            f"The database cannot be migrated: {str(original).splitlines()[0][:300]}",
            hint="Look at database.url; the database must exist and its user must own it.",
        ) from error
