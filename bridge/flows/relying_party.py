"""The bridge as the client of a package's realm, and all that the flows of this package work with."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.config import PackageSettings
from bridge.flows.activity import Activities
from bridge.flows.outcomes import Outcomes
from bridge.keycloak.provider import Provider
from bridge.model import SessionPolicy
from bridge.places import Places
from bridge.sealing import Sealer
from bridge.storage.database import Database

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class RelyingParty:
    """The bridge as the client of one package's realm (OpenID Connect Core 1.0 section 1.2), and what it works with."""

    package: str
    settings: PackageSettings
    public_url: str
    policies: Mapping[str, SessionPolicy]
    """Limits of sessions, by type."""
    claim_life: timedelta
    """How long an exchange and the transaction after it may take; past it the login counts as failed."""
    provider: Provider
    database: Database
    sealer: Sealer
    outcomes: Outcomes
    activities: Activities
    places: Places
    now: Clock
    is_user_gone: Callable[[str], Awaitable[bool]] | None
    """Asks the Admin API whether a `sub` no longer exists; None without the package's sync section."""

    @property
    def default_return_to(self) -> str:
        """Where a login without `return_to` ends: the first application that is configured, else our own page."""
        return self.settings.return_to[0] if self.settings.return_to else "/"

    @property
    def redirect_uri(self) -> str:
        """Where Keycloak sends browsers back to; from the configuration, never from a Host header."""
        return f"{self.public_url}/callback/{self.package}"

    @property
    def post_logout_redirect_uri(self) -> str:
        """Where Keycloak sends browsers after a sign-out."""
        return f"{self.public_url}/logout/done/{self.package}"


def build_credential() -> str:
    """Return a session credential of 256 random bits."""
    return secrets.token_urlsafe(32)
