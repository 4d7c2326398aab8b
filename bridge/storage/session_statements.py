"""The statements of the eight session operations, each defined once.

`user_sessions` runs them with the time and the limits that it is given; `published` renders them as plain SQL for
applications in other languages, with the database's clock and the parameter names that existing programs use.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import (
    ColumnElement,
    Select,
    Update,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)

from bridge.model import Origin
from bridge.storage.tables import keycloak_grant, session_credential, sys_user, sys_usersession
from bridge.storage.tables.columns import UtcDateTime

s = sys_usersession.c
k = session_credential.c
u = sys_user.c
COVERING = sys_usersession.alias("covering")

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


def is_alive(now: ColumnElement[Any], of: sa.FromClause = sys_usersession) -> ColumnElement[bool]:
    """Nobody has ended it, and neither its absolute nor its idle end has come."""
    c = of.c
    active = c.IsActive == sa.literal_column("1")
    return and_(active, c.ExpiresAt > now, or_(c.IdleExpiresAt.is_(None), c.IdleExpiresAt > now))


def opens(now: ColumnElement[Any]) -> ColumnElement[bool]:
    """A credential that opens its session; a refresh token only fetches others."""
    return and_(k.kind != REFRESH, k.expires_at > now)


def is_covered(now: ColumnElement[Any]) -> ColumnElement[bool]:
    """A session mirrored from Keycloak that a living one of the bridge stands for already."""
    o = COVERING.c
    covering = exists().where(
        o.Origin == Origin.BRIDGE,
        o.Issuer == s.Issuer,
        o.Sid == s.Sid,
        o.Package == s.Package,
        is_alive(now, COVERING),
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
    """Note the use of a session that was alive then; times never go back, whatever clocks do.

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
    return update(sys_usersession).where(s.SessionId == bindparam("session_id"), is_alive(now)).values(**values)


def update_end(now: ColumnElement[Any], *where: ColumnElement[bool]) -> Update:
    """End sessions; the condition, or a lock that is held, must say that they are active."""
    return (
        update(sys_usersession)
        .where(*where)
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


def count_living(now: ColumnElement[Any], whose: ColumnElement[bool]) -> Select[Any]:
    """Count the living sessions of one type that a person has."""
    return (
        select(func.count().label("sessions"))
        .select_from(sys_usersession)
        .where(OF_USER, OF_TYPE, is_alive(now), whose)
    )


def is_of_ended(session_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """What is left of sessions that an application has ended by itself.

    Each row of the private table looks its session up: few of them have ended, while `sys_usersession` keeps the ended
    ones for weeks. Of a join PostgreSQL takes the longer way.
    """
    is_active = select(s.IsActive).where(s.SessionId == session_id).scalar_subquery()
    return is_active == sa.literal_column("0")


def survey(now: ColumnElement[Any]) -> Select[Any]:
    """Count a person's living sessions of a type, and ask whether any is known, and any from a device like this."""
    of_person = (OF_USER, OF_BRIDGE)
    known = exists().where(*of_person)
    return select(
        count_living(now, OF_BRIDGE).scalar_subquery().label("living"),
        known.label("is_known"),
        # Somebody may have thousands of rows: the first one that is alike ends the search.
        known.where(s.DeviceFingerprint == bindparam("fingerprint")).label("is_alike"),
    )


def select_oldest(now: ColumnElement[Any]) -> Select[Any]:
    """Hold the oldest of a person's living sessions of a type, at most `number`."""
    return (
        select(*SESSION_COLUMNS)
        .where(OF_USER, OF_TYPE, OF_BRIDGE, is_alive(now))
        .order_by(s.CreatedAt, s.SessionId)
        .limit(bindparam("number", type_=sa.Integer))
        .with_for_update()
    )


# Built once, and not at each use: then SQLAlchemy finds their text at once.
ACTIVE_SESSION = select_active(NOW)
LIVING_OF_BRIDGE = count_living(NOW, OF_BRIDGE)
SURVEY = survey(NOW)
OLDEST = select_oldest(NOW)
HOLD_PERSON = (
    select(u.RowVersion).where(u.User == bindparam("user"), u.Package == bindparam("package")).with_for_update()
)
CHOSEN = s.SessionId.in_(bindparam("session_ids", expanding=True))
# Not only the active ones: PostgreSQL would read its whole index of active sessions to find a few hundred.
HOLD = select(*SESSION_COLUMNS).where(CHOSEN).order_by(s.SessionId).with_for_update()
HOLD_IN_ORDER = select(s.SessionId).where(CHOSEN).order_by(s.SessionId).with_for_update()
END_HELD = update_end(NOW, CHOSEN)
INSERT_CREDENTIAL = insert(session_credential)
SHUT = (
    delete(session_credential).where(k.session_id.in_(bindparam("session_ids", expanding=True))),
    delete(keycloak_grant).where(keycloak_grant.c.session_id.in_(bindparam("session_ids", expanding=True))),
)
"""Delete all that opens sessions."""
DELETE = delete(sys_usersession).where(CHOSEN)


@cache
def insertion(further: tuple[str, ...]) -> sa.Insert:
    """Return `insert_session` with these columns; there are few different ones."""
    return insert_session(NOW, further=further)


@cache
def use(further: tuple[str, ...]) -> Update:
    """Return `update_use` with these changes."""
    return update_use(NOW, further=further)
