"""The sections of the settings, one class each, as they stand in `keycloak-bridge.toml`.

Every class knows the settings whose feature this version does not have yet (`not_available`): they are refused by
name. Limits of sessions and retentions are in `policy`.
"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, IPvAnyNetwork, field_validator, model_validator

from bridge.config.policy import PolicySettings, RetentionSettings
from bridge.config.references import Secret, refuse_empty
from bridge.config.section import Section
from bridge.config.values import Duration, is_loopback, parse_origin, refuse_bad_issuer, refuse_bad_key

PACKAGE_NAME = r"^[a-z0-9-]{1,40}$"


class DatabaseSettings(Section):
    """Where the tables are."""

    url: Annotated[Secret, AfterValidator(refuse_empty)] = Field(
        default="sqlite:///bridge.db",
        validate_default=True,
        examples=['url = "postgresql://bridge@db.example.com/sso"'],
    )
    pool_size: int = Field(default=15, ge=1, le=200, examples=["pool_size = 15"])
    timeout: Duration = Field(default=timedelta(seconds=30), examples=['timeout = "30s"'])


class SealingSettings(Section):
    """The keys that seal what is kept of Keycloak's tokens: the first seals, all of them open."""

    keys: list[Annotated[Secret, AfterValidator(refuse_bad_key)]] = Field(
        min_length=1, examples=['keys = ["env:BRIDGE_KEY"]  # 32 bytes as base64url: openssl rand -base64 32']
    )


class HttpSettings(Section):
    """Limits of every call to Keycloak, in seconds."""

    not_available = frozenset({"ca_file", "proxy"})

    connect_timeout: Duration = Field(default=timedelta(seconds=3), examples=['connect_timeout = "3s"'])
    read_timeout: Duration = Field(default=timedelta(seconds=10), examples=['read_timeout = "10s"'])
    total_timeout: Duration = Field(default=timedelta(seconds=15), examples=['total_timeout = "15s"'])
    connections: int = Field(default=20, ge=1, le=500, examples=["connections = 20"])


class ProxiesSettings(Section):
    """Reverse proxies in front of the bridge: what they say of a visitor's address (X-Forwarded-For) is believed."""

    not_available = frozenset({"headers"})

    trusted: list[IPvAnyNetwork] = Field(default=[], examples=['trusted = ["127.0.0.1/32"]'])


class GeoipSettings(Section):
    """A file that tells the places of addresses; without the section every place is unknown."""

    database: Path = Field(examples=['database = "/var/lib/GeoIP/GeoLite2-City.mmdb"'])


class SyncSettings(Section):
    """The service account that reads users, groups and sessions of the package's realm."""

    not_available = frozenset({"select", "usergroups", "adopt", "protected", "store_attribute"})

    client_id: str = Field(min_length=1, max_length=255, examples=['client_id = "bridge-sync"'])
    client_secret: Annotated[Secret, AfterValidator(refuse_empty)] = Field(
        examples=['client_secret = "env:SYNC_SECRET"']
    )
    page_size: int = Field(default=500, ge=10, le=2000, examples=["page_size = 500"])
    in_flight: int = Field(default=4, ge=1, le=16, examples=["in_flight = 4"])


class PackageSettings(Section):
    """One package (tenant): a client of one realm, and where its people may be sent back to."""

    not_available = frozenset(
        {"internal_url", "private_key", "hosts", "admin_group", "par", "acr_values", "kc_idp_hint", "cookie_domain"}
    )

    issuer: Annotated[str, AfterValidator(refuse_bad_issuer)] = Field(
        examples=['issuer = "https://keycloak.example.com/realms/staff"']
    )
    client_id: str = Field(min_length=1, max_length=255, examples=['client_id = "bridge"'])
    client_secret: Annotated[Secret, AfterValidator(refuse_empty)] = Field(
        examples=['client_secret = "env:STAFF_CLIENT_SECRET"']
    )
    scopes: list[str] = Field(default=["openid", "profile", "email"], examples=['scopes = ["openid", "profile"]'])
    return_to: list[str] = Field(default=[], examples=['return_to = ["https://shop.example.com/"]'])
    sync: SyncSettings | None = Field(default=None, examples=['[packages.staff.sync]\nclient_id = "bridge-sync"'])

    @field_validator("scopes")
    @classmethod
    def _require_openid(cls, scopes: list[str]) -> list[str]:
        if "openid" not in scopes:
            raise ValueError('the scope "openid" is missing: without it there is no ID token and no sign-in')
        if any(not scope or not scope.isascii() or any(char in scope for char in ' "\\') for scope in scopes):
            raise ValueError("a scope is one word of printable ASCII without quotes (RFC 6749 section 3.3)")
        return scopes

    @field_validator("return_to")
    @classmethod
    def _require_origins(cls, addresses: list[str]) -> list[str]:
        # Browsers spell hosts in small letters, and addresses are compared to the character.
        return ["".join(parse_origin(address)) for address in addresses]


def _one_loopback_or_https(value: str) -> str:
    parts = urlsplit(value)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        raise ValueError("it must be an address of scheme and host alone, without a path")
    if "@" in parts.netloc:
        raise ValueError("it must not hold a user name or password")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("http is allowed for a loopback address only; cookies of people would travel in clear")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _listen_address(value: object) -> object:
    if isinstance(value, str):
        host, _, port = value.rpartition(":")
        if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:  # noqa: PLR2004 - the range of a TCP port
            raise ValueError("it must be HOST:PORT with a port from 1 to 65535")
    return value


class Settings(Section):
    """Everything the bridge and the sync are told from outside."""

    not_available = frozenset({"verify", "apps", "resource_servers", "admin", "redis"})

    public_url: Annotated[str, AfterValidator(_one_loopback_or_https)] = Field(
        examples=['public_url = "https://sso.example.com"']
    )
    listen: Annotated[str, BeforeValidator(_listen_address)] = Field(
        default="127.0.0.1:8000", examples=['listen = "127.0.0.1:8000"']
    )
    database: DatabaseSettings = Field(
        default_factory=DatabaseSettings, examples=['[database]\nurl = "sqlite:///bridge.db"']
    )
    sealing: SealingSettings = Field(examples=['[sealing]\nkeys = ["env:BRIDGE_KEY"]'])
    http: HttpSettings = Field(default_factory=HttpSettings, examples=['[http]\ntotal_timeout = "15s"'])
    proxies: ProxiesSettings = Field(
        default_factory=ProxiesSettings, examples=['[proxies]\ntrusted = ["127.0.0.1/32"]']
    )
    geoip: GeoipSettings | None = Field(
        default=None, examples=['[geoip]\ndatabase = "/var/lib/GeoIP/GeoLite2-City.mmdb"']
    )
    packages: dict[Annotated[str, Field(pattern=PACKAGE_NAME)], PackageSettings] = Field(
        min_length=1, examples=['[packages.staff]\nissuer = "https://keycloak.example.com/realms/staff"']
    )
    policy: PolicySettings = Field(default_factory=PolicySettings, examples=['[policy.web]\nlifetime = "8h"'])
    retention: RetentionSettings = Field(
        default_factory=RetentionSettings, examples=['[retention]\nexpired_sessions = "7d"']
    )

    @model_validator(mode="after")
    def _clients_are_distinct(self) -> Self:
        seen: dict[tuple[str, str], str] = {}
        for name, package in self.packages.items():
            other = seen.setdefault((package.issuer, package.client_id), name)
            if other != name:
                raise ValueError(
                    f"the packages {other} and {name} have the same issuer and client_id; give each its own client"
                )
        return self
