"""Fresh databases with the newest schema: SQLite, and PostgreSQL and MariaDB where they are installed."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from bridge.storage.database import Database, open_database
from bridge.storage.migrate import upgrade
from tests.bench.machine import sqlite_version
from tests.servers import MariadbServer, PostgresqlServer, ProgramMissing

_TEMPLATE = "migrated"
# What our throw-away server keeps in memory is meant for tests with a handful of rows.
_MARIADB_FOR_MANY_ROWS = (
    "SET GLOBAL innodb_buffer_pool_size = 1024 * 1024 * 1024",
    "SET GLOBAL innodb_log_file_size = 512 * 1024 * 1024",
)


@dataclass(frozen=True)
class DatabaseKind:
    """One kind of database; `create` makes a migrated one of a name and returns its URL, also in an event loop.

    `drop` gives the place of one back before the benchmark ends.
    """

    title: str
    version: str
    create: Callable[[str], str]
    drop: Callable[[str], None]


@contextmanager
def open_databases(
    directory: Path, *, say: Callable[[str], None], mariadb: bool = False
) -> Iterator[list[DatabaseKind]]:
    """Give the kinds there are, MariaDB only when asked for; what is missing is said and left out."""
    with ExitStack() as stack:
        kinds = [_prepare_sqlite(directory)]
        try:
            server = stack.enter_context(PostgresqlServer())
        except ProgramMissing as missing:
            say(f"Without PostgreSQL: {missing}.")
        else:
            kinds.append(_prepare_postgresql(server))
        if mariadb:
            try:
                kinds.append(_prepare_mariadb(stack.enter_context(MariadbServer())))
            except ProgramMissing as missing:
                say(f"Without MariaDB: {missing}.")
        yield kinds


async def read_value(database: Database, query: str) -> int:
    """Return the one number that a query answers; names in double quotes work on both kinds."""
    async with database.reading() as db:
        return int((await db.execute(sa.text(query))).scalar() or 0)


def _prepare_sqlite(directory: Path) -> DatabaseKind:
    template = directory / f"{_TEMPLATE}.db"
    upgrade(f"sqlite:///{template}")
    with closing(sqlite3.connect(template)) as connection:
        # What is still in the write-ahead log would be missing in a copy of the file.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def create(name: str) -> str:
        path = directory / f"{name}.db"
        shutil.copyfile(template, path)
        return f"sqlite:///{path}"

    def drop(url: str) -> None:
        for path in directory.glob(f"{Path(url).name}*"):
            path.unlink()

    return DatabaseKind("SQLite", sqlite_version(), create, drop)


def _prepare_postgresql(server: PostgresqlServer) -> DatabaseKind:
    url = server.create_database(_TEMPLATE)
    upgrade(url)
    version = asyncio.run(_postgresql_version(url))
    return DatabaseKind(
        "PostgreSQL",
        version,
        lambda name: server.create_database(name, template=_TEMPLATE),
        lambda url: server.drop_database(_name_in(url)),
    )


def _prepare_mariadb(server: MariadbServer) -> DatabaseKind:
    server.execute(_MARIADB_FOR_MANY_ROWS)
    ((version,),) = server.execute(["SELECT @@version"])

    def create(name: str) -> str:
        url = server.create_database(name)
        # Migrations have an event loop of their own.
        with ThreadPoolExecutor(max_workers=1) as executor:
            executor.submit(upgrade, url).result()
        return url

    title = f"MariaDB {str(version).partition('-')[0]}"
    return DatabaseKind("MariaDB", title, create, lambda url: server.drop_database(_name_in(url)))


def _name_in(url: str) -> str:
    return url.rpartition("/")[2]


async def _postgresql_version(url: str) -> str:
    async with open_database(url) as database, database.reading() as db:
        version = str((await db.execute(sa.text("SHOW server_version"))).scalar())
    return f"PostgreSQL {version.partition(' ')[0]}"
