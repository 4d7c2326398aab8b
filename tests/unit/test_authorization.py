"""The authorization request and its answer."""

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from bridge.errors import AnswerRefused, AuthorizationFailed, DuplicatedParameter
from bridge.oidc.authorization import (
    AuthorizationRequest,
    LoginHints,
    build_authorization_url,
    check_authorization_answer,
    check_parameters,
)
from bridge.oidc.metadata import ProviderMetadata

ISSUER = "https://keycloak.example.com/realms/staff"
METADATA = ProviderMetadata(
    issuer=ISSUER,
    authorization_endpoint=f"{ISSUER}/auth",
    token_endpoint=f"{ISSUER}/token",
    jwks_uri=f"{ISSUER}/certs",
    end_session_endpoint=None,
    iss_parameter_supported=True,
)
WITHOUT_ISS = replace(METADATA, iss_parameter_supported=False)
# The verifier and its challenge of RFC 7636 appendix B.
REQUEST = AuthorizationRequest("state-1", "nonce-1", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
TRICKY = "a&b=c+d %2F#e?é✓\r\n"


def build(metadata: ProviderMetadata = METADATA, *, hints: LoginHints | None = None, text: str = "text") -> str:
    return build_authorization_url(
        metadata,
        replace(REQUEST, state=text, nonce=text),
        client_id=text,
        redirect_uri=f"https://sso.example.com/callback/{text}",
        scopes=["openid", "profile"],
        hints=hints or LoginHints(),
    )


def parameters_of(url: str) -> dict[str, str]:
    """Read a query as the provider does; no parameter may stand there twice."""
    return check_parameters(parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True))


def test_request_asks_for_a_code_with_state_nonce_and_s256() -> None:
    """A1, A2, A5 (Core 3.1.2.1, RFC 7636 4.3)."""
    url = build()
    assert url.startswith(f"{ISSUER}/auth?")
    assert parameters_of(url) == {
        "response_type": "code",
        "client_id": "text",
        "redirect_uri": "https://sso.example.com/callback/text",
        "scope": "openid profile",
        "state": "text",
        "nonce": "text",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }


@pytest.mark.parametrize("text", [TRICKY, "a&prompt=none", "x#y", "“quoted”", ""])
def test_every_parameter_arrives_as_it_was_given(text: str) -> None:
    """V15: no value can add a parameter, end the query or break the line."""
    url = build(hints=LoginHints(login_hint=text, ui_locales=text, prompt=text), text=text)
    found = parameters_of(url)
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    assert {found[name] for name in ("client_id", "state", "nonce", "login_hint", "ui_locales", "prompt")} == {text}
    assert found["redirect_uri"] == f"https://sso.example.com/callback/{text}"
    assert urlsplit(url).fragment == ""


@pytest.mark.parametrize("max_age", [0, 300])
def test_hints_are_passed_on(max_age: int) -> None:
    """C10: max_age=0 is a wish, not nothing (Core 3.1.2.1)."""
    found = parameters_of(build(hints=LoginHints("login", "alice", "de en", max_age)))
    wishes = {name: found[name] for name in ("prompt", "login_hint", "ui_locales", "max_age")}
    assert wishes == {"prompt": "login", "login_hint": "alice", "ui_locales": "de en", "max_age": str(max_age)}


def test_query_of_the_endpoint_itself_is_kept() -> None:
    """RFC 6749 3.1: the endpoint may have a query, which must be retained."""
    found = parameters_of(build(replace(METADATA, authorization_endpoint=f"{ISSUER}/auth?tenant=a%26b")))
    assert found["tenant"] == "a&b"
    assert found["response_type"] == "code"


def test_secrets_of_a_request_never_show() -> None:
    """K1: state, nonce and verifier are in no log by way of a repr."""
    shown = repr(REQUEST) + repr(check_authorization_answer({"code": "code-1", "iss": ISSUER}, METADATA))
    assert not any(secret in shown for secret in ("state-1", "nonce-1", "dBjftJeZ", "code-1"))


@pytest.mark.parametrize("name", ["code", "state", "iss", "error", "anything"])
@pytest.mark.parametrize("second", ["a", "b", ""])
def test_parameter_given_twice_is_refused(name: str, second: str) -> None:
    """A9: the same value twice is no better (RFC 6749 3.1)."""
    with pytest.raises(DuplicatedParameter, match="same parameter twice") as caught:
        check_parameters([("first", "1"), (name, "a"), (name, second)])
    assert caught.value.code == "duplicated_parameter"
    assert caught.value.evidence == {"parameter": name}


def test_evidence_of_a_duplicated_parameter_is_short() -> None:
    with pytest.raises(DuplicatedParameter) as caught:
        check_parameters([("n" * 5000, ""), ("n" * 5000, "")])
    assert caught.value.evidence == {"parameter": "n" * 100}


