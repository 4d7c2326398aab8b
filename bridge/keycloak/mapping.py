"""Representations of the Admin API to objects (pure): unknown fields are ignored, malformed ones are refused by name.

The objects hold what the mirror needs and nothing else; a representation is not carried further than this file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from bridge.errors import KeycloakAnswerInvalid

Representation = Mapping[str, object]


@dataclass(frozen=True)
class KeycloakUser:
    """A UserRepresentation; None means that Keycloak has no such value."""

    sub: str
    username: str
    enabled: bool
    email: str | None
    email_verified: bool
    first_name: str | None
    last_name: str | None
    created_at: datetime | None


@dataclass(frozen=True)
class KeycloakGroup:
    """A GroupRepresentation; `path` is left out, because a name with a slash would forge another group's."""

    group_id: str
    name: str
    parent_id: str | None
    may_have_children: bool


@dataclass(frozen=True)
class KeycloakClient:
    """What the mirror needs of a ClientRepresentation; the secret in it is never looked at."""

    client_uuid: str
    client_id: str
    has_service_account: bool


@dataclass(frozen=True)
class ClientSessionStats:
    """How many sessions a client has."""

    client_uuid: str
    client_id: str
    active: int
    offline: int


@dataclass(frozen=True)
class KeycloakSession:
    """A UserSessionRepresentation, online or offline."""

    sid: str
    sub: str
    offline: bool
    ip_address: str | None
    started_at: datetime
    last_access_at: datetime
    remember_me: bool
    client_ids: frozenset[str]
    transient: bool


@dataclass(frozen=True)
class SessionLimits:
    """How long sessions of one kind live: idle, and at most (None: no such limit)."""

    idle: timedelta
    longest: timedelta | None


@dataclass(frozen=True)
class RealmLimits:
    """The realm's session settings by kind of session."""

    online: SessionLimits
    remembered: SessionLimits
    offline: SessionLimits


def to_user(found: object) -> KeycloakUser:
    """Return the user of a representation.

    Raises:
        KeycloakAnswerInvalid: it is none.
    """
    user = _object(found, "user")
    return KeycloakUser(
        sub=_text(user, "id"),
        username=_text(user, "username"),
        enabled=_flag(user, "enabled", absent=True),
        email=_optional_text(user, "email"),
        email_verified=_flag(user, "emailVerified", absent=False),
        first_name=_optional_text(user, "firstName"),
        last_name=_optional_text(user, "lastName"),
        created_at=None if user.get("createdTimestamp") is None else _moment(user, "createdTimestamp"),
    )


def to_group(found: object, *, parent_id: str | None) -> KeycloakGroup:
    """Return the group of a representation that was listed below `parent_id`."""
    group = _object(found, "group")
    count = group.get("subGroupCount")
    return KeycloakGroup(_text(group, "id"), _text(group, "name"), parent_id, may_have_children=count != 0)


def to_client(found: object) -> KeycloakClient:
    """Return the client of a representation."""
    client = _object(found, "client")
    with_account = _flag(client, "serviceAccountsEnabled", absent=False)
    return KeycloakClient(_text(client, "id"), _text(client, "clientId"), with_account)


def to_stats(found: object) -> ClientSessionStats:
    """Return one row of `client-session-stats`, whose numbers are strings."""
    row = _object(found, "client-session-stats")
    return ClientSessionStats(
        _text(row, "id"), _text(row, "clientId"), _number(row, "active"), _number(row, "offline", absent=0)
    )


def to_session(found: object, *, offline: bool) -> KeycloakSession:
    """Return the session of a representation; the list it came from says whether it is an offline one."""
    row = _object(found, "session")
    clients = _object(row.get("clients") or {}, "clients of a session")
    return KeycloakSession(
        sid=_text(row, "id"),
        sub=_text(row, "userId"),
        offline=offline,
        ip_address=_optional_text(row, "ipAddress"),
        started_at=_moment(row, "start"),
        last_access_at=_moment(row, "lastAccess"),
        remember_me=_flag(row, "rememberMe", absent=False),
        client_ids=frozenset(str(client_id) for client_id in clients.values()),
        transient=_flag(row, "transientUser", absent=False),
    )


def to_realm_limits(found: object) -> RealmLimits:
    """Return the session settings of a RealmRepresentation.

    A limit of 0 is none. With remember-me the longer of the normal and the remembered limit counts (Keycloak 25+).
    """
    realm = _object(found, "realm")
    idle, longest = _seconds(realm, "ssoSessionIdleTimeout"), _seconds(realm, "ssoSessionMaxLifespan")
    remembered = SessionLimits(
        max(idle, _seconds(realm, "ssoSessionIdleTimeoutRememberMe", absent=0)),
        max(longest, _seconds(realm, "ssoSessionMaxLifespanRememberMe", absent=0)) or None,
    )
    ends = _flag(realm, "offlineSessionMaxLifespanEnabled", absent=False)
    offline_longest = _seconds(realm, "offlineSessionMaxLifespan", absent=0) if ends else timedelta(0)
    offline = SessionLimits(_seconds(realm, "offlineSessionIdleTimeout"), offline_longest or None)
    return RealmLimits(SessionLimits(idle, longest or None), remembered, offline)


def to_list(found: object, what: str) -> list[object]:
    """Return a JSON array, and refuse anything else."""
    if not isinstance(found, list):
        _refuse(what, "a list", found)
    return found


def to_count(found: object, what: str) -> int:
    """Return a count that stands alone in an answer."""
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        _refuse(what, "a number", found)
    return found


def _object(found: object, what: str) -> Representation:
    if not isinstance(found, dict):
        _refuse(what, "an object", found)
    return found


def _text(of: Representation, name: str) -> str:
    value = of.get(name)
    if not isinstance(value, str) or not value:
        _refuse(name, "a text", value, of)
    return value


def _optional_text(of: Representation, name: str) -> str | None:
    value = of.get(name)
    if value is not None and not isinstance(value, str):
        _refuse(name, "a text", value, of)
    return value or None


def _flag(of: Representation, name: str, *, absent: bool) -> bool:
    value = of.get(name)
    if value is None:
        return absent
    if not isinstance(value, bool):
        _refuse(name, "true or false", value, of)
    return value


def _number(of: Representation, name: str, *, absent: int | None = None) -> int:
    value = of.get(name, absent)
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        _refuse(name, "a number", value, of)
    return value


def _seconds(of: Representation, name: str, *, absent: int | None = None) -> timedelta:
    return timedelta(seconds=max(_number(of, name, absent=absent), 0))


def _moment(of: Representation, name: str) -> datetime:
    milliseconds = _number(of, name)
    try:
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:
        _refuse(name, "a time in milliseconds", milliseconds, of)


def _refuse(name: str, expected: str, value: object, of: Representation | None = None) -> NoReturn:
    evidence: dict[str, object] = {"field": name, "expected": expected, "found": type(value).__name__}
    if of is not None:
        evidence["id"] = str(of.get("id"))[:64]
    raise KeycloakAnswerInvalid(f"Keycloak answered with a {name} that is not {expected}.", evidence=evidence)
