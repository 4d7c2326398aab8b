"""Sessions as an administrator sees and ends them: the same eight operations that the web service uses."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bridge.errors import SessionUnknown
from bridge.flows.ending import end_session, note_ended
from bridge.model import UserSession
from bridge.storage import session_records, user_sessions
from bridge.storage.database import Database, Db

BY_ADMINISTRATOR = "admin"
"""Reason of an end that an administrator brought about without giving another."""


async def get_session(database: Database, session_id: str, *, package: str, now: datetime) -> UserSession:
    """Return one session, living or ended.

    Raises:
        SessionUnknown: there is none of this handle in the package.
    """
    async with database.reading() as db:
        found = await user_sessions.get_user_sessions(
            db, None, package=package, now=now, session_id=session_id, ended=True
        )
    if not found:
        raise SessionUnknown(evidence={"session_id": session_id, "package": package})
    return found[0]


async def show_session(database: Database, session_id: str, *, package: str) -> Mapping[str, Any]:
    """Return the whole row of one session, living or ended, without the digests of what opens it.

    Raises:
        SessionUnknown: there is none of this handle in the package.
    """
    async with database.reading() as db:
        found = await session_records.find_record(db, session_id, package=package)
    if found is None:
        raise SessionUnknown(evidence={"session_id": session_id, "package": package})
    return found


async def end_one(
    database: Database, session_id: str, *, package: str, ended_by: str, reason: str, now: datetime
) -> UserSession | None:
    """End one session and return it; None when it had ended before.

    Raises:
        SessionUnknown: there is none of this handle in the package.
    """
    await get_session(database, session_id, package=package, now=now)
    return await database.write(lambda db: end_session(db, session_id, reason=reason, invalidated_by=ended_by, now=now))


async def end_all(
    database: Database,
    username: str,
    *,
    package: str,
    ended_by: str,
    reason: str,
    now: datetime,
    session_type: str | None = None,
) -> Sequence[UserSession]:
    """End all active sessions of a person, whoever made them, and return them."""

    async def step(db: Db) -> Sequence[UserSession]:
        ended = await user_sessions.invalidate_user_sessions(
            db,
            username,
            package=package,
            invalidated_by=ended_by,
            reason=reason,
            now=now,
            session_type=session_type,
        )
        await note_ended(db, ended, reason=reason, invalidated_by=ended_by, now=now)
        return ended

    return await database.write(step)
