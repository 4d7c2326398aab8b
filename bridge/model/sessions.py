"""Sessions: how they begin, what is known of the program at the other end, and how long they may live."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bridge.model.people import Identity


class Origin(StrEnum):
    """Who made a row of the public tables."""

    BRIDGE = "bridge"
    KEYCLOAK = "keycloak"
    LOCAL = "local"


class SessionType(StrEnum):
    """What kind of program holds a session; each kind has limits of its own."""

    WEB = "web"
    API = "api"
    MOBILE = "mobile"
    CONSOLE = "console"


class LoginMethod(StrEnum):
    """How a session began, as far as it is known."""

    PASSWORD = "password"  # noqa: S105 - the name of a method
    OTP = "otp"
    SSO = "sso"
    API_KEY = "api_key"


class AtCap(StrEnum):
    """What happens to a login of somebody who has as many sessions of its type as may be."""

    END_OLDEST = "end_oldest"
    REFUSE = "refuse"


@dataclass(frozen=True)
class SessionPolicy:
    """How long sessions of one type may live, and how many of them one person may have at once."""

    lifetime: timedelta
    idle: timedelta | None
    max_sessions: int
    at_cap: AtCap = AtCap.END_OLDEST
    rotation: timedelta | None = timedelta(hours=1)
    """How old a cookie's value gets; keys and tokens have none."""
    refresh_lifetime: timedelta = timedelta(days=30)
    """How long an app's refresh token may wait to be used; nothing else has one."""


@dataclass(frozen=True)
class ClientFacts:
    """What is known of the program at the other end of a request."""

    ip_address: str | None
    user_agent: str | None
    address_is_shared: bool = False
    """The address is that of a proxy which nobody named: it stands for many people, and says nothing of one."""


@dataclass(frozen=True)
class Device:
    """What a user agent tells of the device; None is unknown. The fingerprint is a digest of the rest, no secret."""

    name: str | None = None
    device_id: str | None = None
    device_type: str | None = None
    operating_system: str | None = None
    operating_system_version: str | None = None
    browser: str | None = None
    browser_version: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class Place:
    """Where an address is, by a place database; None is unknown."""

    city: str | None = None
    country: str | None = None

    @property
    def text(self) -> str | None:
        """City and country in one line."""
        return ", ".join(part for part in (self.city, self.country) if part) or None


@dataclass(frozen=True)
class UserSession:
    """One row of `sys_usersession` as the bridge uses it."""

    session_id: str
    username: str
    package: str
    session_type: str
    created_at: datetime
    expires_at: datetime
    idle_expires_at: datetime | None
    last_activity: datetime
    is_active: bool
    login_method: str | None
    auth_time: datetime | None
    issuer: str | None
    sub: str | None
    sid: str | None
    ip_address: str | None
    last_ip_address: str | None
    origin: str
    client_id: str | None
    device_name: str | None
    device_type: str | None
    browser: str | None
    operating_system: str | None
    location: str | None
    is_trusted: bool
    suspicious_activity_count: int
    rotation_count: int
    last_rotated_at: datetime | None
    invalidated_at: datetime | None
    invalidated_by: str | None
    invalidated_reason: str | None

    @property
    def identity(self) -> Identity | None:
        """Whose session it is; None for a row that an application wrote by hand."""
        return Identity(self.issuer, self.sub, self.package) if self.issuer and self.sub else None


@dataclass(frozen=True)
class NewSession:
    """What is known of a session that the bridge opens."""

    session_id: str
    session_type: SessionType
    credential_digest: str
    identity: Identity
    username: str
    created_at: datetime
    expires_at: datetime
    client_id: str | None = None
    sid: str | None = None
    auth_time: datetime | None = None
    acr: str | None = None
    login_method: LoginMethod | None = None
    oauth_state_id: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    device: Device = Device()
    place: Place = Place()
    remember_me: bool = False
    is_trusted: bool = False


@dataclass(frozen=True)
class Activity:
    """What has happened in a living session since its row was last written; what is None stays as it is."""

    session_id: str
    at: datetime
    idle_expires_at: datetime | None = None
    ip_address: str | None = None
    rotated_to: str | None = None
    """Digest of the credential that replaced the current one."""
    refreshed_to: str | None = None
    """Digest of the refresh token that replaced the current one."""
    refresh_expires_at: datetime | None = None
    token_family_id: str | None = None
    device_name: str | None = None
    is_trusted: bool | None = None
    suspicious: int = 0
    """Findings to add to the row's count."""
