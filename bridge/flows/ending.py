"""How sessions end: with all that opens them, and with a line in the audit trail."""

from collections.abc import Sequence
from datetime import datetime

from bridge.model import UserSession
from bridge.storage import security_events, user_sessions
from bridge.storage.database import Db
from bridge.storage.security_events import SecurityEvent


async def end_session(
    db: Db, session_id: str, *, reason: str, invalidated_by: str | None, now: datetime
) -> UserSession | None:
    """End a session, and return it as it was; None when it had ended before."""
    ended = await user_sessions.invalidate_session(
        db, session_id, invalidated_by=invalidated_by, reason=reason, now=now
    )
    await note_ended(db, [ended] if ended else [], reason=reason, invalidated_by=invalidated_by, now=now)
    return ended


async def note_ended(
    db: Db, ended: Sequence[UserSession], *, reason: str, invalidated_by: str | None, now: datetime
) -> None:
    """Write into the audit trail that sessions were ended, in the transaction that ended them."""
    for one in ended:
        entry = SecurityEvent(
            "session_ended",
            one.package,
            identity=one.identity,
            username=one.username,
            session_id=one.session_id,
            evidence={"reason": reason, "invalidated_by": invalidated_by},
        )
        await security_events.append(db, entry, now=now)
