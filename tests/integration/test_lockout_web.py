"""Lockout as visitors meet it: new sign-ins wait, and nobody who is in, or on the way in with the right code, does."""

import asyncio
import math
from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest

from bridge.flows.session_keys import KeyWanted, create_key
from bridge.model import SessionPolicy, SessionType
from tests.browser import Browser, query
from tests.double import KeycloakDouble
from tests.integration.service import APPLICATION, Service, running

PROGRAM = {"Accept": "application/json"}


async def refuse_a_code(browser: Browser, **options: dict[str, str]) -> httpx.Response:
    """Come back with a code that Keycloak has not given."""
    callback = await browser.go_to_keycloak()
    return await browser.get(callback.replace(quote(query(callback)["code"], safe=""), "guessed"), **options)


def seconds_to_wait(answer: httpx.Response) -> int:
    return int(answer.headers["retry-after"])


async def fail(browser: Browser, times: int) -> None:
    for _ in range(times):
        assert (await refuse_a_code(browser)).status_code == 502


async def failures(service: Service) -> int:
    rows = await service.rows("SELECT failures FROM login_lockout")
    return sum(row["failures"] for row in rows)


async def test_after_five_refused_codes_a_new_sign_in_waits_five_minutes(service: Service, browser: Browser) -> None:
    await fail(browser, 5)
    refused = await browser.get("/login")
    assert refused.status_code == 429
    # A slow machine may take a while to ask, but not minutes.
    assert 60 < seconds_to_wait(refused) <= 300
    minutes = math.ceil(seconds_to_wait(refused) / 60)
    assert f"Please try again in {minutes} minutes." in refused.text
    assert "/login" not in refused.text
    assert "set-cookie" not in refused.headers
    assert (await browser.get("/login", headers=PROGRAM)).json()["error"] == "locked_out"
    assert await service.count("oauth_state") == 5
    assert await failures(service) == 5
    service.clock.advance(minutes=5)
    assert (await browser.sign_in()).headers["location"] == APPLICATION


async def test_nobody_is_locked_out_of_a_living_session_or_a_sign_in_on_its_way(
    service: Service, browser: Browser
) -> None:
    """The right code with the right state always passes; a session is never looked up among failures."""
    await browser.sign_in()
    async with Browser(service.url) as pending, Browser(service.url) as guesser:
        callback = await pending.go_to_keycloak()
        await fail(guesser, 5)
        assert (await browser.get("/login")).status_code == 429
        me = await browser.get("/me", headers=PROGRAM)
        assert me.status_code == 200
        assert (await pending.get(callback)).headers["location"] == APPLICATION
        assert (await pending.get("/me", headers=PROGRAM)).status_code == 200
        answer = await browser.post("/logout", {"form_token": me.json()["form_token"]})
        assert answer.status_code == 303


async def test_a_sign_in_that_succeeds_forgets_the_failures(service: Service, browser: Browser) -> None:
    await fail(browser, 4)
    assert (await browser.sign_in()).headers["location"] == APPLICATION
    assert await service.count("login_lockout") == 0
    await fail(browser, 4)
    assert (await browser.sign_in()).headers["location"] == APPLICATION


async def test_x_forwarded_for_of_a_stranger_makes_nobody_somebody_else(
    double: KeycloakDouble, sqlite_database_url: str
) -> None:
    """V49: the header of a peer that is no trusted proxy is the visitor's own."""
    proxies = {"trusted": ["192.0.2.1/32"]}
    async with running(double, sqlite_database_url, proxies=proxies) as service, Browser(service.url) as browser:
        for number in range(5):
            await refuse_a_code(browser, headers={"X-Forwarded-For": f"203.0.113.{number}"})
        rows = await service.rows("SELECT client, address, failures FROM login_lockout")
        assert rows == [{"client": "demo:bridge", "address": "127.0.0.1", "failures": 5}]
        spoofed = await browser.get("/login", headers={"X-Forwarded-For": "203.0.113.99"})
        assert spoofed.status_code == 429


async def test_visitors_behind_a_trusted_proxy_are_told_apart(double: KeycloakDouble, sqlite_database_url: str) -> None:
    """V49: what the proxy appends counts, not what stands to the left of it."""
    proxies = {"trusted": ["127.0.0.1/32"]}
    async with running(double, sqlite_database_url, proxies=proxies) as service, Browser(service.url) as browser:
        for number in range(5):
            await refuse_a_code(browser, headers={"X-Forwarded-For": f"198.51.100.{number}, 203.0.113.7"})
        assert (await browser.get("/login", headers={"X-Forwarded-For": "203.0.113.7"})).status_code == 429
        assert (await browser.get("/login", headers={"X-Forwarded-For": "203.0.113.8"})).status_code == 303


