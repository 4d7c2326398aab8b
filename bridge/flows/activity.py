"""Use of sessions, gathered here and written in batches: a request never waits for the note that it happened.

    note     at each use: which session, when, from where            (memory only)
    flush    now and then, and at the end: one transaction a batch   -> rows, audit events, overlap of rotations

A use just before the idle end of its session is written at once, or the clean-up of another replica might end a session
that is in use.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from bridge.model import Activity, SessionPolicy, UserSession
from bridge.storage import security_events, session_credentials, user_sessions
from bridge.storage.database import Database, Db
from bridge.storage.security_events import SecurityEvent
from bridge.storage.session_rows import ActiveSession

FLUSH_EVERY = timedelta(seconds=5)
NOT_AGAIN_WITHIN = timedelta(seconds=30)
"""A row that says so fresh a use is not written again; with a short idle limit, a twentieth of that."""
CLOSE_TO_IDLE_END = timedelta(seconds=30)
BATCH = 500
MOST_WAITING = 20_000
"""Bounds the memory when the database is away; what is beyond is not noted."""


@dataclass
class _Noted:
    """The newest use of one session that is not written yet."""

    session: UserSession
    at: datetime
    ip_address: str | None
    idle_expires_at: datetime | None
    first_uses: set[str] = field(default_factory=set)
    """Digests of credentials that were used for the first time."""

    def absorb(self, newer: "_Noted") -> None:
        """Take over a newer use of the session; times never go back."""
        self.at = max(self.at, newer.at)
        self.ip_address = newer.ip_address or self.ip_address
        if newer.idle_expires_at is not None:
            self.idle_expires_at = max(self.idle_expires_at or newer.idle_expires_at, newer.idle_expires_at)
        self.first_uses |= newer.first_uses


class Activities:
    """What has happened since the last flush, one entry a session."""

    def __init__(self, database: Database, policies: Mapping[str, SessionPolicy]) -> None:
        """Take the database and the limits of each session type."""
        self._database = database
        self._policies = policies
        self._waiting: dict[str, _Noted] = {}

    async def note(
        self, found: ActiveSession, *, credential_digest: str, ip_address: str | None, now: datetime
    ) -> None:
        """Note a use of a living session.

        Raises:
            StorageError: the use had to be written at once, and could not be.
        """
        session = found.session
        policy = self._policies.get(session.session_type)
        idle = policy.idle if policy is not None else None
        first = found.credential.first_used_at is None
        moved = ip_address is not None and ip_address != session.last_ip_address
        fresh = NOT_AGAIN_WITHIN if idle is None else min(NOT_AGAIN_WITHIN, idle / 20)
        if not (first or moved) and timedelta(0) <= now - session.last_activity < fresh:
            return
        idle_ends = None if policy is None else _find_idle_end(session, idle, now=now)
        new = _Noted(session, now, ip_address, idle_ends, {credential_digest} if first else set())
        noted = self._waiting.get(session.session_id)
        if noted is not None:
            noted.absorb(new)
        elif len(self._waiting) < MOST_WAITING:
            self._waiting[session.session_id] = new
        else:
            return
        if session.idle_expires_at is not None and session.idle_expires_at - now < CLOSE_TO_IDLE_END:
            await self.flush(now=now)

    async def flush(self, *, now: datetime) -> int:
        """Write what was noted, and return of how many sessions; what could not be written is kept for the next time.

        Raises:
            StorageError: the database is away.
        """
        written = 0
        while self._waiting:
            batch = dict(list(self._waiting.items())[:BATCH])
            for session_id in batch:
                del self._waiting[session_id]
            try:
                await self._database.write(partial(_write, batch=list(batch.values()), now=now))
            except BaseException:
                self._keep(batch)
                raise
            written += len(batch)
        return written

    def _keep(self, batch: Mapping[str, _Noted]) -> None:
        """Take back what could not be written; some of it may have been noted anew meanwhile."""
        for session_id, one in batch.items():
            newer = self._waiting.get(session_id)
            if newer is not None:
                one.absorb(newer)
            self._waiting[session_id] = one


def _find_idle_end(session: UserSession, idle: timedelta | None, *, now: datetime) -> datetime | None:
    """Return until when this use keeps the session; None when nothing but its absolute end limits it."""
    if session.idle_expires_at is None:
        return None
    # Whoever has switched the limit off means open sessions too.
    return session.expires_at if idle is None else now + idle


async def _write(db: Db, *, batch: list[_Noted], now: datetime) -> None:
    moved = {one.session.session_id: found for one in batch if (found := await _find_change(db, one, now=now))}
    await user_sessions.update_activity(
        db,
        [
            Activity(
                one.session.session_id,
                one.at,
                idle_expires_at=one.idle_expires_at,
                ip_address=one.ip_address,
                suspicious=int(one.session.session_id in moved),
            )
            for one in batch
        ],
    )
    first_uses = [digest for one in batch for digest in one.first_uses]
    if first_uses:
        await session_credentials.note_first_use(db, first_uses, now=now)
    for entry in moved.values():
        await security_events.append(db, entry, now=now)


def _was_alive(session: UserSession, at: datetime) -> bool:
    """Return whether the use will be written: the statement of `update_activity` asks the same."""
    idle_ends = session.idle_expires_at
    return session.is_active and session.expires_at > at and (idle_ends is None or idle_ends > at)


async def _find_change(db: Db, one: _Noted, *, now: datetime) -> SecurityEvent | None:
    """Return that a session is used from another address than before, unless another batch has said so already."""
    session, address = one.session, one.ip_address
    if None in (session.last_ip_address, address) or address == session.last_ip_address:
        return None
    # Read again: the request may have looked just before another batch, or another replica, wrote the same.
    rows = await user_sessions.get_user_sessions(
        db, None, package=session.package, now=now, session_id=session.session_id, ended=True
    )
    if not rows or not _was_alive(rows[0], one.at) or rows[0].last_ip_address == address:
        return None
    return SecurityEvent(
        "address_changed",
        session.package,
        identity=session.identity,
        username=session.username,
        session_id=session.session_id,
        ip_address=address,
        evidence={"before": rows[0].last_ip_address},
    )
