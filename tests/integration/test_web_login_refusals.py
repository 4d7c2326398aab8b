"""Every way a login is refused: a clear message, nothing changed, and the right login still possible."""

import asyncio
from urllib.parse import quote

import pytest

from tests.browser import Browser, query
from tests.double import KeycloakDouble
from tests.integration.service import APPLICATION, Service

TOKEN = "openid-connect/token"
PROGRAM = {"Accept": "application/json"}


async def nothing_happened(service: Service, double: KeycloakDouble) -> None:
    """Assert that nobody was signed in and no code was sent."""
    assert double.count("POST", "/token") == 0
    assert await service.count("sys_user") == 0
    assert await service.count("sys_usersession") == 0
    assert await service.count("session_credential") == 0


async def test_an_unknown_package_is_refused(sqlite_service: Service, sqlite_browser: Browser) -> None:
    for path in ("/login?package=nobody", "/callback/nobody?state=x&code=y", "/me?package=nobody"):
        answer = await sqlite_browser.get(path, headers=PROGRAM)
        assert answer.status_code == 404
        assert answer.json()["error"] == "unknown_package"
    assert await sqlite_service.count("oauth_state") == 0


@pytest.mark.parametrize(
    "foreign",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/\t/evil.example",
        "/%2f/evil.example",
        "/%2F%2Fevil.example",
        "/%5cevil.example",
        "/..%2fevil",
        "http://127.0.0.1:9@evil.example/",
        "http://127.0.0.1:99/",
        "javascript:alert(1)",
        "http:evil.example",
    ],
)
async def test_a_foreign_return_to_is_refused(sqlite_service: Service, sqlite_browser: Browser, foreign: str) -> None:
    """A11, V1, V2."""
    answer = await sqlite_browser.get(f"/login?return_to={quote(foreign, safe='%')}", headers=PROGRAM)
    assert answer.status_code == 400
    assert answer.json()["error"] == "return_to_refused"
    assert await sqlite_service.count("oauth_state") == 0


