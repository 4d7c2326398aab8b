"""What attacks on the sign-in have found, so that it stays mended."""

import asyncio
import os
import signal
import sqlite3
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest

from bridge.model import digest
from bridge.storage import oauth_states
from bridge.storage.migrate import upgrade
from bridge.web.cookies import LOGOUT_PREFIX
from tests.browser import Browser, query
from tests.double import KeycloakDouble
from tests.integration.service import APPLICATION, Service, running
from tests.servers.postgresql import PostgresqlServer

TOKEN = "openid-connect/token"
DISCOVERY = ".well-known/openid-configuration"
PROGRAM = {"Accept": "application/json"}


@pytest.mark.parametrize("claim", ["email", "given_name", "family_name", "name", "acr", "sid"])
@pytest.mark.parametrize("value", ["x" * 600, "nul\0inside", "line\nbreak"])
async def test_a_claim_that_no_column_takes_is_unknown_and_stops_nobody(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble, claim: str, value: str
) -> None:
    double.faults.id_token({claim: value})
    assert (await sqlite_browser.sign_in()).headers["location"] == APPLICATION
    column = {"email": "Email", "given_name": "FirstName", "family_name": "LastName", "name": "DisplayName"}.get(claim)
    rows = await sqlite_service.rows("SELECT * FROM " + ("sys_user" if column else "sys_usersession"))
    assert rows[0][column or claim.capitalize()] is None


@pytest.mark.parametrize("value", ["nul\0inside", "line\nbreak", "", 7])
async def test_a_user_name_that_no_column_takes_is_refused(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble, value: object
) -> None:
    double.faults.id_token({"preferred_username": value})
    assert (await sqlite_browser.sign_in()).status_code == 409
    assert await sqlite_service.count("sys_user") == 0


async def test_long_values_and_a_large_id_token_fit_on_every_database(
    service: Service, browser: Browser, double: KeycloakDouble
) -> None:
    double.faults.id_token({"email": "x" * 300, "name": "y" * 500, "more": ["z" * 100] * 600})
    assert (await browser.sign_in()).headers["location"] == APPLICATION
    (user,) = await service.rows("SELECT * FROM sys_user")
    assert (user["Email"], user["DisplayName"]) == (None, "y" * 500)


