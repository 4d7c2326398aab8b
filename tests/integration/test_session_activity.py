"""Batches of noted uses: what they write, what they keep when they cannot, and what they never change."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.errors import DatabaseUnavailable
from bridge.flows.activity import MOST_WAITING, Activities
from bridge.model import Activity
from bridge.storage import user_sessions
from bridge.storage.database import Database, Db, open_database
from bridge.storage.session_rows import ActiveSession
from bridge.storage.tables import security_event, session_credential, sys_usersession
from tests.integration.stored_sessions import (
    HOURS,
    NOW,
    POLICY,
    find_active,
    new_session,
    open_one,
    read,
    read_one,
    statements_of,
)

SECONDS, MINUTES = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


async def note(activities: Activities, found: ActiveSession, *, now: datetime, address: str | None = None) -> None:
    await activities.note(found, credential_digest="0" * 64, ip_address=address, now=now)


async def open_used(database: Database, credential: str = "key", **changes: Any) -> ActiveSession:
    """Open a session whose credential was used before, and return what a request with it finds."""
    await open_one(database, new_session(credential, ip_address="192.0.2.1", **changes))
    await database.write(lambda db: db.execute(sa.update(session_credential).values(first_used_at=NOW)))
    found = await find_active(database, credential)
    assert found is not None
    return found


async def test_an_address_that_came_and_went_between_two_batches_is_none(database: Database) -> None:
    found = await open_used(database)
    activities = Activities(database, {"web": POLICY})
    for address in ("192.0.2.2", "192.0.2.1"):
        await note(activities, found, now=NOW + MINUTES, address=address)
    assert await activities.flush(now=NOW + MINUTES) == 1
    assert (await read_one(database, found.session.session_id))["SuspiciousActivityCount"] == 0
    assert await read(database, security_event, event="address_changed") == []


async def test_a_visitor_without_an_address_moves_nothing(database: Database) -> None:
    """One at a Unix socket has none."""
    found = await open_used(database)
    activities = Activities(database, {"web": POLICY})
    await note(activities, found, now=NOW + MINUTES)
    await activities.flush(now=NOW + MINUTES)
    row = await read_one(database, found.session.session_id)
    assert (row["LastActivity"], row["LastIpAddress"]) == (NOW + MINUTES, "192.0.2.1")
    assert row["SuspiciousActivityCount"] == 0


async def test_what_could_not_be_written_is_kept_and_written_when_the_database_is_back(
    sqlite_database_url: str,
) -> None:
    """F14: the newest use counts, and what only the earlier ones knew is not lost either."""
    async with open_database(sqlite_database_url) as database:
        await open_one(database, new_session("key", ip_address="192.0.2.1"))
        found = await find_active(database, "key")
        assert found is not None
        activities = Activities(database, {"web": POLICY})
        digests = [row["digest"] for row in await read(database, session_credential)]
        await activities.note(found, credential_digest=digests[0], ip_address="192.0.2.9", now=NOW + MINUTES)
        await database.write(lambda db: db.execute(sa.text("ALTER TABLE sys_usersession RENAME TO away")))
        writing = asyncio.create_task(activities.flush(now=NOW + MINUTES))
        await asyncio.sleep(0)
        used = replace(found, credential=replace(found.credential, first_used_at=NOW))
        await note(activities, used, now=NOW + 2 * MINUTES)
        with pytest.raises(DatabaseUnavailable):
            await writing
        await database.write(lambda db: db.execute(sa.text("ALTER TABLE away RENAME TO sys_usersession")))
        assert await activities.flush(now=NOW + 3 * MINUTES) == 1
        row = await read_one(database, found.session.session_id)
        assert (row["LastActivity"], row["LastIpAddress"]) == (NOW + 2 * MINUTES, "192.0.2.9")
        assert row["IdleExpiresAt"] == NOW + 2 * MINUTES + HOURS
        (credential,) = await read(database, session_credential)
        assert credential["first_used_at"] == NOW + 3 * MINUTES
        assert await activities.flush(now=NOW + 3 * MINUTES) == 0


async def test_one_change_of_address_counts_once_however_many_saw_it(database: Database) -> None:
    """Requests that looked just before the batch, and those at another replica, tell of the same change."""
    found = await open_used(database)
    replicas = [Activities(database, {"web": POLICY}) for _ in range(2)]
    for activities in (*replicas, *replicas):
        await note(activities, found, now=NOW + MINUTES, address="192.0.2.2")
        await activities.flush(now=NOW + MINUTES)
    assert (await read_one(database, found.session.session_id))["SuspiciousActivityCount"] == 1
    assert len(await read(database, security_event, event="address_changed")) == 1
    await note(replicas[0], found, now=NOW + MINUTES, address="192.0.2.3")
    await replicas[0].flush(now=NOW + MINUTES)
    assert (await read_one(database, found.session.session_id))["SuspiciousActivityCount"] == 2
    (_, second) = await read(database, security_event, event="address_changed")
    assert json.loads(second["evidence"]) == {"before": "192.0.2.2"}


@pytest.mark.parametrize("how", ["ended", "deleted"])
async def test_a_session_that_is_gone_has_no_address_any_more(database: Database, how: str) -> None:
    found = await open_used(database)
    activities = Activities(database, {"web": POLICY})
    await note(activities, found, now=NOW + MINUTES, address="192.0.2.2")
    gone = {
        "ended": sa.update(sys_usersession).values(IsActive=False),
        "deleted": sa.delete(sys_usersession),
    }[how]
    await database.write(lambda db: db.execute(gone))
    assert await activities.flush(now=NOW + MINUTES) == 1
    assert await read(database, security_event, event="address_changed") == []


async def test_no_more_than_so_many_uses_wait_while_the_database_is_away(sqlite_database_url: str) -> None:
    async with open_database(sqlite_database_url) as database:
        found = await open_used(database)
        activities = Activities(database, {"web": POLICY})
        for number in range(MOST_WAITING + 10):
            session = replace(found.session, session_id=f"{number:064}")
            await note(activities, replace(found, session=session), now=NOW + MINUTES)
        # One that waits already is still moved on.
        await note(activities, replace(found, session=replace(found.session, session_id="0" * 64)), now=NOW + HOURS / 2)
        assert await activities.flush(now=NOW + MINUTES) == MOST_WAITING


async def test_a_session_of_a_type_without_a_policy_is_used_without_an_idle_limit(database: Database) -> None:
    """A type that a later release has, or an older one had."""
    found = await open_used(database)
    activities = Activities(database, {})
    await note(activities, found, now=NOW + MINUTES)
    await activities.flush(now=NOW + MINUTES)
    row = await read_one(database, found.session.session_id)
    assert (row["LastActivity"], row["IdleExpiresAt"]) == (NOW + MINUTES, NOW + HOURS)


async def test_a_session_that_has_ended_since_stays_as_it_ended(database: Database) -> None:
    """F20: logout wins over a use that began earlier."""
    found = await open_used(database)
    activities = Activities(database, {"web": POLICY})
    await note(activities, found, now=NOW + MINUTES, address="192.0.2.9")
    await database.write(
        lambda db: user_sessions.invalidate_session(
            db, found.session.session_id, invalidated_by="alice", reason="logout", now=NOW + MINUTES
        )
    )
    before = await read(database)
    await activities.flush(now=NOW + 2 * MINUTES)
    assert await read(database) == before


async def test_a_use_after_the_end_revives_no_session_that_nobody_has_marked_yet(database: Database) -> None:
    ends = {"idle": NOW + HOURS, "over": NOW + POLICY.lifetime}
    for username in ends:
        await open_one(database, new_session(username, username=username))
    idle_ends = NOW + 9 * HOURS
    rows = await read(database)
    uses = [Activity(row["SessionId"], ends[row["User"]], idle_expires_at=idle_ends) for row in rows]
    await database.write(lambda db: user_sessions.update_activity(db, uses))
    assert {row["IdleExpiresAt"] for row in await read(database)} == {NOW + HOURS}


async def test_a_use_after_the_end_is_no_change_of_address_either(database: Database) -> None:
    found = await open_used(database)
    activities = Activities(database, {"web": POLICY})
    await note(activities, found, now=NOW + 2 * HOURS, address="192.0.2.9")
    await activities.flush(now=NOW + 2 * HOURS)
    row = await read_one(database, found.session.session_id)
    assert (row["LastIpAddress"], row["SuspiciousActivityCount"]) == ("192.0.2.1", 0)
    assert await read(database, security_event, event="address_changed") == []


async def test_batches_of_the_same_sessions_in_different_order_do_not_hinder_each_other(database: Database) -> None:
    """Of several groups: each UPDATE changes other columns, and each batch comes to other rows first."""
    for number in range(20):
        await open_one(database, new_session(username=f"person {number}"))
    session_ids = [row["SessionId"] for row in await read(database)]

    def batch(*, reverse: bool) -> list[Activity]:
        first, second = (session_ids[10:], session_ids[:10]) if reverse else (session_ids[:10], session_ids[10:])
        moved = [Activity(one, NOW + MINUTES, ip_address="192.0.2.7") for one in first]
        return [*moved, *(Activity(one, NOW + MINUTES) for one in second)]

    attempts = 0

    async def write(db: Db, uses: list[Activity]) -> None:
        nonlocal attempts
        attempts += 1
        await user_sessions.update_activity(db, uses)

    writes = [partial(write, uses=batch(reverse=number % 2 == 0)) for number in range(10)]
    await asyncio.gather(*(database.write(one) for one in writes))
    assert attempts == len(writes)


async def test_times_never_go_back(database: Database) -> None:
    """F16: a replica whose clock is behind, or that writes its batch late, takes nothing away."""
    found = await open_used(database)
    session_id = found.session.session_id
    for at in (NOW + 30 * MINUTES, NOW + MINUTES, NOW - HOURS):
        uses = [Activity(session_id, at, idle_expires_at=at + HOURS)]
        await database.write(partial(user_sessions.update_activity, activities=uses))
    row = await read_one(database, session_id)
    assert row["LastActivity"] == NOW + 30 * MINUTES
    assert row["IdleExpiresAt"] == NOW + 90 * MINUTES
    activities = Activities(database, {"web": POLICY})
    for at in (NOW + 40 * MINUTES, NOW - HOURS):
        await note(activities, found, now=at)
    await activities.flush(now=NOW - HOURS)
    row = await read_one(database, session_id)
    assert (row["LastActivity"], row["IdleExpiresAt"]) == (NOW + 40 * MINUTES, NOW + 100 * MINUTES)


async def test_one_update_notes_the_use_of_many_sessions(database: Database) -> None:
    """A batch is sent as one statement with many values, in the order of their keys: no two batches deadlock."""
    policy = replace(POLICY, max_sessions=50)
    sessions = [new_session() for _ in range(20)]
    for opened in sessions:
        await open_one(database, opened, policy=policy)
    uses = [Activity(one.session_id, NOW + MINUTES) for one in sessions]
    with statements_of(database) as sent:
        await database.write(lambda db: user_sessions.update_activity(db, uses))
    assert len([one for one in sent if one.startswith("UPDATE")]) == 1
    async with database.reading() as db:
        moved = sa.select(sa.func.count()).where(sys_usersession.c.LastActivity == NOW + MINUTES)
        assert (await db.execute(moved)).scalar() == 20
