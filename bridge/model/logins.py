"""Logins on their way to Keycloak and back, and what Keycloak answers."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class PendingLogin:
    """A login on its way to Keycloak and back: one row of `oauth_state`. Nonce and verifier are still sealed."""

    state_digest: str
    package: str
    binding_digest: str
    sealed_nonce: str
    sealed_code_verifier: str
    return_to: str
    created_at: datetime
    expires_at: datetime
    prompt: str | None = None
    login_hint: str | None = None
    ui_locales: str | None = None
    max_age: int | None = None
    restarted: bool = False
    claim_id: str | None = None
    claim_deadline: datetime | None = None
    consumed_at: datetime | None = None
    session_id: str | None = None
    error_code: str | None = None


@dataclass(frozen=True)
class KeycloakTokens:
    """What a token endpoint answered; only ever in memory or sealed."""

    access_token: str = field(repr=False)
    id_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    refresh_expires_in: int | None


def digest(secret: str) -> str:
    """Return the SHA-256 of a secret of at least 128 random bits, as 64 hexadecimal characters.

    No salt and no stretching: there is nothing to guess in such a secret.
    """
    return hashlib.sha256(secret.encode()).hexdigest()
