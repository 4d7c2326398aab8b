"""Databases for tests: `database_url` is empty, `migrated_database_url` has the newest schema; each on all three kinds.

    async def test_something(migrated_database_url: str) -> None: ...      runs as [sqlite], [postgresql], [mariadb]

Every test gets a database of its own, dropped afterwards. The servers start when the first test asks, once per
process. Migrations run once per process and kind, into a template; tests get copies, because a migration takes
seconds and a copy some milliseconds.
"""

import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import MariadbServer, PostgresqlServer
from tests.skipping import require

KINDS = ("sqlite", "postgresql", "mariadb")
_TEMPLATE = "migrated"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """Give a running PostgreSQL."""
    require("postgresql")
    with PostgresqlServer() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariadbServer]:
    """Give a running MariaDB."""
    require("mariadb")
    with MariadbServer() as server:
        yield server


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of an empty database."""
    if request.param == "sqlite":
        yield _sqlite_url(tmp_path)
        return
    server: PostgresqlServer | MariadbServer = request.getfixturevalue(f"{request.param}_server")
    with _fresh(server, server.create_database) as url:
        yield url


@pytest.fixture(params=KINDS)
def migrated_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of a database with the newest schema."""
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "bridge.db")
        yield _sqlite_url(tmp_path)
        return
    server: PostgresqlServer | MariadbServer = request.getfixturevalue(f"{request.param}_server")
    copy: Callable[[str], str] = request.getfixturevalue(f"{request.param}_template")
    with _fresh(server, copy) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a migrated file to copy."""
    directory = tmp_path_factory.mktemp("sqlite-template")
    _migrate(_sqlite_url(directory))
    path = directory / "bridge.db"
    with closing(sqlite3.connect(path)) as connection:
        # What is still in the write-ahead log would be missing in a copy of the file.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: PostgresqlServer) -> Callable[[str], str]:
    """Give the function that makes a migrated database of a name and returns its URL."""
    _migrate(postgresql_server.create_database(_TEMPLATE))
    return lambda name: postgresql_server.create_database(name, template=_TEMPLATE)


@pytest.fixture(scope="session")
def mariadb_template(mariadb_server: MariadbServer) -> Callable[[str], str]:
    """Give the function that makes a migrated database of a name and returns its URL."""
    _migrate(mariadb_server.create_database(_TEMPLATE))
    return _MariadbCopy(mariadb_server, _capture(mariadb_server)).create


@dataclass(frozen=True)
class _MariadbCopy:
    """MariaDB cannot copy a database; the statements that make its tables and triggers and fill them do."""

    server: MariadbServer
    statements: tuple[str, ...]

    def create(self, name: str) -> str:
        url = self.server.create_database(name)
        # A table may name another one that comes later in the alphabet.
        self.server.execute(["SET foreign_key_checks = 0", *self.statements], database=name)
        return url


def _capture(server: MariadbServer) -> tuple[str, ...]:
    """Return the statements that make a copy of the template."""
    tables = server.execute(["SHOW FULL TABLES"], database=_TEMPLATE)
    others = [name for name, kind in tables if kind != "BASE TABLE"]
    if others:
        raise AssertionError(f"tests.databases copies tables and triggers, and the migrations made {others}")
    names = [name for name, _ in tables]
    made = [server.execute([f"SHOW CREATE TABLE `{name}`"], database=_TEMPLATE)[0][1] for name in names]
    # All the names here come from our own migrations.
    rows = [f"INSERT INTO `{name}` SELECT * FROM {_TEMPLATE}.`{name}`" for name in names]
    triggers = [row[0] for row in server.execute(["SHOW TRIGGERS"], database=_TEMPLATE)]
    made += [server.execute([f"SHOW CREATE TRIGGER `{name}`"], database=_TEMPLATE)[0][2] for name in triggers]
    return (*map(str, made), *rows)


@contextmanager
def _fresh(server: PostgresqlServer | MariadbServer, create: Callable[[str], str]) -> Iterator[str]:
    # Not from `random`: pytest-randomly gives it the same seed before every test.
    name = f"test_{secrets.token_hex(6)}"
    url = create(name)
    try:
        yield url
    finally:
        server.drop_database(name)


def _sqlite_url(directory: Path) -> str:
    return f"sqlite:///{directory / 'bridge.db'}"


def _migrate(url: str) -> None:
    from bridge.storage.migrate import upgrade  # noqa: PLC0415 - heavy; most unit tests never need it

    # It must not run inside an event loop; in a thread of its own there is none, whoever asks for the fixture.
    with ThreadPoolExecutor(max_workers=1) as executor:
        executor.submit(upgrade, url).result()
