"""What replicas must forget: every source appends, within its own transaction, and no reader misses an entry."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.model import Activity, NewSession, Profile
from bridge.storage import user_sessions, users
from bridge.storage.database import Database, Db, open_database
from bridge.storage.mirrored_users import UserBatch, write_batch
from bridge.storage.session_revocations import MOST_SEEN, RETENTION, Position, Tail, delete_old, read_since
from bridge.storage.tables import session_revocation, sys_user, sys_usersession
from bridge.storage.tables.columns import database_now
from tests.integration.stored_sessions import HOURS, ISSUER, NOW, PACKAGE, identity, new_session, open_one

Change = Callable[[Db, NewSession], Awaitable[object]]
SUB = identity("alice").sub
END = sa.update(sys_usersession).values(IsActive=False)


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as one:
        yield one


async def read(database: Database, since: Position | None, **options: Any) -> Tail:
    async with database.reading() as db:
        return await read_since(db, since, **options)


async def start(database: Database) -> Position:
    return (await read(database, None)).position


async def append(database: Database, *, age: timedelta, number: int = 1) -> None:
    """Write entries as triggers would have so long ago."""
    async with database.reading() as db:
        now = (await db.execute(sa.select(database_now()))).scalar_one()
    row = {"at": now - age, "kind": "user", "username": "bob", "package": PACKAGE}
    await database.write(lambda db: db.execute(sa.insert(session_revocation), [row] * number))


async def count(database: Database) -> int:
    async with database.reading() as db:
        return int((await db.execute(sa.select(sa.func.count()).select_from(session_revocation))).scalar_one())


async def change_user(db: Db, **columns: object) -> None:
    """Write as the mirror does."""
    version = (await db.execute(sa.select(sys_user.c.RowVersion).where(sys_user.c.Sub == SUB))).scalar_one()
    batch = UserBatch(changes={SUB: columns}, noted={SUB: version})
    assert await write_batch(db, batch, issuer=ISSUER, package=PACKAGE, now=NOW) == set()


async def end_by(db: Db, opened: NewSession) -> object:
    return await user_sessions.invalidate_session(
        db, opened.session_id, invalidated_by="alice", reason="logout", now=NOW
    )


async def end_all(db: Db, _opened: NewSession) -> object:
    return await user_sessions.invalidate_user_sessions(
        db, "alice", package=PACKAGE, invalidated_by="admin", reason="admin", now=NOW
    )


async def clean_up(db: Db, opened: NewSession) -> object:
    return await user_sessions.cleanup_expired(
        db, now=opened.expires_at + HOURS, expired_for=7 * HOURS, inactive_for=7 * HOURS
    )


async def sign_in_with_another_address(db: Db, opened: NewSession) -> object:
    return await users.upsert_signed_in(db, opened.identity, Profile("alice", email="new@example.com"), now=NOW)


async def be_active(db: Db, opened: NewSession) -> None:
    await user_sessions.update_activity(
        db, [Activity(opened.session_id, NOW + HOURS, idle_expires_at=NOW + 2 * HOURS, ip_address="192.0.2.9")]
    )
    await db.execute(sa.update(sys_user).values(LastLoginDate=NOW, LastInteraction=NOW))
    await users.upsert_signed_in(db, opened.identity, Profile("alice"), now=NOW + HOURS)


BOTH = [("session", "alice"), ("user", "alice")]
SOURCES: dict[str, tuple[Change, list[tuple[str, str]]]] = {
    "an UPDATE of an application": (lambda db, _: db.execute(END), BOTH[:1]),
    "a DELETE of an application": (lambda db, _: db.execute(sa.delete(sys_usersession)), BOTH[:1]),
    "a sign-out": (end_by, BOTH[:1]),
    "an end of all sessions": (end_all, BOTH[:1]),
    "the clean-up": (clean_up, BOTH[:1]),
    "a user disabled at Keycloak": (lambda db, _: change_user(db, Active=False), BOTH),
    "a renamed user": (lambda db, _: change_user(db, User="alicia"), BOTH),
    "other groups": (lambda db, _: change_user(db, Usergroups="staff"), BOTH[1:]),
    "another address at sign-in": (sign_in_with_another_address, BOTH[1:]),
    "a deleted user": (lambda db, _: db.execute(sa.delete(sys_user)), BOTH[1:]),
    "mere activity": (be_active, []),
}


@pytest.mark.parametrize("source", SOURCES)
async def test_whoever_ends_or_changes_something_is_heard(database: Database, source: str) -> None:
    change, expected = SOURCES[source]
    opened = new_session(created_at=datetime.now(UTC))
    await open_one(database, opened)
    position = await start(database)
    await database.write(lambda db: change(db, opened))
    tail = await read(database, position)
    assert tail.is_complete
    assert sorted((entry.kind, entry.username) for entry in tail.entries) == expected
    assert {entry.session_id for entry in tail.entries if entry.kind == "session"} <= {opened.session_id}
    assert {(entry.issuer, entry.sub, entry.package) for entry in tail.entries} <= {(ISSUER, SUB, PACKAGE)}


async def test_each_entry_is_given_once_and_in_the_order_of_numbers(database: Database) -> None:
    position = await start(database)
    await append(database, age=timedelta(seconds=1), number=3)
    first = await read(database, position)
    assert [entry.id for entry in first.entries] == sorted(entry.id for entry in first.entries)
    await append(database, age=timedelta(seconds=0))
    second = await read(database, first.position)
    assert (len(first.entries), len(second.entries)) == (3, 1)
    assert (await read(database, second.position)).entries == ()


async def test_an_entry_that_is_committed_late_is_read_within_the_overlap(database: Database) -> None:
    position = await start(database)
    for age, number in ((25, 1), (35, 0)):
        await append(database, age=timedelta(seconds=age))
        tail = await read(database, position)
        assert len(tail.entries) == number
        position = tail.position
    assert len((await read(database, position, overlap=timedelta(minutes=5))).entries) == 1


@pytest.mark.parametrize("migrated_database_url", ["postgresql", "mariadb"], indirect=True)
async def test_a_lower_number_that_is_committed_after_a_higher_one_is_read(database: Database) -> None:
    """SQLite has one writer, and numbers in the order of commits."""
    early, late = new_session(), new_session(username="bob")
    for opened in (early, late):
        await open_one(database, opened)
    position = await start(database)
    has_written, may_commit = asyncio.Event(), asyncio.Event()

    async def end_slowly(db: Db) -> None:
        await db.execute(END.where(sys_usersession.c.SessionId == early.session_id))
        has_written.set()
        await may_commit.wait()

    slow = asyncio.create_task(database.write(end_slowly))
    await has_written.wait()
    await database.write(lambda db: db.execute(END.where(sys_usersession.c.SessionId == late.session_id)))
    first = await read(database, position)
    may_commit.set()
    await slow
    second = await read(database, first.position)
    assert [entry.session_id for entry in first.entries] == [late.session_id]
    assert [entry.session_id for entry in second.entries] == [early.session_id]
    assert second.entries[0].id < first.entries[0].id


async def test_without_a_position_or_with_one_too_old_everything_must_be_forgotten(database: Database) -> None:
    assert not (await read(database, None)).is_complete
    now = (await start(database)).at
    for age, complete in ((RETENTION - timedelta(minutes=1), True), (RETENTION, False)):
        tail = await read(database, Position(now - age, frozenset()))
        assert (tail.is_complete, tail.entries) == (complete, ())
        assert tail.position.at >= now


async def test_when_too_much_has_come_everything_must_be_forgotten_and_reading_goes_on(database: Database) -> None:
    position = await start(database)
    await append(database, age=timedelta(seconds=1), number=4)
    flooded = await read(database, position, most=3)
    assert (flooded.is_complete, flooded.entries) == (False, ())
    assert (await read(database, flooded.position, most=4)).entries == ()


async def test_the_numbers_that_are_remembered_are_bounded(sqlite_database_url: str) -> None:
    async with open_database(sqlite_database_url) as database:
        position = await start(database)
        await append(database, age=timedelta(seconds=1), number=MOST_SEEN + 10)
        tail = await read(database, position, most=2 * MOST_SEEN)
        assert len(tail.entries) == MOST_SEEN + 10
        assert len(tail.position.seen) == MOST_SEEN
        again = await read(database, tail.position, most=2 * MOST_SEEN)
        assert [entry.id for entry in again.entries] == [entry.id for entry in tail.entries[:10]]


async def test_old_entries_are_deleted_so_many_at_a_time(database: Database) -> None:
    await append(database, age=RETENTION + timedelta(minutes=1), number=5)
    await append(database, age=RETENTION - timedelta(minutes=1), number=2)
    now = datetime.now(UTC)
    deleted = [await database.write(lambda db: delete_old(db, now=now, limit=3)) for _ in range(3)]
    assert deleted == [3, 2, 0]
    assert await count(database) == 2


async def test_a_machine_whose_clock_is_wrong_deletes_nothing_that_others_need(database: Database) -> None:
    await append(database, age=RETENTION - timedelta(minutes=1))
    await append(database, age=RETENTION + timedelta(minutes=1))
    now = datetime.now(UTC)
    assert await database.write(lambda db: delete_old(db, now=now - HOURS, limit=9)) == 0
    assert await database.write(lambda db: delete_old(db, now=now + 9 * HOURS, limit=9)) == 1
