"""Logging in: discovery, codes, tokens, refresh, logout."""

from __future__ import annotations

import base64
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.contract.answers import refused, segment, tokens
from tests.contract.browser import Browser
from tests.contract.servers import AFTER_LOGOUT, BRIDGE, CALLBACK, SYNC, Keycloak, Person

APP_CALLBACK = "http://127.0.0.1:49152/callback"
SID = r"[A-Za-z0-9_-]{24}"


# Discovery and keys


def test_discovery_names_what_the_product_reads(keycloak: Keycloak) -> None:
    document = keycloak.http.get(f"{keycloak.issuer}/.well-known/openid-configuration").json()
    assert document["issuer"] == keycloak.issuer
    endpoints = {"authorization": "auth", "token": "token", "userinfo": "userinfo", "revocation": "revoke"}
    for name, path in {**endpoints, "end_session": "logout"}.items():
        assert document[f"{name}_endpoint"] == f"{keycloak.endpoint}/{path}"
    assert document["jwks_uri"] == f"{keycloak.endpoint}/certs"
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["backchannel_logout_session_supported"] is True
    assert "S256" in document["code_challenge_methods_supported"]
    assert "RS256" in document["id_token_signing_alg_values_supported"]
    assert {"client_secret_basic", "client_secret_post"} <= set(document["token_endpoint_auth_methods_supported"])


def test_discovery_of_an_unknown_realm_is_a_404_of_its_own(keycloak: Keycloak) -> None:
    answer = keycloak.http.get(f"{keycloak.url}/realms/nowhere/.well-known/openid-configuration")
    assert (answer.status_code, answer.json()) == (404, {"error": "Realm does not exist"})


def test_the_keys_hold_an_encryption_key_beside_the_signing_key(keycloak: Keycloak) -> None:
    keys = keycloak.http.get(f"{keycloak.endpoint}/certs").json()["keys"]
    assert {(key["use"], key["alg"], key["kty"]) for key in keys} == {
        ("sig", "RS256", "RSA"),
        ("enc", "RSA-OAEP", "RSA"),
    }


# Authorization


