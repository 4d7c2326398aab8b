"""The database: one engine, two ways to a connection, and what its errors mean.

    async with database.reading() as db: ...          a snapshot, nothing is written
    await database.write(step)                        one transaction, committed; repeated when it lost a deadlock

A step of `write` must be repeatable: it reads again what it decides on, and never calls outward.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from threading import Thread
from typing import Any, TypeVar
from weakref import WeakSet

import aiosqlite
from sqlalchemy import URL, Dialect, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bridge.errors import ConfigurationError, DatabaseUnavailable, DatabaseUnfit, StorageError

Db = AsyncConnection
T = TypeVar("T")

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "mysql": "mysql+asyncmy"}
LAST_STATEMENT_SECONDS = 5.0
ALIASES = {"mariadb": "mysql", "postgres": "postgresql"}
ATTEMPTS = 4
LONGEST = timedelta(seconds=30)
"""A transaction that takes longer is given up: a database that hangs must not hang everybody who waits."""
LOST_RACES: set[object] = {"40P01", "40001", "23505", 1213, 1205, 1062}
"""Deadlock, serialization failure and taken key of PostgreSQL (SQLSTATE), deadlock, lock time-out and taken key of
MariaDB."""
LOST_RACES_OF_SQLITE = ("database is locked", "UNIQUE constraint failed")


class RowClash(StorageError):
    """Somebody else wrote the same row at the same moment. Please try again."""

    code = "row_clash"


class Database:
    """An engine and the rule how transactions begin."""

    def __init__(self, engine: AsyncEngine, *, longest: timedelta = LONGEST) -> None:
        """Take an engine and how long a transaction may take; `open_database` makes one."""
        self._engine = engine
        self._longest = longest.total_seconds()
        self.dialect: Dialect = engine.dialect
        # SQLite has one writer and its busy handler is not fair: queueing here lets nobody starve.
        self._writers = asyncio.Lock() if engine.dialect.name == "sqlite" else nullcontext()

    @asynccontextmanager
    async def reading(self, *, patient: bool = False) -> AsyncIterator[Db]:
        """Give a connection for reading; nothing is committed. A `patient` reader of a whole table may take its time.

        Raises:
            DatabaseUnavailable: the database cannot be reached, or hangs.
        """
        with _translated():
            async with asyncio.timeout(None if patient else self._longest), self._engine.connect() as db:
                yield db

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Db]:
        with _translated():
            async with asyncio.timeout(self._longest), self._writers, self._engine.connect() as connection:
                db = await connection.execution_options(begin_immediate=True)
                async with db.begin():
                    yield db

    async def write(self, step: Callable[[Db], Awaitable[T]]) -> T:
        """Run `step` in one transaction and commit it; repeat it when it lost a race against another.

        Raises:
            DatabaseUnavailable: the database cannot be reached, or the connection broke (then nobody knows whether
                the commit went through).
            RowClash: the step still clashes after several attempts.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._writing() as db:
                    return await step(db)
            except RowClash:
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(random.uniform(0, 0.02 * attempt))  # noqa: S311 - jitter, not a secret
        raise AssertionError("the loop returns or raises")


