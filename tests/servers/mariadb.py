"""MariaDB for one test run: empty, fast, and gone afterwards."""

import re
import signal
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pymysql

from tests.servers.programs import mariadb_program
from tests.servers.throw_away import open_directory, owner_when_root, run_on_free_port, run_to_end

MAX_CONNECTIONS = 300
Rows = tuple[tuple[object, ...], ...]
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_OPTIONS = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    f"--max-connections={MAX_CONNECTIONS}",
    "--character-set-server=utf8mb4",
    "--default-time-zone=+00:00",
    "--skip-slave-start",
    "--performance-schema=OFF",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=32M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--innodb-doublewrite=OFF",
    "--innodb-buffer-pool-dump-at-shutdown=OFF",
    "--innodb-buffer-pool-load-at-startup=OFF",
)


class MariadbServer:
    """A server that runs inside the `with` block; as root it runs as the package's user `mysql`."""

    def __init__(self, *, binary_log: bool = False) -> None:
        """Take whether it keeps a binary log, as servers do that are replicated or backed up."""
        self._binary_log = ("--log-bin=binlog", "--server-id=1") if binary_log else ("--skip-log-bin",)
        self._stack = ExitStack()
        self._port = 0

    @property
    def url(self) -> str:
        """The address of the server; `/NAME` makes it that of a database."""
        return f"mysql://root@127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        """Start the server.

        Raises:
            ProgramMissing: MariaDB is not installed.
            ServerFailed: it does not start.
        """
        install, mariadbd = mariadb_program("mariadb-install-db"), mariadb_program("mariadbd")
        owner = owner_when_root("mysql")
        with ExitStack() as stack:
            directory = stack.enter_context(open_directory("bridge-mariadb-", owner=owner))
            run_to_end(_install_command(install, directory), directory=directory, owner=owner)
            self._port = stack.enter_context(
                run_on_free_port(
                    lambda port: (*_command(mariadbd, directory, port), *self._binary_log),
                    directory=directory,
                    owner=owner,
                    # Written when the port is bound, by this very server.
                    is_ready=(directory / "pid").exists,
                    stop_signal=signal.SIGKILL,
                )
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def create_database(self, name: str) -> str:
        """Create an empty database (utf8mb4) and return its URL."""
        self.execute([f"CREATE DATABASE {_checked(name)}"])
        return f"{self.url}/{name}"

    def drop_database(self, name: str) -> None:
        """Drop a database; connections that are left would hold its locks, so they are ended first."""
        left = [row[0] for row in self.execute(["SHOW PROCESSLIST"]) if row[3] == name]
        for number in left:
            # It may have closed by itself meanwhile.
            with suppress(pymysql.err.OperationalError):
                self.execute([f"KILL CONNECTION {number}"])
        self.execute([f"DROP DATABASE {_checked(name)}"])

    def connect(self, database: str | None = None) -> "pymysql.Connection":
        """Open a connection as root; the caller closes it."""
        # Without TLS: making its context costs ten times what the statements do.
        return pymysql.connect(host="127.0.0.1", port=self._port, user="root", database=database, ssl_disabled=True)

    def execute(self, statements: Sequence[str], *, database: str | None = None) -> Rows:
        """Run statements on one connection and return the rows of the last one."""
        rows: Rows = ()
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = cursor.fetchall()
            connection.commit()
        return rows


def _install_command(install: Path, directory: Path) -> Sequence[str | Path]:
    options = ("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
    return (install, "--no-defaults", f"--datadir={directory / 'data'}", *options)


def _command(mariadbd: Path, directory: Path, port: int) -> Sequence[str | Path]:
    # The socket is named relative to the data directory: the path of a socket is limited to 107 bytes.
    files = (f"--datadir={directory / 'data'}", f"--pid-file={directory / 'pid'}", "--socket=socket")
    return (mariadbd, "--no-defaults", *files, f"--tmpdir={directory}", f"--port={port}", *_OPTIONS)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a test database; use small letters, digits and _")
    return name
