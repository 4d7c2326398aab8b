"""What every replica must forget: rows that triggers append, read by each replica as they come.

    position = (await read_since(db, None)).position          from now on
    tail = await read_since(db, position)                     forget tail.entries; go on at tail.position

Numbers are given when a row is written and seen when its transaction commits, so a lower number may turn up after a
higher one. Each reading therefore goes back 30 seconds and gives what it has not given yet. Who may have transactions
that stay open for longer reads with a longer `overlap` now and then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import nlargest

from sqlalchemy import ColumnElement, delete, select

from bridge.storage.database import Db
from bridge.storage.database_clock import read_clock
from bridge.storage.retention import count_rows
from bridge.storage.tables import session_revocation

OVERLAP = timedelta(seconds=30)
RETENTION = timedelta(hours=1)
MOST = 5000
"""Entries of one reading. When there are more, to forget everything is cheaper."""
MOST_SEEN = 10_000
"""Numbers that are remembered. An entry whose number was dropped is given again, which does no harm."""
IN_A_LIST = 500
r = session_revocation.c


@dataclass(frozen=True)
class Revocation:
    """A session (`session_id`) or a person whose cached state no longer holds; names and identity as they were."""

    id: int
    at: datetime
    kind: str
    session_id: str | None
    username: str
    package: str
    issuer: str | None
    sub: str | None


@dataclass(frozen=True)
class Position:
    """How far a replica has read, by the database's clock, and the numbers that it was given."""

    at: datetime
    seen: frozenset[int] = field(repr=False)


@dataclass(frozen=True)
class Tail:
    """What has come since a position, in the order of numbers, and the next position.

    When it is not complete (there was no position, or too much has come, or entries may have been deleted since)
    everything must be forgotten, and `entries` is empty.
    """

    entries: tuple[Revocation, ...]
    position: Position
    is_complete: bool


async def read_since(db: Db, since: Position | None, *, overlap: timedelta = OVERLAP, most: int = MOST) -> Tail:
    """Return what was committed since a position; an entry may be given twice, and none is left out.

    `overlap` is how long a transaction may be open after its change; it must be shorter than the retention.
    """
    # The clock first: what commits while we read then lies within the next reading.
    now = await read_clock(db)
    if since is None or now - since.at > RETENTION - overlap:
        return Tail((), Position(now, frozenset()), is_complete=False)
    query = select(session_revocation).where(r.at >= since.at - overlap).order_by(r.at.desc()).limit(most + 1)
    rows = (await db.execute(query)).all()
    seen = frozenset(nlargest(MOST_SEEN, {row.id for row in rows} | since.seen))
    position = Position(now, seen)
    if len(rows) > most:
        return Tail((), position, is_complete=False)
    new = sorted((row for row in rows if row.id not in since.seen), key=lambda row: row.id)
    return Tail(tuple(Revocation(*row) for row in new), position, is_complete=True)


async def delete_old(db: Db, *, now: datetime, limit: int) -> int:
    """Delete entries that no replica needs any more, `limit` at most, and return how many."""
    query = select(r.id).where(await _is_old(db, now)).order_by(r.at).limit(limit)
    ids: Sequence[int] = (await db.execute(query)).scalars().all()
    deleted = 0
    for first in range(0, len(ids), IN_A_LIST):
        part = ids[first : first + IN_A_LIST]
        deleted += (await db.execute(delete(session_revocation).where(r.id.in_(part)))).rowcount
    return deleted


async def count_old(db: Db, *, now: datetime) -> int:
    """Return how many entries `delete_old` would delete in the end."""
    return await count_rows(db, session_revocation, await _is_old(db, now))


async def _is_old(db: Db, now: datetime) -> ColumnElement[bool]:
    # A machine whose clock is ahead must not take from the others what they have not read.
    sure = min(now, await read_clock(db))
    return r.at < sure - RETENTION
