"""Failure counters by client and address, which outlive the locks that come of them; the rules are in `flows.lockout`.

A counter is read under a lock and written in the same transaction, so that failures at the same moment all count. The
first one has no row to lock: who inserts second loses that race, and the transaction is repeated.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, insert, or_, select, update

from bridge.storage.database import Db
from bridge.storage.retention import count_rows
from bridge.storage.tables import login_lockout

STEPS = {5: timedelta(minutes=5), 10: timedelta(minutes=30), 20: timedelta(hours=24)}
"""Which failure locks for how long; those beyond the last one lock like it."""
FORGOTTEN_AFTER = timedelta(hours=24)
"""After the last failure."""

c = login_lockout.c


@dataclass(frozen=True)
class Lockout:
    """How often a client failed from an address since its last success, and until when it is locked, if at all."""

    client: str
    address: str
    failures: int
    first_failed_at: datetime
    last_failed_at: datetime
    locked_until: datetime | None


async def find(db: Db, *, client: str, address: str, lock: bool = False) -> Lockout | None:
    """Return the counter; with `lock` nobody else counts before this transaction ends."""
    query = select(login_lockout).where(c.client == client, c.address == address)
    row = (await db.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        return None
    return Lockout(
        client=row.client,
        address=row.address,
        failures=row.failures,
        first_failed_at=row.first_failed_at,
        last_failed_at=row.last_failed_at,
        locked_until=row.locked_until,
    )


async def add(db: Db, counter: Lockout) -> None:
    """Write the first failure, when `find` has found nothing.

    Raises:
        RowClash: somebody else has counted first; the transaction is to be repeated.
    """
    await db.execute(insert(login_lockout).values(client=counter.client, address=counter.address, **_values(counter)))


async def change(db: Db, counter: Lockout) -> None:
    """Write a further failure into the row that `find` has locked."""
    this = (c.client == counter.client, c.address == counter.address)
    await db.execute(update(login_lockout).where(*this).values(_values(counter)))


async def shorten(db: Db, *, client: str, address: str, locked_until: datetime) -> None:
    """Let a lock end at this moment if it would last longer."""
    longer = (c.client == client, c.address == address, c.locked_until > locked_until)
    await db.execute(update(login_lockout).where(*longer).values(locked_until=locked_until))


async def forget(db: Db, *, client: str, address: str) -> None:
    """Delete the counter, after a success."""
    await db.execute(delete(login_lockout).where(c.client == client, c.address == address))


async def delete_old(db: Db, *, now: datetime, limit: int) -> int:
    """Delete forgotten counters, at most `limit`; return how many are gone."""
    old = _is_old(now)
    oldest = select(c.client, c.address).where(old).order_by(c.last_failed_at).limit(limit)
    found = (await db.execute(oldest)).all()
    for client, address in found:
        await db.execute(delete(login_lockout).where(and_(c.client == client, c.address == address), old))
    return len(found)


async def count_old(db: Db, *, now: datetime) -> int:
    """Return how many counters `delete_old` would delete in the end."""
    return await count_rows(db, login_lockout, _is_old(now))


def _is_old(now: datetime) -> ColumnElement[bool]:
    # One from a day ahead was written by a clock that was wrong.
    return or_(c.last_failed_at <= now - FORGOTTEN_AFTER, c.last_failed_at >= now + FORGOTTEN_AFTER)


def _values(counter: Lockout) -> dict[str, Any]:
    return {
        "failures": counter.failures,
        "first_failed_at": counter.first_failed_at,
        "last_failed_at": counter.last_failed_at,
        "locked_until": counter.locked_until,
    }
