"""Rare ways through the flows, each with a reason to exist."""

import asyncio

from bridge.sealing import Sealer
from bridge.web.forms import build_form_token
from tests.browser import Browser
from tests.double import KeycloakDouble
from tests.integration.service import APPLICATION, KEY, Service, running

TOKEN = "openid-connect/token"
OTHER_KEY = "_" * 43


async def form_token(browser: Browser) -> str:
    return str((await browser.get("/me", headers={"Accept": "application/json"})).json()["form_token"])


async def test_a_changed_key_begins_pending_logins_anew_and_keeps_sign_out_working(
    double: KeycloakDouble, sqlite_database_url: str
) -> None:
    """What was sealed with a key that is gone opens nothing: the login begins anew, the sign-out asks at Keycloak."""
    async with running(double, sqlite_database_url) as service, Browser(service.url) as browser:
        await browser.sign_in()
        pending = await browser.go_to_keycloak()
        jar, old = browser.jar, service.url
    async with (
        running(double, sqlite_database_url, sealing={"keys": [OTHER_KEY]}) as service,
        Browser(service.url) as browser,
    ):
        for cookie in jar:
            browser.jar.set_cookie(cookie)
        answer = await browser.get(pending.replace(old, service.url))
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(double.url)
        assert double.count("POST", "/token") == 1
        answer = await browser.post("/logout", {"form_token": await form_token(browser)})
        assert answer.status_code == 303
        assert "id_token_hint" not in answer.headers["location"]


async def test_old_keys_behind_the_new_one_still_open(double: KeycloakDouble, sqlite_database_url: str) -> None:
    async with running(double, sqlite_database_url) as service, Browser(service.url) as browser:
        pending = await browser.go_to_keycloak()
        jar, old = browser.jar, service.url
    async with (
        running(double, sqlite_database_url, sealing={"keys": [OTHER_KEY, KEY]}) as service,
        Browser(service.url) as browser,
    ):
        for cookie in jar:
            browser.jar.set_cookie(cookie)
        # The code was given for the old address; the double compares it as Keycloak does.
        answer = await browser.get(pending.replace(old, service.url))
    assert answer.status_code == 502
    assert double.count("POST", "/token") == 1


async def test_signing_out_before_keycloak_was_ever_reached_says_what_may_live_on(
    double: KeycloakDouble, sqlite_database_url: str
) -> None:
    async with running(double, sqlite_database_url) as service, Browser(service.url) as browser:
        await browser.sign_in()
        jar = browser.jar
    double.stop()
    async with running(double, sqlite_database_url) as service, Browser(service.url) as browser:
        for cookie in jar:
            browser.jar.set_cookie(cookie)
        form = {"form_token": await form_token(browser), "return_to": APPLICATION}
        answer = await browser.post("/logout", form)
        assert answer.status_code == 200
        assert "could not be told" in answer.text
        assert (await browser.get("/me")).status_code == 401


async def test_a_provider_without_end_session_is_left_out(
    double: KeycloakDouble, sqlite_service: Service, sqlite_browser: Browser
) -> None:
    double.faults.discovery({"end_session_endpoint": None})
    await sqlite_browser.sign_in()
    answer = await sqlite_browser.post("/logout", {"form_token": await form_token(sqlite_browser)})
    assert answer.status_code == 200
    assert (await sqlite_service.rows('SELECT "IsActive" AS a FROM sys_usersession'))[0]["a"] == 0


async def test_a_session_without_a_grant_is_signed_out_all_the_same(
    sqlite_service: Service, sqlite_browser: Browser
) -> None:
    await sqlite_browser.sign_in()
    await sqlite_service.write("DELETE FROM keycloak_grant")
    answer = await sqlite_browser.post("/logout", {"form_token": await form_token(sqlite_browser)})
    assert answer.status_code == 303
    assert "id_token_hint" not in answer.headers["location"]


async def test_a_token_without_a_user_name_is_no_login(
    double: KeycloakDouble, sqlite_service: Service, sqlite_browser: Browser
) -> None:
    double.faults.id_token({"preferred_username": None})
    answer = await sqlite_browser.sign_in()
    assert answer.status_code == 409
    assert "did not tell a user name" in answer.text
    assert await sqlite_service.count("sys_usersession") == 0


async def test_a_login_without_a_refresh_token_keeps_its_id_token(
    double: KeycloakDouble, sqlite_service: Service, sqlite_browser: Browser
) -> None:
    double.faults.token_answer({"refresh_token": None, "refresh_expires_in": None})
    assert (await sqlite_browser.sign_in()).headers["location"] == APPLICATION
    (grant,) = await sqlite_service.rows("SELECT * FROM keycloak_grant")
    assert grant["sealed_refresh_token"] is None
    opened = Sealer([bytes(range(32))]).open(
        grant["sealed_id_token"], table="keycloak_grant", column="sealed_id_token", row=grant["session_id"]
    )
    assert opened.count(".") == 2


