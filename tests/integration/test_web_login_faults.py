"""Keycloak or the database down, slow or wrong at each step: nobody is let in, no code is sent twice."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser import Browser
from tests.double import KeycloakDouble
from tests.integration.service import APPLICATION, Service, running
from tests.servers.mariadb import MariadbServer
from tests.servers.postgresql import PostgresqlServer

TOKEN = "openid-connect/token"
DISCOVERY = ".well-known/openid-configuration"
CERTS = "openid-connect/certs"


async def test_keycloak_down_at_the_start_keeps_the_service_up(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """F1, F7: 503 with Retry-After, and the login works once Keycloak is there."""
    double.stop()
    answer = await sqlite_browser.get("/login")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "10"
    assert "cannot be reached at the moment" in answer.text
    assert (await sqlite_browser.get("/livez")).status_code == 200
    double.start()
    sqlite_service.clock.advance(seconds=1)
    assert (await sqlite_browser.sign_in()).headers["location"] == APPLICATION


async def test_keycloak_down_at_the_callback_keeps_the_state(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """A connection that was never opened releases the claim: the same callback works later."""
    await sqlite_browser.sign_in()
    callback = await sqlite_browser.go_to_keycloak()
    double.stop()
    answer = await sqlite_browser.get(callback)
    assert answer.status_code == 503
    (row,) = await sqlite_service.rows("SELECT claim_id FROM oauth_state WHERE consumed_at IS NULL")
    assert row["claim_id"] is None
    double.start()
    assert (await sqlite_browser.get(callback)).headers["location"] == APPLICATION


Spoil = Callable[[KeycloakDouble], Any]
LOST: dict[str, Spoil] = {
    "reset": lambda double: double.faults.reset(TOKEN),
    "cut connection": lambda double: double.faults.cut_connection(TOKEN),
    "503": lambda double: double.faults.status(TOKEN, 503, processed=True),
    "429": lambda double: double.faults.status(TOKEN, 429, headers={"Retry-After": "1"}),
    "html": lambda double: double.faults.html(TOKEN),
    "cut json": lambda double: double.faults.cut_json(TOKEN),
    "huge": lambda double: double.faults.huge(TOKEN),
    "slow": lambda double: double.faults.latency(TOKEN, 10),
    "drip": lambda double: double.faults.drip(TOKEN),
}


@pytest.mark.parametrize("fault", LOST)
async def test_a_lost_answer_is_never_asked_for_again(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble, fault: str
) -> None:
    """B1, F3, F5, F6: one new start by itself with a new code, then a page; each code is sent once."""
    LOST[fault](double)
    first = await sqlite_browser.sign_in()
    assert first.status_code == 303
    assert first.headers["location"].startswith(double.url)
    second = await sqlite_browser.follow(first, until=f"{sqlite_service.url}/callback/")
    answer = await sqlite_browser.get(second.headers["location"])
    assert answer.status_code == 502
    assert "lost on the way" in answer.text
    codes = [one.form["code"] for one in double.requests if one.path.endswith("/token") and "code" in one.form]
    assert len(codes) == len(set(codes)) == 2
    assert await sqlite_service.count("sys_usersession") == 0
    double.faults.clear()
    assert (await sqlite_browser.sign_in()).headers["location"] == APPLICATION


async def test_a_lost_answer_is_mended_by_the_new_start(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    double.faults.reset(TOKEN, times=1)
    first = await sqlite_browser.sign_in(f"/login?return_to={APPLICATION}here")
    answer = await sqlite_browser.follow(first, until=APPLICATION)
    assert answer.headers["location"] == f"{APPLICATION}here"
    assert await sqlite_service.count("sys_usersession") == 1


async def test_a_refused_code_ends_the_login(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    callback = await sqlite_browser.go_to_keycloak()
    double.realm.clock.advance(120)
    answer = await sqlite_browser.get(callback)
    assert answer.status_code == 502
    assert "did not confirm" in answer.text
    assert (await sqlite_browser.get(callback)).status_code == 502
    assert double.count("POST", "/token") == 1
    assert await sqlite_service.count("sys_usersession") == 0


ID_TOKENS: dict[str, dict[str, Any]] = {
    "iss": {"changes": {"iss": "https://evil.example/realms/demo"}},
    "iss with a slash": {"changes": lambda claims: {**claims, "iss": f"{claims['iss']}/"}},
    "aud": {"changes": {"aud": "other"}},
    "aud with more": {"changes": {"aud": ["bridge", "other"]}},
    "azp": {"changes": {"azp": "other"}},
    "nonce": {"changes": {"nonce": "another"}},
    "no nonce": {"changes": {"nonce": None}},
    "exp": {"changes": {"exp": 1_600_000_000}},
    "iat": {"changes": {"iat": 1_600_000_000}},
    "at_hash": {"changes": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}},
    "no sub": {"changes": {"sub": None}},
    "alg none": {"signing": "none"},
    "HS256 with the public key": {"signing": "HS256"},
    "access token": {"header": {"typ": "at+jwt"}},
    "rubbish": {"raw": "not.a.jwt"},
}


@pytest.mark.parametrize("fault", ID_TOKENS)
async def test_a_wrong_id_token_makes_no_session(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble, fault: str
) -> None:
    """C1 to C11, V24 to V30: the exchange was right, the proof is not."""
    double.faults.id_token(**ID_TOKENS[fault])
    answer = await sqlite_browser.sign_in()
    assert answer.status_code == 502
    assert "proof of identity that is not valid" in answer.text
    assert double.count("POST", "/token") == 1
    assert await sqlite_service.count("sys_usersession") == 0
    assert await sqlite_service.count("sys_user") == 0


async def test_no_id_token_at_all_is_no_login(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    double.faults.id_token(omit=True)
    answer = await sqlite_browser.sign_in()
    assert answer.status_code == 502
    assert await sqlite_service.count("sys_usersession") == 0


async def test_rotated_keys_are_fetched_once_and_the_login_succeeds(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """F8, C6: signing-key-rotation between two logins."""
    await sqlite_browser.sign_in()
    before = double.count("GET", "/certs")
    double.rotate_keys()
    sqlite_service.clock.advance(seconds=11)
    assert (await sqlite_browser.sign_in()).headers["location"] == APPLICATION
    assert double.count("GET", "/certs") == before + 1


async def test_tokens_of_unknown_keys_do_not_make_us_ask_without_end(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """V31: at most one refetch in an interval."""
    await sqlite_browser.sign_in()
    before = double.count("GET", "/certs")
    double.faults.id_token(header={"kid": "unknown"})
    for _ in range(3):
        assert (await sqlite_browser.sign_in()).status_code == 502
    assert double.count("GET", "/certs") <= before + 1
    assert await sqlite_service.count("sys_usersession") == 1


@pytest.mark.parametrize(
    "changes",
    [{"issuer": "https://evil.example"}, {"code_challenge_methods_supported": ["plain"]}, {"token_endpoint": None}],
)
async def test_a_wrong_discovery_document_begins_no_login(
    sqlite_browser: Browser, double: KeycloakDouble, changes: dict[str, Any]
) -> None:
    """A5, A15: discovery-issuer-mismatch stops before authorize."""
    double.faults.discovery(changes)
    answer = await sqlite_browser.get("/login")
    assert answer.status_code == 502
    assert double.count("GET", "/auth") == 0


async def test_slow_keys_at_the_callback_leave_the_state_unclaimed(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """F2: what is needed after the exchange is fetched before it."""
    callback = await sqlite_browser.go_to_keycloak()
    double.faults.latency(CERTS, 10)
    answer = await sqlite_browser.get(callback)
    assert answer.status_code == 503
    assert double.count("POST", "/token") == 0
    double.faults.clear()
    sqlite_service.clock.advance(seconds=1)
    assert (await sqlite_browser.get(callback)).headers["location"] == APPLICATION


async def test_a_stale_discovery_document_is_used_on(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """F7, and no stampede: it is asked for once, however many logins begin meanwhile."""
    await sqlite_browser.sign_in()
    for clock in (sqlite_service.clock, double.realm.clock):
        clock.advance(seconds=660)
    double.faults.status(DISCOVERY, 500)
    before = double.count("GET", DISCOVERY)
    for _ in range(3):
        assert (await sqlite_browser.sign_in()).headers["location"] == APPLICATION
    assert double.count("GET", DISCOVERY) == before + 1


async def test_a_claim_past_its_deadline_counts_as_failed(
    service: Service, browser: Browser, double: KeycloakDouble
) -> None:
    """F17: a process that died after it claimed; the duplicate begins again instead of sending the code."""
    hold = double.faults.hold(TOKEN)
    callback = await browser.go_to_keycloak()
    first = asyncio.create_task(browser.get(callback))
    await asyncio.to_thread(hold.wait_for_arrival)
    service.clock.advance(minutes=2)
    second = await browser.get(callback)
    assert second.status_code == 303
    assert second.headers["location"].startswith(double.url)
    hold.release()
    assert (await first).headers["location"].startswith(double.url)
    assert await service.count("sys_usersession") == 0
    assert (await browser.follow(second, until=APPLICATION)).headers["location"] == APPLICATION


async def test_the_database_gone_is_a_503_without_a_cookie(double: KeycloakDouble) -> None:
    """F11: at the start, at the callback, at /me; never a 2xx."""
    with PostgresqlServer() as server:
        from bridge.storage.migrate import upgrade  # noqa: PLC0415 - a migration needs a thread without a loop

        url = server.create_database("gone")
        await asyncio.to_thread(upgrade, url)
        async with running(double, url) as service, Browser(service.url) as browser:
            await browser.sign_in()
            callback = await browser.go_to_keycloak()
            server.__exit__(None, None, None)
            for path in ("/login", callback, "/me"):
                answer = await browser.get(path)
                assert answer.status_code == 503
                assert "database of the bridge cannot be reached" in answer.text
                assert "set-cookie" not in answer.headers
            assert double.count("POST", "/token") == 1


async def test_the_database_gone_during_the_exchange_sets_no_cookie(double: KeycloakDouble) -> None:
    """F11: after the token answer nothing can be written, so nobody is signed in."""
    with MariadbServer() as server:
        from bridge.storage.migrate import upgrade  # noqa: PLC0415 - as above

        url = server.create_database("gone")
        await asyncio.to_thread(upgrade, url)
        async with running(double, url) as service, Browser(service.url) as browser:
            hold = double.faults.hold(TOKEN)
            callback = await browser.go_to_keycloak()
            first = asyncio.create_task(browser.get(callback))
            await asyncio.to_thread(hold.wait_for_arrival)
            server.__exit__(None, None, None)
            hold.release()
            answer = await first
            assert answer.status_code == 503
            assert "set-cookie" not in answer.headers
