"""Rows that are kept for a while and then deleted, some at a time; and how many of them there are."""

from datetime import datetime

from sqlalchemy import Column, ColumnElement, Table, delete, func, select

from bridge.storage.database import Db
from bridge.storage.tables import exchange_code, logout_token_seen, logout_tombstone, signing_key

IN_A_LIST = 500
KEPT_UNTIL = (
    exchange_code.c.kept_until,
    logout_token_seen.c.expires_at,
    logout_tombstone.c.expires_at,
    signing_key.c.published_until,
)
"""Tables whose rows say themselves how long they are kept."""


async def count_rows(db: Db, table: Table, condition: ColumnElement[bool]) -> int:
    """Return how many rows of a table a condition finds."""
    return int((await db.execute(select(func.count()).select_from(table).where(condition))).scalar_one())


async def count_older(db: Db, table: Table, *, before: datetime) -> int:
    """Return how many rows `delete_older` would delete in the end."""
    return await count_rows(db, table, table.c.at < before)


async def delete_older(db: Db, table: Table, *, before: datetime, limit: int) -> int:
    """Delete the oldest rows of a table with `at`, at most `limit`; return how many are gone.

    Less than `limit` means that there are no more.
    """
    return await _delete_before(db, table.c.at, before=before, limit=limit)


async def delete_kept_until(db: Db, *, now: datetime, limit: int) -> int:
    """Delete rows of `KEPT_UNTIL` whose time has come, at most `limit` of each table; return how many are gone.

    Less than `limit` means that there are no more.
    """
    return sum([await _delete_before(db, time, before=now, limit=limit) for time in KEPT_UNTIL])


async def count_kept_until(db: Db, *, now: datetime) -> int:
    """Return how many rows `delete_kept_until` would delete in the end."""
    return sum([await count_rows(db, time.table, time < now) for time in KEPT_UNTIL])


async def _delete_before(db: Db, time: Column[datetime], *, before: datetime, limit: int) -> int:
    """Delete by the primary key, of one column. Keys are read first: MariaDB takes no LIMIT in a subquery."""
    (key,) = time.table.primary_key
    oldest = select(key).where(time < before).order_by(time, key).limit(limit)
    keys = list((await db.execute(oldest)).scalars())
    for first in range(0, len(keys), IN_A_LIST):
        await db.execute(delete(time.table).where(key.in_(keys[first : first + IN_A_LIST])))
    return len(keys)
