"""Proof Key for Code Exchange (RFC 7636)."""

import re

from bridge.oidc import pkce


def test_challenge_is_that_of_the_specification() -> None:
    """A5 (RFC 7636 appendix B)."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert pkce.build_code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert pkce.METHOD == "S256"


def test_verifiers_are_well_formed_and_never_the_same() -> None:
    """A2, B3: 256 random bits in 43 unreserved characters (RFC 7636 4.1, 7.1)."""
    verifiers = {pkce.build_code_verifier() for _ in range(1000)}
    assert len(verifiers) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", verifier) for verifier in verifiers)
