"""Signing out: here first, then at Keycloak; nothing a foreign site can do, nothing that brings a session back."""

import asyncio

import httpx
import pytest

from tests.browser import Browser, query
from tests.double import KeycloakDouble
from tests.integration.service import APPLICATION, Service

PROGRAM = {"Accept": "application/json"}


async def form_token(browser: Browser) -> str:
    return str((await browser.get("/me", headers=PROGRAM)).json()["form_token"])


async def test_sign_out_ends_the_session_here_and_at_keycloak(
    service: Service, browser: Browser, double: KeycloakDouble
) -> None:
    """H11: dead here before the browser leaves, then id_token_hint, state and the registered return address."""
    await browser.sign_in()
    old = browser.cookie("__Host-kb-demo")
    answer = await browser.post("/logout", {"form_token": await form_token(browser), "return_to": f"{APPLICATION}bye"})
    assert answer.status_code == 303
    sent = query(answer.headers["location"])
    assert sent["post_logout_redirect_uri"] == f"{service.url}/logout/done/demo"
    assert sent["client_id"] == "bridge"
    assert sent["id_token_hint"].count(".") == 2
    (row,) = await service.rows("SELECT * FROM sys_usersession")
    assert (row["IsActive"], row["InvalidatedReason"], row["InvalidatedBy"]) == (0, "logout", "alice")
    assert row["InvalidatedAt"] is not None
    assert await service.count("session_credential") == 0
    assert await service.count("keycloak_grant") == 0
    async with httpx.AsyncClient(trust_env=False) as thief:
        assert (await thief.get(f"{service.url}/me", headers={"Cookie": f"__Host-kb-demo={old}"})).status_code == 401
    back = await browser.follow(answer, until=APPLICATION)
    assert back.headers["location"] == f"{APPLICATION}bye"
    assert any(event["type"] == "LOGOUT" for event in double.events)
    assert not browser.names("__Host-kb_logout_")


async def test_a_return_with_another_state_shows_the_page_and_nothing_else(sqlite_browser: Browser) -> None:
    """rp-init-logout-other-state and -no-state."""
    await sqlite_browser.sign_in()
    answer = await sqlite_browser.post("/logout", {"form_token": await form_token(sqlite_browser), "return_to": "/me"})
    assert answer.status_code == 303
    for path in ("/logout/done/demo?state=another", "/logout/done/demo"):
        page = await sqlite_browser.get(path)
        assert page.status_code == 200
        assert "You are signed out" in page.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:99"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_a_form_of_another_site_signs_nobody_out(sqlite_browser: Browser, headers: dict[str, str]) -> None:
    """H12, J1: the right token from a foreign page is refused as well."""
    await sqlite_browser.sign_in()
    token = await form_token(sqlite_browser)
    answer = await sqlite_browser.post("/logout", {"form_token": token}, headers=headers)
    assert answer.status_code == 403
    assert (await sqlite_browser.get("/me")).status_code == 200


@pytest.mark.parametrize("token", ["", "0" * 64, "\u00fc"])
async def test_a_form_without_the_token_of_the_session_signs_nobody_out(sqlite_browser: Browser, token: str) -> None:
    await sqlite_browser.sign_in()
    answer = await sqlite_browser.post("/logout", {"form_token": token}, headers=PROGRAM)
    assert answer.status_code == 403
    assert answer.json()["error"] == "form_refused"
    assert (await sqlite_browser.get("/me")).status_code == 200


async def test_an_application_of_the_package_may_send_the_form(sqlite_browser: Browser) -> None:
    await sqlite_browser.sign_in()
    headers = {"Sec-Fetch-Site": "same-site", "Origin": APPLICATION.rstrip("/")}
    answer = await sqlite_browser.post("/logout", {"form_token": await form_token(sqlite_browser)}, headers=headers)
    assert answer.status_code == 303


async def test_a_link_only_asks(sqlite_browser: Browser) -> None:
    await sqlite_browser.sign_in()
    page = await sqlite_browser.get(f"/logout?return_to={APPLICATION}")
    assert page.status_code == 200
    assert "Do you want to sign out?" in page.text
    assert (await sqlite_browser.get("/me")).status_code == 200


