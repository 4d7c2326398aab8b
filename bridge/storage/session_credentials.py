"""Credentials of sessions, as digests: the only table that authenticates anybody.

A cookie is replaced now and then. The old one goes on working until the new one was used, and 60 seconds longer: the
answer that carries the new one may be lost, and other requests may be on their way with the old one.

    old -- supersede --> old, new -- new is used --> old ends in 60 s
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, delete, exists, insert, literal, or_, select, update

from bridge.model import Activity
from bridge.storage import user_sessions
from bridge.storage.database import Db
from bridge.storage.retention import count_rows
from bridge.storage.session_rows import in_parts
from bridge.storage.session_statements import COOKIE, NOW, is_alive, is_of_ended, k, s
from bridge.storage.tables import session_credential
from bridge.storage.tables.columns import UtcDateTime

KEEP_EXPIRED = timedelta(days=1)
"""A clock that is wrong for a while must not take living credentials away."""
OVERLAP = timedelta(seconds=60)
_OF_DIGESTS = k.digest.in_(bindparam("digests", expanding=True))
_ENDS = bindparam("ends", type_=UtcDateTime())
_NOTE_FIRST_USE = update(session_credential).where(_OF_DIGESTS, k.first_used_at.is_(None)).values(first_used_at=NOW)
_SESSIONS_OF = select(k.session_id).where(_OF_DIGESTS).distinct()
_END_SUPERSEDED = (
    update(session_credential)
    .where(k.session_id.in_(bindparam("session_ids", expanding=True)))
    .where(k.superseded_by.in_(bindparam("digests", expanding=True)), k.expires_at > _ENDS)
    .values(expires_at=_ENDS)
)


async def add_cookie_to_active(db: Db, session_id: str, *, credential_digest: str, now: datetime) -> datetime | None:
    """Store a further credential of a session that is alive; return its end, or None when the session is not."""
    alive = (s.SessionId == session_id, is_alive(literal(now, UtcDateTime())))
    columns = ["digest", "session_id", "kind", "created_at", "expires_at"]
    source = select(
        literal(credential_digest), s.SessionId, literal(COOKIE), literal(now, UtcDateTime()), s.ExpiresAt
    ).where(*alive)
    result = await db.execute(insert(session_credential).from_select(columns, source))
    if result.rowcount != 1:
        return None
    ends: datetime | None = (await db.execute(select(s.ExpiresAt).where(s.SessionId == session_id))).scalar()
    return ends


async def supersede(
    db: Db, session_id: str, *, old: str, seen: str | None, new: str, expires_at: datetime, now: datetime
) -> bool:
    """Replace a cookie's credential by a new one; one UPDATE decides.

    False when another request did so first, or the session is not alive any more.

    `old` and `new` are digests; `seen` is what had superseded the old one when it was read: a successor that was never
    used was lost on its way, and is replaced in turn; it ends when the old one does.
    """
    result = await db.execute(
        update(session_credential)
        .where(k.digest == old, k.session_id == session_id, k.expires_at > now)
        .where(k.superseded_by.is_(None) if seen is None else k.superseded_by == seen)
        .where(exists().where(s.SessionId == session_id, is_alive(literal(now, UtcDateTime()))))
        .values(superseded_by=new)
    )
    if result.rowcount != 1:
        return False
    if seen is not None:
        # Whoever has got hold of it must not keep it: it ends with the old one, and so does what it had replaced.
        alike = update(session_credential).where(k.session_id == session_id)
        await db.execute(alike.where(or_(k.digest == seen, k.superseded_by == seen)).values(superseded_by=new))
    await db.execute(
        insert(session_credential).values(
            digest=new, session_id=session_id, kind=COOKIE, created_at=now, expires_at=expires_at
        )
    )
    await user_sessions.update_activity(db, [Activity(session_id, now, rotated_to=new)])
    return True


async def note_first_use(db: Db, digests: Sequence[str], *, now: datetime) -> None:
    """Note that credentials were used, and let those that they superseded end soon."""
    for part in in_parts(sorted(set(digests))):
        await db.execute(_NOTE_FIRST_USE, {"digests": part, "now": now})
        # By their sessions, which an index knows, and not by what superseded them, which none does.
        session_ids = list((await db.execute(_SESSIONS_OF, {"digests": part})).scalars())
        await db.execute(_END_SUPERSEDED, {"session_ids": session_ids, "digests": part, "ends": now + OVERLAP})


async def delete_of_session(db: Db, session_id: str) -> None:
    """Delete all credentials of a session, so that nothing opens it any more."""
    await db.execute(delete(session_credential).where(k.session_id == session_id))


async def delete_expired(db: Db, *, now: datetime, limit: int) -> int:
    """Delete at most `limit` credentials that are a day past their end, and return how many."""
    query = select(k.digest).where(_is_expired(now)).order_by(k.expires_at).limit(limit)
    found = await db.execute(query.with_for_update(skip_locked=True))
    digests = [str(one) for one in found.scalars()]
    for part in in_parts(digests):
        await db.execute(delete(session_credential).where(k.digest.in_(part)))
    return len(digests)


async def find_of_ended(db: Db, *, limit: int) -> list[str]:
    """Return digests of at most `limit` credentials of sessions that an application has ended by itself."""
    found = await db.execute(select(k.digest).where(is_of_ended(k.session_id)).limit(limit))
    return [str(one) for one in found.scalars()]


async def delete_of_ended(db: Db, digests: Sequence[str]) -> int:
    """Delete what `find_of_ended` has found, as far as its sessions are still ended; return how many there were."""
    deleted = 0
    for part in in_parts(digests):
        chosen = delete(session_credential).where(k.digest.in_(part), is_of_ended(k.session_id))
        deleted += (await db.execute(chosen)).rowcount
    return deleted


async def count_old(db: Db, *, now: datetime) -> int:
    """Return how many credentials `delete_expired` and `delete_of_ended` would delete in the end."""
    return await count_rows(db, session_credential, or_(_is_expired(now), is_of_ended(k.session_id)))


def _is_expired(now: datetime) -> ColumnElement[bool]:
    return k.expires_at < now - KEEP_EXPIRED
