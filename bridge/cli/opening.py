"""What a command works with: the settings, and a database that is reachable, of this version's schema and keeps UTC.

A command gives `run` its step, a coroutine function of one `Opened`, and shows what comes back.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import typer

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.storage.database import Database

T = TypeVar("T")
CONNECTIONS = 2
"""A command does one thing at a time; the second connection is for a reader beside its writer."""
LONGEST_OPERATOR = 150
"""As long as the column `InvalidatedBy`."""


@dataclass(frozen=True)
class Opened:
    """The settings and the open database of a running command."""

    settings: "Settings"
    database: "Database"

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.now(tz=UTC)


def load(context: typer.Context) -> "Settings":
    """Load the settings that --config names, and send the log to standard error.

    Raises:
        ConfigurationError: as `load_settings` does.
    """
    from bridge.config import load_settings  # noqa: PLC0415 - heavy
    from bridge.telemetry import configure_logging  # noqa: PLC0415 - heavy

    configure_logging()
    return load_settings(context.obj)


@asynccontextmanager
async def open_fit_database(settings: "Settings", *, connections: int = CONNECTIONS) -> "AsyncIterator[Database]":
    """Open the database and check its clock and its schema first.

    Raises:
        ConfigurationError: database.url names no database that is supported.
        StorageError: it cannot be reached, lacks migrations, or would shift times.
    """
    from bridge.storage.database import check_clock, open_database  # noqa: PLC0415 - heavy
    from bridge.storage.migrate import check_schema  # noqa: PLC0415 - heavy

    url = settings.database.url.get_secret_value()
    async with open_database(url, pool_size=connections, longest=settings.database.timeout) as database:
        async with database.reading() as db:
            await check_clock(db)
            await check_schema(db)
        yield database


def run(context: typer.Context, step: Callable[[Opened], Awaitable[T]]) -> T:
    """Run a step of a command with settings and database, and return what it found.

    Raises:
        BridgeError: as loading, opening and the step do.
    """
    import asyncio  # noqa: PLC0415 - heavy

    return asyncio.run(_run(load(context), step))


def name_operator() -> str:
    """Return who uses the command, as far as the system knows, for rows and the audit trail."""
    import getpass  # noqa: PLC0415 - only when something is written

    try:
        return f"command:{getpass.getuser()}"[:LONGEST_OPERATOR]
    except (KeyError, OSError):  # a container without a list of users
        return "command"


async def _run(settings: "Settings", step: Callable[[Opened], Awaitable[T]]) -> T:
    async with open_fit_database(settings) as database:
        return await step(Opened(settings, database))
