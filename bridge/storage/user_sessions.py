"""Sessions in `sys_usersession`: the eight operations, and nothing else touches the sessions of the bridge.

    create_session         get_active_session   get_user_sessions          update_activity
    invalidate_session     invalidate_user_sessions   cleanup_expired      count_concurrent

A session authenticates only through `session_credential`; whoever can merely insert into `sys_usersession` cannot make
a login of it. Limits bind sessions of the bridge only.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from bridge.errors import SessionLimitReached
from bridge.model import Activity, AtCap, NewSession, SessionPolicy, SessionType, UserSession
from bridge.storage import overdue_sessions
from bridge.storage import session_statements as statements
from bridge.storage.database import Db
from bridge.storage.session_input import check_new_session, check_text, may_be_asked_for
from bridge.storage.session_rows import (
    ActiveSession,
    describe_new_session,
    describe_use,
    in_parts,
    to_active,
    to_session,
)
from bridge.storage.session_statements import EXPIRED, IDLE, NOW, SESSION_COLUMNS, s

SESSION_LIMIT = "session_limit"
CLEANUP = "cleanup"
"""Who ended a session that time ended."""
IN_A_LIST = 500


@dataclass(frozen=True)
class CreatedSession:
    """What came of creating a session: whom the cap ended, and whether the person never used such a device before."""

    ended: tuple[UserSession, ...]
    is_new_device: bool


@dataclass(frozen=True)
class CleanedUp:
    """How many rows one round of the clean-up has ended and deleted."""

    expired: int
    idle: int
    deleted: int


async def create_session(db: Db, opened: NewSession, *, policy: SessionPolicy) -> CreatedSession:
    """Write the row and the credential of a session that the bridge opens, within the cap of its type.

    Concurrent calls for one person wait for each other at the person's row, so that the cap holds exactly.

    Raises:
        SessionRefused: a value cannot be stored.
        SessionLimitReached: the cap is reached, and the policy refuses.
    """
    check_new_session(opened)
    person = {"user": opened.username, "package": opened.identity.package}
    if db.dialect.name != "sqlite":  # its one writer is the lock
        await db.execute(statements.HOLD_PERSON, person)
    of_type = {**person, "session_type": opened.session_type, "now": opened.created_at}
    found = (await db.execute(statements.SURVEY, {**of_type, "fingerprint": opened.device.fingerprint})).one()
    if found.living >= policy.max_sessions and policy.at_cap is AtCap.REFUSE:
        raise SessionLimitReached(evidence={"session_type": opened.session_type, "max_sessions": policy.max_sessions})
    number = found.living - policy.max_sessions + 1
    oldest = await db.execute(statements.OLDEST, {**of_type, "number": number}) if number > 0 else ()
    ended = [to_session(row) for row in oldest]
    session_ids = [one.session_id for one in ended]
    await _mark_ended(db, session_ids, invalidated_by=opened.username, reason=SESSION_LIMIT, now=opened.created_at)
    await _shut(db, session_ids)
    is_new_device = bool(found.is_known) and not found.is_alike and opened.device.fingerprint is not None
    parameters, further = describe_new_session(opened, policy=policy, suspicious=int(is_new_device))
    await db.execute(statements.insertion(further), parameters)
    credential = {
        "digest": opened.credential_digest,
        "session_id": opened.session_id,
        "kind": statements.COOKIE if opened.session_type == SessionType.WEB else statements.ACCESS,
        "created_at": opened.created_at,
        "expires_at": opened.expires_at,
    }
    await db.execute(statements.INSERT_CREDENTIAL, credential)
    return CreatedSession(tuple(ended), is_new_device)


async def get_active_session(db: Db, credential_digest: str, *, package: str, now: datetime) -> ActiveSession | None:
    """Return the living session a credential opens, with its active person; None when there is none.

    Credential, session and person must all be alive at `now`, and of this package.
    """
    parameters = {"session_token_sha256": credential_digest, "package": package, "now": now}
    row = (await db.execute(statements.ACTIVE_SESSION, parameters)).one_or_none()
    return to_active(row) if row else None


async def get_user_sessions(
    db: Db,
    username: str | None,
    *,
    package: str,
    now: datetime,
    session_type: str | None = None,
    session_id: str | None = None,
    sid: tuple[str, str] | None = None,
    ended: bool = False,
    limit: int = 1000,
) -> list[UserSession]:
    """Return sessions of a person, newest first, at most `limit`; without a name those of everybody in the package.

    A mirrored session is left out while a living one of the bridge covers it. `sid` is issuer and sid of a session of
    Keycloak; `ended` also returns sessions that have ended.
    """
    if not may_be_asked_for(username, session_id, *(sid or ())):
        return []
    query = statements.select_living(NOW)
    if ended:
        query = select(*SESSION_COLUMNS).where(statements.OF_PACKAGE).order_by(s.CreatedAt.desc(), s.SessionId)
    if username is not None:
        query = query.where(s.User == username)
    if session_type is not None:
        query = query.where(s.SessionType == session_type)
    if session_id is not None:
        query = query.where(s.SessionId == session_id)
    if sid is not None:
        query = query.where(s.Issuer == sid[0], s.Sid == sid[1])
    return [to_session(row) for row in await db.execute(query.limit(limit), {"package": package, "now": now})]


async def update_activity(db: Db, activities: Sequence[Activity]) -> None:
    """Note what happened in sessions, many in one go; one that was not alive any more at that time stays as it is.

    Times never go back, and nothing here moves the absolute end.

    Raises:
        SessionRefused: a value cannot be stored.
    """
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for one in activities:
        parameters, further = describe_use(one)
        alike[further].append(parameters)
    if len(activities) > 1 and db.dialect.name != "sqlite":
        # In the order of their keys: two batches that hold the same rows wait for each other instead of deadlocking.
        for part in in_parts(sorted({one.session_id for one in activities})):
            await db.execute(statements.HOLD_IN_ORDER, {"session_ids": part})
    for further, rows in sorted(alike.items()):
        await db.execute(statements.use(further), rows)


async def invalidate_session(
    db: Db, session_id: str, *, invalidated_by: str | None, reason: str, now: datetime
) -> UserSession | None:
    """End a session with all that opens it, and return it as it was; None when it had ended before.

    Raises:
        SessionRefused: the reason, or the name of who ends it, cannot be stored.
    """
    ended = await _end(db, [session_id], invalidated_by=invalidated_by, reason=reason, now=now)
    return ended[0] if ended else None


async def invalidate_user_sessions(
    db: Db,
    username: str,
    *,
    package: str,
    invalidated_by: str | None,
    reason: str,
    now: datetime,
    session_type: str | None = None,
    keep: str | None = None,
) -> list[UserSession]:
    """End all active sessions of a person, whoever made them, and return them as they were.

    `session_type` ends those of one type; `keep` is the SessionId that stays.

    Raises:
        SessionRefused: the reason, or the name of who ends them, cannot be stored.
    """
    if not may_be_asked_for(username):
        return []
    query = select(s.SessionId).where(s.User == username, s.Package == package, statements.ACTIVE)
    if session_type is not None:
        query = query.where(s.SessionType == session_type)
    session_ids = [str(one) for one in (await db.execute(query)).scalars() if one != keep]
    return await _end(db, session_ids, invalidated_by=invalidated_by, reason=reason, now=now)


async def cleanup_expired(
    db: Db,
    *,
    now: datetime,
    expired_for: timedelta,
    inactive_for: timedelta,
    limit: int = IN_A_LIST,
    dry_run: bool = False,
) -> CleanedUp:
    """End what time has ended, and delete what ended long enough ago; at most `limit` rows.

    A row is deleted `expired_for` after its absolute end or `inactive_for` after somebody ended it, and never before it
    was inactive. Several replicas may do so at once: each passes over what another has in hand. With `dry_run` all such
    rows are counted, and left as they are.
    """
    times = {"now": now, "expired_before": now - expired_for, "inactive_before": now - inactive_for}
    if dry_run:
        queries = (overdue_sessions.COUNT_EXPIRED, overdue_sessions.COUNT_IDLE, overdue_sessions.COUNT_TO_DELETE)
        return CleanedUp(*[int((await db.execute(query, times)).scalar_one()) for query in queries])
    done = dict.fromkeys((EXPIRED, IDLE, overdue_sessions.DELETED), 0)
    for what, query in overdue_sessions.FIND:
        left = limit - sum(done.values())
        found = [str(one) for one in (await db.execute(query, {**times, "limit": left})).scalars()]
        if what == overdue_sessions.DELETED:
            await _delete(db, found)
        else:
            await _mark_ended(db, found, invalidated_by=CLEANUP, reason=what, now=now)
            await _shut(db, found)
        done[what] += len(found)
    return CleanedUp(*done.values())


async def count_concurrent(db: Db, username: str, *, package: str, session_type: str, now: datetime) -> int:
    """Return how many living sessions of one type a person has with the bridge: what the cap counts."""
    if not may_be_asked_for(username):
        return 0
    parameters = {"user": username, "package": package, "session_type": session_type, "now": now}
    return int((await db.execute(statements.LIVING_OF_BRIDGE, parameters)).scalar_one())


async def _end(
    db: Db, session_ids: Sequence[str], *, invalidated_by: str | None, reason: str, now: datetime
) -> list[UserSession]:
    """End active sessions with all that opens them, and return them as they were."""
    check_text(invalidated_by, column="InvalidatedBy")
    check_text(reason, column="InvalidatedReason")
    ended: list[UserSession] = []
    for part in in_parts(session_ids):
        rows = (await db.execute(statements.HOLD, {"session_ids": part})).all()
        active = [to_session(row) for row in rows if row.IsActive]
        await _mark_ended(db, [one.session_id for one in active], invalidated_by=invalidated_by, reason=reason, now=now)
        await _shut(db, part)
        ended += active
    return ended


async def _mark_ended(
    db: Db, session_ids: Sequence[str], *, invalidated_by: str | None, reason: str, now: datetime
) -> None:
    """Mark active sessions whose rows this transaction holds."""
    values = {"invalidated_by": invalidated_by, "reason": reason, "now": now}
    for part in in_parts(session_ids):
        await db.execute(statements.END_HELD, {**values, "session_ids": part})


async def _shut(db: Db, session_ids: Sequence[str]) -> None:
    """Delete all that opens these sessions."""
    for part in in_parts(session_ids):
        for statement in statements.SHUT:
            await db.execute(statement, {"session_ids": part})


async def _delete(db: Db, session_ids: Sequence[str]) -> None:
    for part in in_parts(session_ids):
        await db.execute(statements.DELETE, {"session_ids": part})
