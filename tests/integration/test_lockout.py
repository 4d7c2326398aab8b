"""Lockout: who fails too often waits, by client and address together; what is right always passes."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from bridge.errors import (
    AnswerRefused,
    AuthorizationFailed,
    BridgeError,
    IdTokenRefused,
    LockedOut,
    OutcomeUnknown,
    StateExpired,
    TokenResponseRefused,
    UserDisabled,
)
from bridge.flows import lockout
from bridge.storage import lockouts
from bridge.storage.database import Database, Db, open_database
from bridge.storage.tables import login_lockout, security_event
from tests.integration.sealed_rows import NOW, insert

CLIENT = lockout.name_client("demo", "bridge")
ADDRESS = "203.0.113.7"
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


async def fail(
    database: Database,
    times: int = 1,
    *,
    at: timedelta = timedelta(),
    client: str = CLIENT,
    address: str | None = ADDRESS,
) -> None:
    for _ in range(times):
        await lockout.note_failure(database, client=client, address=address, now=NOW + at)


async def locked_for(
    database: Database, *, at: timedelta = timedelta(), client: str = CLIENT, address: str | None = ADDRESS
) -> timedelta | None:
    """Return for how long it is refused from now on."""
    try:
        await lockout.check_not_locked(database, client=client, address=address, now=NOW + at)
    except LockedOut as refused:
        return timedelta(seconds=refused.retry_after or 0)
    return None


async def find(database: Database, address: str = ADDRESS) -> lockouts.Lockout | None:
    async with database.reading() as db:
        return await lockouts.find(db, client=CLIENT, address=address)


async def test_the_fifth_tenth_and_twentieth_failure_lock_and_those_between_do_not(database: Database) -> None:
    """The counter outlives its lock, or nobody would ever reach the second step."""
    at, locks = timedelta(), {}
    for number in range(1, 21):
        await fail(database, at=at)
        locks[number] = await locked_for(database, at=at)
        at += locks[number] or timedelta()
    assert {number: lasting for number, lasting in locks.items() if lasting} == {
        5: 5 * MINUTE,
        10: 30 * MINUTE,
        20: DAY,
    }


async def test_each_failure_after_the_twentieth_locks_for_a_day_again(database: Database) -> None:
    """Sign-ins begun before the lock may still fail while it lasts."""
    await fail(database, 20)
    for hours in (1, 2):
        await fail(database, at=timedelta(hours=hours))
        assert await locked_for(database, at=timedelta(hours=hours)) == DAY


async def test_a_failure_while_locked_moves_no_end(database: Database) -> None:
    await fail(database, 5)
    await fail(database, at=2 * MINUTE)
    assert await locked_for(database, at=2 * MINUTE) == 3 * MINUTE
    assert await locked_for(database, at=5 * MINUTE) is None


async def test_being_refused_does_not_count(database: Database) -> None:
    await fail(database, 5)
    for _ in range(10):
        assert await locked_for(database) == 5 * MINUTE
    counter = await find(database)
    assert counter is not None
    assert counter.failures == 5


async def test_counters_survive_a_restart(migrated_database_url: str) -> None:
    for _ in range(5):
        async with open_database(migrated_database_url) as database:
            await fail(database)
    async with open_database(migrated_database_url) as database:
        assert await locked_for(database) == 5 * MINUTE


async def test_a_hundred_failures_at_one_moment_are_a_hundred(migrated_database_url: str) -> None:
    """Two replicas count into one row, which neither of them has made yet."""
    # Fifty wait for one row in each, which may take a slow machine longer than a transaction may otherwise last.
    patient = 10 * MINUTE
    async with (
        open_database(migrated_database_url, longest=patient) as one,
        open_database(migrated_database_url, longest=patient) as other,
    ):
        await asyncio.gather(*(fail(replica) for replica in (one, other) * 50))
        counter = await find(one)
        assert counter is not None
        assert counter.failures == 100
        assert await locked_for(other) == DAY


async def test_a_success_forgets_everything(database: Database) -> None:
    await fail(database, 9)
    await database.write(lambda db: lockout.note_success(db, client=CLIENT, address=ADDRESS))
    assert await find(database) is None
    await fail(database, 4)
    assert await locked_for(database) is None


async def test_a_day_after_the_last_failure_everything_is_forgotten(database: Database) -> None:
    await fail(database, 4)
    await fail(database, at=DAY - MINUTE)
    assert await locked_for(database, at=DAY - MINUTE) == 5 * MINUTE
    await fail(database, at=2 * DAY - MINUTE)
    counter = await find(database)
    assert counter is not None
    assert (counter.failures, counter.first_failed_at) == (1, NOW + 2 * DAY - MINUTE)


async def test_old_counters_are_deleted_some_at_a_time(database: Database) -> None:
    times = [NOW - DAY, NOW - 2 * DAY, NOW - 3 * DAY, NOW - DAY + MINUTE, NOW, NOW + 2 * DAY]
    rows = [
        {"client": "c", "address": str(n), "failures": 1, "first_failed_at": at, "last_failed_at": at}
        for n, at in enumerate(times)
    ]
    await insert(database, login_lockout, *rows)

    async def delete() -> int:
        return await database.write(lambda db: lockouts.delete_old(db, now=NOW, limit=3))

    assert [await delete(), await delete(), await delete()] == [3, 1, 0]
    async with database.reading() as db:
        assert set((await db.execute(sa.select(login_lockout.c.address))).scalars()) == {"3", "4"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:ffff::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("fe80::1%eth0", "fe80::2", True),
        (None, "", True),
        (None, "203.0.113.7", False),
    ],
)
async def test_addresses_of_one_host_are_counted_together(
    sqlite_database_url: str, one: str | None, other: str, *, same: bool
) -> None:
    """Whoever has a /64 has more addresses than there are counters; an IPv4 address is the same in IPv6 clothes."""
    async with open_database(sqlite_database_url) as database:
        await fail(database, 5, address=one)
        assert (await locked_for(database, address=other) is not None) is same


async def test_clients_are_counted_apart(database: Database) -> None:
    """Whoever guesses keys of a package locks nobody's sign-in there, nor that of a client with the same name."""
    await fail(database, 5, client="demo")
    await fail(database, 5, client=lockout.name_client("other", "bridge"))
    assert await locked_for(database) is None
    assert await locked_for(database, client="demo") == 5 * MINUTE
    long = lockout.name_client("p" * 40, "c" * 255)
    await fail(database, 5, client=long)
    assert await locked_for(database, client=long) == 5 * MINUTE


