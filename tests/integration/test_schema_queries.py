"""The published statements, run as the command prints them, by the drivers that other programs use."""

import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pymysql
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from bridge.model import Identity, NewSession, Profile, SessionPolicy, SessionType, digest
from bridge.storage import user_sessions, users
from bridge.storage.database import Db, open_database
from bridge.storage.schema.statements import OPERATIONS, lay_out, parameters_of
from bridge.storage.session_queries import PARAMETERS, published
from bridge.storage.tables import sys_usersession
from tests.integration.test_commands import run

Execute = Callable[[str, Mapping[str, Any]], Awaitable[list[tuple[Any, ...]]]]
DIALECTS = {"sqlite": "sqlite", "postgresql": "postgresql", "mysql": "mariadb"}
PARAMETER = r"(?<![:\w%]):([a-z_][a-z0-9_]*)"
ALICE = Identity("https://kc.example/realms/demo", "11111111-1111-4111-8111-111111111111", "demo")
TOKEN = digest("an application's token")


class Program:
    """A program in another language: it has the printed statements and a driver, and nothing of ours."""

    def __init__(self, script: str, execute: Execute, *, kind: str) -> None:
        parts = script.strip().split("\n\n")
        self.statements = {part.splitlines()[0].removeprefix("-- "): _without_comments(part) for part in parts}
        self.execute = execute
        self.kind = kind

    async def do(self, operation: str, **values: Any) -> list[tuple[Any, ...]]:
        """Run all statements of an operation and return the rows of the last one."""
        rows: list[tuple[Any, ...]] = []
        for statement in self.statements[operation]:
            rows = await self.execute(statement, {name: self._spelt(value) for name, value in values.items()})
        return rows

    async def create(self, session_id: str, *, token: str | None = None, user: str = "alice") -> None:
        await self.do(
            "create_session",
            session_id=session_id,
            user=user,
            package="demo",
            session_token_sha256=token,
            session_type="web",
            ip_address="192.0.2.7",
            user_agent="Till 4.2",
            expires_at=datetime.now(UTC) + timedelta(hours=8),
            login_method="password",
        )

    async def count(self) -> int:
        ((number,),) = await self.do("count_concurrent", user="alice", package="demo", session_type="web")
        return int(number)

    def _spelt(self, value: Any) -> Any:
        """Return a time as the driver takes it."""
        if not isinstance(value, datetime) or self.kind == "postgresql":
            return value
        naive = value.replace(tzinfo=None)
        return naive.isoformat(" ", timespec="microseconds") if self.kind == "sqlite" else naive


