"""What a realm holds: plain records, changed only under the lock of their realm.

A token is good as long as its session lives and *still has the client*: that one rule is what the real server does on
a code used twice (it takes the client out of the session) and when a later login puts the client back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

Json: TypeAlias = dict[str, object]

SYNC_ROLES = frozenset(
    {"view-users", "query-users", "query-groups", "view-events", "view-clients", "query-clients", "view-realm"}
)


@dataclass
class User:
    """A person, or the user behind a service account (then `service_account_of` is the clientId)."""

    id: str
    username: str
    created: int | None
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    enabled: bool = True
    email_verified: bool = False
    password: str | None = None
    attributes: dict[str, list[str]] = field(default_factory=dict)
    federation_link: str | None = None
    offline_access: bool = True
    service_account_of: str | None = None
    roles: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The full name, as the claim has it."""
        return " ".join(part for part in (self.first_name, self.last_name) if part)


@dataclass
class Group:
    """A group; its path is made from the parent chain by the realm."""

    id: str
    name: str
    parent_id: str | None = None
    attributes: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Client:
    """A registered client; `secret` None makes it public, `pkce` is its required challenge method."""

    uuid: str
    client_id: str
    secret: str | None = None
    enabled: bool = True
    redirect_uris: list[str] = field(default_factory=list)
    post_logout_uris: list[str] = field(default_factory=list)
    standard_flow: bool = True
    service_account: bool = False
    pkce: str | None = "S256"
    frontchannel_logout: bool = False
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass
class ClientSession:
    """One client inside a user session; `last_used` is the number of the refresh token spent last."""

    acr: str = "1"
    last_used: int = 0


@dataclass
class Session:
    """A user session, online or offline; times are whole seconds as Keycloak keeps them."""

    id: str
    user_id: str
    started: int
    last_access: int
    auth_time: int
    clients: dict[str, ClientSession] = field(default_factory=dict)
    ip_address: str = "127.0.0.1"
    offline: bool = False


@dataclass
class Code:
    """An authorization code and what it was asked for; `fresh` when its authorization opened the session."""

    value: str
    session_id: str
    client_uuid: str
    redirect_uri: str
    scope: str
    nonce: str | None
    challenge: str | None
    expires: float
    fresh: bool
    used: bool = False


@dataclass
class RefreshRecord:
    """What a refresh token stands for; `number` orders the tokens of the realm."""

    number: int
    session_id: str
    client_uuid: str
    scope: str
    offline: bool
    expires: float | None
