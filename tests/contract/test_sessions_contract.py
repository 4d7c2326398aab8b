"""What becomes of a login: refresh, revocation, logout."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import httpx
import pytest

from tests.contract.answers import refused, segment, tokens
from tests.contract.browser import Browser
from tests.contract.servers import AFTER_LOGOUT, BRIDGE, Keycloak, Person


@pytest.fixture
def revoking(keycloak: Keycloak) -> Iterator[Keycloak]:
    keycloak.revoke_refresh_tokens(on=True)
    yield keycloak
    keycloak.revoke_refresh_tokens(on=False)


# Refresh


def test_a_refresh_gives_new_tokens_without_a_nonce_and_the_old_one_stays_good(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    """OpenID Connect Core, section 12.2: the nonce is not there, `auth_time` and `sid` are the old ones."""
    first = tokens(keycloak, browser, person)
    answer = keycloak.refresh(first["refresh_token"])
    assert answer.status_code == 200
    old, new = segment(first["id_token"], 1), segment(answer.json()["id_token"], 1)
    assert "nonce" not in new
    assert all(new[name] == old[name] for name in ("sub", "sid", "auth_time", "aud", "azp"))
    assert answer.json()["refresh_token"] != first["refresh_token"]
    assert keycloak.refresh(first["refresh_token"]).status_code == 200


def test_with_revocation_on_a_reused_refresh_token_kills_its_successor(
    revoking: Keycloak, browser: Browser, person: Person
) -> None:
    first = tokens(revoking, browser, person)["refresh_token"]
    second = revoking.refresh(first).json()["refresh_token"]
    assert refused(revoking.refresh(first), "Maximum allowed refresh token reuse exceeded")
    assert refused(revoking.refresh(second), "Session doesn't have required client")


def test_with_revocation_on_a_chain_of_refreshes_works(revoking: Keycloak, browser: Browser, person: Person) -> None:
    token = tokens(revoking, browser, person)["refresh_token"]
    for _ in range(3):
        answer = revoking.refresh(token)
        assert answer.status_code == 200
        token = answer.json()["refresh_token"]


def test_a_refresh_token_of_nobody_is_refused(keycloak: Keycloak) -> None:
    assert refused(keycloak.refresh("nonsense"), "Invalid refresh token")


def test_a_refresh_token_is_bound_to_its_client(keycloak: Keycloak, browser: Browser, person: Person) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": tokens(keycloak, browser, person)["refresh_token"]}
    answer = keycloak.token({**form, "client_id": "demo-app"}, None)
    assert refused(answer, "Invalid refresh token. Token client and authorized client don't match")


def test_a_disabled_user_gets_nothing_and_keeps_the_session(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    held = tokens(keycloak, browser, person)
    visit = browser.authorize()
    keycloak.enable(person, enabled=False)
    assert refused(keycloak.refresh(held["refresh_token"]), "User disabled")
    assert refused(keycloak.token(visit.form), "User disabled")
    assert keycloak.userinfo(held["access_token"]).status_code == 401
    assert browser.authorize(prompt="none").params["error"] == "login_required"
    listed = keycloak.admin(f"/users/{person.id}/sessions").json()
    assert [session["id"] for session in listed] == [held["session_state"]]
    keycloak.enable(person, enabled=True)
    assert keycloak.refresh(held["refresh_token"]).status_code == 200


def test_an_offline_login_leaves_no_online_session_and_a_refresh_token_without_end(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    held = tokens(keycloak, browser, person, scope="openid offline_access")
    claims = segment(held["refresh_token"], 1)
    assert (claims["typ"], "exp" in claims, str(held["refresh_expires_in"])) == ("Offline", False, "0")
    assert keycloak.admin(f"/users/{person.id}/sessions").json() == []
    client = keycloak.admin("/clients", clientId="bridge").json()[0]["id"]
    (away,) = keycloak.admin(f"/users/{person.id}/offline-sessions/{client}").json()
    assert away["id"] == held["session_state"]
    assert browser.authorize(prompt="none").params["error"] == "login_required"
    assert keycloak.refresh(held["refresh_token"]).status_code == 200
    revoke(keycloak, held["refresh_token"])
    assert refused(keycloak.refresh(held["refresh_token"]), "Offline user session not found")


# Logout and revocation


def revoke(keycloak: Keycloak, token: str) -> httpx.Response:
    return keycloak.http.post(f"{keycloak.endpoint}/revoke", data={"token": token}, auth=BRIDGE)


def test_logout_ends_the_session_and_goes_back_with_the_state(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    """OpenID Connect RP-Initiated Logout 1.0, section 3."""
    held = tokens(keycloak, browser, person)
    asked = {"id_token_hint": held["id_token"], "post_logout_redirect_uri": AFTER_LOGOUT, "state": "s 1"}
    answer = browser.log_out(**asked)
    assert (answer.status_code, answer.headers["location"]) == (302, f"{AFTER_LOGOUT}?state=s+1")
    assert refused(keycloak.refresh(held["refresh_token"]), "Session not active")
    assert keycloak.userinfo(held["access_token"]).status_code == 401
    assert browser.authorize(prompt="none").params["error"] == "login_required"
    assert browser.log_out(**asked).headers["location"] == f"{AFTER_LOGOUT}?state=s+1"


def test_logout_works_in_a_browser_without_cookies(keycloak: Keycloak, browser: Browser, person: Person) -> None:
    held = tokens(keycloak, browser, person)
    with Browser(keycloak) as other:
        answer = other.log_out(id_token_hint=held["id_token"], post_logout_redirect_uri=AFTER_LOGOUT)
    assert (answer.status_code, answer.headers["location"]) == (302, AFTER_LOGOUT)
    assert refused(keycloak.refresh(held["refresh_token"]), "Session not active")


def test_logout_to_an_unregistered_address_is_a_page_and_ends_nothing(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    held = tokens(keycloak, browser, person)
    answer = browser.log_out(id_token_hint=held["id_token"], post_logout_redirect_uri="http://evil.example/")
    assert (answer.status_code, "location" in answer.headers) == (400, False)
    assert keycloak.refresh(held["refresh_token"]).status_code == 200


@pytest.mark.parametrize("kind", ["nonsense", "access_token"])
def test_logout_refuses_a_hint_that_is_no_id_token(
    keycloak: Keycloak, browser: Browser, person: Person, kind: str
) -> None:
    hint = tokens(keycloak, browser, person).get(kind, kind)
    answer = browser.log_out(id_token_hint=hint, post_logout_redirect_uri=AFTER_LOGOUT)
    assert (answer.status_code, "location" in answer.headers) == (400, False)


def test_logout_with_the_hint_of_another_session_asks_first(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    theirs = tokens(keycloak, browser, person)
    with Browser(keycloak) as mine:
        own = tokens(keycloak, mine, keycloak.person())
        answer = mine.log_out(id_token_hint=theirs["id_token"], post_logout_redirect_uri=AFTER_LOGOUT)
    assert answer.status_code == 200
    assert keycloak.refresh(theirs["refresh_token"]).status_code == 200
    assert keycloak.refresh(own["refresh_token"]).status_code == 200


def test_logout_by_refresh_token_ends_the_session_and_may_be_repeated(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    held = tokens(keycloak, browser, person)
    for _ in range(2):
        form = {"refresh_token": held["refresh_token"]}
        assert keycloak.http.post(f"{keycloak.endpoint}/logout", data=form, auth=BRIDGE).status_code == 204
    assert refused(keycloak.refresh(held["refresh_token"]), "Session not active")


def test_revoking_the_refresh_token_of_the_only_client_ends_the_session(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    """RFC 7009, section 2.2."""
    held = tokens(keycloak, browser, person)
    answer = revoke(keycloak, held["refresh_token"])
    assert (answer.status_code, answer.content) == (200, b"")
    assert refused(keycloak.refresh(held["refresh_token"]), "Session not active")
    assert browser.authorize(prompt="none").params["error"] == "login_required"


def test_revoking_one_clients_refresh_token_leaves_the_other_client(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    web = tokens(keycloak, browser, person)
    visit = browser.authorize(client_id="demo-app", redirect_uri="http://127.0.0.1:49152/callback")
    app = keycloak.token({**visit.form, "client_id": "demo-app"}, None).json()
    form = {"token": app["refresh_token"], "client_id": "demo-app"}
    assert keycloak.http.post(f"{keycloak.endpoint}/revoke", data=form).status_code == 200
    assert keycloak.refresh(web["refresh_token"]).status_code == 200


def test_revoking_nonsense_answers_200(keycloak: Keycloak) -> None:
    assert revoke(keycloak, secrets.token_urlsafe()).status_code == 200
