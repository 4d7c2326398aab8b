"""Applications beside the bridge: the usual driver of each database, a user of their own, and SQL of their own.

    async with connected(url) as execute:                          one connection; every statement commits by itself
        rows = await execute("SELECT ... :user", user="alice")
        answers = [await execute(one, user="alice") for one in statements_of("database.md", "sql mariadb")]

A driver that blocks runs in a thread: what it waits for may be held by a service in this event loop.
"""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any, Protocol

import asyncpg
import pymysql
from sqlalchemy.engine import make_url

from tests.documents import blocks, read

KINDS = {"sqlite": "sqlite", "postgresql": "postgresql", "mysql": "mariadb"}
Rows = list[tuple[Any, ...]]
REFUSED = (pymysql.err.OperationalError, pymysql.err.ProgrammingError, asyncpg.InsufficientPrivilegeError)
"""What the drivers raise when a right is missing."""
NO_RIGHT = "denied|must be owner"
_PARAMETER = r"(?<![:\w%]):([a-z_][a-z0-9_]*)"


class Execute(Protocol):
    """Runs a statement and returns its rows; values that it does not name are passed over."""

    async def __call__(self, statement: str, **values: object) -> Rows:
        """Run it and commit."""
        ...


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Execute]:
    """Connect as an application does."""
    place = make_url(url)
    if place.drivername == "sqlite":
        opened = sqlite3.connect(str(place.database), timeout=60, isolation_level=None, check_same_thread=False)
        with closing(opened) as connection:
            connection.execute("PRAGMA foreign_keys = ON")

            async def execute_sqlite(statement: str, **values: object) -> Rows:
                return (await asyncio.to_thread(connection.execute, statement, values)).fetchall()

            yield execute_sqlite
    elif place.drivername == "postgresql":
        postgresql = await asyncpg.connect(url, ssl=False)

        async def execute_postgresql(statement: str, **values: object) -> Rows:
            names = list(dict.fromkeys(re.findall(_PARAMETER, statement)))
            numbered = re.sub(_PARAMETER, lambda found: f"${names.index(found[1]) + 1}", statement)
            return [tuple(row) for row in await postgresql.fetch(numbered, *(values[name] for name in names))]

        try:
            yield execute_postgresql
        finally:
            await postgresql.close()
    else:
        with closing(pymysql.connect(**mariadb_address(url), autocommit=True)) as mariadb:

            async def execute_mariadb(statement: str, **values: object) -> Rows:
                with mariadb.cursor() as cursor:
                    await asyncio.to_thread(cursor.execute, re.sub(_PARAMETER, r"%(\1)s", statement), values or None)
                    return list(cursor.fetchall())

            yield execute_mariadb


def mariadb_address(url: str) -> dict[str, Any]:
    """Return what PyMySQL wants to know."""
    place = make_url(url)
    user = {"user": place.username, "password": place.password or "", "ssl_disabled": True}
    return {"host": place.host, "port": place.port, "database": place.database, **user}


def as_user(url: str, name: str, password: str | None = None) -> str:
    """Return the address for another user."""
    return make_url(url).set(username=name, password=password).render_as_string(hide_password=False)


def kind_of(url: str) -> str:
    """Return sqlite, postgresql or mariadb."""
    return KINDS[make_url(url).drivername]


def spelt(url: str, statement: str) -> str:
    """Return a statement with names in double quotes as the database of this address takes it."""
    return statement.replace('"', "`") if kind_of(url) == "mariadb" else statement


def statements_of(page: str, block: str) -> list[str]:
    """Return the statements in all blocks of a kind on a page."""
    text = "\n".join(blocks(read(page), block))
    return [statement.strip().rstrip(";") for statement in re.split(r";\n", text) if statement.strip()]
