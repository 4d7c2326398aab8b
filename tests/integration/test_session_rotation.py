"""A browser's cookie is replaced every hour, without ever signing anybody out or letting anybody in."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from http.cookies import SimpleCookie

import httpx
import pytest

from bridge.flows.session_keys import KeyWanted, create_key
from bridge.flows.signed_in import rotate_if_due
from bridge.model import SessionType, digest
from bridge.storage.database import Database, open_database
from bridge.storage.tables import session_credential
from bridge.web.forms import build_form_token
from tests.browser import Browser
from tests.double import KeycloakDouble
from tests.integration.replicas import Replica, ask, replica
from tests.integration.stored_sessions import Row, find_active, read

PAGE = "text/html"
NEVER_IDLE = {"web": {"idle": "none"}}
COOKIE = "__Host-kb-demo"


@pytest.fixture
async def service(double: KeycloakDouble, migrated_database_url: str) -> AsyncIterator[Replica]:
    async with replica(double, migrated_database_url, policy=NEVER_IDLE) as one:
        yield one


@pytest.fixture
async def sqlite_service(double: KeycloakDouble, sqlite_database_url: str) -> AsyncIterator[Replica]:
    async with replica(double, sqlite_database_url, policy=NEVER_IDLE) as one:
        yield one


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


async def sign_in(service: Replica) -> str:
    """Sign in with a browser of its own, and return its cookie; time stands still from now on."""
    service.clock.stop()
    async with Browser(service.url) as browser:
        await browser.sign_in()
        return str(browser.cookie(COOKIE))


def given(answer: httpx.Response) -> str | None:
    """Return the session cookie that an answer sets."""
    found = SimpleCookie(answer.headers.get("set-cookie", "")).get(COOKIE)
    return found.value if found else None


async def rotated(service: Replica, old: str) -> str:
    """Look at the page with a cookie that is old enough, and return the one that it gives."""
    answer = await ask(service, cookie=old, accept=PAGE)
    assert answer.status_code == 200
    new = given(answer)
    assert new is not None
    return new


async def opens(service: Replica, cookie: str) -> bool:
    return (await ask(service, cookie=cookie)).status_code == 200


async def the_row(service: Replica) -> Row:
    (row,) = await read(service.database)
    return row


async def test_a_page_gives_a_new_cookie_after_an_hour_and_the_old_one_ends_a_minute_after_its_first_use(
    service: Replica,
) -> None:
    """E2."""
    old, before = await sign_in(service), await the_row(service)
    service.clock.advance(minutes=59)
    assert given(await ask(service, cookie=old, accept=PAGE)) is None
    service.clock.advance(minutes=2)
    new = await rotated(service, old)
    row = await the_row(service)
    assert (row["SessionToken"], row["RotationCount"]) == (digest(new), 1)
    assert row["LastRotatedAt"] >= row["CreatedAt"] + timedelta(minutes=61)
    assert (row["ExpiresAt"], row["SessionId"]) == (before["ExpiresAt"], before["SessionId"])
    first, second = await read(service.database, session_credential)
    assert (first["digest"], first["superseded_by"]) == (digest(old), digest(new))
    assert (second["digest"], second["kind"], second["expires_at"]) == (digest(new), "cookie", row["ExpiresAt"])
    service.clock.advance(minutes=10)
    assert await opens(service, old)  # nobody has used the new one yet
    assert await opens(service, new)
    await service.flush()
    service.clock.advance(seconds=58)
    assert await opens(service, old)
    service.clock.advance(seconds=3)
    assert not await opens(service, old)
    assert await opens(service, new)


async def test_the_new_cookie_has_the_attributes_of_the_old_one_and_the_rest_of_its_life(
    sqlite_service: Replica,
) -> None:
    """E4."""
    old = await sign_in(sqlite_service)
    sqlite_service.clock.advance(hours=2)
    answer = await ask(sqlite_service, cookie=old, accept=PAGE)
    value, *attributes = answer.headers["set-cookie"].split("; ")
    assert re.fullmatch(COOKIE + "=[A-Za-z0-9_-]{43}", value)
    assert {one.partition("=")[0] for one in attributes} == {"HttpOnly", "Max-Age", "Path", "SameSite", "Secure"}
    life = int(SimpleCookie(answer.headers["set-cookie"])[COOKIE]["max-age"])
    assert 6 * 3600 - 120 < life <= 6 * 3600


async def test_neither_json_nor_a_bearer_is_given_a_new_credential(sqlite_service: Replica) -> None:
    """An application asks with its visitor's cookie, and has no way to pass another on."""
    old = await sign_in(sqlite_service)
    sqlite_service.clock.advance(hours=2)
    assert given(await ask(sqlite_service, cookie=old)) is None
    assert given(await ask(sqlite_service, key=old, accept=PAGE)) is None
    assert (await the_row(sqlite_service))["RotationCount"] == 0
    assert len(await read(sqlite_service.database, session_credential)) == 1


async def test_of_requests_at_once_one_gets_a_new_cookie_and_the_others_go_on_with_the_old(
    double: KeycloakDouble, migrated_database_url: str
) -> None:
    """F20: on two replicas; one UPDATE decides."""
    async with (
        replica(double, migrated_database_url, policy=NEVER_IDLE) as one,
        replica(double, migrated_database_url, clock=one.clock, policy=NEVER_IDLE) as other,
    ):
        old = await sign_in(one)
        one.clock.advance(minutes=61)
        asked = [ask(service, cookie=old, accept=PAGE) for service in (one, other) for _ in range(4)]
        answers = await asyncio.gather(*asked)
        assert {answer.status_code for answer in answers} == {200}
        (new,) = [cookie for answer in answers if (cookie := given(answer)) is not None]
        assert (await the_row(one))["RotationCount"] == 1
        assert await opens(other, new)
        assert await opens(one, old)


