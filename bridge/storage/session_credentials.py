"""Credentials of sessions, as digests: the only table that authenticates anybody."""

from datetime import datetime, timedelta

from sqlalchemy import delete, insert, literal, select

from bridge.model import NewSession
from bridge.storage.database import Db
from bridge.storage.tables import session_credential, sys_usersession
from bridge.storage.tables.columns import UtcDateTime

COOKIE = "cookie"
KEEP_EXPIRED = timedelta(days=1)


async def add_cookie(db: Db, opened: NewSession) -> None:
    """Store the credential a sign-in gives to the browser."""
    await db.execute(
        insert(session_credential).values(
            digest=opened.credential_digest,
            session_id=opened.session_id,
            kind=COOKIE,
            created_at=opened.created_at,
            expires_at=opened.expires_at,
        )
    )


async def add_cookie_to_active(db: Db, session_id: str, *, credential_digest: str, now: datetime) -> datetime | None:
    """Store a further credential of a session that is alive; return its end, or None when the session is not."""
    s = sys_usersession.c
    alive = (s.SessionId == session_id, s.IsActive == True, s.ExpiresAt > now)  # noqa: E712 - SQL
    columns = ["digest", "session_id", "kind", "created_at", "expires_at"]
    source = select(
        literal(credential_digest), s.SessionId, literal(COOKIE), literal(now, UtcDateTime()), s.ExpiresAt
    ).where(*alive)
    result = await db.execute(insert(session_credential).from_select(columns, source))
    if result.rowcount != 1:
        return None
    ends: datetime | None = (await db.execute(select(s.ExpiresAt).where(s.SessionId == session_id))).scalar()
    return ends


async def delete_of_session(db: Db, session_id: str) -> None:
    """Delete all credentials of a session, so that nothing opens it any more."""
    await db.execute(delete(session_credential).where(session_credential.c.session_id == session_id))


async def delete_expired(db: Db, *, now: datetime) -> None:
    """Delete credentials a day past their end: a clock that is wrong for a while must not take living ones away."""
    await db.execute(delete(session_credential).where(session_credential.c.expires_at < now - KEEP_EXPIRED))