@pytest.mark.parametrize(("failures", "step"), [(5, 5 * MINUTE), (10, 30 * MINUTE), (20, DAY)])
async def test_a_clock_that_is_set_back_makes_no_lock_longer_than_its_step(
    database: Database, failures: int, step: timedelta
) -> None:
    await fail(database, failures, at=timedelta(hours=10))
    assert await locked_for(database) == step
    assert await locked_for(database, at=step - MINUTE) == MINUTE
    assert await locked_for(database, at=step) is None


async def test_a_login_that_begins_cuts_such_a_lock_too(database: Database) -> None:
    await fail(database, 5, at=timedelta(hours=10))

    async def look(db: Db) -> object:
        return await lockout.find_lock(db, client=CLIENT, address=ADDRESS, now=NOW)

    assert await database.write(look) == NOW + 5 * MINUTE
    assert await locked_for(database, at=4 * MINUTE) == MINUTE


async def test_a_failure_of_a_clock_that_was_days_ahead_is_forgotten(database: Database) -> None:
    await fail(database, 20, at=2 * DAY)
    assert await locked_for(database) is None
    await fail(database)
    counter = await find(database)
    assert counter is not None
    assert counter.failures == 1


async def test_the_audit_trail_tells_who_was_locked_out_and_for_how_long(database: Database) -> None:
    await fail(database, 6)
    async with database.reading() as db:
        (event,) = (await db.execute(sa.select(security_event))).all()
    assert (event.event, event.package, event.ip_address) == ("locked_out", "demo", ADDRESS)
    assert '"failures": 5' in event.evidence
    assert CLIENT in event.evidence


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (TokenResponseRefused(evidence={"error": "invalid_grant"}), True),
        (TokenResponseRefused(evidence={"error": "invalid_client"}), False),
        (TokenResponseRefused(evidence={"missing": "id_token"}), False),
        (IdTokenRefused(), True),
        (AnswerRefused(), True),
        (AuthorizationFailed(), False),
        (OutcomeUnknown(), False),
        (StateExpired(), False),
        (UserDisabled(), False),
        (ValueError(), False),
    ],
)
def test_only_what_guesses_look_like_is_a_failure(error: Exception, *, counts: bool) -> None:
    assert lockout.is_failure(error) is counts


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "a minute"), (60, "a minute"), (61, "2 minutes"), (1800, "30 minutes"), (86_399.5, "24 hours")],
)
def test_the_message_says_when_to_come_back(seconds: float, words: str) -> None:
    error: BridgeError = lockout.locked_out(NOW + timedelta(seconds=seconds), now=NOW)
    assert (error.code, error.status) == ("locked_out", 429)
    assert error.message == f"Too many attempts have failed from your address. Please try again in {words}."
    assert error.retry_after
    assert re.fullmatch(r"\d+", str(error.retry_after))
