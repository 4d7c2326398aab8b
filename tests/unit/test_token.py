"""The token request for a code and its answer."""

from base64 import b64decode

import pytest

from bridge.errors import TokenResponseRefused
from bridge.model import KeycloakTokens
from bridge.oidc.authorization import CheckedCode
from bridge.oidc.token import build_client_authorization, build_code_request, check_token_answer

MESSAGE = "The sign-in service did not confirm this sign-in. Please start again from your application."


def answer(**changes: object) -> dict[str, object]:
    """Give a good answer of the token endpoint, changed; `...` takes a member away."""
    members: dict[str, object] = {
        "access_token": "access-1",
        "id_token": "id-1",
        "refresh_token": "refresh-1",
        "token_type": "Bearer",
        "expires_in": 300,
        "refresh_expires_in": 1800,
        **changes,
    }
    return {name: value for name, value in members.items() if value is not ...}


def refusal(body: object, *, status: int = 200) -> TokenResponseRefused:
    """Return the error of an answer that is refused, having checked that it holds no token."""
    with pytest.raises(TokenResponseRefused) as caught:
        check_token_answer(status, body)
    assert caught.value.code == "token_response_refused"
    assert caught.value.message == MESSAGE
    told = f"{caught.value.evidence} {caught.value.hint}"
    assert not any(secret in told for secret in ("access-1", "id-1", "refresh-1"))
    return caught.value


@pytest.mark.parametrize(
    ("client_id", "client_secret", "pair"),
    [
        ("bridge", "secret", "bridge:secret"),
        ("a:b", "c:d", "a%3Ab:c%3Ad"),
        ("my client", "p+q r&s=t/%", "my+client:p%2Bq+r%26s%3Dt%2F%25"),
        ("é", "✓", "%C3%A9:%E2%9C%93"),
    ],
)
def test_client_secret_basic_is_form_encoded_first(client_id: str, client_secret: str, pair: str) -> None:
    """A17; oidcc-client-test-client-secret-basic (RFC 6749 2.3.1)."""
    scheme, _, value = build_client_authorization(client_id, client_secret).partition(" ")
    assert scheme == "Basic"
    assert b64decode(value, validate=True).decode() == pair


def test_code_request_repeats_redirect_uri_and_verifier() -> None:
    """B2, B3 (RFC 6749 4.1.3, RFC 7636 4.5); the client secret is in the header alone."""
    uri = "https://sso.example.com/callback/staff"
    assert build_code_request(CheckedCode("code-1"), redirect_uri=uri, code_verifier="v") == {
        "grant_type": "authorization_code",
        "code": "code-1",
        "redirect_uri": uri,
        "code_verifier": "v",
    }


def test_answer_holds_the_tokens_and_never_shows_them() -> None:
    """K1: a repr in a log holds no token."""
    tokens = check_token_answer(200, answer(scope="openid", unknown={}))
    assert tokens == KeycloakTokens("access-1", "id-1", "refresh-1", 1800)
    assert not any(secret in repr(tokens) for secret in ("access-1", "id-1", "refresh-1"))


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_token_type_is_compared_without_case(token_type: str) -> None:
    """B4; fapi2 token-type-case-insensitivity (RFC 6749 5.1)."""
    assert check_token_answer(200, answer(token_type=token_type)).id_token == "id-1"


@pytest.mark.parametrize("token_type", ["mac", "DPoP", "Bearer ", "", 5, None, ["Bearer"], ...])
def test_other_token_type_is_refused(token_type: object) -> None:
    """B4: a token of a kind we do not know is none (RFC 6749 7.1)."""
    found = None if token_type is ... else token_type
    assert refusal(answer(token_type=token_type)).evidence == {"token_type": found}


@pytest.mark.parametrize("expires_in", [..., None, "300", -1, 1e300])
def test_expires_in_is_not_needed(expires_in: object) -> None:
    """B4; fapi2 token-endpoint-response-without-expires_in (RFC 6749 5.1)."""
    assert check_token_answer(200, answer(expires_in=expires_in)).access_token == "access-1"


@pytest.mark.parametrize("value", [..., None, "", 5, ["a"], {}, "t" * 100_001, "é", "\ud800"])
@pytest.mark.parametrize("name", ["access_token", "id_token"])
def test_answer_without_a_usable_token_is_refused(name: str, value: object) -> None:
    """B4: no ID token, no login (Core 3.1.3.3); tokens are ASCII (RFC 6749 A.12)."""
    assert refusal(answer(**{name: value})).evidence == {"missing": name}


@pytest.mark.parametrize("value", ["", 5, ["a"], "t" * 100_001, "é"])
def test_refresh_token_that_is_no_token_is_refused(value: object) -> None:
    assert refusal(answer(refresh_token=value)).evidence == {"missing": "refresh_token"}


@pytest.mark.parametrize("value", [..., None])
def test_refresh_token_may_be_missing(value: object) -> None:
    """RFC 6749 5.1: optional."""
    assert check_token_answer(200, answer(refresh_token=value)).refresh_token is None


def test_long_tokens_are_accepted() -> None:
    tokens = check_token_answer(200, answer(id_token="t" * 100_000))
    assert len(tokens.id_token) == 100_000


@pytest.mark.parametrize("value", [..., None, 0, -1, "1800", 1800.5, True, 1e300, 2**31, 10**40])
def test_life_of_a_refresh_token_that_makes_no_sense_counts_as_unknown(value: object) -> None:
    """V32: 0 is what Keycloak says of one without end; a giant would overflow the calendar."""
    assert check_token_answer(200, answer(refresh_expires_in=value)).refresh_expires_in is None


@pytest.mark.parametrize("body", [None, [], "<html>", 5, [answer()]])
@pytest.mark.parametrize("status", [200, 400, 502])
def test_answer_that_is_no_json_object_is_refused(body: object, status: int) -> None:
    """B4, F5: an HTML page is no answer, and its text is not logged."""
    assert refusal(body, status=status).evidence == {"status": status, "body": "no JSON object"}


@pytest.mark.parametrize("status", [400, 401, 403, 500, 201, 204, 302])
def test_other_status_is_refused_even_with_tokens(status: int) -> None:
    """F3 (RFC 6749 5.1: success is 200)."""
    error = refusal(answer(error="invalid_grant", error_description="Code not valid"), status=status)
    assert error.evidence == {"status": status, "error": "invalid_grant", "error_description": "Code not valid"}
    assert error.hint is None


@pytest.mark.parametrize("name", ["invalid_client", "unauthorized_client"])
def test_refused_client_gets_a_hint_for_the_operator(name: str) -> None:
    """K4: what to look at is for whoever configures, not for the person."""
    hint = refusal({"error": name}, status=401).hint
    assert (
        hint == "Keycloak refuses the client: see client_id and client_secret of the package (keycloak-bridge check)."
    )


@pytest.mark.parametrize("error", [None, 5, ["invalid_client"], {}])
def test_error_that_is_no_text_is_refused_like_any_other(error: object) -> None:
    assert refusal({"error": error}, status=400).evidence["error"] == error