async def test_a_foreign_return_to_ends_nothing(sqlite_browser: Browser) -> None:
    """V3."""
    await sqlite_browser.sign_in()
    form = {"form_token": await form_token(sqlite_browser), "return_to": "https://evil.example/"}
    assert (await sqlite_browser.post("/logout", form)).status_code == 400
    assert (await sqlite_browser.get("/logout?return_to=//evil.example")).status_code == 400
    assert (await sqlite_browser.get("/me")).status_code == 200


async def test_sign_out_works_without_keycloak_and_says_what_may_live_on(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """An address of Keycloak that is known is still gone to; one that was never known cannot be."""
    await sqlite_browser.sign_in()
    token = await form_token(sqlite_browser)
    double.stop()
    answer = await sqlite_browser.post("/logout", {"form_token": token})
    assert answer.status_code == 303
    assert (await sqlite_browser.get("/me")).status_code == 401
    assert (await sqlite_service.rows('SELECT "IsActive" AS a FROM sys_usersession'))[0]["a"] == 0


async def test_a_type_that_an_application_wrote_keeps_nobody_from_signing_out(
    sqlite_service: Service, sqlite_browser: Browser
) -> None:
    await sqlite_browser.sign_in()
    token = await form_token(sqlite_browser)
    await sqlite_service.write("UPDATE sys_usersession SET \"SessionType\" = 'kiosk'")
    assert (await sqlite_browser.post("/logout", {"form_token": token})).status_code == 303
    assert (await sqlite_browser.get("/me")).status_code == 401


async def test_signing_out_twice_is_harmless(sqlite_browser: Browser) -> None:
    answer = await sqlite_browser.post("/logout", {"package": "demo"})
    assert answer.status_code == 200
    assert "You are signed out." in answer.text
    assert "You are signed out" in (await sqlite_browser.get("/logout")).text


async def test_a_form_of_another_site_does_not_take_the_cookie_away(sqlite_service: Service) -> None:
    """H12: such a form comes without our cookie, so there is no session to tell; its answer must not delete one."""
    async with Browser(sqlite_service.url) as foreign:
        headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        answer = await foreign.post("/logout", {"package": "demo"}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_only_the_form_of_a_page_is_read(sqlite_service: Service, sqlite_browser: Browser) -> None:
    """V16, V53: other encodings, odd character sets and large bodies are refused, and nothing ends in a 500."""
    await sqlite_browser.sign_in()
    url = f"{sqlite_service.url}/logout"
    for content_type in (
        "multipart/form-data; boundary=x; charset=punycode",
        "application/json",
        "text/plain",
        "",
    ):
        answer = await sqlite_browser.http.post(url, content=b"--x\r\n", headers={"Content-Type": content_type})
        assert answer.status_code == 415
    form = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    large = await sqlite_browser.http.post(url, content=b"a=" + b"b" * 100_000, headers=form)
    assert large.status_code == 413
    for odd in (b"form_token=%ed%a0%80", b"form_token=%00", b"form_token=\xff", b"a&" * 50):
        assert (await sqlite_browser.http.post(url, content=odd, headers=form)).status_code in (400, 403)
    assert (await sqlite_browser.get("/me")).status_code == 200


async def test_signing_out_ends_what_other_tabs_opened_with_the_same_keycloak_session(browser: Browser) -> None:
    """V59: the callback of another tab must not bring anybody back."""
    callbacks = [await browser.go_to_keycloak() for _ in range(2)]
    answers = await asyncio.gather(*(browser.get(callback) for callback in callbacks))
    assert {answer.status_code for answer in answers} == {303}
    await browser.post("/logout", {"form_token": await form_token(browser)})
    for callback in callbacks:
        answer = await browser.get(callback)
        assert "__Host-kb-demo" not in answer.headers.get("set-cookie", "")
    assert (await browser.get("/me")).status_code == 401