async def test_duplicated_parameters_are_refused(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """A9."""
    callback = await sqlite_browser.go_to_keycloak()
    for name in ("state", "code", "iss"):
        answer = await sqlite_browser.get(f"{callback}&{name}=again", headers=PROGRAM)
        assert answer.status_code == 400
        assert answer.json()["error"] == "duplicated_parameter"
    await nothing_happened(sqlite_service, double)
    assert (await sqlite_browser.get(callback)).headers["location"] == APPLICATION


async def test_a_tampered_state_starts_once_more_and_then_says_so(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    callback = await sqlite_browser.go_to_keycloak()
    state = query(callback)["state"]
    again = await sqlite_browser.get(callback.replace(state, "A" * 43))
    assert again.status_code == 303
    restarted = query(again.headers["location"])["state"]
    answer = await sqlite_browser.get(callback.replace(state, restarted[:10] + "A" * 35))
    assert answer.status_code == 400
    assert "not known here any more" in answer.text
    assert "/login?package=demo" in answer.text
    await nothing_happened(sqlite_service, double)


async def test_an_expired_state_starts_once_more_and_then_says_so(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    callback = await sqlite_browser.go_to_keycloak(f"/login?return_to={APPLICATION}here")
    sqlite_service.clock.advance(minutes=61)
    restart = await sqlite_browser.get(callback)
    assert restart.status_code == 303
    assert restart.headers["location"].startswith(double.url)
    second = await sqlite_browser.follow(restart, until=f"{sqlite_service.url}/callback/")
    sqlite_service.clock.advance(minutes=61)
    answer = await sqlite_browser.get(second.headers["location"])
    assert answer.status_code == 400
    assert "took too long" in answer.text
    await nothing_happened(sqlite_service, double)


async def test_a_restarted_login_ends_where_the_first_was_going(
    sqlite_service: Service, sqlite_browser: Browser
) -> None:
    callback = await sqlite_browser.go_to_keycloak(f"/login?return_to={APPLICATION}here")
    sqlite_service.clock.advance(minutes=61)
    restart = await sqlite_browser.get(callback)
    sqlite_service.clock.advance(minutes=-61)
    answer = await sqlite_browser.follow(restart, until=APPLICATION)
    assert answer.headers["location"] == f"{APPLICATION}here"


async def test_another_browser_is_refused_before_the_token_endpoint(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """A3, V7: an attacker's own code and state, opened in a victim's browser."""
    callback = await sqlite_browser.go_to_keycloak()
    async with Browser(sqlite_service.url) as victim:
        await victim.get("/login")
        answer = await victim.get(callback)
    assert answer.status_code == 400
    assert "in another browser" in answer.text
    await nothing_happened(sqlite_service, double)
    assert (await sqlite_browser.get(callback)).headers["location"] == APPLICATION


async def test_a_browser_that_keeps_no_cookies_is_told_so(sqlite_service: Service, double: KeycloakDouble) -> None:
    async with Browser(sqlite_service.url, keeps_cookies=False) as strict:
        answer = await strict.sign_in()
    assert answer.status_code == 400
    assert "allow cookies" in answer.text
    await nothing_happened(sqlite_service, double)


async def test_a_state_of_another_package_is_refused(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    callback = await sqlite_browser.go_to_keycloak()
    answer = await sqlite_browser.get(callback.replace("/callback/demo", "/callback/other"), headers=PROGRAM)
    assert answer.json()["error"] == "unknown_package"
    await nothing_happened(sqlite_service, double)


@pytest.mark.parametrize("changes", [{"iss": "https://evil.example/realms/demo"}, {"iss": None}])
async def test_another_or_no_iss_in_the_answer_is_refused(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble, changes: dict[str, str | None]
) -> None:
    """A6, V11: the metadata says that `iss` is always there."""
    double.faults.authorization(changes, times=1)
    answer = await sqlite_browser.sign_in()
    assert answer.status_code == 400
    assert "does not belong to this sign-in" in answer.text
    await nothing_happened(sqlite_service, double)


async def test_an_error_answer_ends_the_login_and_is_shown_escaped(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """A10, V6, S13."""
    double.faults.authorization(
        {"code": None, "error": "access_denied", "error_description": "<script>alert(1)</script>"}, times=1
    )
    callback = await sqlite_browser.go_to_keycloak()
    answer = await sqlite_browser.get(callback)
    assert answer.status_code == 403
    assert "was cancelled" in answer.text
    assert "<script>" not in answer.text
    await nothing_happened(sqlite_service, double)
    (row,) = await sqlite_service.rows("SELECT error_code, consumed_at FROM oauth_state")
    assert row["error_code"] == "authorization_failed"
    again = await sqlite_browser.get(callback)
    assert again.status_code == 403
    assert (await sqlite_browser.sign_in()).headers["location"] == APPLICATION


async def test_a_login_that_took_too_long_at_keycloak_starts_again_once(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    expired = {
        "code": None,
        "error": "temporarily_unavailable",
        "error_description": "authentication_expired",
    }
    double.faults.authorization(expired, times=2)
    first = await sqlite_browser.sign_in()
    assert first.status_code == 303
    second = await sqlite_browser.follow(first, until=f"{sqlite_service.url}/callback/")
    answer = await sqlite_browser.get(second.headers["location"])
    assert answer.status_code == 403
    await nothing_happened(sqlite_service, double)


async def test_an_answer_without_code_or_state_is_refused(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """V13: a callback without a code."""
    double.faults.authorization({"code": None}, times=1)
    assert (await sqlite_browser.sign_in()).status_code == 400
    assert (await sqlite_browser.get("/callback/demo")).status_code == 400
    await nothing_happened(sqlite_service, double)


async def test_pending_logins_of_one_browser_are_bounded(sqlite_service: Service, sqlite_browser: Browser) -> None:
    """V8: at most five binding cookies; the newest five still work."""
    callbacks = []
    for _ in range(7):
        callbacks.append(await sqlite_browser.go_to_keycloak())
        sqlite_service.clock.advance(seconds=1)
    assert len(sqlite_browser.names("__Host-kb_login_")) == 5
    assert (await sqlite_browser.get(callbacks[0])).status_code == 400
    answers = await asyncio.gather(*(sqlite_browser.get(callback) for callback in callbacks[2:]))
    assert {answer.status_code for answer in answers} == {303}


async def test_other_parameters_and_methods_reach_nothing(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    """V5, V15, V55."""
    begun = await sqlite_browser.get(
        "/login?scope=admin&redirect_uri=https://evil.example&prompt=none&nonce=x&response_mode=fragment&client_id=other",
        headers={"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"},
    )
    sent = query(begun.headers["location"])
    assert sent["redirect_uri"] == f"{sqlite_service.url}/callback/demo"
    assert (sent["scope"], sent["client_id"]) == ("openid profile email", "bridge")
    assert not {"prompt", "response_mode"} & sent.keys()
    callback = await sqlite_browser.go_to_keycloak()
    for method in ("HEAD", "OPTIONS", "POST", "TRACE", "DELETE"):
        assert (await sqlite_browser.http.request(method, callback)).status_code == 405
    await nothing_happened(sqlite_service, double)
