"""Whole rows of `sys_usersession`, for whoever has to see everything; the operations are in `user_sessions`.

Digests of credentials never leave the table: no function here returns them.
"""

from typing import Any

from sqlalchemy import select

from bridge.storage.database import Db
from bridge.storage.session_input import may_be_asked_for
from bridge.storage.tables import sys_usersession

DIGESTS = ("SessionToken", "RefreshToken")
SHOWN = tuple(column for column in sys_usersession.columns if column.name not in DIGESTS)
c = sys_usersession.c


async def find_record(db: Db, session_id: str, *, package: str) -> dict[str, Any] | None:
    """Return all columns of a session, living or ended, but the digests of what opens it."""
    if not may_be_asked_for(session_id, package):
        return None
    row = (await db.execute(select(*SHOWN).where(c.SessionId == session_id, c.Package == package))).one_or_none()
    return dict(row._mapping) if row else None  # noqa: SLF001 - public name of SQLAlchemy
