"""The cap of a session type holds exactly, however many sign in at once, and binds nobody else's sessions."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.errors import SessionLimitReached
from bridge.model import Origin, SessionType
from bridge.storage import user_sessions
from bridge.storage.database import Database, open_database
from bridge.storage.tables import oauth_state, security_event, session_credential, sys_user
from tests.browser import Browser
from tests.double import KeycloakDouble
from tests.integration.replicas import PATIENT, replica
from tests.integration.service import APPLICATION, running
from tests.integration.session_opening import open_many
from tests.integration.stored_sessions import (
    HOURS,
    NOW,
    PACKAGE,
    POLICY,
    REFUSING,
    Row,
    add_person,
    find_active,
    new_session,
    open_one,
    read,
    write_row,
)

AT_ONCE = 100
PROGRAM = {"Accept": "application/json"}
REFUSE = {"web": {"at_cap": "refuse"}}


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


def split(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return sessions that are active and those that are not, each in the order of their start."""
    return [row for row in rows if row["IsActive"]], [row for row in rows if not row["IsActive"]]


async def run_two_processes(url: str, number: int, *policy: str) -> Counter[str]:
    """Open sessions in two processes at the same moment, and return what came of them together."""
    command = (sys.executable, "-m", "tests.integration.session_opening", url, str(number), *policy)
    pipe = asyncio.subprocess.PIPE
    both = [await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe) for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    answers = await asyncio.gather(*(process.communicate(b"\n") for process in both))
    assert [process.returncode for process in both] == [0, 0]
    total = Counter[str]()
    for answer, _ in answers:
        total.update(json.loads(answer))
    return total


async def test_of_a_hundred_sign_ins_of_one_person_at_once_the_newest_three_remain(
    double: KeycloakDouble, sqlite_database_url: str
) -> None:
    """E8, S7, V22."""
    async with running(double, sqlite_database_url, http=PATIENT) as service:
        browsers = [Browser(service.url) for _ in range(AT_ONCE)]
        answers = await asyncio.gather(*(browser.sign_in() for browser in browsers))
        assert {answer.headers.get("location") for answer in answers} == {APPLICATION}
        still_in = [(await browser.get("/me")).status_code for browser in browsers]
        assert Counter(still_in) == {200: 3, 401: AT_ONCE - 3}
        living, ended = split(await read(service.database))
        assert len(living) == 3
        assert len(ended) == AT_ONCE - 3
        assert min(row["CreatedAt"] for row in living) > max(row["CreatedAt"] for row in ended)
        assert all(row["InvalidatedAt"] >= row["CreatedAt"] for row in ended)
        assert {(row["InvalidatedReason"], row["InvalidatedBy"]) for row in ended} == {("session_limit", "alice")}
        noted = await read(service.database, security_event, event="session_ended")
        assert {row["session_id"] for row in noted} == {row["SessionId"] for row in ended}
        assert {row["evidence"] for row in noted} == {'{"reason": "session_limit", "invalidated_by": "alice"}'}
        kept = {row["session_id"] for row in await read(service.database, session_credential)}
        assert kept == {row["SessionId"] for row in living}
        assert await service.count("keycloak_grant") == 3
        for browser in browsers:
            await browser.http.aclose()


