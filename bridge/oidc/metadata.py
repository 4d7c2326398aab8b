"""The provider's metadata (OpenID Connect Discovery 1.0 section 3, RFC 8414 section 2)."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from bridge.errors import KeycloakAnswerInvalid

WELL_KNOWN = "/.well-known/openid-configuration"


@dataclass(frozen=True)
class ProviderMetadata:
    """What a sign-in needs to know of the provider; every address has been checked."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None
    iss_parameter_supported: bool


def build_metadata_url(issuer: str) -> str:
    """Return where the discovery document of an issuer lies (OpenID Connect Discovery 1.0 section 4)."""
    return issuer + WELL_KNOWN


def check_metadata(document: object, *, issuer: str) -> ProviderMetadata:
    """Check a discovery document and return what a sign-in needs of it.

    The issuer must be ours to the character (Discovery section 4.3), endpoints must be https unless the issuer itself
    is not, and PKCE with S256 must be offered (RFC 9700 section 2.1.1).

    Raises:
        KeycloakAnswerInvalid: naming what is wrong and what was found.
    """
    if not isinstance(document, dict):
        raise KeycloakAnswerInvalid(evidence={"discovery": "no JSON object"})
    if document.get("issuer") != issuer:
        raise KeycloakAnswerInvalid(
            hint="The issuer in the configuration must be spelled as Keycloak's discovery document spells it; "
            "look at Keycloak's hostname option when the two differ.",
            evidence={"expected_issuer": issuer, "found_issuer": document.get("issuer")},
        )
    methods = document.get("code_challenge_methods_supported")
    if not isinstance(methods, list) or "S256" not in methods:
        raise KeycloakAnswerInvalid(
            hint="The provider does not offer PKCE with S256, and no sign-in is begun without it.",
            evidence={"code_challenge_methods_supported": methods},
        )
    return ProviderMetadata(
        issuer=issuer,
        authorization_endpoint=_endpoint(document, "authorization_endpoint", issuer),
        token_endpoint=_endpoint(document, "token_endpoint", issuer),
        jwks_uri=_endpoint(document, "jwks_uri", issuer),
        end_session_endpoint=_endpoint(document, "end_session_endpoint", issuer, optional=True) or None,
        iss_parameter_supported=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(document: dict[str, object], name: str, issuer: str, *, optional: bool = False) -> str:
    value = document.get(name)
    if value is None and optional:
        return ""
    schemes = ("https",) if urlsplit(issuer).scheme == "https" else ("https", "http")
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
    except ValueError:  # an unterminated IPv6 address, for example
        parts = None
    if not isinstance(value, str) or parts is None or parts.scheme not in schemes or not parts.hostname:
        raise KeycloakAnswerInvalid(evidence={"discovery": name, "found": value, "expected_schemes": schemes})
    return value
