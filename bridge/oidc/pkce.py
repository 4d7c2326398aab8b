"""Proof Key for Code Exchange (RFC 7636), always with S256."""

import secrets

from authlib.oauth2.rfc7636 import create_s256_code_challenge

METHOD = "S256"


def build_code_verifier() -> str:
    """Return a verifier of 256 random bits, 43 unreserved characters (RFC 7636 sections 4.1 and 7.1)."""
    return secrets.token_urlsafe(32)


def build_code_challenge(code_verifier: str) -> str:
    """Return BASE64URL(SHA256(code_verifier)) (RFC 7636 section 4.2)."""
    challenge: str = create_s256_code_challenge(code_verifier)
    return challenge
