"""`session cleanup` as an operator meets it: what it tells before, and what it has done."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bridge.storage.tables import security_event, sys_usersession
from tests.integration.command_house import HOUR, NEW, OLD, OTHER, PROGRAM, House, s, with_sessions


@pytest.fixture
async def house(sqlite_database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with with_sessions(sqlite_database_url, tmp_path) as one:
        yield one


async def test_cleanup_ends_what_is_over_and_deletes_what_is_long_over(house: House) -> None:
    long_ago = house.now - timedelta(days=8)
    over: dict[str, dict[str, object]] = {
        OLD: {"ExpiresAt": house.now - timedelta(minutes=1), "CreatedAt": long_ago},
        NEW: {"IdleExpiresAt": house.now - timedelta(minutes=1)},
        OTHER: {"IsActive": False, "ExpiresAt": long_ago, "CreatedAt": long_ago - HOUR},
    }
    for session_id, values in over.items():
        await house.write(sa.update(sys_usersession).where(s.SessionId == session_id).values(**values))

    told = await house.command.run("session", "cleanup", "--dry-run", "--json")
    assert await house.active() == {OLD, NEW, PROGRAM}
    done = await house.command.run("session", "cleanup", "--json")

    # Of a session that an application has ended, the credential is still there.
    assert told.json == done.json == {"expired": 1, "idle": 1, "deleted": 1, "private_rows": 1}
    assert await house.active() == {PROGRAM}
    assert [(await house.row(one)).InvalidatedReason for one in (OLD, NEW)] == ["expired", "idle"]
    again = [line.rsplit(maxsplit=1) for line in (await house.command.run("session", "cleanup")).out.splitlines()]
    assert again == [["expired", "0"], ["idle", "0"], ["deleted", "0"], ["private rows", "0"]]


async def test_cleanup_tells_of_the_rows_of_private_tables_too(house: House) -> None:
    entry = {"at": datetime(2020, 1, 1, tzinfo=UTC), "event": "signed_in"}
    await house.write(sa.insert(security_event).values(entry))

    told = await house.command.run("session", "cleanup", "--dry-run", "--json")
    done = await house.command.run("session", "cleanup", "--json")
    again = await house.command.run("session", "cleanup", "--json")

    assert told.json == done.json == {"expired": 0, "idle": 0, "deleted": 0, "private_rows": 1}
    assert again.json["private_rows"] == 0
