"""ID tokens for the tests: a good one, made with real keys, and every way to make one that is not."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache

import pytest
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

from bridge.errors import IdTokenRefused
from bridge.oidc.id_token import Expected, IdTokenClaims, verify_id_token
from bridge.oidc.keys import SigningKeys, check_jwks

ISSUER = "https://keycloak.example.com/realms/staff"
CLIENT_ID = "bridge"
NONCE = "nonce-of-this-sign-in"
ACCESS_TOKEN = "access-token"
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
EXPECTED = Expected(ISSUER, CLIENT_ID, NONCE)
MESSAGE = "The sign-in service sent a proof of identity that is not valid. You have not been signed in."

Key = RSAKey | ECKey
Claims = Mapping[str, object]


@cache
def rsa_key(kid: str = "rsa") -> RSAKey:
    """Make the RSA key of this name, once a process: making one costs more than all tests that use it."""
    return RSAKey.generate_key(2048, {"kid": kid})


@cache
def ec_key(kid: str = "ec", curve: str = "P-256") -> ECKey:
    """Make the EC key of this name, once a process."""
    return ECKey.generate_key(curve, {"kid": kid})


def public(key: Key, **changes: object) -> dict[str, object]:
    """Give a key as it stands in a JWKS."""
    return {**key.as_dict(private=False), **changes}


def published(*keys: Key) -> SigningKeys:
    """Give keys as the provider publishes them."""
    return check_jwks({"keys": [public(key) for key in keys]})


def build_claims(named: Claims | None = None, /, *, without: str | None = None, **changes: object) -> dict[str, object]:
    """Give the claims of a good ID token as Keycloak makes it, changed or without one of them."""
    claims: dict[str, object] = {
        "iss": ISSUER,
        "aud": CLIENT_ID,
        "azp": CLIENT_ID,
        "sub": "0f0b8c4e-1c1e-4b3a-9d0a-6a8f1f0f0001",
        "typ": "ID",
        "exp": SECONDS + 300,
        "iat": SECONDS,
        "auth_time": SECONDS,
        "nonce": NONCE,
        "sid": "keycloak-session",
        "acr": "1",
        **(named or {}),
        **changes,
    }
    claims.pop(without or "", None)
    return claims


def encode(content: bytes) -> str:
    """Write bytes as a segment of a JWT."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def sign(
    payload: Claims | bytes,
    named: Claims | None = None,
    /,
    *,
    key: Key | None = None,
    signed_as: str = "RS256",
    **header: object,
) -> str:
    """Sign a payload; `header` and `named` replace members of the good header, and None takes one away."""
    key = key or rsa_key()
    members = {"alg": signed_as, "typ": "JWT", "kid": key.kid, **(named or {}), **header}
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    kept = {name: value for name, value in members.items() if value is not None}
    signing_input = f"{encode(json.dumps(kept).encode())}.{encode(content)}"
    signature = JWSRegistry.algorithms[signed_as].sign(signing_input.encode(), key)
    return f"{signing_input}.{encode(signature)}"


def verify(
    id_token: str,
    *,
    expected: Expected = EXPECTED,
    keys: SigningKeys | None = None,
    access_token: str = ACCESS_TOKEN,
) -> IdTokenClaims:
    """Verify a token as the sign-in of these tests would."""
    return verify_id_token(
        id_token, expected, keys=keys or published(rsa_key(), ec_key()), access_token=access_token, now=NOW
    )


def refusal(id_token: str, *, keys: SigningKeys | None = None, expected: Expected = EXPECTED) -> dict[str, object]:
    """Return the evidence of a refusal, having checked that it is one of an ID token and says so."""
    with pytest.raises(IdTokenRefused) as caught:
        verify(id_token, keys=keys, expected=expected)
    assert type(caught.value) is IdTokenRefused
    assert caught.value.code == "id_token_refused"
    assert caught.value.message == MESSAGE
    return caught.value.evidence
