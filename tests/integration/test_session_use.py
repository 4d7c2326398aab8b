"""What using a session does: it lives on until its limits, and what is known of the use is written in batches."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from bridge.errors import DatabaseUnavailable
from bridge.flows.activity import MOST_WAITING, Activities
from bridge.model import Activity
from bridge.storage import user_sessions
from bridge.storage.database import Database, open_database
from bridge.storage.session_rows import ActiveSession
from bridge.storage.tables import security_event, session_credential, sys_usersession
from tests.browser import Browser
from tests.double import KeycloakDouble
from tests.integration.replicas import Replica, ask, replica
from tests.integration.service import Clock
from tests.integration.stored_sessions import (
    HOURS,
    NOW,
    POLICY,
    Row,
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


async def sign_in(service: Replica) -> str:
    """Sign in with a browser of its own, and return the session's cookie."""
    async with Browser(service.url) as browser:
        await browser.sign_in()
        return str(browser.cookie("__Host-kb-demo"))


async def the_row(service: Replica) -> Row:
    (row,) = await read(service.database)
    return row


async def note(activities: Activities, found: ActiveSession, *, now: datetime, address: str | None = None) -> None:
    await activities.note(found, credential_digest="0" * 64, ip_address=address, now=now)


async def open_used(database: Database, credential: str = "key", **changes: object) -> ActiveSession:
    """Open a session whose credential was used before, and return what a request with it finds."""
    await open_one(database, new_session(credential, ip_address="192.0.2.1", **changes))
    await database.write(lambda db: db.execute(sa.update(session_credential).values(first_used_at=NOW)))
    found = await find_active(database, credential)
    assert found is not None
    return found


async def test_a_session_lives_while_it_is_used_and_is_refused_when_it_was_not_for_longer_than_the_limit(
    double: KeycloakDouble, migrated_database_url: str
) -> None:
    """E3, ASVS 7.3.1: at once, and its row says so after the next round of the job."""
    async with replica(double, migrated_database_url) as service:
        cookie = await sign_in(service)
        for _ in range(3):
            service.clock.advance(minutes=59)
            assert (await ask(service, cookie=cookie)).status_code == 200
            await service.flush()
        service.clock.advance(minutes=60, seconds=1)
        assert (await ask(service, cookie=cookie)).status_code == 401
        done = await service.end_overdue()
        assert (done.idle, done.expired) == (1, 0)
        row = await the_row(service)
        assert (row["IsActive"], row["InvalidatedReason"], row["InvalidatedBy"]) == (False, "idle", "cleanup")
        assert row["InvalidatedAt"] >= row["IdleExpiresAt"]
        assert await read(service.database, session_credential) == []
        assert await service.count("keycloak_grant") == 0
        assert (await service.end_overdue()).idle == 0


async def test_no_use_moves_the_absolute_end(double: KeycloakDouble, migrated_database_url: str) -> None:
    """E3, ASVS 7.3.2."""
    async with replica(double, migrated_database_url, policy={"web": {"lifetime": "100m"}}) as service:
        cookie = await sign_in(service)
        before = await the_row(service)
        service.clock.advance(minutes=50)
        assert (await ask(service, cookie=cookie)).status_code == 200
        service.clock.advance(minutes=49)
        assert (await ask(service, cookie=cookie)).status_code == 200
        await service.flush()
        row = await the_row(service)
        assert row["ExpiresAt"] == before["ExpiresAt"] == before["CreatedAt"] + 100 * MINUTES
        service.clock.advance(minutes=1)
        assert (await ask(service, cookie=cookie)).status_code == 401
        assert (await service.end_overdue()).expired == 1
        row = await the_row(service)
        assert (row["IsActive"], row["InvalidatedReason"]) == (False, "expired")


async def test_a_use_just_before_the_idle_end_is_known_to_every_replica_at_once(
    double: KeycloakDouble, migrated_database_url: str
) -> None:
    """F20: nobody has written a batch meanwhile, and the job of the other one ends nothing."""
    async with (
        replica(double, migrated_database_url) as one,
        replica(double, migrated_database_url, clock=one.clock) as other,
    ):
        cookie = await sign_in(one)
        one.clock.advance(minutes=59, seconds=40)
        assert (await ask(one, cookie=cookie)).status_code == 200
        row = await the_row(one)
        assert row["IdleExpiresAt"] == row["LastActivity"] + 60 * MINUTES
        one.clock.advance(minutes=1)
        assert (await other.end_overdue()).idle == 0
        assert (await ask(other, cookie=cookie)).status_code == 200


