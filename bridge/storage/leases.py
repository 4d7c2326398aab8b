"""Leases: who may do a job now. A fencing number, not a clock of ours, decides whether a holder still is one.

Every writing transaction of a job begins with `guard`: it locks the row of the lease at its fencing number until the
commit. A check inside the statement that writes would not do: on PostgreSQL that statement may commit after a takeover.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import insert, select, update

from bridge.errors import LeaseHeld, LeaseLost
from bridge.storage.database import Db
from bridge.storage.database_clock import read_clock
from bridge.storage.tables import lease

c = lease.c


@dataclass(frozen=True)
class Lease:
    """A job that is ours as long as its fencing number is the one in the table."""

    name: str
    holder: str
    fencing_number: int


async def acquire(db: Db, name: str, *, holder: str, lasting: timedelta) -> Lease:
    """Take a job; a holder whose time has run out by the database's clock loses it.

    Raises:
        LeaseHeld: somebody else has it.
    """
    query = select(lease).where(c.name == name).with_for_update()
    row = (await db.execute(query)).one_or_none()
    clock = await read_clock(db)  # after the lock: while waiting for it time has passed
    if row is None:
        await db.execute(
            insert(lease).values(
                name=name, holder=holder, fencing_number=1, expires_at=clock + lasting, heartbeat_at=clock
            )
        )
        return Lease(name, holder, 1)
    if row.holder is not None and row.expires_at > clock:
        raise LeaseHeld(
            f"Another worker ({row.holder}) is doing this job at the moment.",
            hint=f"If that worker is dead, its lease ends by itself in {(row.expires_at - clock).seconds + 1} s.",
            evidence={"lease": name, "holder": row.holder, "heartbeat_at": row.heartbeat_at.isoformat()},
        )
    number = row.fencing_number + 1
    await db.execute(
        update(lease)
        .where(c.name == name)
        .values(holder=holder, fencing_number=number, expires_at=clock + lasting, heartbeat_at=clock)
    )
    return Lease(name, holder, number)


async def guard(db: Db, held: Lease) -> None:
    """Begin a writing transaction of a job: nobody can take it over before this transaction ends.

    Raises:
        LeaseLost: somebody has taken it over before.
    """
    query = select(c.holder, c.fencing_number).where(c.name == held.name).with_for_update()
    row = (await db.execute(query)).one_or_none()
    if row is None or (row.holder, row.fencing_number) != (held.holder, held.fencing_number):
        raise LeaseLost(
            evidence={
                "lease": held.name,
                "expected": f"{held.holder} at {held.fencing_number}",
                "found": None if row is None else f"{row.holder} at {row.fencing_number}",
            }
        )


async def heartbeat(db: Db, held: Lease, *, lasting: timedelta) -> None:
    """Say that the holder lives, and move the end of the lease on.

    Raises:
        LeaseLost: see `guard`.
    """
    await guard(db, held)
    clock = await read_clock(db)
    await db.execute(update(lease).where(c.name == held.name).values(expires_at=clock + lasting, heartbeat_at=clock))


async def release(db: Db, held: Lease) -> None:
    """Give the job back; nothing happens when somebody else has it by now."""
    clock = await read_clock(db)
    mine = (c.name == held.name, c.holder == held.holder, c.fencing_number == held.fencing_number)
    await db.execute(update(lease).where(*mine).values(holder=None, expires_at=clock, heartbeat_at=clock))
