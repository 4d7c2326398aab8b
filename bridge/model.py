"""What both processes talk about: people, their sessions, pending logins. Frozen, no I/O, no framework.

Times are aware datetimes in UTC. Digests are SHA-256 as 64 hexadecimal characters.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import NAMESPACE_URL, UUID, uuid5


class Origin(StrEnum):
    """Who made a row of the public tables."""

    BRIDGE = "bridge"
    KEYCLOAK = "keycloak"
    LOCAL = "local"


class LoginMethod(StrEnum):
    """How a session began, as far as it is known."""

    PASSWORD = "password"  # noqa: S105 - the name of a method
    OTP = "otp"
    SSO = "sso"
    API_KEY = "api_key"


@dataclass(frozen=True)
class Identity:
    """Who somebody is: a subject of an issuer (OpenID Connect Core 1.0 section 5.7), within a package."""

    issuer: str
    sub: str
    package: str

    @property
    def realm(self) -> str:
        """The realm's name, the last segment of the issuer."""
        return self.issuer.rsplit("/", 1)[-1]

    @property
    def uuid(self) -> str:
        """Keycloak's user id when it is a UUID, else a UUIDv5 of issuer and sub."""
        try:
            return str(UUID(self.sub))
        except ValueError:
            return str(uuid5(NAMESPACE_URL, f"{self.issuer}#{self.sub}"))


@dataclass(frozen=True)
class Profile:
    """What an ID token or the Admin API says of a person; None means unknown, never empty."""

    username: str
    email: str | None = None
    email_verified: bool | None = None
    first_name: str | None = None
    last_name: str | None = None
    display_name: str | None = None


@dataclass(frozen=True)
class User:
    """One row of `sys_user`."""

    username: str
    uuid: str
    package: str
    active: bool
    usergroups: tuple[str, ...]
    email: str | None
    first_name: str | None
    last_name: str | None
    display_name: str | None
    identity: Identity | None
    row_version: int


@dataclass(frozen=True)
class UserSession:
    """One row of `sys_usersession` as the bridge uses it."""

    session_id: str
    username: str
    package: str
    session_type: str
    created_at: datetime
    expires_at: datetime
    is_active: bool
    login_method: str | None
    auth_time: datetime | None
    issuer: str | None
    sub: str | None
    sid: str | None
    ip_address: str | None
    origin: str
    client_id: str | None


@dataclass(frozen=True)
class NewSession:
    """What a sign-in knows of the session it opens."""

    session_id: str
    credential_digest: str
    identity: Identity
    username: str
    client_id: str
    sid: str | None
    auth_time: datetime | None
    acr: str | None
    login_method: LoginMethod | None
    oauth_state_id: str
    ip_address: str | None
    user_agent: str | None
    created_at: datetime
    expires_at: datetime


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


@dataclass(frozen=True)
class ClientFacts:
    """What is known of the program at the other end of a request."""

    ip_address: str | None
    user_agent: str | None


def digest(secret: str) -> str:
    """Return the SHA-256 of a secret of at least 128 random bits, as 64 hexadecimal characters.

    No salt and no stretching: there is nothing to guess in such a secret.
    """
    return hashlib.sha256(secret.encode()).hexdigest()