async def test_without_an_idle_limit_an_unused_session_lives_to_its_end(
    double: KeycloakDouble, sqlite_database_url: str
) -> None:
    async with replica(double, sqlite_database_url, policy={"web": {"idle": "none"}}) as service:
        cookie = await sign_in(service)
        service.clock.advance(hours=7, minutes=59)
        assert (await service.end_overdue()).idle == 0
        assert (await ask(service, cookie=cookie)).status_code == 200
        await service.flush()
        assert (await the_row(service))["IdleExpiresAt"] is None


async def test_a_hundred_requests_within_half_a_minute_write_once_and_none_of_them_waits_for_it(
    double: KeycloakDouble, migrated_database_url: str
) -> None:
    async with replica(double, migrated_database_url) as service:
        cookie, sent = await sign_in(service), []
        async with Browser(service.url) as browser:
            browser.http.headers.update({"Accept": "application/json", "Cookie": f"__Host-kb-demo={cookie}"})
            with statements_of(service.bridge.database) as everything:
                for _ in range(10):
                    answers = await asyncio.gather(*(browser.get("/me") for _ in range(10)))
                    assert {answer.status_code for answer in answers} == {200}
                    sent += [one for one in everything if one.startswith("UPDATE")]
                    everything.clear()
                    await service.flush()
                    service.clock.advance(seconds=2)
        of_sessions = [one for one in sent + everything if "UPDATE sys_usersession" in one.replace("`", "")]
        assert len(of_sessions) <= 1


async def test_what_was_noted_is_written_when_the_service_ends(
    double: KeycloakDouble, migrated_database_url: str
) -> None:
    clock = Clock()
    async with replica(double, migrated_database_url, clock=clock) as service:
        cookie = await sign_in(service)
        before = await the_row(service)
        clock.advance(minutes=10)
        await ask(service, cookie=cookie, address="127.0.0.2")
    async with open_database(migrated_database_url) as database:
        row = await read_one(database, before["SessionId"])
        assert row["LastActivity"] >= before["LastActivity"] + 10 * MINUTES
        assert row["IdleExpiresAt"] == row["LastActivity"] + 60 * MINUTES
        assert (row["IpAddress"], row["LastIpAddress"]) == ("127.0.0.1", "127.0.0.2")
        (credential,) = await read(database, session_credential)
        assert credential["first_used_at"] is not None


async def test_another_address_is_written_down_and_counts_as_suspicious(
    double: KeycloakDouble, migrated_database_url: str
) -> None:
    async with replica(double, migrated_database_url) as service:
        cookie = await sign_in(service)
        await ask(service, cookie=cookie)
        await service.flush()
        assert (await the_row(service))["SuspiciousActivityCount"] == 0
        for number, address in ((1, "127.0.0.2"), (2, "127.0.0.3"), (3, "127.0.0.1")):
            for _ in range(3):
                assert (await ask(service, cookie=cookie, address=address)).status_code == 200
            await service.flush()
            row = await the_row(service)
            assert (row["LastIpAddress"], row["SuspiciousActivityCount"]) == (address, number)
        assert row["IpAddress"] == "127.0.0.1"
        events = await read(service.database, security_event, event="address_changed")
        assert [json.loads(one["evidence"])["before"] for one in events] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        assert [one["ip_address"] for one in events] == ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
        for event in events:
            assert (event["username"], event["session_id"]) == ("alice", row["SessionId"])
            assert (event["issuer"], event["sub"], event["package"]) == (row["Issuer"], row["Sub"], "demo")


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
    """F14: the newest use counts, and what was noted meanwhile is not lost either."""
    second = timedelta(seconds=0.2)
    async with (
        open_database(sqlite_database_url, longest=second) as database,
        open_database(sqlite_database_url) as other,
    ):
        found = await open_used(database)
        activities = Activities(database, {"web": POLICY})
        await activities.note(found, credential_digest="0" * 64, ip_address="192.0.2.9", now=NOW + MINUTES)
        held, done = asyncio.Event(), asyncio.Event()

        async def hold(_db: object) -> None:
            held.set()
            await done.wait()

        holding = asyncio.create_task(other.write(hold))
        await held.wait()
        writing = asyncio.create_task(activities.flush(now=NOW + MINUTES))
        await asyncio.sleep(0)
        await note(activities, found, now=NOW + 2 * MINUTES)
        with pytest.raises(DatabaseUnavailable):
            await writing
        done.set()
        await holding
        assert await activities.flush(now=NOW + 3 * MINUTES) == 1
        row = await read_one(database, found.session.session_id)
        assert (row["LastActivity"], row["LastIpAddress"]) == (NOW + 2 * MINUTES, "192.0.2.9")
        assert row["IdleExpiresAt"] == NOW + 2 * MINUTES + HOURS
        assert await activities.flush(now=NOW + 3 * MINUTES) == 0


