"""The keys of a realm: real RSA keys, the JWKS, and every way to sign a token well or badly."""

from __future__ import annotations

import base64
import functools
import hmac
import json
from dataclasses import dataclass, field
from typing import Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, RSAKey

from tests.double.records import Json

Signing = Literal["RS256", "none", "HS256", "other_key", "unknown_kid", "no_kid"]


@functools.cache
def rsa_key(realm: str, number: int) -> RSAKey:  # noqa: ARG001 - they are what the cache goes by
    """Make the realm's key of this number, once per test process: making one costs more than most tests."""
    key = RSAKey.generate_key(2048, {"alg": "RS256", "use": "sig"})
    key.ensure_kid()
    return key


def encode_segment(value: bytes) -> str:
    """Encode one JWT segment (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@dataclass
class KeyRing:
    """The signing keys of a realm: `published` is what the JWKS shows, the last of them signs.

    `trusted` are the keys whose tokens the realm itself still takes; rotation keeps them, as Keycloak's passive keys.
    """

    realm: str
    published: list[RSAKey] = field(default_factory=list)
    trusted: list[RSAKey] = field(default_factory=list)
    refresh_key: OctKey = field(default_factory=lambda: OctKey.generate_key(512))

    def __post_init__(self) -> None:
        self.rotate(keep_old=False)

    @property
    def active(self) -> RSAKey:
        """The key that signs now."""
        return self.published[-1]

    def rotate(self, *, keep_old: bool) -> None:
        """Sign with a new key from now on; without `keep_old` the old ones vanish from the JWKS."""
        fresh = rsa_key(self.realm, len(self.trusted))
        self.trusted.append(fresh)
        self.published = [*self.published, fresh] if keep_old else [fresh]

    def jwks(self) -> Json:
        """Show the public keys, with an encryption key among them as the real server has (RFC 7517)."""
        encryption = {**rsa_key(f"{self.realm} enc", 0).as_dict(private=False), "use": "enc", "alg": "RSA-OAEP"}
        return {"keys": [encryption, *(key.as_dict(private=False) for key in self.published)]}

    def sign(self, claims: Json, *, signing: Signing = "RS256", header: Json | None = None) -> str:
        """Sign claims as a JWT (RFC 7519), or sign them wrongly in one named way."""
        kid = self.active.kid
        top: Json = {"alg": "RS256", "typ": "JWT", "kid": kid}
        key = self.active
        if signing == "none":
            return f"{signing_input({'alg': 'none', 'typ': 'JWT', **(header or {})}, claims)}."
        if signing == "HS256":
            return hmac_by_public_key({**top, "alg": "HS256", **(header or {})}, claims, key)
        if signing == "other_key":
            key = rsa_key(f"{self.realm} stranger", 0)
        elif signing == "unknown_kid":
            key = rsa_key(f"{self.realm} stranger", 0)
            top["kid"] = key.kid
        elif signing == "no_kid":
            del top["kid"]
        return jwt.encode({**top, **(header or {})}, claims, key, algorithms=["RS256"])

    def sign_refresh(self, claims: Json) -> str:
        """Sign a refresh token: HS512 by a key nobody else has, as Keycloak does."""
        header = {"alg": "HS512", "typ": "JWT", "kid": self.refresh_key.thumbprint()}
        return jwt.encode(header, claims, self.refresh_key, algorithms=["HS512"])

    def read(self, token: str) -> Json | None:
        """Give the claims of a token that one of our RSA keys signed, else None; expiry is the caller's."""
        for key in reversed(self.trusted):
            try:
                return dict(jwt.decode(token, key, algorithms=["RS256"]).claims)
            except (JoseError, ValueError):
                continue
        return None

    def read_refresh(self, token: str) -> Json | None:
        """Give the claims of a refresh token of this realm, else None."""
        try:
            return dict(jwt.decode(token, self.refresh_key, algorithms=["HS512"]).claims)
        except (JoseError, ValueError):
            return None


def signing_input(header: Json, claims: Json) -> str:
    """Write what a JWT signs (RFC 7515, section 5.1)."""
    return ".".join(encode_segment(json.dumps(part).encode()) for part in (header, claims))


def hmac_by_public_key(header: Json, claims: Json, key: RSAKey) -> str:
    """Sign as an attacker who knows only the public key: its PEM as the secret. joserfc rightly refuses to."""
    signed = signing_input(header, claims)
    signature = hmac.digest(key.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{encode_segment(signature)}"
