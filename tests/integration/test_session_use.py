"""What using a session does: it lives on until its limits, and what is known of the use is written in batches."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bridge.storage.database import Database, open_database
from bridge.storage.tables import security_event, session_credential
from tests.browser import Browser
from tests.double import KeycloakDouble
from tests.integration.replicas import Replica, StoppableClock, ask, replica
from tests.integration.stored_sessions import (
    Row,
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
    """Sign in with a browser of its own, and return the session's cookie; time stands still from now on."""
    service.clock.stop()
    async with Browser(service.url) as browser:
        await browser.sign_in()
        return str(browser.cookie("__Host-kb-demo"))


async def the_row(service: Replica) -> Row:
    (row,) = await read(service.database)
    return row


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
        await service.end_overdue()
        row = await the_row(service)
        assert (row["IsActive"], row["InvalidatedReason"], row["InvalidatedBy"]) == (False, "idle", "cleanup")
        assert row["InvalidatedAt"] >= row["IdleExpiresAt"]
        assert await read(service.database, session_credential) == []
        assert await service.count("keycloak_grant") == 0


async def test_no_use_moves_the_absolute_end(double: KeycloakDouble, migrated_database_url: str) -> None:
    """E3, ASVS 7.3.2."""
    async with replica(double, migrated_database_url, policy={"web": {"lifetime": "100m"}}) as service:
        cookie = await sign_in(service)
        before = await the_row(service)
        for minutes in (50, 49):
            service.clock.advance(minutes=minutes)
            assert (await ask(service, cookie=cookie)).status_code == 200
            await service.flush()
        row = await the_row(service)
        assert row["ExpiresAt"] == before["ExpiresAt"] == before["CreatedAt"] + 100 * MINUTES
        service.clock.advance(minutes=1)
        assert (await ask(service, cookie=cookie)).status_code == 401
        await service.end_overdue()
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


async def test_who_switches_the_idle_limit_off_means_open_sessions_too(
    double: KeycloakDouble, sqlite_database_url: str
) -> None:
    async with replica(double, sqlite_database_url) as service:
        cookie = await sign_in(service)
        now = service.clock()
    async with replica(double, sqlite_database_url, policy={"web": {"idle": "none"}}) as service:
        service.clock.advance(minutes=50)
        assert (await ask(service, cookie=cookie)).status_code == 200
        await service.flush()
        service.clock.advance(hours=6)
        assert (await service.end_overdue()).idle == 0
        assert (await ask(service, cookie=cookie)).status_code == 200
    assert service.clock() - now > timedelta(hours=6)


async def test_a_use_counts_to_the_second_where_the_limit_is_short(
    double: KeycloakDouble, sqlite_database_url: str
) -> None:
    async with replica(double, sqlite_database_url, policy={"web": {"idle": "1m"}}) as service:
        cookie = await sign_in(service)
        for _ in range(8):
            service.clock.advance(seconds=25)
            assert (await ask(service, cookie=cookie)).status_code == 200
            await service.flush()
        assert (await the_row(service))["IdleExpiresAt"] == service.clock() + timedelta(minutes=1)


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
    clock = StoppableClock()
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


async def test_a_use_that_must_be_written_at_once_and_cannot_lets_nobody_in(
    double: KeycloakDouble, sqlite_database_url: str
) -> None:
    """F14: a fault of the database grants no extra time."""
    async with (
        replica(double, sqlite_database_url, database={"url": sqlite_database_url, "timeout": "3s"}) as service,
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
        done.set()
        await holding
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert (await ask(service, cookie=cookie)).status_code == 200


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