async def test_a_use_that_must_be_written_at_once_and_cannot_be_lets_nobody_in(
    double: KeycloakDouble, sqlite_database_url: str
) -> None:
    """F14: a fault of the database grants no extra time."""
    settings = {"url": sqlite_database_url, "timeout": "300ms"} | {"timeout": "0.3s"}
    async with (
        replica(double, sqlite_database_url, database=settings) as service,
        open_database(sqlite_database_url) as other,
    ):
        cookie = await sign_in(service)
        service.clock.advance(minutes=59, seconds=50)
        held, done = asyncio.Event(), asyncio.Event()

        async def hold(_db: object) -> None:
            held.set()
            await done.wait()

        holding = asyncio.create_task(other.write(hold))
        await held.wait()
        answer = await ask(service, cookie=cookie)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        done.set()
        await holding
        assert (await ask(service, cookie=cookie)).status_code == 200


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


async def test_times_never_go_back(database: Database) -> None:
    """F16: a replica whose clock is behind, or that writes its batch late, takes nothing away."""
    found = await open_used(database)
    session_id = found.session.session_id
    for at in (NOW + 30 * MINUTES, NOW + MINUTES, NOW - HOURS):
        use = Activity(session_id, at, idle_expires_at=at + HOURS)
        await database.write(lambda db, use=use: user_sessions.update_activity(db, [use]))
    row = await read_one(database, session_id)
    assert row["LastActivity"] == NOW + 30 * MINUTES
    assert row["IdleExpiresAt"] == NOW + 90 * MINUTES
    activities = Activities(database, {"web": POLICY})
    for at in (NOW + 40 * MINUTES, NOW - HOURS):
        await note(activities, found, now=at)
    await activities.flush(now=NOW - HOURS)
    row = await read_one(database, session_id)
    assert (row["LastActivity"], row["IdleExpiresAt"]) == (NOW + 40 * MINUTES, NOW + 100 * MINUTES)


async def test_a_clock_that_jumps_revives_nothing_and_hinders_nobody(
    double: KeycloakDouble, migrated_database_url: str
) -> None:
    """F16: forward past every end, and back behind every beginning."""
    async with replica(double, migrated_database_url) as service:
        kept = await sign_in(service)
        service.clock.jump(hours=-2)
        for _ in range(2):
            assert (await ask(service, cookie=kept, accept="text/html")).status_code == 200
        await service.flush()
        row = await the_row(service)
        assert row["LastActivity"] >= row["CreatedAt"]
        assert row["RotationCount"] == 0
        service.clock.jump(hours=14)
        assert (await ask(service, cookie=kept)).status_code == 401
        await service.end_overdue()
        ended = await the_row(service)
        service.clock.jump(hours=-12)
        assert (await ask(service, cookie=kept)).status_code == 401
        await service.flush()
        await service.end_overdue()
        assert await the_row(service) == ended
        fresh = await sign_in(service)
        assert (await ask(service, cookie=fresh)).status_code == 200
        for jump in (-26, 1, 26):
            service.clock.jump(hours=jump)
            assert (await ask(service, cookie="x" * 43)).status_code == 401
            await service.flush()
            await service.end_overdue()


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