async def somebody_waits() -> None:
    """Wait until a callback in this process looks out for the outcome of another."""
    while not any("_look_out" in repr(task.get_coro()) for task in asyncio.all_tasks()):  # noqa: ASYNC110 - nobody announces it
        await asyncio.sleep(0.005)


async def test_a_waiter_learns_that_the_claim_was_given_back(sqlite_service: Service, sqlite_browser: Browser) -> None:
    """The first could not even connect: the second is told to try again, and the state is as it was."""
    callback = await sqlite_browser.go_to_keycloak()
    await sqlite_service.write(
        "UPDATE oauth_state SET claim_id = 'another replica', claim_deadline = '2999-01-01 00:00:00.000000'"
    )
    waiting = asyncio.create_task(sqlite_browser.get(callback))
    await somebody_waits()
    await sqlite_service.write("UPDATE oauth_state SET claim_id = NULL, claim_deadline = NULL")
    answer = await waiting
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "10"
    assert (await sqlite_browser.get(callback)).headers["location"] == APPLICATION


async def test_a_waiter_gets_the_error_of_the_first(double: KeycloakDouble, sqlite_browser: Browser) -> None:
    hold = double.faults.hold(TOKEN)
    double.faults.id_token({"nonce": "another"})
    callback = await sqlite_browser.go_to_keycloak()
    first = asyncio.create_task(sqlite_browser.get(callback))
    await asyncio.to_thread(hold.wait_for_arrival)
    second = asyncio.create_task(sqlite_browser.get(callback))
    await somebody_waits()
    hold.release()
    answers = await asyncio.gather(first, second)
    assert [answer.status_code for answer in answers] == [502, 502]
    assert all("proof of identity" in answer.text for answer in answers)
    assert double.count("POST", "/token") == 1


async def test_a_login_deleted_while_somebody_waits_is_unknown(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    hold = double.faults.hold(TOKEN)
    callback = await sqlite_browser.go_to_keycloak()
    first = asyncio.create_task(sqlite_browser.get(callback))
    await asyncio.to_thread(hold.wait_for_arrival)
    second = asyncio.create_task(sqlite_browser.get(callback))
    await somebody_waits()
    await sqlite_service.write("DELETE FROM oauth_state")
    assert (await second).status_code == 400
    hold.release()
    assert (await first).headers["location"].startswith(double.url)
    assert await sqlite_service.count("sys_usersession") == 0


async def test_a_binding_of_another_value_is_another_browser(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """A3: the cookie's name is no secret, its value is."""
    callback = await sqlite_browser.go_to_keycloak()
    (name,) = sqlite_browser.names("__Host-kb_login_")
    planted = {"Cookie": f"{name}=1700000000.{'A' * 43}", "Accept": "application/json"}
    async with Browser(sqlite_service.url) as attacker:
        answer = await attacker.get(callback, headers=planted)
    assert answer.json()["error"] == "other_browser"
    assert double.count("POST", "/token") == 0


async def test_a_cookie_that_opens_nothing_is_no_hindrance(sqlite_service: Service, sqlite_browser: Browser) -> None:
    """A session ended elsewhere: its cookie neither stops a new login nor a sign-out."""
    await sqlite_browser.sign_in()
    await sqlite_service.write("DELETE FROM sys_usersession")
    token = build_form_token(sqlite_browser.cookie("__Host-kb-demo") or "")
    assert (await sqlite_browser.post("/logout", {"form_token": token})).status_code == 200
    await sqlite_browser.sign_in()
    await sqlite_service.write("DELETE FROM sys_usersession")
    assert (await sqlite_browser.sign_in()).headers["location"] == APPLICATION


def count_waiting_in(name: str) -> int:
    """Count the tasks of this process that are suspended inside a coroutine of this name."""
    waiting = 0
    for task in asyncio.all_tasks():
        inner: object = task.get_coro()
        while inner is not None and name not in getattr(inner, "__qualname__", ""):
            inner = getattr(inner, "cr_await", None)
        waiting += inner is not None
    return waiting


async def test_of_two_that_reach_the_claim_together_one_wins_and_one_waits(
    double: KeycloakDouble, sqlite_service: Service, sqlite_browser: Browser
) -> None:
    """B1, F20: neither saw the other's claim when it looked; the UPDATE decides."""
    callback = await sqlite_browser.go_to_keycloak()
    hold = double.faults.hold("openid-connect/certs")
    both = [asyncio.create_task(sqlite_browser.get(callback)) for _ in range(2)]
    await asyncio.to_thread(hold.wait_for_arrival)
    while count_waiting_in("KeptDocument.get") < len(both):  # noqa: ASYNC110 - nobody announces it
        await asyncio.sleep(0.005)
    hold.release()
    answers = await asyncio.gather(*both)
    assert {answer.headers["location"] for answer in answers} == {APPLICATION}
    assert double.count("POST", "/token") == 1
    assert await sqlite_service.count("sys_usersession") == 1