@contextmanager
def frozen(server: PostgresqlServer) -> Iterator[None]:
    """Stop every process of a database server without closing a connection."""
    port = server.url.rsplit(":", 1)[-1]
    found = subprocess.run(["pgrep", "-f", f"postgres -D .* -p {port} "], capture_output=True, text=True, check=True)
    parent = found.stdout.split()[0]
    children = subprocess.run(["pgrep", "-P", parent], capture_output=True, text=True, check=True).stdout.split()
    pids = [int(pid) for pid in (parent, *children)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_a_database_that_hangs_is_a_503(double: KeycloakDouble) -> None:
    with PostgresqlServer() as server:
        url = server.create_database("frozen")
        await asyncio.to_thread(upgrade, url)
        settings = {"url": url, "timeout": "1s", "pool_size": 3}
        async with running(double, url, database=settings) as service, Browser(service.url) as browser:
            await browser.sign_in()
            with frozen(server):
                answers = await asyncio.gather(*(browser.get("/me") for _ in range(5)))
            assert {answer.status_code for answer in answers} == {503}
            assert (await browser.get("/me")).status_code == 200


async def test_a_short_trouble_of_the_database_is_mended_by_a_new_start(
    double: KeycloakDouble, sqlite_database_url: str
) -> None:
    """After the exchange nothing could be written: the first callback and its duplicates begin again, and get in."""
    path = sqlite_database_url.removeprefix("sqlite:///")
    settings = {"url": sqlite_database_url, "timeout": "1s"}
    async with running(double, sqlite_database_url, database=settings) as service, Browser(service.url) as browser:
        hold = double.faults.hold(TOKEN)
        callback = await browser.go_to_keycloak(f"/login?return_to={APPLICATION}here")
        first = asyncio.create_task(browser.get(callback))
        await asyncio.to_thread(hold.wait_for_arrival)
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # In a thread: a job of the service may be writing at this moment, and needs this event loop to finish.
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        hold.release()
        assert (await first).status_code == 503
        other.execute("ROLLBACK")
        other.close()
        service.clock.advance(minutes=1)
        again = await browser.get(callback)
        assert again.status_code == 303
        assert (await browser.follow(again, until=APPLICATION)).headers["location"] == f"{APPLICATION}here"
        assert await service.count("sys_usersession") == 1


async def test_an_address_with_a_slash_too_many_is_not_redirected_by_the_host_header(sqlite_browser: Browser) -> None:
    """A12, V5."""
    for path in ("/login/", "/callback/demo/?code=x&state=y", "/me/"):
        answer = await sqlite_browser.get(path, headers={"Host": "evil.example"})
        assert answer.status_code == 404
        assert "location" not in answer.headers


async def test_a_clock_that_jumps_stops_no_login(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """F16: durations come from a clock that does not jump."""
    sqlite_service.clock.jump(hours=1)
    double.stop()
    assert (await sqlite_browser.get("/login")).status_code == 503
    sqlite_service.clock.jump(hours=-1)
    sqlite_service.clock.passed += 2
    double.start()
    assert (await sqlite_browser.sign_in()).headers["location"] == APPLICATION
    sqlite_service.clock.jump(minutes=-5)
    double.rotate_keys()
    for clock in (sqlite_service.clock,):
        clock.jump(minutes=5)
    assert (await sqlite_browser.sign_in()).headers["location"] == APPLICATION


async def test_a_key_rotated_just_before_signing_is_fetched_on_the_spot(
    sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """oidcc-client-test-signing-key-rotation-just-before-signing."""
    await sqlite_browser.sign_in()
    double.rotate_keys()
    assert (await sqlite_browser.sign_in()).headers["location"] == APPLICATION


async def test_a_slow_refresh_of_discovery_holds_up_one_login_and_no_more(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    await sqlite_browser.sign_in()
    sqlite_service.clock.passed += 660
    hold = double.faults.hold(DISCOVERY)
    one = asyncio.create_task(sqlite_browser.get("/login"))
    await asyncio.to_thread(hold.wait_for_arrival)
    assert (await sqlite_browser.get("/login")).status_code == 303
    assert not one.done()
    hold.release()
    assert (await one).status_code == 303


async def test_a_restart_asks_for_what_was_asked_for(sqlite_service: Service, sqlite_browser: Browser) -> None:
    asked = "prompt=login&login_hint=alice&ui_locales=de&max_age=300"
    begun = await sqlite_browser.get(f"/login?{asked}")
    sent = query(begun.headers["location"])
    callback = f"/callback/demo?state={sent['state']}&code=x"
    sqlite_service.clock.advance(minutes=61)
    again = query((await sqlite_browser.get(callback)).headers["location"])
    for name in ("prompt", "login_hint", "ui_locales", "max_age"):
        assert again[name] == sent[name]


@pytest.mark.parametrize("asked", ["max_age=-1", "max_age=99999999", "max_age=x", "max_age=", "acr_values=gold"])
async def test_a_proof_that_would_not_be_given_is_refused(sqlite_browser: Browser, asked: str) -> None:
    answer = await sqlite_browser.get(f"/login?{asked}", headers=PROGRAM)
    assert answer.status_code == 400
    assert answer.json()["error"] == "hint_refused"


async def test_error_pages_do_not_tell_where_they_were(sqlite_browser: Browser) -> None:
    """A13: the page loads a style sheet, and the address holds a code."""
    answer = await sqlite_browser.get("/callback/demo?state=r.x&code=secret")
    assert answer.headers["referrer-policy"] == "no-referrer"
    refused = await sqlite_browser.http.post(f"{sqlite_browser.base}/me")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")


async def test_a_callback_that_lost_its_claim_closes_nobody_elses(
    sqlite_service: Service, sqlite_browser: Browser
) -> None:
    """S5: each UPDATE on a login names the claim it acts for, and looks at the time itself."""
    await sqlite_browser.go_to_keycloak()
    (row,) = await sqlite_service.rows("SELECT state_digest FROM oauth_state")
    state, now, write = row["state_digest"], sqlite_service.clock(), sqlite_service.database.write
    late = now + timedelta(hours=2)
    deadline = now + timedelta(seconds=30)
    assert not await write(lambda db: oauth_states.claim(db, state, claim_id="a", deadline=late, now=late))
    assert await write(lambda db: oauth_states.claim(db, state, claim_id="a", deadline=deadline, now=now))
    assert not await write(lambda db: oauth_states.claim(db, state, claim_id="b", deadline=deadline, now=now))

    async def close(claim_id: str | None) -> bool:
        return await write(
            lambda db: oauth_states.close_with_error(db, state, claim_id=claim_id, error_code="x", now=now)
        )

    assert [await close(foreign) for foreign in ("b", None)] == [False, False]
    assert not await write(lambda db: oauth_states.release(db, state, claim_id="b"))
    assert not await write(
        lambda db: oauth_states.close_with_session(db, state, claim_id="a", session_id="s", now=late)
    )
    assert await write(lambda db: oauth_states.close_with_session(db, state, claim_id="a", session_id="s", now=now))


async def test_a_return_address_in_a_planted_cookie_is_checked_again(sqlite_service: Service) -> None:
    """V3: the cookie is the browser's, and a browser may hold anything."""
    for address, status in (("https://evil.example/", 200), (APPLICATION, 303)):
        name = LOGOUT_PREFIX + digest("example")[:16]
        value = urlsafe_b64encode(address.encode()).decode()
        cookie = {"Cookie": f"{name}={value}", "Accept": "text/html"}
        async with httpx.AsyncClient(trust_env=False) as planted:
            answer = await planted.get(f"{sqlite_service.url}/logout/done/demo?state=example", headers=cookie)
        assert answer.status_code == status
        assert answer.headers.get("location", APPLICATION) == APPLICATION