def _without_comments(part: str) -> list[str]:
    sql = "\n".join(line for line in part.splitlines() if not line.startswith("--"))
    return [statement for statement in re.split(r";(?:\n|$)", sql) if statement]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Execute]:
    """Give the function that runs a statement through the usual driver of the database, in its spelling."""
    place = make_url(url)
    if place.drivername == "sqlite":
        with closing(sqlite3.connect(str(place.database), isolation_level=None)) as lite:

            async def execute(sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
                return lite.execute(sql, values).fetchall()

            yield execute
    elif place.drivername == "postgresql":
        postgresql = await asyncpg.connect(url)

        async def execute(sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
            names = list(dict.fromkeys(re.findall(PARAMETER, sql)))
            numbered = re.sub(PARAMETER, lambda found: f"${names.index(found[1]) + 1}", sql)
            return [tuple(row) for row in await postgresql.fetch(numbered, *(values[name] for name in names))]

        yield execute
        await postgresql.close()
    else:
        address = {"host": place.host, "port": place.port, "user": place.username, "password": place.password or ""}
        with closing(pymysql.connect(**address, database=place.database, autocommit=True)) as mariadb:

            async def execute(sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
                with mariadb.cursor() as cursor:
                    cursor.execute(re.sub(PARAMETER, r"%(\1)s", sql), dict(values))
                    return list(cursor.fetchall())

            yield execute


@pytest.fixture
async def program(migrated_database_url: str, tmp_path: Path) -> AsyncIterator[Program]:
    kind = make_url(migrated_database_url).drivername
    printed = run("schema", "queries", "--dialect", DIALECTS[kind], cwd=tmp_path)
    assert printed.returncode == 0, printed.stderr
    async with connected(migrated_database_url) as execute:
        one = Program(printed.stdout, execute, kind=kind)
        await one.execute(
            re.sub(
                r'"',
                "`" if kind == "mysql" else '"',
                'INSERT INTO sys_user ("User", "Package") VALUES (:user, :package)',
            ),
            {"user": "alice", "package": "demo"},
        )
        yield one


async def test_a_session_lives_from_create_to_clean_up(program: Program) -> None:
    await program.create("older", token=TOKEN)
    await program.create("newer")

    ((session_id, user, package, *_),) = await program.do(
        "get_active_session", session_token_sha256=TOKEN, package="demo"
    )
    assert (session_id, user, package) == ("older", "alice", "demo")

    later = datetime.now(UTC) + timedelta(hours=1)
    await program.do("update_activity", session_id="older", ip_address="192.0.2.8", idle_expires_at=later)
    assert await program.count() == 2
    listed = await program.do("get_user_sessions", user="alice", package="demo")
    assert [row[0] for row in listed] == ["newer", "older"]
    assert "192.0.2.8" in listed[1]

    await program.do("invalidate_session", session_id="older", invalidated_by="alice", reason="logout")
    assert await program.do("get_active_session", session_token_sha256=TOKEN, package="demo") == []
    assert await program.count() == 1

    ended = {"invalidated_by": "admin", "reason": "moved"}
    await program.do("invalidate_user_sessions", user="alice", package="demo", **ended)
    assert await program.do("get_user_sessions", user="alice", package="demo") == []

    await program.do("cleanup_expired", invalidated_by="clean-up", reason="expired")
    assert await ends_of(program) == {"older": "logout", "newer": "moved"}


async def test_clean_up_ends_what_has_expired_and_deletes_what_is_long_over(program: Program) -> None:
    for session_id in ("over", "long over", "alive"):
        await program.create(session_id)
    now = datetime.now(UTC)
    await move(program, "over", begin=now - timedelta(hours=9), end=now - timedelta(hours=1))
    await move(program, "long over", begin=now - timedelta(days=9), end=now - timedelta(days=8))

    await program.do("cleanup_expired", invalidated_by="clean-up", reason="expired")

    assert await ends_of(program) == {"over": "expired", "alive": None}


async def test_a_session_of_the_bridge_is_found_by_its_credential_and_can_be_ended(
    program: Program, migrated_database_url: str
) -> None:
    now = datetime.now(UTC)
    opened = NewSession(
        "b" * 64, SessionType.WEB, digest("cookie"), ALICE, "bob", created_at=now, expires_at=now + timedelta(hours=8)
    )

    async def step(db: Db) -> None:
        await users.upsert_signed_in(db, ALICE, Profile("bob"), now=now)
        await user_sessions.create_session(db, opened, policy=SessionPolicy(timedelta(hours=8), None, 3))

    async with open_database(migrated_database_url) as database:
        await database.write(step)
        cookie = {"session_token_sha256": digest("cookie"), "package": "demo"}
        ((session_id, user, *_),) = await program.do("get_active_session", **cookie)
        assert (session_id, user) == (opened.session_id, "bob")

        await program.do("invalidate_session", session_id=opened.session_id, invalidated_by="till", reason="logout")
        assert await program.do("get_active_session", **cookie) == []
        async with database.reading() as db:
            found = await user_sessions.get_active_session(db, digest("cookie"), package="demo", now=now)
    assert found is None


async def test_a_row_that_an_application_wrote_stands_for_nobody_whom_keycloak_knows(
    program: Program, migrated_database_url: str
) -> None:
    """V1: whoever can merely write rows must not sign in as somebody else, with or without a stolen identity."""
    async with open_database(migrated_database_url) as database:
        now = datetime.now(UTC)
        await database.write(lambda db: users.upsert_signed_in(db, ALICE, Profile("bob"), now=now))
        await program.create("written", token=TOKEN, user="bob")
        wanted = {"session_token_sha256": TOKEN, "package": "demo"}
        assert await program.do("get_active_session", **wanted) == []
        copied = sa.update(sys_usersession).values(Issuer=ALICE.issuer, Sub=ALICE.sub)
        await database.write(lambda db: db.execute(copied))
        assert await program.do("get_active_session", **wanted) == []


async def test_an_end_that_has_passed_is_moved_by_no_use(program: Program) -> None:
    await program.create("over", token=TOKEN)
    now = datetime.now(UTC)
    await move(program, "over", begin=now - timedelta(hours=9), end=now - timedelta(seconds=1))
    await program.do("update_activity", session_id="over", ip_address="192.0.2.8", idle_expires_at=now)
    statement = 'SELECT "LastIpAddress" FROM sys_usersession'
    rows = await program.execute(statement.replace('"', "`") if program.kind == "mysql" else statement, {})
    assert [address for (address,) in rows] == [None]


async def test_a_token_of_another_package_opens_nothing(program: Program) -> None:
    await program.create("first", token=TOKEN)

    assert await program.do("get_active_session", session_token_sha256=TOKEN, package="other") == []


async def ends_of(program: Program) -> dict[str, str | None]:
    """Return why each session that is left was ended."""
    statement = 'SELECT "SessionId", "InvalidatedReason" FROM sys_usersession'
    rows = await program.execute(statement.replace('"', "`") if program.kind == "mysql" else statement, {})
    return {session_id.strip(): reason for session_id, reason in rows}


async def move(program: Program, session_id: str, *, begin: datetime, end: datetime) -> None:
    """Give a session another beginning and end, as if it had been made then."""
    statement = (
        'UPDATE sys_usersession SET "CreatedAt" = :begin_at, "ExpiresAt" = :end_at WHERE "SessionId" = :session_id'
    )
    program.statements["move"] = [statement.replace('"', "`") if program.kind == "mysql" else statement]
    await program.do("move", session_id=session_id, begin_at=begin, end_at=end)


@pytest.mark.parametrize("dialect", DIALECTS.values())
def test_the_layout_changes_blanks_and_names_of_tables_only(dialect: str) -> None:
    for statement in (one for statements in published(dialect).values() for one in statements):
        laid_out = lay_out(statement)
        for alias, table in (("s", "sys_usersession"), ("u", "sys_user"), ("k", "session_credential")):
            laid_out = re.sub(rf"\b{table} AS {alias}\b", table, laid_out)
            laid_out = re.sub(rf"\b{alias}\.", f"{table}.", laid_out)
        without_table = statement if statement.startswith("SELECT") else statement.replace("sys_usersession.", "")
        assert "".join(laid_out.split()) == "".join(without_table.split())


@pytest.mark.parametrize("dialect", DIALECTS.values())
def test_every_operation_is_published_with_parameters_that_are_explained(dialect: str) -> None:
    found = published(dialect)

    assert set(found) == set(OPERATIONS)
    assert {name for statements in found.values() for name in parameters_of(statements)} <= set(PARAMETERS)
