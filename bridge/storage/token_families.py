"""Refresh tokens of a session: one family, of which only the newest works (RFC 9700 section 4.14.2).

    exchange of the app's code -> open_family -> access and refresh token
    refresh                    -> rotate      -> the next pair; the one before is honoured for a grace of 10 s and gets
                                                 the same pair again; any older one ends the session

Digests of used refresh tokens stay as long as the family may live, so that a stolen one is recognised days later.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, insert, select, update

from bridge.model import Activity, SessionPolicy, UserSession
from bridge.storage import user_sessions
from bridge.storage.database import Db, RowClash
from bridge.storage.session_statements import ACCESS, NOW, REFRESH, is_alive, k, s
from bridge.storage.tables import session_credential, sys_usersession

GRACE = timedelta(seconds=10)
TOKEN_THEFT = "token_theft"  # noqa: S105 - a reason
"""Reason of the end of a session whose used refresh token came again."""


@dataclass(frozen=True)
class TokenPair:
    """Digests of an access and a refresh token, and both of them sealed for a lost answer."""

    access_digest: str
    refresh_digest: str
    access_expires_at: datetime
    sealed: str | None = None
    """The pair, sealed under a key derived from the refresh token before it."""


class Outcome(StrEnum):
    """What a refresh came to."""

    ROTATED = "rotated"
    REPEATED = "repeated"
    REFUSED = "refused"
    STOLEN = "stolen"


@dataclass(frozen=True)
class Refreshed:
    """The outcome, the session where there is one, and the sealed pair of a repeated refresh."""

    outcome: Outcome
    session_id: str | None = None
    sealed: str | None = None
    ended: UserSession | None = None


def refresh_end(session_ends: datetime, policy: SessionPolicy, *, now: datetime) -> datetime:
    """Return the end of a refresh token: never beyond the absolute end of its session."""
    return min(now + policy.refresh_lifetime, session_ends)


async def open_family(db: Db, session: UserSession, pair: TokenPair, *, policy: SessionPolicy, now: datetime) -> None:
    """Store the first tokens of a session, in the transaction that redeems the app's code."""
    ends = refresh_end(session.expires_at, policy, now=now)
    await _store(db, session.session_id, pair, refresh_ends=ends, session_ends=session.expires_at, now=now)
    first = Activity(
        session.session_id,
        now,
        refreshed_to=pair.refresh_digest,
        refresh_expires_at=ends,
        token_family_id=pair.refresh_digest,
    )
    await user_sessions.update_activity(db, [first])


async def rotate(db: Db, refresh_digest: str, pair: TokenPair, *, policy: SessionPolicy, now: datetime) -> Refreshed:
    """Replace a refresh token by the next pair. One conditional UPDATE decides who does so.

    A repetition within the grace gets the sealed successor of the first one; a later use of a replaced token ends the
    session, as somebody has a copy of it. A session that is over by time gives no tokens any more.

    Raises:
        RowClash: another request has replaced it at this moment; the transaction is to be repeated.
    """
    columns = (k.session_id, k.superseded_by, k.sealed_successor, k.first_used_at, k.expires_at)
    query = (
        select(*columns, s.ExpiresAt)
        .join(sys_usersession, s.SessionId == k.session_id)
        .where(k.digest == refresh_digest, k.kind == REFRESH, is_alive(NOW))
    )
    known = (await db.execute(query, {"now": now})).one_or_none()
    if known is None:
        return Refreshed(Outcome.REFUSED)
    if known.superseded_by is not None:
        # Both ways: the clock of the replica that replaced it may be ahead of ours.
        if known.sealed_successor is not None and abs(now - known.first_used_at) < GRACE:
            return Refreshed(Outcome.REPEATED, known.session_id, known.sealed_successor)
        ended = await user_sessions.invalidate_session(
            db, known.session_id, invalidated_by=None, reason=TOKEN_THEFT, now=now
        )
        return Refreshed(Outcome.STOLEN, known.session_id, ended=ended)
    if known.expires_at <= now:
        return Refreshed(Outcome.REFUSED)
    won = await db.execute(
        update(session_credential)
        .where(k.digest == refresh_digest, k.superseded_by.is_(None))
        .values(
            superseded_by=pair.refresh_digest,
            sealed_successor=pair.sealed,
            first_used_at=now,
            # It opens nothing any more, and must be recognised as long as the family may live.
            expires_at=known.ExpiresAt,
        )
    )
    if won.rowcount != 1:
        raise RowClash
    await _replace(db, known.session_id, pair, session_ends=known.ExpiresAt, policy=policy, now=now)
    return Refreshed(Outcome.ROTATED, known.session_id)


async def _replace(
    db: Db, session_id: str, pair: TokenPair, *, session_ends: datetime, policy: SessionPolicy, now: datetime
) -> None:
    ends = refresh_end(session_ends, policy, now=now)
    await _store(db, session_id, pair, refresh_ends=ends, session_ends=session_ends, now=now)
    # What sealed the pair before is no longer of use; the digests stay.
    older = (k.session_id == session_id, k.kind == REFRESH, k.superseded_by != pair.refresh_digest)
    await db.execute(update(session_credential).where(*older).values(sealed_successor=None))
    rotated = Activity(
        session_id,
        now,
        # A refresh is a use: an app may hold tokens and ask for nothing else for days.
        idle_expires_at=now + policy.idle if policy.idle is not None else None,
        rotated_to=pair.access_digest,
        refreshed_to=pair.refresh_digest,
        refresh_expires_at=ends,
    )
    await user_sessions.update_activity(db, [rotated])


async def _store(
    db: Db, session_id: str, pair: TokenPair, *, refresh_ends: datetime, session_ends: datetime, now: datetime
) -> None:
    access = {"digest": pair.access_digest, "kind": ACCESS, "expires_at": min(pair.access_expires_at, session_ends)}
    refresh = {"digest": pair.refresh_digest, "kind": REFRESH, "expires_at": refresh_ends}
    rows = [{**one, "session_id": session_id, "created_at": now} for one in (access, refresh)]
    await db.execute(insert(session_credential), rows)
    expired = (k.session_id == session_id, k.kind == ACCESS, k.expires_at <= now)
    await db.execute(delete(session_credential).where(*expired))
