"""PostgreSQL for one test run: empty, fast, and gone afterwards."""

import asyncio
import re
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg

from tests.servers.programs import postgresql_program
from tests.servers.throw_away import open_directory, owner_when_root, run_on_free_port, run_to_end

MAX_CONNECTIONS = 300
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # the path of a socket is limited to 107 bytes, that of a directory is not
    "max_connections": str(MAX_CONNECTIONS),
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",  # it would connect to a template just when it is copied
    "shared_buffers": "64MB",
    "jit": "off",
}


class PostgresqlServer:
    """A server that runs inside the `with` block; as root it runs as the package's user `postgres`."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._port = 0

    @property
    def url(self) -> str:
        """The address of the server; `/NAME` makes it that of a database."""
        return f"postgresql://postgres@127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        """Start the server.

        Raises:
            ProgramMissing: PostgreSQL is not installed.
            ServerFailed: it does not start.
        """
        initdb, postgres = postgresql_program("initdb"), postgresql_program("postgres")
        owner = owner_when_root("postgres")
        with ExitStack() as stack:
            directory = stack.enter_context(open_directory("bridge-postgresql-", owner=owner))
            data = directory / "data"
            run_to_end(_initdb_command(initdb, data), directory=directory, owner=owner)
            self._port = stack.enter_context(
                run_on_free_port(
                    lambda port: _command(postgres, data, port),
                    directory=directory,
                    owner=owner,
                    is_ready=lambda: _is_ready(data),
                    # Immediate: nothing is saved, and unlike SIGKILL it leaves no shared memory behind.
                    stop_signal=signal.SIGQUIT,
                )
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def create_database(self, name: str, *, template: str | None = None) -> str:
        """Create a database, empty or as a copy of one that nobody is connected to, and return its URL."""
        # Copying files is twice as fast as logging pages when nothing waits for the disk.
        options = f"TEMPLATE {_checked(template or 'template1')} STRATEGY file_copy"
        self._execute(f"CREATE DATABASE {_checked(name)} {options}")
        return f"{self.url}/{name}"

    def drop_database(self, name: str) -> None:
        """Drop a database and end the connections that are left."""
        self._execute(f"DROP DATABASE {_checked(name)} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        # In a thread of its own: a test may call this while its event loop runs.
        with ThreadPoolExecutor(max_workers=1) as executor:
            executor.submit(asyncio.run, _execute(f"{self.url}/postgres", statement)).result()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, ssl=False)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _initdb_command(initdb: Path, data: Path) -> Sequence[str | Path]:
    options = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
    return (initdb, f"--pgdata={data}", *options)


def _command(postgres: Path, data: Path, port: int) -> Sequence[str | Path]:
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    return (postgres, "-D", data, "-p", str(port), *settings)


def _is_ready(data: Path) -> bool:
    # As pg_ctl does: the last line of this file says when connections are taken. Knocking at the port instead could
    # reach the server of somebody else.
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    return bool(lines) and lines[-1].strip() == "ready"


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a test database; use small letters, digits and _")
    return name
