"""What the session operations are asked: a question that has no answer is refused, one about nobody finds nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from bridge.errors import SessionRefused
from bridge.model import Activity, SessionType, digest
from bridge.storage import user_sessions
from bridge.storage.database import Database, Db, open_database
from tests.integration.stored_sessions import (
    HOURS,
    NOW,
    PACKAGE,
    POLICY,
    UNFIT,
    find_active,
    new_session,
    open_one,
    read_everything,
    read_one,
    write_row,
)

NAIVE = NOW.replace(tzinfo=None)
MINUTE = timedelta(minutes=1)
KINDS = ["desktop", "", "WEB", "web ", "x" * 1000, "a\0b", "\ud800"]
END: Mapping[str, Any] = {"invalidated_by": "root", "reason": "admin"}
CLEAN: Mapping[str, Any] = {"now": NOW + 24 * HOURS, "expired_for": timedelta(), "inactive_for": timedelta()}
Operation = Callable[[Db], Awaitable[object]]


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


async def refusal(database: Database, operation: Operation) -> str:
    """Return why an operation is refused, after which the tables must be what they were."""
    before = await read_everything(database)
    with pytest.raises(SessionRefused) as refused:
        await database.write(operation)
    assert await read_everything(database) == before
    return refused.value.message


def at(now: datetime) -> dict[str, Operation]:
    """Return the eight operations, each of which would find or change something at that time."""
    key = digest("key")
    opened = new_session(created_at=now, expires_at=NOW + HOURS)
    of_alice: dict[str, Any] = {"package": PACKAGE, "now": now}
    return {
        "create_session": partial(user_sessions.create_session, opened=opened, policy=POLICY),
        "get_active_session": partial(user_sessions.get_active_session, credential_digest=key, **of_alice),
        "get_user_sessions": partial(user_sessions.get_user_sessions, username="alice", **of_alice),
        "update_activity": partial(user_sessions.update_activity, activities=[Activity("a" * 64, now)]),
        "invalidate_session": partial(user_sessions.invalidate_session, session_id="a" * 64, now=now, **END),
        "invalidate_user_sessions": partial(
            user_sessions.invalidate_user_sessions, username="alice", **of_alice, **END
        ),
        "cleanup_expired": partial(user_sessions.cleanup_expired, **{**CLEAN, "now": now}),
        "count_concurrent": partial(
            user_sessions.count_concurrent, username="alice", session_type=SessionType.WEB, **of_alice
        ),
    }


@pytest.mark.parametrize("name", at(NOW))
async def test_a_time_without_a_zone_is_refused_by_each_operation(database: Database, name: str) -> None:
    """S9: guessing a zone would shift what is alive."""
    await open_one(database, new_session("key", session_id="a" * 64))
    said = await refusal(database, at(NAIVE)[name])
    field = {"create_session": "created_at", "update_activity": "at"}.get(name, "now")
    assert said == f"{field} has no time zone."
    await database.write(at(NOW)[name])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_type_that_there_is_not_is_no_person_without_sessions(database: Database, kind: str) -> None:
    await open_one(database, new_session())
    asked: dict[str, Any] = {"package": PACKAGE, "session_type": kind, "now": NOW}
    ways: list[Operation] = [
        partial(user_sessions.get_user_sessions, username="alice", **asked),
        partial(user_sessions.count_concurrent, username="alice", **asked),
        partial(user_sessions.invalidate_user_sessions, username="alice", **asked, **END),
    ]
    for way in ways:
        told = await refusal(database, way)
        assert told == f"{kind[:60]!r} is no session type; there are web, api, mobile, console."


async def test_a_session_of_an_application_whose_type_there_is_not_is_listed_and_ended_among_all(
    database: Database,
) -> None:
    """The database does not refuse its type; whoever asks for all types finds it."""
    handle = await write_row(database, SessionType="desktop")
    async with database.reading() as db:
        (found,) = await user_sessions.get_user_sessions(db, "alice", package=PACKAGE, now=NOW)
    assert (found.session_id, found.session_type) == (handle, "desktop")
    ended = await database.write(at(NOW)["invalidate_user_sessions"])
    assert ended == [found]
    assert not (await read_one(database, handle))["IsActive"]


@pytest.mark.parametrize("limit", [-1, -(2**63), 2**63])
async def test_a_number_of_rows_that_cannot_be_meant_is_refused(database: Database, limit: int) -> None:
    """SQLite takes -1 for all, and the other two for a mistake."""
    await open_one(database, new_session())
    ways: list[Operation] = [
        partial(user_sessions.get_user_sessions, username="alice", package=PACKAGE, now=NOW, limit=limit),
        partial(user_sessions.cleanup_expired, limit=limit, **CLEAN),
    ]
    for way in ways:
        assert await refusal(database, way) == f"limit is {limit}, and must be from 0 to 1,000,000."


@pytest.mark.parametrize("name", ["expired_for", "inactive_for"])
@pytest.mark.parametrize("duration", [-timedelta(microseconds=1), -365 * 24 * HOURS, timedelta.max])
async def test_a_retention_that_ends_before_its_session_or_never_is_refused(
    database: Database, name: str, duration: timedelta
) -> None:
    """A negative one would delete rows that are not over."""
    await open_one(database, new_session(session_id="a" * 64))
    await database.write(at(NOW)["invalidate_session"])
    told = await refusal(database, partial(user_sessions.cleanup_expired, **{**CLEAN, name: duration}))
    assert told == f"{name} is {duration}, and must be from 0 to 36,525 days."


@pytest.mark.parametrize("text", UNFIT.values(), ids=UNFIT)
async def test_a_search_for_what_no_database_holds_finds_nothing(database: Database, text: str) -> None:
    """Whoever asks has it from a visitor, perhaps; it is no failure of the bridge."""
    await open_one(database, new_session("key"))
    searches: list[dict[str, Any]] = [
        {"username": text},
        {"username": "alice", "package": text},
        {"username": "alice", "session_id": text},
        {"username": None, "sid": (text, text)},
    ]
    async with database.reading() as db:
        for asked in searches:
            found = await user_sessions.get_user_sessions(db, now=NOW, **{"package": PACKAGE, **asked})
            assert found == []
        for name, package in ((text, PACKAGE), ("alice", text)):
            count = user_sessions.count_concurrent(db, name, package=package, session_type="web", now=NOW)
            assert await count == 0
        for credential, package in ((text, PACKAGE), (digest("key"), text)):
            assert await user_sessions.get_active_session(db, credential, package=package, now=NOW) is None


@pytest.mark.parametrize("text", UNFIT.values(), ids=UNFIT)
async def test_what_no_database_holds_is_neither_ended_nor_used(database: Database, text: str) -> None:
    """As with any other session that is not there; what came beside it is noted."""
    opened = new_session("key")
    await open_one(database, opened)
    before = await read_everything(database)
    ways: list[Operation] = [
        partial(user_sessions.invalidate_session, session_id=text, now=NOW, **END),
        partial(user_sessions.invalidate_user_sessions, username=text, package=PACKAGE, now=NOW, **END),
        partial(user_sessions.invalidate_user_sessions, username="alice", package=text, now=NOW, **END),
        partial(user_sessions.update_activity, activities=[Activity(text, NOW + MINUTE)]),
    ]
    assert [await database.write(way) or None for way in ways] == [None] * 4
    assert await read_everything(database) == before
    uses = [Activity(text, NOW + MINUTE), Activity(opened.session_id, NOW + MINUTE)]
    await database.write(partial(user_sessions.update_activity, activities=uses))
    assert (await read_one(database, opened.session_id))["LastActivity"] == NOW + MINUTE
    assert await find_active(database, "key") is not None


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
async def test_an_end_that_cannot_be_written_down_is_refused_also_where_nothing_would_end(
    database: Database, text: str
) -> None:
    """Whether a call is right does not depend on what the tables hold."""
    told: dict[str, Any] = {**END, "reason": text, "now": NOW}
    ways: list[Operation] = [
        partial(user_sessions.invalidate_session, session_id=text, **told),
        partial(user_sessions.invalidate_user_sessions, username=text, package=PACKAGE, **told),
    ]
    for way in ways:
        assert await refusal(database, way) == "InvalidatedReason holds characters that cannot be stored."
