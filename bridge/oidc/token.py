"""The token request for a code and its answer (OpenID Connect Core 1.0 section 3.1.3, RFC 6749 section 4.1.3)."""

from base64 import b64encode
from urllib.parse import quote_plus

from bridge.errors import TokenResponseRefused
from bridge.model import KeycloakTokens
from bridge.oidc.authorization import CheckedCode

LONGEST_TOKEN = 100_000
LONGEST_LIFE_SECONDS = 2**31


def build_client_authorization(client_id: str, client_secret: str) -> str:
    """Return the header of client_secret_basic; both parts are form-encoded first (RFC 6749 section 2.3.1)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return "Basic " + b64encode(pair.encode()).decode()


def build_code_request(code: CheckedCode, *, redirect_uri: str, code_verifier: str) -> dict[str, str]:
    """Return the form fields that exchange a code (RFC 6749 section 4.1.3, RFC 7636 section 4.5)."""
    return {
        "grant_type": "authorization_code",
        "code": code.value,
        "redirect_uri": redirect_uri,
        "code_verifier": code_verifier,
    }


def check_token_answer(status: int, body: object) -> KeycloakTokens:
    """Check the answer of the token endpoint; one without an ID token is no login.

    `token_type` is compared without regard to case and `expires_in` may be missing (RFC 6749 section 5.1).

    Raises:
        TokenResponseRefused: any other answer. The evidence holds the error's name, never a token.
    """
    if not isinstance(body, dict):
        raise TokenResponseRefused(evidence={"status": status, "body": "no JSON object"})
    if status != 200:  # noqa: PLR2004 - RFC 6749 section 5.1
        raise TokenResponseRefused(
            hint=_hint(body.get("error")),
            evidence={
                "status": status,
                "error": body.get("error"),
                "error_description": body.get("error_description"),
            },
        )
    token_type = body.get("token_type")
    if not isinstance(token_type, str) or token_type.lower() != "bearer":
        raise TokenResponseRefused(evidence={"token_type": token_type})
    life = body.get("refresh_expires_in")
    return KeycloakTokens(
        access_token=_token(body, "access_token"),
        id_token=_token(body, "id_token"),
        refresh_token=_token(body, "refresh_token") if body.get("refresh_token") is not None else None,
        refresh_expires_in=life if type(life) is int and 0 < life < LONGEST_LIFE_SECONDS else None,
    )


def _token(body: dict[str, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TOKEN or not value.isascii():
        raise TokenResponseRefused(evidence={"missing": name})
    return value


def _hint(error: object) -> str | None:
    if error in ("invalid_client", "unauthorized_client"):
        return "Keycloak refuses the client: see client_id and client_secret of the package (keycloak-bridge check)."
    return None