async def test_of_a_hundred_sessions_of_two_processes_the_newest_three_remain(
    migrated_database_url: str, database: Database
) -> None:
    """E8, S7, F20: two replicas cannot both see a free place."""
    await add_person(database)
    came = await run_two_processes(migrated_database_url, AT_ONCE // 2)
    assert came == {"opened": AT_ONCE, "ended": AT_ONCE - 3}
    living, ended = split(await read(database))
    assert (len(living), len(ended)) == (3, AT_ONCE - 3)
    assert min(row["CreatedAt"] for row in living) > max(row["CreatedAt"] for row in ended)
    assert len(await read(database, session_credential)) == 3


async def test_of_a_hundred_sessions_of_two_processes_all_but_three_are_refused(
    migrated_database_url: str, database: Database
) -> None:
    await add_person(database)
    came = await run_two_processes(migrated_database_url, AT_ONCE // 2, "refuse")
    assert came == {"opened": 3, "ended": 0, "refused": AT_ONCE - 3}
    living, ended = split(await read(database))
    assert (len(living), len(ended)) == (3, 0)
    assert len(await read(database, session_credential)) == 3


async def test_a_first_sign_in_that_comes_many_times_at_once_keeps_the_cap(database: Database) -> None:
    """Nobody's row can be locked before it is there."""
    came = await open_many(database, 20, policy=POLICY)
    assert came == {"opened": 20, "ended": 17}
    assert len(await read(database, IsActive=True)) == 3
    assert len(await read(database, sys_user)) == 1


@pytest.mark.parametrize("kind", ["page", "json"])
async def test_a_refused_sign_in_says_so_and_leaves_nothing_half_written(
    double: KeycloakDouble, migrated_database_url: str, kind: str
) -> None:
    headers = PROGRAM if kind == "json" else {}
    async with running(double, migrated_database_url, policy=REFUSE) as service:
        await add_person(service.database, "bob")
        for _ in range(3):
            async with Browser(service.url) as another:
                await another.sign_in()
        before = {table: await service.count(table) for table in ("sys_usersession", "session_credential")}
        (user,) = await read(service.database, sys_user, User="alice")
        async with Browser(service.url) as browser:
            callback = await browser.go_to_keycloak()
            for _ in range(2):  # a duplicate gets the same answer as the first
                answer = await browser.get(callback, headers=headers)
                assert answer.status_code == 409
                assert "__Host-kb-demo" not in answer.headers.get("set-cookie", "")
                if kind == "json":
                    assert answer.json()["error"] == "session_limit_reached"
                assert "as many sessions as may be open at the same time" in answer.text
                assert "sign out somewhere else" in answer.text
        assert {table: await service.count(table) for table in before} == before
        assert await service.count("keycloak_grant") == 3
        assert await read(service.database, sys_user, User="alice") == [user]
        (state,) = await read(service.database, oauth_state, error_code="session_limit_reached")
        assert state["consumed_at"] is not None
        assert state["session_id"] is None
        (failed,) = await read(service.database, security_event, event="sign_in_failed")
        assert json.loads(failed["evidence"]) == {
            "code": "session_limit_reached",
            "session_type": "web",
            "max_sessions": 3,
        }
    assert double.count("POST", "/token") == 4


async def test_a_browser_that_signs_in_again_takes_the_place_it_had(
    double: KeycloakDouble, sqlite_database_url: str
) -> None:
    """Its own session ends in the same transaction, so that it is never refused for it."""
    async with running(double, sqlite_database_url, policy=REFUSE) as service, Browser(service.url) as browser:
        for _ in range(5):
            assert (await browser.sign_in()).headers["location"] == APPLICATION
        living, ended = split(await read(service.database))
        assert len(living) == 1
        assert {row["InvalidatedReason"] for row in ended} == {"replaced"}


async def test_a_refused_sign_in_ends_no_session_of_its_browser(
    double: KeycloakDouble, sqlite_database_url: str
) -> None:
    """The one that this browser had for somebody else is as it was."""
    async with running(double, sqlite_database_url, policy=REFUSE) as service, Browser(service.url) as browser:
        for _ in range(3):
            async with Browser(service.url) as another:
                await another.sign_in()
        double.sign_in_as("bob")
        await browser.sign_in()
        double.sign_in_as("alice")
        assert (await browser.sign_in()).status_code == 409
        assert (await browser.get("/me", headers=PROGRAM)).json()["user"]["username"] == "bob"


async def test_a_place_is_free_again_when_time_or_somebody_has_ended_a_session(
    double: KeycloakDouble, migrated_database_url: str
) -> None:
    """Nobody waits for the clean-up: what has expired does not count, whatever its row says."""
    async with running(double, migrated_database_url, policy=REFUSE) as service, Browser(service.url) as browser:
        for _ in range(3):
            async with Browser(service.url) as another:
                await another.sign_in()
        assert (await browser.sign_in()).status_code == 409
        await service.write(
            'UPDATE sys_usersession SET "IsActive" = 0 WHERE "SessionId" = :one',
            one=(await read(service.database))[0]["SessionId"],
        )
        assert (await browser.sign_in()).status_code == 303
        async with Browser(service.url) as late:
            assert (await late.sign_in()).status_code == 409
            service.clock.advance(minutes=61)
            double.realm.clock.advance(3660)
            double.sign_in_as("alice")
            assert (await late.sign_in()).status_code == 303


async def test_only_living_sessions_of_this_type_person_and_package_count(database: Database) -> None:
    for package in (PACKAGE, "other"):
        await add_person(database, package=package)
    await add_person(database, "bob")
    others = [
        new_session("type", session_type=SessionType.API),
        new_session("person", username="bob"),
        new_session("package", package="other"),
    ]
    for opened in others:
        await open_one(database, opened)
    await write_row(database, Origin=Origin.KEYCLOAK, Sid="sid")
    await write_row(database, Origin=Origin.LOCAL)
    three = [f"session {number}" for number in range(3)]
    for number, credential in enumerate(three):
        opened = new_session(credential, created_at=NOW + timedelta(seconds=number))
        created = await open_one(database, opened, policy=REFUSING)
        assert created.ended == ()
    with pytest.raises(SessionLimitReached) as refused:
        await open_one(database, new_session(), policy=REFUSING)
    assert refused.value.evidence == {"session_type": "web", "max_sessions": 3}
    created = await open_one(database, new_session("newest", created_at=NOW + timedelta(minutes=1)))
    assert [one.created_at for one in created.ended] == [NOW]
    assert await find_active(database, three[0]) is None
    for credential in (*three[1:], "newest", "type"):
        assert await find_active(database, credential) is not None
    assert await find_active(database, "package", package="other") is not None
    assert len(await read(database, IsActive=True)) == 3 + 3 + 2
    async with database.reading() as db:
        for kind, number in (("web", 3), ("api", 1), ("mobile", 0)):
            count = await user_sessions.count_concurrent(db, "alice", package=PACKAGE, session_type=kind, now=NOW)
            assert count == number


async def test_a_cap_that_was_lowered_ends_as_many_as_are_too_many(database: Database) -> None:
    for number in range(3):
        await open_one(database, new_session(created_at=NOW + timedelta(seconds=number)))
    created = await open_one(database, new_session(created_at=NOW + HOURS / 2), policy=replace(POLICY, max_sessions=1))
    assert {one.created_at for one in created.ended} == {NOW + timedelta(seconds=number) for number in range(3)}
    assert len(await read(database, IsActive=True)) == 1


async def test_two_replicas_refuse_together(double: KeycloakDouble, migrated_database_url: str) -> None:
    """F20: through the whole sign-in, at the same moment."""
    more: dict[str, Any] = {"policy": {"web": {"at_cap": "refuse", "max_sessions": 2}}}
    async with (
        replica(double, migrated_database_url, **more) as one,
        replica(double, migrated_database_url, clock=one.clock, **more) as other,
    ):
        browsers = [Browser(service.url) for service in (one, other) for _ in range(6)]
        answers = await asyncio.gather(*(browser.sign_in() for browser in browsers))
        assert Counter(answer.status_code for answer in answers) == {303: 2, 409: 10}
        assert len(await read(one.database)) == 2
        assert await one.count("session_credential") == 2
        for browser in browsers:
            await browser.http.aclose()


async def test_of_the_sign_ins_of_two_replicas_at_once_the_newest_remain(
    double: KeycloakDouble, migrated_database_url: str
) -> None:
    """A session begins when its person's row is held, so that the order of their starts is that of the sign-ins."""
    async with (
        replica(double, migrated_database_url) as one,
        replica(double, migrated_database_url, clock=one.clock) as other,
    ):
        browsers = [Browser(service.url) for service in (one, other) for _ in range(8)]
        await asyncio.gather(*(browser.sign_in() for browser in browsers))
        living, ended = split(await read(one.database))
        assert (len(living), len(ended)) == (3, 13)
        assert min(row["CreatedAt"] for row in living) > max(row["CreatedAt"] for row in ended)
        assert all(row["InvalidatedAt"] >= row["CreatedAt"] for row in ended)
        for browser in browsers:
            await browser.http.aclose()
