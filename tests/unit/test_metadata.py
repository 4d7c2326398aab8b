"""The provider's discovery document (OpenID Connect Discovery 1.0)."""

import pytest

from bridge.errors import KeycloakAnswerInvalid
from bridge.oidc.metadata import ProviderMetadata, build_metadata_url, check_metadata

ISSUER = "https://keycloak.example.com/realms/staff"
REQUIRED = ["authorization_endpoint", "token_endpoint", "jwks_uri"]
OPTIONAL = ["end_session_endpoint"]
MESSAGE = "The sign-in service answered something that cannot be read. Please try again later."


def document(**changes: object) -> dict[str, object]:
    """Give a good discovery document, changed; `...` takes a member away."""
    members: dict[str, object] = {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/auth",
        "token_endpoint": f"{ISSUER}/token",
        "jwks_uri": f"{ISSUER}/certs",
        "end_session_endpoint": f"{ISSUER}/logout",
        "code_challenge_methods_supported": ["plain", "S256"],
        "authorization_response_iss_parameter_supported": True,
        **changes,
    }
    return {name: value for name, value in members.items() if value is not ...}


def refusal(found: object, *, issuer: str = ISSUER) -> KeycloakAnswerInvalid:
    """Return the error of a document that is refused."""
    with pytest.raises(KeycloakAnswerInvalid) as caught:
        check_metadata(found, issuer=issuer)
    assert caught.value.code == "keycloak_answer_invalid"
    assert caught.value.message == MESSAGE
    return caught.value


def test_metadata_holds_what_a_sign_in_needs() -> None:
    """oidcc-client-test-discovery-openid-config."""
    assert check_metadata(document(unknown=1), issuer=ISSUER) == ProviderMetadata(
        issuer=ISSUER,
        authorization_endpoint=f"{ISSUER}/auth",
        token_endpoint=f"{ISSUER}/token",
        jwks_uri=f"{ISSUER}/certs",
        end_session_endpoint=f"{ISSUER}/logout",
        iss_parameter_supported=True,
    )


def test_metadata_lies_below_the_issuer() -> None:
    """Discovery 4: the path is appended to the issuer."""
    assert build_metadata_url(ISSUER) == f"{ISSUER}/.well-known/openid-configuration"


@pytest.mark.parametrize("found", [None, [], "text", 5, [document()]])
def test_document_that_is_no_json_object_is_refused(found: object) -> None:
    """F5, V31: an array or an HTML page is no discovery document."""
    assert refusal(found).evidence == {"discovery": "no JSON object"}


@pytest.mark.parametrize(
    "issuer", [ISSUER + "/", ISSUER[:-1], ISSUER.upper(), "https://evil.example", None, [ISSUER], ...]
)
def test_document_of_another_issuer_is_refused(issuer: object) -> None:
    """A15, F10; oidcc-client-test-discovery-issuer-mismatch (Discovery 4.3)."""
    error = refusal(document(issuer=issuer))
    assert error.evidence == {"expected_issuer": ISSUER, "found_issuer": None if issuer is ... else issuer}
    assert error.hint is not None
    assert "hostname" in error.hint


@pytest.mark.parametrize("methods", [["plain"], [], "S256", {"S256": True}, None, ..., [["S256"]]])
def test_provider_without_s256_is_refused(methods: object) -> None:
    """A5: no sign-in is begun without PKCE (RFC 9700 2.1.1)."""
    error = refusal(document(code_challenge_methods_supported=methods))
    assert error.evidence == {"code_challenge_methods_supported": None if methods is ... else methods}
    assert error.hint == "The provider does not offer PKCE with S256, and no sign-in is begun without it."


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("http://keycloak.example.com/x", id="http below an https issuer"),
        pytest.param("javascript:alert(1)", id="javascript"),
        pytest.param("//keycloak.example.com/x", id="no scheme"),
        pytest.param("/auth", id="path alone"),
        pytest.param("https:///auth", id="no host"),
        pytest.param("https://[::1/auth", id="unterminated IPv6 address"),
        pytest.param("", id="empty"),
        pytest.param(5, id="number"),
        pytest.param(["https://keycloak.example.com/x"], id="array"),
    ],
)
@pytest.mark.parametrize("name", REQUIRED + OPTIONAL)
def test_endpoint_that_is_no_https_address_is_refused(name: str, address: object) -> None:
    """C16, V4: addresses come from the provider over https, and one that cannot be read is no crash."""
    error = refusal(document(**{name: address}))
    assert error.evidence == {"discovery": name, "found": address, "expected_schemes": ("https",)}


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [..., None])
def test_required_endpoint_that_is_missing_is_refused(name: str, value: object) -> None:
    """Discovery 3: these three are required."""
    assert refusal(document(**{name: value})).evidence["discovery"] == name


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.parametrize("value", [..., None])
def test_optional_endpoint_may_be_missing(name: str, value: object) -> None:
    assert getattr(check_metadata(document(**{name: value}), issuer=ISSUER), name) is None


def test_http_endpoints_are_allowed_below_an_http_issuer() -> None:
    """C16: a Keycloak on this machine, for tests and for a first try."""
    issuer = "http://localhost:8180/realms/staff"
    found = document(issuer=issuer, token_endpoint="http://localhost:8180/token")
    metadata = check_metadata(found, issuer=issuer)
    assert metadata.token_endpoint == "http://localhost:8180/token"
    assert metadata.jwks_uri == f"{ISSUER}/certs"
    error = refusal({**found, "jwks_uri": "ftp://localhost/certs"}, issuer=issuer)
    assert error.evidence["expected_schemes"] == ("https", "http")


@pytest.mark.parametrize("value", [..., False, None, "true", 1])
def test_issuer_in_answers_is_expected_only_when_advertised(value: object) -> None:
    """A6: only JSON true advertises it (RFC 9207 3)."""
    found = document(authorization_response_iss_parameter_supported=value)
    assert check_metadata(found, issuer=ISSUER).iss_parameter_supported is False
