"""What the service does beside its requests: it ends what is over, writes what was noted, and goes on after a fault."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
import structlog

from bridge.config.policy import RetentionSettings
from bridge.flows.activity import FLUSH_EVERY, Activities
from bridge.flows.cleanup import delete_old, end_overdue
from bridge.sealing import Sealer
from bridge.storage import sealing_keys, security_events
from bridge.storage.database import Database, open_database
from bridge.storage.security_events import SecurityEvent
from bridge.storage.tables import security_event, session_credential
from bridge.web.jobs import END_EVERY, running_jobs
from tests.double import KeycloakDouble
from tests.integration.replicas import replica
from tests.integration.stored_sessions import HOURS, NOW, PACKAGE, POLICY, find_active, new_session, open_one, read

RETENTION = RetentionSettings()
SEALER = Sealer([b"k" * 32])
LATER = NOW + 2 * HOURS
"""An idle session is over then."""


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


@pytest.fixture
async def sqlite_database(sqlite_database_url: str) -> AsyncIterator[Database]:
    async with open_database(sqlite_database_url) as opened:
        yield opened


async def rename(database: Database, old: str, new: str) -> None:
    await database.write(lambda db: db.execute(sa.text(f"ALTER TABLE {old} RENAME TO {new}")))


async def test_an_idle_session_is_inactive_after_the_first_round(database: Database) -> None:
    """A round comes every half minute, and what is idle must be inactive within one."""
    assert timedelta(seconds=60) >= END_EVERY
    await open_one(database, new_session("idle"))
    await open_one(database, new_session("used", username="bob", created_at=LATER))
    activities = Activities(database, {"web": POLICY})
    async with running_jobs(database, activities, RETENTION, sealer=SEALER, clock=lambda: LATER):
        await asyncio.sleep(0)  # a round that has begun is finished before the block ends
    by_name = {row["User"]: row for row in await read(database)}
    ended = by_name["alice"]
    assert (ended["IsActive"], ended["InvalidatedReason"], ended["InvalidatedBy"]) == (False, "idle", "cleanup")
    assert ended["InvalidatedAt"] == LATER
    assert by_name["bob"]["IsActive"]
    assert await find_active(database, "used", now=LATER) is not None


async def test_a_clock_that_is_ahead_takes_nothing_from_the_other_replicas(database: Database) -> None:
    """F16: by that clock every session is over, and every entry too old to be kept."""
    now = datetime.now(tz=UTC)
    await open_one(database, new_session("used", created_at=now))
    entry = SecurityEvent("signed_in", PACKAGE)
    await database.write(lambda db: security_events.append(db, entry, now=now))
    activities = Activities(database, {"web": POLICY})
    async with running_jobs(database, activities, RETENTION, sealer=SEALER, clock=lambda: now + timedelta(days=4000)):
        await asyncio.sleep(0)  # a round that has begun is finished before the block ends
    assert await find_active(database, "used", now=now) is not None
    assert len(await read(database, security_event)) == 1


async def test_a_service_that_starts_ends_at_once_what_ended_while_none_ran(
    double: KeycloakDouble, migrated_database_url: str, database: Database
) -> None:
    await open_one(database, new_session(created_at=datetime.now(tz=UTC) - 2 * HOURS))
    async with replica(double, migrated_database_url):
        pass
    (row,) = await read(database)
    assert (row["IsActive"], row["InvalidatedBy"]) == (False, "cleanup")


async def test_what_was_noted_is_written_in_the_next_round_and_at_the_end(database: Database) -> None:
    await open_one(database, new_session("key"))
    found = await find_active(database, "key")
    assert found is not None
    activities = Activities(database, {"web": POLICY})
    async with running_jobs(database, activities, RETENTION, sealer=SEALER, clock=lambda: NOW):
        await asyncio.sleep(0)
        await activities.note(found, credential_digest="0" * 64, ip_address=None, now=NOW + timedelta(minutes=5))
    (row,) = await read(database)
    assert row["LastActivity"] == NOW + timedelta(minutes=5)


async def test_a_job_that_fails_is_said_in_the_log_and_done_again(sqlite_database: Database) -> None:
    database = sqlite_database
    await open_one(database, new_session("key"))
    found = await find_active(database, "key")
    assert found is not None
    activities = Activities(database, {"web": POLICY})
    await activities.note(found, credential_digest="0" * 64, ip_address=None, now=NOW + timedelta(minutes=5))
    await rename(database, "sys_usersession", "away")
    with structlog.testing.capture_logs() as logged:
        async with running_jobs(database, activities, RETENTION, sealer=SEALER, clock=lambda: NOW):
            while len(logged) < 3:  # noqa: ASYNC110 - each job that reads sessions fails once
                await asyncio.sleep(0.01)
            await rename(database, "away", "sys_usersession")
            async with asyncio.timeout(10 * FLUSH_EVERY.total_seconds()):
                while (await read(database))[0]["LastActivity"] == NOW:  # noqa: ASYNC110 - nobody announces it
                    await asyncio.sleep(0.05)
    failed = [one for one in logged if one["event"] == "job_failed"]
    assert {one["job"] for one in failed} == {"write_activity", "end_sessions", "delete_rows"}
    assert {one["log_level"] for one in failed} == {"warning"}
    assert all(one["reason"].startswith("DatabaseUnavailable: ") for one in failed)


async def test_the_key_that_is_in_use_is_noted_again_when_another_process_has_forgotten_it(database: Database) -> None:
    """A rotation elsewhere forgets what no value needs; this process goes on sealing with it."""
    async with running_jobs(database, Activities(database, {}), RETENTION, sealer=SEALER, clock=lambda: NOW):
        await asyncio.sleep(0)
    async with database.reading() as db:
        assert [key.key_id for key in await sealing_keys.list_in_use(db)] == [SEALER.sealing_key_id]


async def test_a_service_ends_while_the_database_is_away(sqlite_database: Database) -> None:
    """What was noted is lost then, and said to be; nothing hangs."""
    database = sqlite_database
    await open_one(database, new_session("key"))
    found = await find_active(database, "key")
    assert found is not None
    activities = Activities(database, {"web": POLICY})
    with structlog.testing.capture_logs() as logged:
        async with running_jobs(database, activities, RETENTION, sealer=SEALER, clock=lambda: NOW):
            await activities.note(found, credential_digest="0" * 64, ip_address=None, now=NOW + HOURS / 2)
            await rename(database, "sys_usersession", "away")
    assert logged[-1]["job"] == "write_activity"


async def test_jobs_of_two_replicas_at_once_end_each_session_once(
    migrated_database_url: str, database: Database
) -> None:
    """Each passes over what the other has in hand."""
    for number in range(30):
        await open_one(database, new_session(username=f"person {number}"))
    async with open_database(migrated_database_url) as other:
        rounds = [end_overdue(one, RETENTION, now=LATER, limit=7) for one in (database, other) for _ in range(2)]
        done = await asyncio.gather(*rounds)
    last = await end_overdue(database, RETENTION, now=LATER, limit=7)
    assert sum(one.idle for one in (*done, last)) == 30
    assert sum(one.expired + one.deleted for one in (*done, last)) == 0
    assert {row["InvalidatedReason"] for row in await read(database)} == {"idle"}
    assert await read(database, session_credential) == []


async def test_a_clean_up_goes_on_until_nothing_is_left(database: Database) -> None:
    """In transactions of a few rows each."""
    for number in range(10):
        await open_one(database, new_session(username=f"person {number}"))
    done = await end_overdue(database, RETENTION, now=NOW + 9 * HOURS, limit=3)
    assert (done.expired, done.idle, done.deleted) == (10, 0, 0)
    assert {row["InvalidatedReason"] for row in await read(database)} == {"expired"}
    done = await end_overdue(database, RETENTION, now=NOW + 9 * HOURS + RETENTION.expired_sessions, limit=3)
    assert (done.expired, done.idle, done.deleted) == (0, 0, 10)
    assert await read(database) == []


async def test_old_entries_of_private_tables_go_a_few_at_a_time(database: Database) -> None:
    for number in range(5):
        await open_one(database, new_session(username=f"person {number}"))
    assert len(await read(database, session_credential)) == 5
    assert await delete_old(database, RETENTION, now=NOW + timedelta(days=3), limit=2) == 5
    assert await read(database, session_credential) == []
