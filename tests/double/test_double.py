"""What the double offers beyond Keycloak: faults, holds, keys, stopping, counting."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator

import httpx
import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError
from joserfc.jwk import KeySet

from tests.double import KeycloakDouble

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
CALLBACK = "http://127.0.0.1:8000/callback/demo"


@pytest.fixture
def double() -> Iterator[KeycloakDouble]:
    with KeycloakDouble() as double:
        double.realm.add_user("alice", email="alice@example.com", first_name="Alice", last_name="Example")
        double.sign_in_as("alice")
        yield double


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=5, trust_env=False) as http:
        yield http


def authorize(double: KeycloakDouble, http: httpx.Client, **changes: str) -> dict[str, str]:
    asked = {"client_id": "bridge", "redirect_uri": CALLBACK, "response_type": "code", "scope": "openid", "state": "s"}
    asked |= {"nonce": "n", "code_challenge": CHALLENGE, "code_challenge_method": "S256", **changes}
    answer = http.get(f"{double.issuer}/protocol/openid-connect/auth", params=asked)
    assert answer.status_code == 302, answer.text
    return dict(httpx.URL(answer.headers["location"]).params)


def exchange(double: KeycloakDouble, http: httpx.Client, code: str) -> httpx.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    auth = ("bridge", "bridge-demo-secret")
    return http.post(f"{double.issuer}/protocol/openid-connect/token", data=form, auth=auth)


def log_in(double: KeycloakDouble, http: httpx.Client) -> httpx.Response:
    return exchange(double, http, authorize(double, http)["code"])


def discovery(double: KeycloakDouble, http: httpx.Client) -> httpx.Response:
    return http.get(f"{double.issuer}/.well-known/openid-configuration")


def claims(token: str, part: int = 1) -> dict[str, object]:
    segment = token.split(".")[part]
    decoded: dict[str, object] = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return decoded


def published(double: KeycloakDouble, http: httpx.Client) -> KeySet:
    return KeySet.import_key_set(http.get(f"{double.issuer}/protocol/openid-connect/certs").json())


# Faults of one answer


def test_a_status_is_answered_as_often_as_ordered_and_nothing_is_done(
    double: KeycloakDouble, http: httpx.Client
) -> None:
    double.faults.status("token", 429, headers={"Retry-After": "1"}, times=1)
    code = authorize(double, http)["code"]
    answer = exchange(double, http, code)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert exchange(double, http, code).status_code == 200


def test_a_reset_after_the_request_was_read_leaves_the_work_done(double: KeycloakDouble, http: httpx.Client) -> None:
    double.faults.reset("token", times=1)
    code = authorize(double, http)["code"]
    with pytest.raises(httpx.ReadError):
        exchange(double, http, code)
    assert exchange(double, http, code).json()["error_description"] == "Code not valid"
    assert double.count("POST", "/token") == 2


def test_cut_json_is_a_whole_answer_with_half_a_body(double: KeycloakDouble, http: httpx.Client) -> None:
    double.faults.cut_json("openid-configuration", times=1)
    answer = discovery(double, http)
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert discovery(double, http).json()["issuer"] == double.issuer


def test_a_cut_connection_breaks_within_the_body(double: KeycloakDouble, http: httpx.Client) -> None:
    double.faults.cut_connection("openid-configuration", times=1)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        discovery(double, http)


def test_html_and_another_type_come_instead_of_an_object(double: KeycloakDouble, http: httpx.Client) -> None:
    double.faults.html("openid-configuration", times=1)
    double.faults.non_object("openid-configuration", body="[]", times=1)
    assert discovery(double, http).text.startswith("<!doctype html>")
    assert discovery(double, http).json() == []


def test_latency_outlasts_a_reader_without_patience(double: KeycloakDouble, http: httpx.Client) -> None:
    double.faults.latency("openid-configuration", 30, times=1)
    with pytest.raises(httpx.ReadTimeout):
        http.get(f"{double.issuer}/.well-known/openid-configuration", timeout=0.2)
    assert discovery(double, http).status_code == 200


def test_a_drip_never_times_out_one_read(double: KeycloakDouble, http: httpx.Client) -> None:
    double.faults.drip("certs", seconds_a_byte=0.01, times=1)
    url = f"{double.issuer}/protocol/openid-connect/certs"
    with http.stream("GET", url, timeout=2) as answer:
        assert next(answer.iter_raw()) == b"{"


def test_a_huge_body_is_as_long_as_ordered(double: KeycloakDouble, http: httpx.Client) -> None:
    double.faults.huge("openid-configuration", megabytes=3, times=1)
    assert len(discovery(double, http).content) == 3 * 2**20 + 2


def test_a_held_answer_waits_for_its_release(double: KeycloakDouble, http: httpx.Client) -> None:
    held = double.faults.hold("token")
    code = authorize(double, http)["code"]
    answers: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(exchange(double, http, code)))
    waiting.start()
    held.wait_for_arrival()
    assert answers == []
    held.release()
    waiting.join(5)
    assert [answer.status_code for answer in answers] == [200]


def test_cleared_faults_are_gone(double: KeycloakDouble, http: httpx.Client) -> None:
    double.faults.status("*", 503)
    double.faults.discovery({"issuer": "http://other"})
    assert discovery(double, http).status_code == 503
    double.faults.clear()
    assert discovery(double, http).json()["issuer"] == double.issuer


def test_a_stopped_double_refuses_and_starts_again_on_its_port(double: KeycloakDouble, http: httpx.Client) -> None:
    before = double.url
    assert discovery(double, http).status_code == 200
    double.stop()
    with httpx.Client(trust_env=False) as fresh, pytest.raises(httpx.ConnectError):
        discovery(double, fresh)
    double.start()
    assert (double.url, discovery(double, http).status_code) == (before, 200)


# Changes of right answers


def test_claims_are_changed_and_removed_and_the_signature_is_right(double: KeycloakDouble, http: httpx.Client) -> None:
    double.faults.id_token({"aud": "other", "sub": None}, header={"typ": "odd"}, times=1)
    token = log_in(double, http).json()["id_token"]
    changed = jwt.decode(token, published(double, http), algorithms=["RS256"])
    assert (changed.claims["aud"], "sub" in changed.claims, changed.header["typ"]) == ("other", False, "odd")
    assert claims(log_in(double, http).json()["id_token"])["aud"] == "bridge"


def test_claims_are_changed_by_a_function(double: KeycloakDouble, http: httpx.Client) -> None:
    double.faults.id_token(lambda old: {**old, "exp": int(str(old["iat"])) - 1})
    held = claims(log_in(double, http).json()["id_token"])
    assert int(str(held["exp"])) == int(str(held["iat"])) - 1


def test_the_signature_is_wrong_in_each_ordered_way(double: KeycloakDouble, http: httpx.Client) -> None:
    double.faults.id_token(signing="none", times=1)
    double.faults.id_token(signing="HS256", times=1)
    double.faults.id_token(signing="other_key", times=1)
    double.faults.id_token(signing="unknown_kid", times=1)
    none, symmetric, other, unknown = (log_in(double, http).json()["id_token"] for _ in range(4))
    kid = claims(log_in(double, http).json()["id_token"], 0)["kid"]
    assert (claims(none, 0)["alg"], none.endswith(".")) == ("none", True)
    assert claims(symmetric, 0) == {"alg": "HS256", "typ": "JWT", "kid": kid}
    assert claims(other, 0)["kid"] == kid
    assert claims(unknown, 0)["kid"] != kid
    with pytest.raises(BadSignatureError):
        jwt.decode(other, published(double, http), algorithms=["RS256"])


def test_the_id_token_is_left_out_or_replaced(double: KeycloakDouble, http: httpx.Client) -> None:
    double.faults.id_token(omit=True, times=1)
    double.faults.id_token(raw="nonsense", times=1)
    assert "id_token" not in log_in(double, http).json()
    assert log_in(double, http).json()["id_token"] == "nonsense"


def test_the_authorization_answer_is_changed(double: KeycloakDouble, http: httpx.Client) -> None:
    double.faults.authorization({"iss": None}, times=1)
    double.faults.authorization({"code": None, "error": "temporarily_unavailable"}, times=1)
    assert "iss" not in authorize(double, http)
    assert authorize(double, http)["error"] == "temporarily_unavailable"


def test_rotated_keys_replace_the_old_ones_or_join_them(double: KeycloakDouble, http: httpx.Client) -> None:
    old = log_in(double, http).json()["id_token"]
    double.rotate_keys(keep_old=True)
    new = log_in(double, http).json()["id_token"]
    for token in (old, new):
        jwt.decode(token, published(double, http), algorithms=["RS256"])
    double.rotate_keys()
    with pytest.raises(InvalidKeyIdError):
        jwt.decode(old, published(double, http), algorithms=["RS256"])


# The browser, the clock, several realms


def test_a_cookie_jar_keeps_its_session_and_another_browser_has_its_own(
    double: KeycloakDouble, http: httpx.Client
) -> None:
    first, second = authorize(double, http), authorize(double, http)
    with httpx.Client(trust_env=False) as other:
        third = authorize(double, other)
    assert first["session_state"] == second["session_state"] != third["session_state"]


def test_somebody_signed_in_before_has_an_older_auth_time_than_somebody_who_types(
    double: KeycloakDouble, http: httpx.Client
) -> None:
    double.realm.clock.advance(100)
    before = claims(log_in(double, http).json()["id_token"])
    http.cookies.clear()
    double.sign_in_as("alice", types_password=True)
    typed = claims(log_in(double, http).json()["id_token"])
    assert (before["acr"], typed["acr"]) == ("0", "1")
    assert int(str(before["auth_time"])) <= int(str(before["iat"])) - 99
    assert int(str(typed["auth_time"])) >= int(str(before["iat"]))


def test_a_code_and_a_session_age_with_the_clock(double: KeycloakDouble, http: httpx.Client) -> None:
    code = authorize(double, http)["code"]
    double.realm.clock.advance(61)
    assert exchange(double, http, code).json()["error_description"] == "Code not valid"
    double.realm.add_session("alice", "bridge")
    assert len(double.realm.sessions.living()) == 2
    double.realm.clock.advance(1801)
    assert double.realm.sessions.living() == []


def test_a_second_realm_has_its_own_keys_and_people(double: KeycloakDouble, http: httpx.Client) -> None:
    other = double.add_realm("other")
    answer = http.get(f"{double.url}/realms/other/protocol/openid-connect/certs")
    assert answer.json() != http.get(f"{double.issuer}/protocol/openid-connect/certs").json()
    assert other.user("alice") is None


def test_requests_and_events_are_counted(double: KeycloakDouble, http: httpx.Client) -> None:
    log_in(double, http)
    (call,) = (one for one in double.requests if one.method == "POST")
    assert call.form["grant_type"] == "authorization_code"
    assert call.headers["authorization"].startswith("Basic ")
    assert [event["type"] for event in double.events] == ["LOGIN", "CODE_TO_TOKEN"]


def test_a_logout_token_has_the_claims_of_keycloak(double: KeycloakDouble, http: httpx.Client) -> None:
    token = double.logout_token(sub="u", sid="s", nonce="forbidden", sub_id=None)
    held = jwt.decode(token, published(double, http), algorithms=["RS256"])
    assert held.header["typ"] == "logout+jwt"
    assert set(held.claims) == {"iss", "aud", "sub", "sid", "iat", "exp", "jti", "events", "typ", "nonce"}