async def test_the_address_of_a_proxy_that_nobody_named_locks_nobody_out(
    sqlite_service: Service, sqlite_browser: Browser
) -> None:
    """It stands for everybody: one who fails there must not keep the others out."""
    for _ in range(6):
        await refuse_a_code(sqlite_browser, headers={"X-Forwarded-For": "203.0.113.7"})
    assert await sqlite_service.count("login_lockout") == 0


async def test_keys_that_open_nothing_lock_keys_and_no_sign_in(
    sqlite_service: Service, sqlite_browser: Browser
) -> None:
    """A key that opens a session always passes, also while its address is locked."""
    await sqlite_browser.sign_in()
    wanted = KeyWanted("alice", "demo", SessionType.API)
    policy = SessionPolicy(timedelta(days=1), idle=None, max_sessions=5)
    made = await create_key(
        sqlite_service.database, wanted, policy=policy, created_by="test", now=sqlite_service.clock()
    )
    async with Browser(sqlite_service.url) as program:
        answers = [await program.get("/me", headers=bearer(f"{number:043}")) for number in range(7)]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 2
        assert answers[6].json()["error"] == "locked_out"
        assert 60 < seconds_to_wait(answers[6]) <= 300
        assert (await program.get("/me", headers=bearer(made.key))).status_code == 200
    assert (await sqlite_browser.get("/me", headers=PROGRAM)).status_code == 200
    assert (await sqlite_browser.sign_in()).headers["location"] == APPLICATION
    assert await failures(sqlite_service) == 5


def bearer(key: str) -> dict[str, str]:
    return {**PROGRAM, "Authorization": f"Bearer {key}"}


async def test_stale_duplicate_unknown_and_foreign_callbacks_never_count(
    sqlite_service: Service, sqlite_browser: Browser
) -> None:
    done = await sqlite_browser.go_to_keycloak()
    await sqlite_browser.get(done)
    late = await sqlite_browser.go_to_keycloak()
    fresh = await sqlite_browser.go_to_keycloak()
    sqlite_service.clock.advance(minutes=61)
    async with Browser(sqlite_service.url) as stranger:
        for _ in range(6):
            await sqlite_browser.get(done)
            await sqlite_browser.get(late)
            await sqlite_browser.get("/callback/demo?state=unknown&code=guessed")
            await sqlite_browser.get("/callback/demo?state=r.unknown&code=guessed")
            await sqlite_browser.get("/callback/demo")
            await stranger.get(fresh)
    assert await sqlite_service.count("login_lockout") == 0


async def test_duplicates_of_a_refused_callback_count_once(sqlite_service: Service, sqlite_browser: Browser) -> None:
    callback = await sqlite_browser.go_to_keycloak()
    guessed = callback.replace(quote(query(callback)["code"], safe=""), "guessed")
    answers = await asyncio.gather(*(sqlite_browser.get(guessed) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {502}
    assert (await sqlite_browser.get(guessed)).status_code == 502
    assert await failures(sqlite_service) == 1


async def test_an_id_token_or_an_answer_that_is_not_right_counts(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    double.faults.id_token({"nonce": "another"}, times=1)
    assert (await sqlite_browser.sign_in()).status_code == 502
    assert await failures(sqlite_service) == 1
    double.faults.authorization({"iss": "https://evil.example/realms/demo"}, times=1)
    assert (await sqlite_browser.sign_in()).status_code == 400
    assert await failures(sqlite_service) == 2


@pytest.mark.parametrize("error", ["access_denied", "temporarily_unavailable"])
async def test_a_cancelled_or_late_sign_in_does_not_count(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble, error: str
) -> None:
    double.faults.authorization({"code": None, "error": error}, times=1)
    assert (await sqlite_browser.sign_in()).status_code in (303, 403)
    assert await sqlite_service.count("login_lockout") == 0


async def test_a_wrong_client_secret_locks_nobody_out(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """What the operator must mend is nobody's attempt."""
    client = double.realm.client("bridge")
    assert client is not None
    client.secret = "changed"
    assert (await sqlite_browser.sign_in()).status_code == 502
    assert await sqlite_service.count("login_lockout") == 0


async def test_a_sign_in_that_would_begin_again_by_itself_waits_too(
    sqlite_service: Service, sqlite_browser: Browser
) -> None:
    """A callback nobody knows is no way around the lock."""
    await fail(sqlite_browser, 5)
    answer = await sqlite_browser.get("/callback/demo?state=unknown&code=guessed")
    assert answer.status_code == 429
    assert 60 < seconds_to_wait(answer) <= 300
    assert await failures(sqlite_service) == 5