class _translated:  # noqa: N801 - reads as a phrase: with translated
    """Turns errors of SQLAlchemy and its drivers into ours; the text of a statement never leaves (it may hold data)."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, DBAPIError | PoolTimeout | OSError) or _is_our_mistake(error):
            return
        if _is_lost_race(error):
            raise RowClash(evidence={"reason": _reason(error)}) from error
        raise DatabaseUnavailable(evidence={"reason": _reason(error)}, retry_after=5) from error


def _is_our_mistake(error: BaseException) -> bool:
    """Whether a statement or a value was wrong, which must not look like an outage (SQLSTATE 22, 42)."""
    state = str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")
    ours = isinstance(error, DataError | ProgrammingError | IntegrityError) and not _is_lost_race(error)
    return ours or state[:2] in ("22", "42")


def _is_lost_race(error: BaseException) -> bool:
    if not isinstance(error, DBAPIError) or error.orig is None:
        return False
    original: Any = error.orig
    codes = {getattr(original, "sqlstate", None), *original.args[:1]}
    return bool(codes & LOST_RACES) or any(text in str(original) for text in LOST_RACES_OF_SQLITE)


def _reason(error: BaseException) -> str:
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(original).__name__}: {str(original).splitlines()[0][:200] if str(original) else ''}"


def parse_url(url: str) -> URL:
    """Return the URL with the driver this product uses for each database.

    Raises:
        ConfigurationError: it is no database URL, or one of a database that is not supported.
    """
    hint = "Use sqlite:///bridge.db, postgresql://user:password@host/name or mysql://user:password@host/name."
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError("The setting database.url is no database address.", hint=hint) from None
    kind = parsed.drivername.split("+")[0]
    kind = ALIASES.get(kind, kind)
    if kind not in DRIVERS:
        raise ConfigurationError(f"The setting database.url names {kind}, which is not supported.", hint=hint)
    return parsed.set(drivername=DRIVERS[kind])


def build_engine(url: str, *, pool_size: int = 15, longest: timedelta = LONGEST) -> AsyncEngine:
    """Return an engine with the rules of all connections: UTC, binary comparison, immediate writers on SQLite."""
    parsed = parse_url(url)
    options: dict[str, Any] = {"pool_size": pool_size, "max_overflow": 0, "pool_timeout": 10, "pool_pre_ping": True}
    if parsed.drivername == DRIVERS["sqlite"]:
        # A thread that waits for SQLite cannot be cancelled, so it must not wait longer than we do.
        options["connect_args"] = {"timeout": longest.total_seconds(), "async_creator_fn": _open_sqlite}
        options.pop("pool_pre_ping")
    elif parsed.drivername == DRIVERS["mysql"]:
        options["connect_args"] = {"init_command": "SET time_zone = '+00:00'", "connect_timeout": 5}
        options["isolation_level"] = "READ COMMITTED"
    else:
        options["connect_args"] = {"timeout": 5, "server_settings": {"timezone": "UTC"}}
    engine = create_async_engine(parsed, hide_parameters=True, **options)
    if parsed.drivername == DRIVERS["sqlite"]:
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


@asynccontextmanager
async def open_database(url: str, *, pool_size: int = 15, longest: timedelta = LONGEST) -> AsyncIterator[Database]:
    """Open the engine for a `database.url`; it connects when first used, and is closed on leaving."""
    engine = build_engine(url, pool_size=pool_size, longest=longest)
    workers: WeakSet[Thread] = WeakSet()
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", lambda connection, _: workers.add(_thread_of(connection)))
    try:
        yield Database(engine, longest=longest)
    finally:
        await engine.dispose()
        # A statement that was given up still runs in its thread, and reports to this event loop when it ends.
        for worker in list(workers):  # somebody who does not know yet may still connect
            await asyncio.to_thread(worker.join, LAST_STATEMENT_SECONDS)


async def check_clock(db: Db) -> None:
    """Refuse a MariaDB whose own clock is not UTC: applications write NOW(), and their times would be shifted.

    Raises:
        DatabaseUnfit: with what to set.
    """
    if db.dialect.name != "mysql":
        return
    query = text(
        "SELECT @@global.time_zone, CASE WHEN @@global.time_zone = 'SYSTEM' THEN @@system_time_zone "
        "ELSE CONVERT_TZ('2026-01-01 12:00:00', @@global.time_zone, '+00:00') END"
    )
    name, proof = (await db.execute(query)).one()
    if str(proof) not in ("UTC", "GMT", "Etc/UTC", "Universal", "2026-01-01 12:00:00"):
        raise DatabaseUnfit(
            f"MariaDB's time zone is {name} ({proof}), and it must be UTC: applications write NOW().",
            hint="Put default_time_zone = '+00:00' into the section [mariadbd] of its configuration and restart it.",
        )


async def _open_sqlite(*arguments: Any, **options: Any) -> aiosqlite.Connection:
    """Open a connection; when that fails, see its thread off, which would report to an event loop that is gone."""
    connection = aiosqlite.connect(*arguments, **options)
    worker = connection._thread  # noqa: SLF001 - aiosqlite has no public name for it
    worker.daemon = True
    try:
        return await connection
    except BaseException:
        await asyncio.to_thread(worker.join, LAST_STATEMENT_SECONDS)
        raise


def _thread_of(connection: Any) -> Thread:
    thread: Thread = connection.driver_connection._thread  # noqa: SLF001 - aiosqlite has no public name for it
    return thread


def _prepare_sqlite(connection: DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves, see below
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    # A transaction that begins deferred and writes later cannot wait for another writer: it fails at once.
    immediate = connection.get_execution_options().get("begin_immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