async def test_a_cookie_that_was_lost_on_its_way_is_replaced_an_hour_later(service: Replica) -> None:
    old = await sign_in(service)
    service.clock.advance(minutes=61)
    await rotated(service, old)  # and the browser never saw it
    service.clock.advance(minutes=59)
    assert given(await ask(service, cookie=old, accept=PAGE)) is None
    service.clock.advance(minutes=2)
    new = await rotated(service, old)
    row = await the_row(service)
    assert (row["SessionToken"], row["RotationCount"]) == (digest(new), 2)
    assert await opens(service, new)
    await service.flush()
    service.clock.advance(seconds=61)
    assert not await opens(service, old)
    assert await opens(service, new)


async def test_a_session_that_is_used_all_day_is_rotated_every_hour_and_ends_when_it_must(
    service: Replica,
) -> None:
    cookie, ends = await sign_in(service), (await the_row(service))["ExpiresAt"]
    for _ in range(7):
        service.clock.advance(minutes=61)
        cookie = await rotated(service, cookie)
        assert await opens(service, cookie)
        await service.flush()
    row = await the_row(service)
    assert (row["RotationCount"], row["ExpiresAt"]) == (7, ends)
    assert max(one["expires_at"] for one in await read(service.database, session_credential)) == ends
    service.clock.advance(hours=1)
    assert not await opens(service, cookie)
    assert (await ask(service, cookie=cookie, accept=PAGE)).status_code == 401


@pytest.mark.parametrize("which", ["old", "new"])
async def test_signing_out_with_either_cookie_ends_both(service: Replica, which: str) -> None:
    """E7, V59."""
    old = await sign_in(service)
    service.clock.advance(minutes=61)
    cookies = {"old": old, "new": await rotated(service, old)}
    chosen = cookies[which]
    headers = {"Cookie": f"{COOKIE}={chosen}", "Sec-Fetch-Site": "same-origin"}
    async with httpx.AsyncClient() as http:
        form = {"form_token": build_form_token(chosen)}
        answer = await http.post(f"{service.url}/logout", data=form, headers=headers)
    assert answer.status_code == 303
    for cookie in cookies.values():
        assert not await opens(service, cookie)
    assert await read(service.database, session_credential) == []


async def test_the_form_of_the_page_that_brought_a_new_cookie_works_with_it(sqlite_service: Replica) -> None:
    async with Browser(sqlite_service.url) as browser:
        await browser.sign_in()
        sqlite_service.clock.advance(minutes=61)
        page = await browser.get("/me")
        assert given(page) == browser.cookie(COOKIE)
        (token,) = re.findall(r'name="form_token" value="([0-9a-f]+)"', page.text)
        assert (await browser.post("/logout", {"form_token": token})).status_code == 303
        assert (await browser.get("/me")).status_code == 401


async def test_the_cookie_of_a_duplicate_callback_is_rotated_too(sqlite_service: Replica) -> None:
    async with Browser(sqlite_service.url) as browser:
        callback = await browser.go_to_keycloak()
        first = given(await browser.get(callback))
        second = given(await browser.get(callback))
        assert second is not None
        assert first != second
    sqlite_service.clock.advance(minutes=61)
    new = await rotated(sqlite_service, second)
    assert await opens(sqlite_service, new)
    await sqlite_service.flush()
    sqlite_service.clock.advance(seconds=61)
    assert not await opens(sqlite_service, second)
    assert await opens(sqlite_service, new)


@pytest.mark.parametrize("rotation", ["none", "7h"])
async def test_the_policy_says_when_a_cookie_is_replaced(
    double: KeycloakDouble, sqlite_database_url: str, rotation: str
) -> None:
    policy = {"web": {"idle": "none", "rotation": rotation}}
    async with replica(double, sqlite_database_url, policy=policy) as service:
        cookie = await sign_in(service)
        for hours, is_due in ((6, False), (1.1, rotation == "7h")):
            service.clock.advance(hours=hours)
            assert (given(await ask(service, cookie=cookie, accept=PAGE)) is not None) is is_due


async def test_a_key_is_never_replaced_even_where_a_browser_holds_it(sqlite_service: Replica) -> None:
    """Whoever was given it could not learn of another, whatever a policy says."""
    await sign_in(sqlite_service)
    rp = sqlite_service.bridge.relying_parties["demo"]
    wanted, limits = KeyWanted("alice", "demo", SessionType.API), rp.policies["api"]
    made = await create_key(
        sqlite_service.database, wanted, policy=limits, created_by="test", now=sqlite_service.clock()
    )
    sqlite_service.clock.advance(hours=2)
    answer = await ask(sqlite_service, cookie=made.key, accept=PAGE)
    assert answer.status_code == 200
    assert given(answer) is None

    found = await find_active(sqlite_service.database, made.key, now=sqlite_service.clock())
    assert found is not None
    hourly = replace(rp, policies={"api": replace(limits, rotation=timedelta(hours=1))})
    assert await rotate_if_due(hourly, found, credential=made.key) is None


async def test_a_session_of_a_type_without_a_policy_keeps_its_cookie(sqlite_service: Replica) -> None:
    cookie = await sign_in(sqlite_service)
    sqlite_service.clock.advance(hours=2)
    rp = replace(sqlite_service.bridge.relying_parties["demo"], policies={})
    found = await find_active(sqlite_service.database, cookie, now=sqlite_service.clock())
    assert found is not None
    assert await rotate_if_due(rp, found, credential=cookie) is None
