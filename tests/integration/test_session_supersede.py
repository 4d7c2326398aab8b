"""The one UPDATE that decides who replaces a credential, on the three databases."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from bridge.model import digest
from bridge.storage import session_credentials, user_sessions
from bridge.storage.database import Database, open_database
from bridge.storage.tables import session_credential
from tests.integration.stored_sessions import HOURS, NOW, POLICY, find_active, new_session, open_one, read


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


async def supersede(
    database: Database, session_id: str, old: str, new: str, *, seen: str | None = None, now: datetime = NOW
) -> bool:
    """Replace a credential; `seen` is what a request read of its successor before."""
    return await database.write(
        lambda db: session_credentials.supersede(
            db, session_id, old=digest(old), seen=seen, new=digest(new), expires_at=NOW + HOURS, now=now
        )
    )


async def test_only_who_knows_the_living_credential_as_it_is_may_replace_it(database: Database) -> None:
    """S5: each condition of the UPDATE, one at a time."""
    one, other = new_session("one"), new_session("other", username="bob")
    for opened in (one, other):
        await open_one(database, opened)
    assert not await supersede(database, other.session_id, "one", "a")
    assert not await supersede(database, one.session_id, "one", "b", now=one.expires_at)
    assert not await supersede(database, one.session_id, "one", "c", seen=digest("never"))
    assert len(await read(database, session_credential)) == 2
    assert await supersede(database, one.session_id, "one", "d")
    assert not await supersede(database, one.session_id, "one", "e")
    assert not await supersede(database, one.session_id, "one", "f", seen=digest("never"))
    assert await supersede(database, one.session_id, "one", "g", seen=digest("d"))


async def test_a_successor_that_was_lost_ends_with_the_one_it_was_to_replace(database: Database) -> None:
    """Whoever has got hold of it on its way must not keep a credential that the browser never had."""
    opened = new_session("old")
    await open_one(database, opened)
    assert await supersede(database, opened.session_id, "old", "lost")
    assert await supersede(database, opened.session_id, "old", "new", seen=digest("lost"))
    await database.write(lambda db: session_credentials.note_first_use(db, [digest("new")], now=NOW))
    later = NOW + session_credentials.OVERLAP
    found = {text: await find_active(database, text, now=later) is not None for text in ("old", "lost", "new")}
    assert found == {"old": False, "lost": False, "new": True}


async def test_the_first_one_ends_too_when_the_lost_successor_is_the_one_that_goes_on(database: Database) -> None:
    """Its browser has got the late answer after all, and rotates from there."""
    opened = new_session("old")
    await open_one(database, opened)
    assert await supersede(database, opened.session_id, "old", "late")
    assert await supersede(database, opened.session_id, "old", "new", seen=digest("late"))
    assert await supersede(database, opened.session_id, "late", "next", seen=digest("new"))
    await database.write(lambda db: session_credentials.note_first_use(db, [digest("next")], now=NOW))
    later = NOW + session_credentials.OVERLAP
    found = {text for text in ("old", "late", "new", "next") if await find_active(database, text, now=later)}
    assert found == {"next"}


async def test_a_session_that_has_ended_meanwhile_gets_no_new_credential(database: Database) -> None:
    """F20: a sign-out wins over a rotation that began earlier."""
    opened = new_session("one")
    await open_one(database, opened)
    await database.write(
        lambda db: user_sessions.invalidate_session(
            db, opened.session_id, invalidated_by=None, reason="logout", now=NOW
        )
    )
    assert not await supersede(database, opened.session_id, "one", "two")
    assert await read(database, session_credential) == []


async def test_a_rotation_and_a_sign_out_at_once_leave_nothing_that_opens_the_session(database: Database) -> None:
    """F20, V58."""
    for number in range(10):
        old, new = f"old {number}", f"new {number}"
        opened = new_session(old, username=f"person {number}")
        await open_one(database, opened, policy=POLICY)

        async def end(session_id: str = opened.session_id) -> None:
            await database.write(
                lambda db: user_sessions.invalidate_session(
                    db, session_id, invalidated_by=None, reason="logout", now=NOW
                )
            )

        await asyncio.gather(supersede(database, opened.session_id, old, new), end())
        assert await find_active(database, old) is None
        assert await find_active(database, new) is None
