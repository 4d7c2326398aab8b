"""The statements of the eight session operations, each defined once.

`user_sessions` runs them with the time and the limits that it is given; `published` renders them as plain SQL for
applications in other languages, with the database's clock and the parameter names that existing programs use.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import (
    ColumnElement,
    Select,
    Update,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)

from bridge.model import Origin
from bridge.storage.tables import session_credential, session_revocation, sys_user, sys_usersession
from bridge.storage.tables.columns import UtcDateTime

s = sys_usersession.c
k = session_credential.c
u = sys_user.c

NOW = bindparam("now", type_=UtcDateTime())
# Not as parameters: a partial index serves only a query that says so itself.
ACTIVE = s.IsActive == sa.literal_column("1")
INACTIVE = s.IsActive == sa.literal_column("0")
OF_PACKAGE = s.Package == bindparam("package")
OF_USER = and_(s.User == bindparam("user"), OF_PACKAGE)
OF_BRIDGE = s.Origin == Origin.BRIDGE
"""What limits bind."""
OF_TYPE = s.SessionType == bindparam("session_type")

SESSION_COLUMNS = (
    s.SessionId, s.User, s.Package, s.SessionType, s.CreatedAt, s.ExpiresAt, s.IdleExpiresAt, s.LastActivity,
    s.IsActive, s.LoginMethod, s.AuthTime, s.Issuer, s.Sub, s.Sid, s.IpAddress, s.LastIpAddress, s.Origin, s.ClientId,
    s.DeviceName, s.DeviceType, s.Browser, s.OperatingSystem, s.Location, s.IsTrusted, s.SuspiciousActivityCount,
    s.RotationCount, s.LastRotatedAt, s.InvalidatedAt, s.InvalidatedBy, s.InvalidatedReason,
)  # fmt: skip
"""What a `UserSession` is made of."""
USER_COLUMNS = (
    u.User, u.Uuid, u.Package, u.Active, u.Usergroups, u.Email, u.FirstName, u.LastName, u.DisplayName, u.Issuer,
    u.Sub, u.RowVersion,
)  # fmt: skip
"""What a `User` is made of; labelled, as both tables have columns of the same names."""
EXPIRED, IDLE, KEYCLOAK_ENDED = "expired", "idle", "keycloak_session_ended"
"""Reasons of ends that time brought, and not somebody."""
COOKIE, ACCESS, REFRESH = "cookie", "access", "refresh"
"""Kinds of credentials."""
PUBLIC_COLUMNS = {
    "SessionId": "session_id",
    "User": "user",
    "Package": "package",
    "SessionToken": "session_token_sha256",
    "SessionType": "session_type",
    "IpAddress": "ip_address",
    "UserAgent": "user_agent",
    "ExpiresAt": "expires_at",
    "LoginMethod": "login_method",
}
"""The columns every session begins with, and their parameters."""


def is_alive(now: ColumnElement[Any]) -> ColumnElement[bool]:
    """Nobody has ended it, and neither its absolute nor its idle end has come."""
    return and_(ACTIVE, s.ExpiresAt > now, or_(s.IdleExpiresAt.is_(None), s.IdleExpiresAt > now))


def opens(now: ColumnElement[Any]) -> ColumnElement[bool]:
    """A credential that opens its session; a refresh token only fetches others."""
    return and_(k.kind != REFRESH, k.expires_at > now)


def is_covered(now: ColumnElement[Any]) -> ColumnElement[bool]:
    """A session mirrored from Keycloak that an active one of the bridge stands for already."""
    o = sys_usersession.alias("covering").c
    covering = exists().where(
        o.Origin == Origin.BRIDGE,
        o.Issuer == s.Issuer,
        o.Sid == s.Sid,
        o.Package == s.Package,
        o.IsActive == sa.literal_column("1"),
        o.ExpiresAt > now,
    )
    return and_(s.Origin == Origin.KEYCLOAK, covering)


def insert_session(now: ColumnElement[Any], *, further: Iterable[str] = ()) -> sa.Insert:
    """Make a session; `further` are columns of ours, whose parameters are named `v_` and the column."""
    values: dict[str, Any] = {name: bindparam(parameter) for name, parameter in PUBLIC_COLUMNS.items()}
    values |= {name: bindparam(f"v_{name}") for name in further}
    return insert(sys_usersession).values(**values, CreatedAt=now, LastActivity=now)


def select_active(now: ColumnElement[Any]) -> Select[Any]:
    """Find the living session that a credential opens, with its active person.

    The person must still be the one the session was made for: a namesake who came later is somebody else.
    """
    credential = and_(k.session_id == s.SessionId, k.digest == bindparam("session_token_sha256"), opens(now))
    person = and_(u.User == s.User, u.Package == s.Package, u.Issuer == s.Issuer, u.Sub == s.Sub)
    return (
        select(
            *SESSION_COLUMNS,
            *(column.label(f"user_{column.name}") for column in USER_COLUMNS),
            k.kind.label("credential_kind"),
            k.created_at.label("credential_created_at"),
            k.first_used_at.label("credential_first_used_at"),
            k.superseded_by.label("credential_superseded_by"),
        )
        .select_from(session_credential.join(sys_usersession, credential).join(sys_user, person))
        .where(OF_PACKAGE, is_alive(now), u.Active == sa.literal_column("1"))
    )


def select_living(now: ColumnElement[Any]) -> Select[Any]:
    """List living sessions, newest first; a mirrored one is left out while one of the bridge covers it."""
    return (
        select(*SESSION_COLUMNS)
        .where(OF_PACKAGE, is_alive(now), not_(is_covered(now)))
        .order_by(s.CreatedAt.desc(), s.SessionId)
    )


def update_use(now: ColumnElement[Any], *, further: Iterable[str] = ()) -> Update:
    """Note the use of a living session; times never go back, whatever clocks do.

    `further` names what else has changed: `idle`, `ip_address`, or columns of ours.
    """
    at = case((or_(s.LastActivity.is_(None), s.LastActivity < now), now), else_=s.LastActivity)
    values: dict[str, Any] = {"LastActivity": at, "UpdatedAt": now}
    names = set(further)
    if "idle" in names:
        idle = bindparam("idle_expires_at", type_=UtcDateTime())
        values["IdleExpiresAt"] = case((s.IdleExpiresAt < idle, idle), else_=s.IdleExpiresAt)
    if "ip_address" in names:
        values["LastIpAddress"] = bindparam("ip_address")
    if "suspicious" in names:
        values["SuspiciousActivityCount"] = s.SuspiciousActivityCount + bindparam("suspicious")
    if "rotated" in names:
        values |= {"SessionToken": bindparam("session_token_sha256"), "RotationCount": s.RotationCount + 1}
        values["LastRotatedAt"] = now
    values |= {name: bindparam(f"v_{name}") for name in sorted(names) if name in s}
    return update(sys_usersession).where(s.SessionId == bindparam("session_id"), ACTIVE).values(**values)


def update_end(now: ColumnElement[Any], *where: ColumnElement[bool]) -> Update:
    """End active sessions."""
    return (
        update(sys_usersession)
        .where(*where, ACTIVE)
        .values(
            IsActive=sa.literal_column("0"),
            InvalidatedAt=now,
            InvalidatedBy=bindparam("invalidated_by"),
            InvalidatedReason=bindparam("reason"),
            UpdatedAt=now,
            # MariaDB moves it at every UPDATE that does not name it.
            LastActivity=s.LastActivity,
        )
    )


def select_over(now: ColumnElement[Any], expired_before: ColumnElement[Any]) -> Select[Any]:
    """Find active sessions whose absolute end has come.

    A mirrored one is the census's to end, which moves its end on; here it ends just before it is deleted. Rows that
    applications wrote are theirs.
    """
    mirrored = and_(s.Origin == Origin.KEYCLOAK, s.ExpiresAt < expired_before)
    whose = or_(s.Origin == Origin.BRIDGE, mirrored)
    return select(s.SessionId).where(ACTIVE, s.ExpiresAt <= now, whose).order_by(s.ExpiresAt)


def select_idle(now: ColumnElement[Any]) -> Select[Any]:
    """Find active sessions of the bridge that were not used for too long."""
    idle = (ACTIVE, s.IdleExpiresAt <= now, s.Origin == Origin.BRIDGE)
    return select(s.SessionId).where(*idle).order_by(s.IdleExpiresAt)


def select_long_expired(expired_before: ColumnElement[Any]) -> Select[Any]:
    """Find ended sessions whose absolute end is long past.

    What somebody else ended in the mirror stays the longer time: without its row the census knows nothing of that end.
    """
    by_time = or_(s.Origin == Origin.BRIDGE, s.InvalidatedReason.in_((EXPIRED, KEYCLOAK_ENDED)))
    ours = and_(s.Origin != Origin.LOCAL, by_time)
    return select(s.SessionId).where(INACTIVE, s.ExpiresAt < expired_before, ours).order_by(s.ExpiresAt)


def select_long_inactive(inactive_before: ColumnElement[Any]) -> Select[Any]:
    """Find sessions that somebody ended long ago."""
    inactive = (INACTIVE, s.InvalidatedAt < inactive_before, s.Origin != Origin.LOCAL)
    return select(s.SessionId).where(*inactive).order_by(s.InvalidatedAt)


def count_living(now: ColumnElement[Any], whose: ColumnElement[bool]) -> Select[Any]:
    """Count the living sessions of one type that a person has."""
    return (
        select(func.count().label("sessions"))
        .select_from(sys_usersession)
        .where(OF_USER, OF_TYPE, is_alive(now), whose)
    )


def select_of_ended(column: ColumnElement[Any]) -> Select[Any]:
    """Find what is left of sessions that an application has ended by itself: the triggers tell which those are."""
    r = session_revocation.c
    ended = select(r.session_id).join(sys_usersession, s.SessionId == r.session_id).where(INACTIVE)
    return select(column).distinct().where(column.in_(ended))


ACTIVE_SESSION = select_active(NOW)
"""Built once: the hot path only fills in its parameters."""
EXPIRED_BEFORE = bindparam("expired_before", type_=UtcDateTime())
INACTIVE_BEFORE = bindparam("inactive_before", type_=UtcDateTime())
LIVING_OF_BRIDGE = count_living(NOW, OF_BRIDGE)
