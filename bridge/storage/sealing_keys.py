"""Which sealing keys are in use: a key is noted before it seals, and forgotten when no value needs it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select

from bridge.storage.database import Db
from bridge.storage.tables import sealing_key

c = sealing_key.c


@dataclass(frozen=True)
class KeyInUse:
    """A key that values may need, and since when."""

    key_id: str
    first_used_at: datetime


async def note_in_use(db: Db, key_id: str, *, now: datetime) -> bool:
    """Note that a key seals; False when that is known already.

    Raises:
        RowClash: another process notes it at this moment; the transaction is to be repeated.
    """
    if (await db.execute(select(c.key_id).where(c.key_id == key_id))).one_or_none() is not None:
        return False
    await db.execute(insert(sealing_key).values(key_id=key_id, first_used_at=now))
    return True


async def list_in_use(db: Db) -> list[KeyInUse]:
    """Return the keys that values may need, the oldest first."""
    rows = await db.execute(select(sealing_key).order_by(c.first_used_at, c.key_id))
    return [KeyInUse(row.key_id, row.first_used_at) for row in rows]


async def forget(db: Db, key_ids: Collection[str]) -> int:
    """Take keys off the list; return how many were on it."""
    if not key_ids:
        return 0
    return (await db.execute(delete(sealing_key).where(c.key_id.in_(key_ids)))).rowcount
