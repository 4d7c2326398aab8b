"""The page for other Python programs: each example runs as it stands there, on each database."""

import asyncio
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

import bridge.storage
from bridge.errors import SessionRefused
from bridge.model import Identity, NewSession, Profile, SessionPolicy, SessionType, digest
from bridge.storage import user_sessions, users
from bridge.storage.database import Database, Db, open_database
from bridge.storage.tables import session_credential, sys_usersession
from tests.documents import blocks, read, section

ALICE = Identity("https://kc.example/realms/staff", "11111111-1111-4111-8111-111111111111", "staff")
KEY = "k" * 43
POLICY = SessionPolicy(lifetime=timedelta(hours=8), idle=timedelta(hours=1), max_sessions=10)
EXAMPLES = {
    heading: blocks(text, "python")
    for heading in re.findall(r"^## (.+)$", read("library.md"), re.MULTILINE)
    if (text := section(read("library.md"), f"## {heading}")) and blocks(text, "python")
}


def run(example: str, url: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program as somebody would who has copied it from the page."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DATABASE_URL": url, **environment},
        timeout=60,
    )


@dataclass(frozen=True)
class Tables:
    """A database in which alice has two sessions on the web and one of a program, whose key is `KEY`."""

    url: str
    database: Database
    now: datetime

    async def run(self, heading: str, **environment: str) -> str:
        """Run the example below a heading and return what it prints."""
        (example,) = EXAMPLES[heading]
        done = await asyncio.to_thread(run, example, self.url, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    async def column(self, column: sa.ColumnElement[object], *where: sa.ColumnElement[bool]) -> list[object]:
        async with self.database.reading() as db:
            return list((await db.execute(sa.select(column).where(*where))).scalars())


@pytest.fixture
async def tables(migrated_database_url: str) -> AsyncIterator[Tables]:
    now = datetime.now(tz=UTC)
    async with open_database(migrated_database_url) as database:

        async def step(db: Db) -> None:
            await users.upsert_signed_in(db, ALICE, Profile("alice"), now=now)
            for number, kind, secret in ((1, "web", "one"), (2, "web", "two"), (3, "api", KEY)):
                opened = NewSession(
                    session_id=f"{number:064x}",
                    session_type=SessionType(kind),
                    credential_digest=digest(secret),
                    identity=ALICE,
                    username="alice",
                    created_at=now - timedelta(minutes=number),
                    expires_at=now + timedelta(hours=8),
                )
                await user_sessions.create_session(db, opened, policy=POLICY)

        await database.write(step)
        yield Tables(migrated_database_url, database, now)


def test_every_section_of_the_page_that_shows_a_program_is_run_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")

    assert sum(len(found) for found in EXAMPLES.values()) == len(blocks(read("library.md"), "python")) == len(EXAMPLES)
    assert [heading for heading in EXAMPLES if f'tables.run("{heading}"' not in text] == []


async def test_the_example_before_you_begin_says_that_the_database_is_fit(tables: Tables) -> None:
    assert await tables.run("Before you begin") == "The database is fit.\n"


async def test_the_same_example_refuses_a_database_without_tables(tmp_path: Path) -> None:
    (example,) = EXAMPLES["Before you begin"]
    done = await asyncio.to_thread(run, example, f"sqlite:///{tmp_path}/empty.db")
    assert done.returncode == 1
    assert "bridge.errors.storage.SchemaOutdated: The database is at schema none" in done.stderr


async def test_the_example_of_reading_lists_sessions_newest_first(tables: Tables) -> None:
    lines = (await tables.run("Read sessions")).splitlines()
    assert [line.split()[:2] for line in lines] == [[f"{1:064x}", "web"], [f"{2:064x}", "web"], [f"{3:064x}", "api"]]


async def test_the_five_lines_in_the_docstring_do_what_the_example_does(tables: Tables) -> None:
    _, found, lines = str(bridge.storage.__doc__).partition("\n    from datetime import")
    five = textwrap.dedent(f"    from datetime import{lines}".partition("\n\n")[0])
    assert found
    assert len(five.splitlines()) == 5
    url = re.search(r'open_database\("(.+?)"\)', five)
    assert url is not None
    program = f"async def main():\n{textwrap.indent(five, '    ')}\n\nimport asyncio\nasyncio.run(main())"

    done = await asyncio.to_thread(run, program.replace(url[1], tables.url), tables.url)

    assert done.stderr == ""
    assert [line.split()[0] for line in done.stdout.splitlines()] == [f"{number:064x}" for number in (1, 2, 3)]


async def test_the_example_of_ending_ends_all_sessions_with_what_opens_them(tables: Tables) -> None:
    s = sys_usersession.c

    assert await tables.run("End all sessions of a user") == "3 sessions were ended.\n"

    assert await tables.column(s.IsActive) == [False, False, False]
    assert set(await tables.column(s.InvalidatedBy)) == {"leavers.py"}
    assert set(await tables.column(s.InvalidatedReason)) == {"left_company"}
    assert await tables.column(session_credential.c.digest) == []


async def test_the_example_of_a_key_makes_one_that_opens_its_session(tables: Tables) -> None:
    key = (await tables.run("Make a session with a key")).strip()

    async with tables.database.reading() as db:
        found = await user_sessions.get_active_session(
            db, digest(key), package="staff", now=tables.now + timedelta(days=29)
        )
    assert found is not None
    assert (found.user.username, found.session.session_type) == ("alice", "api")
    assert (found.session.device_name, found.session.login_method) == ("nightly report", "api_key")
    assert key not in {str(one) for one in await tables.column(session_credential.c.digest)}


async def test_the_example_of_letting_a_key_in_notes_its_use(tables: Tables) -> None:
    said = await tables.run("Let a key in, and note its use", KEY=KEY)

    assert said.split()[0] == "alice"
    s = sys_usersession.c
    row = s.SessionId == f"{3:064x}"
    (idle_end,) = await tables.column(s.IdleExpiresAt, row)
    assert isinstance(idle_end, datetime)
    assert idle_end >= tables.now + timedelta(hours=1)
    assert await tables.column(s.LastIpAddress, row) == ["192.0.2.7"]


async def test_the_same_example_lets_nobody_in_with_another_key(tables: Tables) -> None:
    assert await tables.run("Let a key in, and note its use", KEY="x" * 43) == "Nobody.\n"


async def test_the_example_of_cleaning_up_ends_what_is_over_and_deletes_what_is_long_over(tables: Tables) -> None:
    s = sys_usersession.c
    long_ago, ago = tables.now - timedelta(days=8), tables.now - timedelta(minutes=1)
    over: dict[int, dict[str, object]] = {1: {"ExpiresAt": ago}, 2: {"IsActive": False, "ExpiresAt": long_ago}}

    async def step(db: Db) -> None:
        for number, values in over.items():
            changed = sa.update(sys_usersession).where(s.SessionId == f"{number:064x}")
            await db.execute(changed.values(CreatedAt=long_ago - timedelta(hours=8), **values))

    await tables.database.write(step)

    said = await tables.run("Count, and clean up")

    assert said == "alice has 1 keys. Ended: 1 expired, 0 idle; deleted: 1.\n"
    assert sorted(map(str, await tables.column(s.SessionId))) == [f"{1:064x}", f"{3:064x}"]


async def test_a_time_without_a_time_zone_is_refused(tables: Tables) -> None:
    """Guessing one would shift what is alive."""
    naive = tables.now.replace(tzinfo=None)
    with pytest.raises(SessionRefused, match="now has no time zone"):
        async with tables.database.reading() as db:
            await user_sessions.get_user_sessions(db, "alice", package="staff", now=naive)
