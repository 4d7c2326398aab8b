"""Rows that are kept for a while and then deleted, some at a time."""

from datetime import datetime

from sqlalchemy import Table, delete, select

from bridge.storage.database import Db

IN_A_LIST = 500


async def delete_older(db: Db, table: Table, *, before: datetime, limit: int) -> int:
    """Delete the oldest rows of a table with `id` and `at`, at most `limit`; return how many are gone.

    Less than `limit` means that there are no more. Ids are read first: MariaDB takes no LIMIT in a subquery.
    """
    oldest = select(table.c.id).where(table.c.at < before).order_by(table.c.at, table.c.id).limit(limit)
    ids = list((await db.execute(oldest)).scalars())
    for first in range(0, len(ids), IN_A_LIST):
        await db.execute(delete(table).where(table.c.id.in_(ids[first : first + IN_A_LIST])))
    return len(ids)