def test_parameters_given_once_are_returned_by_name() -> None:
    assert check_parameters([("a", "1"), ("A", "2"), ("b", "")]) == {"a": "1", "A": "2", "b": ""}
    assert check_parameters([]) == {}


@pytest.mark.parametrize(
    ("iss", "metadata"),
    [
        pytest.param("https://keycloak.example.com/realms/other", METADATA, id="other"),
        pytest.param("https://keycloak.example.com/realms/other", WITHOUT_ISS, id="other, not advertised"),
        pytest.param(ISSUER + "/", METADATA, id="trailing slash"),
        pytest.param(ISSUER.upper(), METADATA, id="case"),
        pytest.param("", METADATA, id="empty"),
        pytest.param("", WITHOUT_ISS, id="empty, not advertised"),
        pytest.param(None, METADATA, id="missing although advertised"),
    ],
)
@pytest.mark.parametrize("answer", [{"code": "c"}, {"error": "access_denied"}, {}])
def test_answer_of_another_issuer_is_refused(
    iss: str | None, metadata: ProviderMetadata, answer: dict[str, str]
) -> None:
    """A6, V11; fapi2 remove- and invalid-authorization-response-iss: on errors too (RFC 9207 2.4)."""
    parameters = answer if iss is None else {**answer, "iss": iss}
    with pytest.raises(AnswerRefused, match="does not belong to this sign-in") as caught:
        check_authorization_answer(parameters, metadata)
    assert caught.value.code == "answer_refused"
    assert caught.value.evidence == {"expected_iss": ISSUER, "found_iss": iss}


@pytest.mark.parametrize(
    ("parameters", "metadata"),
    [({"iss": ISSUER}, METADATA), ({"iss": ISSUER}, WITHOUT_ISS), ({}, WITHOUT_ISS)],
)
@pytest.mark.parametrize("code", ["c", "c" * 4096])
def test_code_of_the_right_issuer_is_accepted(
    parameters: dict[str, str], metadata: ProviderMetadata, code: str
) -> None:
    """A6: without the advertisement the parameter may be missing (RFC 9207 2.4)."""
    assert check_authorization_answer({**parameters, "code": code, "state": "s"}, metadata).value == code


@pytest.mark.parametrize("answer", [{}, {"code": ""}, {"code": "c" * 4097}, {"error": ""}])
def test_answer_without_a_usable_code_is_refused(answer: dict[str, str]) -> None:
    """V13: an answer moved to the fragment arrives without a code."""
    with pytest.raises(AnswerRefused, match="does not belong to this sign-in") as caught:
        check_authorization_answer({"iss": ISSUER, **answer}, METADATA)
    assert caught.value.code == "answer_refused"
    assert caught.value.evidence == {"missing": "code"}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("access_denied", "The sign-in was cancelled. You can start again from your application."),
        (
            "login_required",
            "The sign-in service wants you to sign in again. Please start again from your application.",
        ),
        ("server_error", "The sign-in service ended the sign-in. Please start again from your application."),
        ("<script>", "The sign-in service ended the sign-in. Please start again from your application."),
    ],
)
@pytest.mark.parametrize("beside", [{}, {"code": "c"}])
def test_error_answer_says_what_to_do_and_reflects_nothing(error: str, message: str, beside: dict[str, str]) -> None:
    """A10, V6: an error beats a code, and its text is for the log alone (Core 3.1.2.6)."""
    answer = {"iss": ISSUER, "error": error, "error_description": "<b>why</b>", **beside}
    with pytest.raises(AuthorizationFailed) as caught:
        check_authorization_answer(answer, METADATA)
    assert caught.value.code == "authorization_failed"
    assert caught.value.message == message
    assert caught.value.evidence == {"error": error, "error_description": "<b>why</b>"}


def test_error_answer_may_lack_a_description() -> None:
    with pytest.raises(AuthorizationFailed) as caught:
        check_authorization_answer({"error": "invalid_request"}, WITHOUT_ISS)
    assert caught.value.evidence == {"error": "invalid_request", "error_description": None}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"error": "temporarily_unavailable"}, True),
        ({"error": "temporarily_unavailable", "error_description": "authentication_expired"}, True),
        ({"error": "server_error", "error_description": "authentication_expired"}, True),
        ({"error": "access_denied"}, False),
        ({"error": "access_denied", "error_description": ""}, False),
        ({}, False),
    ],
)
def test_only_an_expired_authentication_is_transient(answer: dict[str, str], expected: bool) -> None:  # noqa: FBT001 - a table
    with pytest.raises(AuthorizationFailed) as refused:
        check_authorization_answer({"error": "other", "iss": ISSUER, **answer}, METADATA)
    assert (refused.value.code == "login_timed_out") is expected
