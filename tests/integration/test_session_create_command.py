"""`session create`: a key for a program, what it opens, and that it is nowhere but where it was printed."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bridge.model import Identity, Profile, digest
from bridge.storage import users
from bridge.storage.database import Database, Db, open_database
from bridge.storage.tables import security_event, sys_user, sys_usersession
from tests.browser import Browser
from tests.integration.command_line import CommandLine, Ended
from tests.integration.service import Service

ALICE = Identity("https://kc.example/realms/demo", "sub-alice", "demo")


@pytest.fixture
async def database(sqlite_database_url: str) -> AsyncIterator[Database]:
    """alice, whom Keycloak knows; carol, who is disabled; harry, whom an application wrote."""
    async with open_database(sqlite_database_url) as opened:

        async def step(db: Db) -> None:
            now = datetime.now(tz=UTC)
            for username, sub in (("alice", "sub-alice"), ("carol", "sub-carol")):
                await users.upsert_signed_in(db, Identity(ALICE.issuer, sub, "demo"), Profile(username), now=now)
            await db.execute(sa.update(sys_user).where(sys_user.c.User == "carol").values(Active=False))
            await db.execute(sa.insert(sys_user).values(User="harry", Package="demo"))

        await opened.write(step)
        yield opened


@pytest.fixture
def command(sqlite_database_url: str, tmp_path: Path) -> CommandLine:
    return build_command(tmp_path, sqlite_database_url)


def build_command(directory: Path, database_url: str) -> CommandLine:
    one = CommandLine(directory)
    one.configure(database_url)
    return one


async def sessions(database: Database) -> list[dict[str, object]]:
    async with database.reading() as db:
        rows = await db.execute(sa.select(sys_usersession).order_by(sys_usersession.c.CreatedAt))
        return [dict(row._mapping) for row in rows]


async def everything(database: Database) -> str:
    """Return every value of every column there is, as text."""
    async with database.reading() as db:
        tables = [await db.execute(sa.select(table)) for table in sys_user.metadata.sorted_tables]
        return "\n".join(repr(tuple(row)) for found in tables for row in found)


async def create(command: CommandLine, *words: str) -> Ended:
    ended = await command.run("session", "create", *words)
    assert ended.status == 0, ended.err
    return ended


async def test_the_key_alone_is_on_standard_output(command: CommandLine, database: Database) -> None:
    made = await command.run_apart(
        "session", "create", "alice", "--type", "api", "--name", "nightly report", "--trusted"
    )

    assert made.status == 0, made.err
    key = made.out.removesuffix("\n")
    (row,) = await sessions(database)
    assert (len(key), key.isprintable(), " " in key) == (43, True, False)
    assert key not in made.err
    assert made.err.splitlines() == [
        f"The key of session {row['SessionId']}, until {row['ExpiresAt']:%Y-%m-%d %H:%M} UTC.",
        "It is not stored anywhere and cannot be shown again.",
    ]
    assert (row["User"], row["SessionType"], row["LoginMethod"]) == ("alice", "api", "api_key")
    assert (row["DeviceName"], row["IsTrusted"], row["IdleExpiresAt"]) == ("nightly report", True, None)
    async with database.reading() as db:
        event = (await db.execute(sa.select(security_event))).one()
    assert (event.event, event.username, event.session_id) == ("key_created", "alice", row["SessionId"])


async def test_json_holds_the_key_and_its_session(command: CommandLine, database: Database) -> None:
    made = await create(command, "alice", "--type", "console", "--lifetime", "90m", "--json")

    (row,) = await sessions(database)
    assert set(made.json) == {"created", "session_id", "expires_at", "ended", "key"}
    assert (made.json["created"], made.json["ended"], made.err) == (True, [], "")
    assert made.json["session_id"] == row["SessionId"]
    assert (await everything(database)).count(digest(made.json["key"])) > 0
    created, ends = row["CreatedAt"], row["ExpiresAt"]
    assert isinstance(created, datetime)
    assert isinstance(ends, datetime)
    assert ends - created == timedelta(minutes=90)
    assert made.json["expires_at"] == ends.isoformat()


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("nobody", "--type", "api"), 1, "There is no person of this name."),
        (("Alice", "--type", "api"), 1, "There is no person of this name."),
        (("carol", "--type", "api"), 1, "This account is disabled."),
        (("harry", "--type", "api"), 1, "This account is not known to Keycloak, and cannot sign in."),
        (("alice", "--type", "web"), 2, "'web' is not one of 'api', 'console'."),
        (("alice", "--type", "mobile"), 2, "'mobile' is not one of 'api', 'console'."),
        (("alice", "--type", "desktop"), 2, "'desktop' is not one of 'api', 'console'."),
        (("alice",), 2, "Missing option"),
        (("alice", "--type", "api", "--package", "nowhere"), 2, "There is no package nowhere."),
        (("alice", "--type", "api", "--lifetime", "31d"), 1, "The lifetime must be positive and within the policy's"),
        (("alice", "--type", "api", "--lifetime", "0s"), 1, "The lifetime must be positive and within the policy's"),
        (("alice", "--type", "api", "--lifetime", "long"), 2, "long: it must be a number with a unit: s, m, h or d."),
        (("alice", "--type", "api", "--name", "x" * 256), 1, "DeviceName is 256 characters long, and at most 255"),
        (("alice", "--type", "api", "--name", "a\x1bb"), 1, "DeviceName holds characters that cannot be stored."),
    ],
)
async def test_a_key_that_cannot_be_made_is_refused_and_nothing_is_written(
    command: CommandLine, database: Database, words: tuple[str, ...], status: int, message: str
) -> None:
    for more in ((), ("--dry-run",)):
        ended = await command.run("session", "create", *words, *more)
        assert (ended.status, ended.out) == (status, "")
        assert message in " ".join(ended.err.split())
    assert await sessions(database) == []


async def test_a_key_over_the_cap_ends_the_oldest_and_says_so(command: CommandLine, database: Database) -> None:
    await create(command, "alice", "--type", "console")
    second = await create(command, "alice", "--type", "console")

    first_row, second_row = await sessions(database)
    assert (first_row["InvalidatedReason"], second_row["IsActive"]) == ("session_limit", True)
    assert f"It has ended {first_row['SessionId']}." in second.err


async def test_a_dry_run_tells_until_when_and_what_would_end_and_makes_no_key(
    command: CommandLine, database: Database
) -> None:
    told = await create(command, "alice", "--type", "console", "--lifetime", "2h", "--dry-run")
    assert re.fullmatch(r"A key would be made for alice, until \S+ \S+ UTC\.\n", told.out)
    assert await sessions(database) == []

    await create(command, "alice", "--type", "console")
    (row,) = await sessions(database)
    told = await create(command, "alice", "--type", "console", "--dry-run")
    assert told.out.endswith(f" UTC. It would end {row['SessionId']}.\n")
    planned = (await create(command, "alice", "--type", "console", "--dry-run", "--json")).json
    assert set(planned) == {"created", "expires_at", "ended"}
    assert (planned["created"], planned["ended"]) == (False, [row["SessionId"]])
    assert await sessions(database) == [row]


async def test_a_key_over_the_cap_is_refused_when_the_policy_says_so(
    command: CommandLine, database: Database, sqlite_database_url: str
) -> None:
    command.configure(sqlite_database_url, more='[policy.console]\nat_cap = "refuse"')
    await create(command, "alice", "--type", "console")

    for more in ((), ("--dry-run",)):
        refused = await command.run("session", "create", "alice", "--type", "console", *more)

        assert (refused.status, refused.out) == (1, "")
        assert "as many sessions as may be open at the same time" in refused.err
        assert "max_sessions: 1" in refused.err
    assert len(await sessions(database)) == 1


async def test_a_key_is_stored_nowhere_and_opens_its_session_until_that_ends(
    service: Service, browser: Browser, tmp_path: Path
) -> None:
    command = build_command(tmp_path, service.settings.database.url.get_secret_value())
    await browser.sign_in()
    made = (await create(command, "alice", "--type", "api", "--json")).json

    async def ask(authorization: str | None = None) -> tuple[int, str | None]:
        headers = {"Accept": "application/json"} | ({"Authorization": authorization} if authorization else {})
        answer = await browser.get("/me", headers=headers)
        return answer.status_code, answer.json().get("session", {}).get("id")

    assert await ask(f"Bearer {made['key']}") == (200, made["session_id"])
    stored = await everything(service.database)
    assert made["key"] not in stored
    assert digest(made["key"]) in stored
    for wrong in (f"Bearer {made['key'][:-1]}x", f"Bearer {digest(made['key'])}"):
        assert await ask(wrong) == (401, None)

    assert (await command.run("session", "end", made["session_id"])).status == 0

    assert await ask(f"Bearer {made['key']}") == (401, None)
    assert (await ask())[0] == 200, "the visitor's own session goes on"


async def test_ending_all_sessions_of_a_user_refuses_the_next_request_of_the_browser(
    service: Service, browser: Browser, tmp_path: Path
) -> None:
    command = build_command(tmp_path, service.settings.database.url.get_secret_value())
    await browser.sign_in()
    assert (await browser.get("/me")).status_code == 200

    ended = await command.run("session", "end", "--user", "alice", "--json")

    assert len(ended.json) == 1
    assert (await browser.get("/me")).status_code == 401


async def test_the_first_use_of_a_key_is_no_change_of_address(
    sqlite_service: Service, sqlite_browser: Browser, tmp_path: Path
) -> None:
    """Whoever made the key had no address; a warning at each new key would hide those that matter."""
    command = build_command(tmp_path, sqlite_service.settings.database.url.get_secret_value())
    await sqlite_browser.sign_in()
    made = (await create(command, "alice", "--type", "api", "--json")).json

    answer = await sqlite_browser.get("/me", headers={"Authorization": f"Bearer {made['key']}"})

    assert answer.status_code == 200
    query = 'SELECT "LastIpAddress", "SuspiciousActivityCount" FROM sys_usersession WHERE "SessionId" = :id'
    for _ in range(1000):
        (row,) = await sqlite_service.rows(query, id=made["session_id"])
        if row["LastIpAddress"] is not None:
            break
        await asyncio.sleep(0.02)
    assert (row["LastIpAddress"], row["SuspiciousActivityCount"]) == ("127.0.0.1", 0)
    events = await sqlite_service.rows("SELECT event FROM security_event WHERE session_id = :id", id=made["session_id"])
    assert [event["event"] for event in events] == ["key_created"]
