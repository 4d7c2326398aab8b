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

from bridge.model import Activity, Identity, SessionPolicy, UserSession
from bridge.storage import security_events, session_credentials, user_sessions
from bridge.storage.database import Database, Db
from bridge.storage.security_events import SecurityEvent
from bridge.storage.session_rows import ActiveSession

FLUSH_EVERY = timedelta(seconds=5)
NOT_AGAIN_WITHIN = timedelta(seconds=30)
"""A row that says so fresh a use is not written again."""
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
        if not (first or moved) and timedelta(0) <= now - session.last_activity < NOT_AGAIN_WITHIN:
            return
        noted = self._waiting.get(session.session_id)
        if noted is None:
            if len(self._waiting) >= MOST_WAITING:
                return
            noted = self._waiting[session.session_id] = _Noted(session, now, ip_address, None)
        noted.at = max(noted.at, now)
        noted.ip_address = ip_address or noted.ip_address
        if idle is not None and session.idle_expires_at is not None:
            noted.idle_expires_at = noted.at + idle
        if first:
            noted.first_uses.add(credential_digest)
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
                self._waiting = {**batch, **self._waiting}
                raise
            written += len(batch)
        return written


async def _write(db: Db, *, batch: list[_Noted], now: datetime) -> None:
    moved = [one for one in batch if _has_moved(one)]
    await user_sessions.update_activity(
        db,
        [
            Activity(
                one.session.session_id,
                one.at,
                idle_expires_at=one.idle_expires_at,
                ip_address=one.ip_address,
                suspicious=int(_has_moved(one)),
            )
            for one in batch
        ],
    )
    first_uses = [digest for one in batch for digest in one.first_uses]
    if first_uses:
        await session_credentials.note_first_use(db, first_uses, now=now)
    for one in moved:
        await security_events.append(db, _address_changed(one), now=now)


def _has_moved(one: _Noted) -> bool:
    return one.ip_address is not None and one.ip_address != one.session.last_ip_address


def _address_changed(one: _Noted) -> SecurityEvent:
    session = one.session
    identity: Identity | None = session.identity
    return SecurityEvent(
        "address_changed",
        session.package,
        identity=identity,
        username=session.username,
        session_id=session.session_id,
        ip_address=one.ip_address,
        evidence={"before": session.last_ip_address},
    )
