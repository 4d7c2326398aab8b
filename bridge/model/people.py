"""Who somebody is, and what is known of them."""

from dataclasses import dataclass
from uuid import NAMESPACE_URL, UUID, uuid5


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
