"""The database's own clock: the one that all replicas have in common."""

from datetime import datetime

from sqlalchemy import select

from bridge.storage.database import Db
from bridge.storage.tables.columns import database_now


async def read_clock(db: Db) -> datetime:
    """Return the time of the database, aware and in UTC."""
    now: datetime = (await db.execute(select(database_now()))).scalar_one()
    return now
