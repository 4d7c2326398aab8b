"""Sessions in `sys_usersession`: created, found by credential, listed, ended.

A session authenticates only through `session_credential`; whoever can merely insert into `sys_usersession` cannot make
a login of it.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, exists, insert, not_, or_, select, update

from bridge.model import NewSession, Origin, User, UserSession, digest
from bridge.storage.database import Db
from bridge.storage.tables import session_credential, sys_user, sys_usersession
from bridge.storage.users import to_user

LONGEST_USER_AGENT = 2000


async def create_session(db: Db, opened: NewSession, *, session_type: str) -> None:
    """Write the row of a session that the bridge opens; the credential is stored apart."""
    agent = opened.user_agent
    await db.execute(
        insert(sys_usersession).values(
            SessionId=opened.session_id,
            User=opened.username,
            Package=opened.identity.package,
            SessionToken=opened.credential_digest,
            SessionType=session_type,
            IpAddress=opened.ip_address,
            LastIpAddress=opened.ip_address,
            UserAgent=agent[:LONGEST_USER_AGENT] if agent else None,
            UserAgentHash=digest(agent) if agent else None,
            CreatedAt=opened.created_at,
            LastActivity=opened.created_at,
            ExpiresAt=opened.expires_at,
            IsActive=True,
            LoginMethod=opened.login_method,
            Issuer=opened.identity.issuer,
            Realm=opened.identity.realm,
            Sub=opened.identity.sub,
            Sid=opened.sid,
            ClientId=opened.client_id,
            Origin=Origin.BRIDGE,
            AuthTime=opened.auth_time,
            Acr=opened.acr,
            OauthStateId=opened.oauth_state_id,
            UpdatedAt=opened.created_at,
        )
    )


async def get_active_session(
    db: Db, credential_digest: str, *, package: str, now: datetime
) -> tuple[UserSession, User] | None:
    """Return the living session a credential opens, with its active user; None when there is none.

    Credential, session and user must all be alive at `now`, and of this package. The user is found by identity, not by
    name: a namesake who came later is somebody else.
    """
    s, k, u = sys_usersession.c, session_credential.c, sys_user.c
    query = (
        select(sys_usersession)
        .join(session_credential, k.session_id == s.SessionId)
        .where(k.digest == credential_digest, k.expires_at > now, s.Package == package, *_alive(now))
    )
    row = (await db.execute(query)).one_or_none()
    if row is None:
        return None
    identity = (u.Issuer == row.Issuer, u.Sub == row.Sub, u.Package == row.Package)
    user = (await db.execute(select(sys_user).where(*identity, u.Active == True))).one_or_none()  # noqa: E712 - SQL
    return (_to_model(row), to_user(user)) if user else None


async def get_sessions_of_sid(db: Db, session: UserSession, *, now: datetime) -> list[UserSession]:
    """Return the living web sessions of the bridge that share a session's `sid` at Keycloak, itself among them."""
    s = sys_usersession.c
    if session.sid is None:
        return [session]
    shared = (s.Issuer == session.issuer, s.Sid == session.sid, s.Package == session.package)
    ours = (s.Origin == Origin.BRIDGE, s.SessionType == session.session_type, *_alive(now))
    return [_to_model(row) for row in await db.execute(select(sys_usersession).where(*shared, *ours))]


async def get_user_sessions(db: Db, username: str, *, package: str, now: datetime) -> list[UserSession]:
    """Return the living sessions of a user, newest first.

    A mirrored session is left out while an active one of the bridge covers it.
    """
    s = sys_usersession.c
    covering = sys_usersession.alias("covering")
    o = covering.c
    covered = and_(
        s.Origin == Origin.KEYCLOAK,
        exists().where(
            o.Origin == Origin.BRIDGE,
            o.Issuer == s.Issuer,
            o.Sid == s.Sid,
            o.Package == s.Package,
            o.IsActive == True,  # noqa: E712 - SQL
            o.ExpiresAt > now,
        ),
    )
    query = (
        select(sys_usersession)
        .where(s.User == username, s.Package == package, *_alive(now), not_(covered))
        .order_by(s.CreatedAt.desc(), s.SessionId)
    )
    return [_to_model(row) for row in await db.execute(query)]


async def invalidate_session(
    db: Db, session_id: str, *, invalidated_by: str | None, reason: str, now: datetime
) -> bool:
    """End a session; False when it had ended before. Its credentials and grant are the caller's to delete."""
    s = sys_usersession.c
    result = await db.execute(
        update(sys_usersession)
        .where(s.SessionId == session_id, s.IsActive == True)  # noqa: E712 - SQL
        .values(
            IsActive=False,
            InvalidatedAt=now,
            InvalidatedBy=invalidated_by,
            InvalidatedReason=reason,
            UpdatedAt=now,
            LastActivity=s.LastActivity,
        )
    )
    return result.rowcount == 1


def _alive(now: datetime) -> tuple[Any, ...]:
    s = sys_usersession.c
    return (
        s.IsActive == True,  # noqa: E712 - SQL
        s.ExpiresAt > now,
        or_(s.IdleExpiresAt.is_(None), s.IdleExpiresAt > now),
    )


def _to_model(row: Row[Any]) -> UserSession:
    return UserSession(
        session_id=row.SessionId,
        username=row.User,
        package=row.Package,
        session_type=row.SessionType,
        created_at=row.CreatedAt,
        expires_at=row.ExpiresAt,
        is_active=row.IsActive,
        login_method=row.LoginMethod,
        auth_time=row.AuthTime,
        issuer=row.Issuer,
        sub=row.Sub,
        sid=row.Sid,
        ip_address=row.IpAddress,
        origin=row.Origin,
        client_id=row.ClientId,
    )