def test_a_login_answers_state_session_state_iss_and_code_in_this_order(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    params = browser.log_in(person).params
    assert list(params) == ["state", "session_state", "iss", "code"]
    assert (params["state"], params["iss"]) == ("state-1", keycloak.issuer)
    assert re.fullmatch(SID, params["session_state"])
    uuid = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    assert re.fullmatch(rf"{uuid}\.{re.escape(params['session_state'])}\.{uuid}", params["code"])


def test_a_second_login_needs_no_form_and_keeps_the_session(browser: Browser, person: Person) -> None:
    first, second = browser.log_in(person).params, browser.authorize().params
    assert second["session_state"] == first["session_state"]
    assert second["code"] != first["code"]


def test_a_wrong_password_shows_the_form_again(browser: Browser, person: Person) -> None:
    visit = browser.log_in(person, password="wrong")
    assert visit.answer.status_code == 200
    assert 'id="username"' in visit.answer.text
    assert browser.submit(visit.answer, person).status_code == 302


def test_prompt_login_asks_again_and_renews_the_same_session(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    first = segment(tokens(keycloak, browser, person)["id_token"], 1)
    keycloak.token(browser.authorize().form)
    visit = browser.log_in(person, prompt="login")
    second = segment(keycloak.token(visit.form).json()["id_token"], 1)
    assert (second["sid"], second["acr"]) == (first["sid"], "1")
    assert int(str(second["auth_time"])) >= int(str(first["auth_time"]))


@pytest.mark.parametrize(
    ("changes", "error", "description"),
    [
        ({"prompt": "none"}, "login_required", None),
        ({"response_type": "nonsense"}, "unsupported_response_type", None),
        ({"response_type": None}, "invalid_request", "Missing parameter: response_type"),
        ({"code_challenge": None}, "invalid_request", "Missing parameter: code_challenge"),
        ({"code_challenge_method": None}, "invalid_request", "Missing parameter: code_challenge_method"),
        ({"code_challenge": "short"}, "invalid_request", "Invalid parameter: code_challenge"),
        (
            {"code_challenge_method": "plain"},
            "invalid_request",
            "Invalid parameter: code challenge method is not matching the configured one",
        ),
    ],
)
def test_errors_come_back_with_state_and_iss(
    keycloak: Keycloak, browser: Browser, changes: dict[str, str | None], error: str, description: str | None
) -> None:
    expected = {"error": error, "state": "state-1", "iss": keycloak.issuer}
    if description is not None:
        expected["error_description"] = description
    assert browser.authorize(**changes).params == expected


@pytest.mark.parametrize("changes", [{"client_id": "nobody"}, {"redirect_uri": "http://evil.example/"}])
def test_an_unknown_client_or_redirect_uri_is_never_redirected(browser: Browser, changes: dict[str, str]) -> None:
    answer = browser.authorize(**changes).answer
    assert (answer.status_code, "location" in answer.headers) == (400, False)


# Code exchange


def test_the_token_answer_has_these_members(keycloak: Keycloak, browser: Browser, person: Person) -> None:
    visit = browser.log_in(person)
    answer = keycloak.token(visit.form)
    assert answer.headers["cache-control"] == "no-store"
    held = answer.json()
    names = {"access_token", "expires_in", "refresh_expires_in", "refresh_token", "token_type", "not-before-policy"}
    assert set(held) == names | {"session_state", "scope", "id_token"}
    assert (held["token_type"], held["expires_in"], held["refresh_expires_in"]) == ("Bearer", 300, 1800)
    assert held["session_state"] == visit.params["session_state"]
    assert set(held["scope"].split()) == {"openid", "email", "profile"}


def test_the_id_token_is_signed_by_the_published_key_and_has_these_claims(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    """No groups, attributes or amr: absent means unknown to the product, never empty."""
    held = tokens(keycloak, browser, person)
    header, claims = segment(held["id_token"], 0), segment(held["id_token"], 1)
    keys = keycloak.http.get(f"{keycloak.endpoint}/certs").json()["keys"]
    (key,) = (RSAKey.import_key(key) for key in keys if key["kid"] == header["kid"])
    assert jwt.decode(held["id_token"], key, algorithms=["RS256"]).claims == claims
    assert header == {"alg": "RS256", "typ": "JWT", "kid": header["kid"]}
    digest = hashlib.sha256(held["access_token"].encode()).digest()[:16]
    moments = {name: claims.pop(name) for name in ("exp", "iat", "auth_time")}
    assert all(isinstance(moment, int) for moment in moments.values())
    assert claims == {
        "iss": keycloak.issuer,
        "aud": "bridge",
        "azp": "bridge",
        "sub": person.id,
        "typ": "ID",
        "jti": claims["jti"],
        "nonce": "nonce-1",
        "sid": held["session_state"],
        "at_hash": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "acr": "1",
        "email_verified": True,
        "name": "Alice Example",
        "preferred_username": person.username,
        "given_name": "Alice",
        "family_name": "Example",
        "email": f"{person.username}@example.com",
    }


def test_a_login_by_an_existing_session_says_acr_0_and_the_old_auth_time(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    first = segment(tokens(keycloak, browser, person)["id_token"], 1)
    second = segment(keycloak.token(browser.authorize().form).json()["id_token"], 1)
    assert (second["acr"], second["auth_time"], second["sid"]) == ("0", first["auth_time"], first["sid"])


def test_without_scope_openid_there_is_no_id_token(keycloak: Keycloak, browser: Browser, person: Person) -> None:
    held = tokens(keycloak, browser, person, scope=None)
    assert "id_token" not in held
    assert keycloak.userinfo(held["access_token"]).status_code == 403


def test_the_access_and_refresh_tokens_are_jwts_of_these_kinds(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    held = tokens(keycloak, browser, person)
    access, refresh = segment(held["access_token"], 1), segment(held["refresh_token"], 1)
    assert (access["typ"], access["azp"], access["sid"]) == ("Bearer", "bridge", held["session_state"])
    assert segment(held["refresh_token"], 0)["alg"] == "HS512"
    assert (refresh["typ"], refresh["aud"], refresh["sid"]) == ("Refresh", keycloak.issuer, held["session_state"])
    assert int(str(refresh["exp"])) - int(str(refresh["iat"])) == 1800


def test_userinfo_gives_the_claims_of_the_person(keycloak: Keycloak, browser: Browser, person: Person) -> None:
    answer = keycloak.userinfo(tokens(keycloak, browser, person)["access_token"])
    assert (answer.status_code, answer.json()["sub"]) == (200, person.id)
    assert answer.json()["preferred_username"] == person.username


def test_a_second_exchange_is_refused_and_kills_the_tokens_of_the_first(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    """RFC 6749, section 4.1.2: and the browser's session survives, so that a fresh login needs no prompt."""
    visit = browser.log_in(person)
    first = keycloak.token(visit.form).json()
    assert keycloak.userinfo(first["access_token"]).status_code == 200
    assert refused(keycloak.token(visit.form), "Code not valid")
    dead = keycloak.userinfo(first["access_token"])
    assert dead.status_code == 401
    assert 'error_description="user_session_not_found"' in dead.headers["www-authenticate"]
    assert refused(keycloak.refresh(first["refresh_token"]), "Session doesn't have required client")
    again = keycloak.token(browser.authorize(prompt="none").form)
    assert again.status_code == 200
    assert keycloak.refresh(again.json()["refresh_token"]).status_code == 200


def test_of_eight_parallel_exchanges_one_wins(keycloak: Keycloak, browser: Browser, person: Person) -> None:
    form = browser.log_in(person).form
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: keycloak.token(form), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[400] * 7]
    assert all(refused(answer, "Code not valid") for answer in answers if answer.status_code == 400)


@pytest.mark.parametrize(
    ("change", "description"),
    [
        ({"code_verifier": "x" * 50}, "PKCE verification failed: Code mismatch"),
        ({"code_verifier": "short"}, "PKCE verification failed: Invalid code verifier"),
        ({"code_verifier": ""}, "PKCE verification failed: Invalid code verifier"),
        ({"redirect_uri": "http://127.0.0.1:8000/elsewhere"}, "Incorrect redirect_uri"),
    ],
)
def test_a_code_is_bound_to_verifier_and_redirect_uri_and_spent_by_a_wrong_one(
    keycloak: Keycloak, browser: Browser, person: Person, change: dict[str, str], description: str
) -> None:
    form = browser.log_in(person).form
    assert refused(keycloak.token({**form, **change}), description)
    assert refused(keycloak.token(form), "Code not valid")


def test_a_code_is_bound_to_its_client(keycloak: Keycloak, browser: Browser, person: Person) -> None:
    answer = keycloak.token(browser.log_in(person).form, SYNC)
    assert refused(answer, "Auth error: Found different client_id in clientSession")


def test_an_unknown_code_answers_as_a_used_one(keycloak: Keycloak) -> None:
    form = {"grant_type": "authorization_code", "code": "nonsense", "redirect_uri": CALLBACK}
    assert refused(keycloak.token({**form, "code_verifier": "x" * 50}), "Code not valid")


def test_a_code_of_an_ended_session_is_not_valid(keycloak: Keycloak, browser: Browser, person: Person) -> None:
    held = tokens(keycloak, browser, person)
    visit = browser.authorize()
    browser.log_out(id_token_hint=held["id_token"], post_logout_redirect_uri=AFTER_LOGOUT)
    assert refused(keycloak.token(visit.form), "Code not valid")


# Client authentication


def test_a_client_may_send_its_secret_in_the_form(keycloak: Keycloak, browser: Browser, person: Person) -> None:
    secret = {"client_id": BRIDGE[0], "client_secret": BRIDGE[1]}
    assert keycloak.token({**browser.log_in(person).form, **secret}, None).status_code == 200


@pytest.mark.parametrize(
    ("auth", "error"),
    [(("bridge", "wrong"), "unauthorized_client"), (("nobody", "wrong"), "invalid_client"), (None, "invalid_client")],
)
def test_a_wrong_client_is_a_401(keycloak: Keycloak, auth: tuple[str, str] | None, error: str) -> None:
    answer = keycloak.token({"grant_type": "client_credentials"}, auth)
    assert refused(answer, "Invalid client or Invalid client credentials", error=error, status=401)


def test_a_public_client_exchanges_without_a_secret_on_any_loopback_port(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    web = tokens(keycloak, browser, person)
    visit = browser.authorize(client_id="demo-app", redirect_uri=APP_CALLBACK)
    answer = keycloak.token({**visit.form, "client_id": "demo-app"}, None)
    assert (answer.status_code, answer.json()["session_state"]) == (200, web["session_state"])


def test_a_service_account_gets_no_refresh_token(keycloak: Keycloak) -> None:
    held = keycloak.token({"grant_type": "client_credentials"}, SYNC).json()
    assert (held["expires_in"], held["refresh_expires_in"]) == (300, 0)
    assert not {"refresh_token", "id_token", "session_state"} & set(held)


def test_a_repeated_parameter_is_refused(keycloak: Keycloak) -> None:
    body = "grant_type=client_credentials&grant_type=client_credentials"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = keycloak.http.post(f"{keycloak.endpoint}/token", content=body, headers=headers, auth=SYNC)
    assert refused(answer, "duplicated parameter", error="invalid_request")
