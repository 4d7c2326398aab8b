"""Sessions in `sys_usersession`: the eight operations, and nothing else touches the sessions of the bridge.

    create_session         get_active_session   get_user_sessions          update_activity
    invalidate_session     invalidate_user_sessions   cleanup_expired      count_concurrent

A session authenticates only through `session_credential`; whoever can merely insert into `sys_usersession` cannot make
a login of it. Limits bind sessions of the bridge only.

Each operation looks at what it is given first. `SessionRefused`, with nothing read or written: a value that cannot be
stored, a time without a zone, a session type that there is not, a number or a duration out of range. What is only
looked for is not refused: a text that no database can hold (NUL, half a character) finds nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from bridge.errors import SessionLimitReached
from bridge.model import Activity, AtCap, NewSession, SessionPolicy, SessionType, UserSession
from bridge.storage import overdue_sessions, session_input
from bridge.storage import session_statements as statements
from bridge.storage.database import Db
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
        SessionRefused: a value cannot be stored, or the policy lets no session live.
        SessionLimitReached: the cap is reached, and the policy refuses.
    """
    session_input.check_new_session(opened)
    session_input.check_policy(policy)
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

    Raises:
        SessionRefused: `now` has no time zone.
    """
    session_input.check_time(now, field="now")
    if not session_input.may_be_asked_for(credential_digest, package):
        return None
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

    Raises:
        SessionRefused: there is no such type, `now` has no time zone, or `limit` is out of range.
    """
    session_input.check_time(now, field="now")
    session_input.check_type(session_type)
    session_input.check_number(limit, field="limit")
    if not session_input.may_be_asked_for(username, package, session_id, *(sid or ())):
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

    Times never go back, and nothing here moves the absolute end. A SessionId that is not there is passed over.

    Raises:
        SessionRefused: a value cannot be stored; nothing was noted, of any of them.
    """
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for one in activities:
        parameters, further = describe_use(one)
        if session_input.may_be_asked_for(one.session_id):
            alike[further].append(parameters)
    if len(activities) > 1 and db.dialect.name != "sqlite":
        # In the order of their keys: two batches that hold the same rows wait for each other instead of deadlocking.
        for part in in_parts(sorted({row["session_id"] for rows in alike.values() for row in rows})):
            await db.execute(statements.HOLD_IN_ORDER, {"session_ids": part})
    for further, rows in sorted(alike.items()):
        await db.execute(statements.use(further), rows)


async def invalidate_session(
    db: Db, session_id: str, *, invalidated_by: str | None, reason: str, now: datetime
) -> UserSession | None:
    """End a session with all that opens it, and return it as it was; None when it had ended before, or never was.

    Raises:
        SessionRefused: `invalidated_by` or `reason` cannot be stored, or `now` has no time zone.
    """
    session_input.check_end(invalidated_by=invalidated_by, reason=reason, now=now)
    if not session_input.may_be_asked_for(session_id):
        return None
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
        SessionRefused: `invalidated_by` or `reason` cannot be stored, there is no such type, or `now` has no time zone.
    """
    session_input.check_end(invalidated_by=invalidated_by, reason=reason, now=now)
    session_input.check_type(session_type)
    if not session_input.may_be_asked_for(username, package):
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

    Raises:
        SessionRefused: `now` has no time zone, or a duration or `limit` is out of range.
    """
    session_input.check_clean_up(now=now, expired_for=expired_for, inactive_for=inactive_for, limit=limit)
    times = {"now": now, "expired_before": now - expired_for, "inactive_before": now - inactive_for}
    if dry_run:
        queries = (overdue_sessions.COUNT_EXPIRED, overdue_sessions.COUNT_IDLE, overdue_sessions.COUNT_TO_DELETE)
        return CleanedUp(*[int((await db.execute(query, times)).scalar_one()) for query in queries])
    done = dict.fromkeys((EXPIRED, IDLE, overdue_sessions.DELETED), 0)
    for what, query in overdue_sessions.FIND:
        left = limit - sum(done.values())
        if left == 0:
            break
        found = [str(one) for one in (await db.execute(query, {**times, "limit": left})).scalars()]
        if what == overdue_sessions.DELETED:
            for part in in_parts(found):
                await db.execute(statements.DELETE, {"session_ids": part})
        else:
            await _mark_ended(db, found, invalidated_by=CLEANUP, reason=what, now=now)
            await _shut(db, found)
        done[what] += len(found)
    return CleanedUp(*done.values())


async def count_concurrent(db: Db, username: str, *, package: str, session_type: str, now: datetime) -> int:
    """Return how many living sessions of one type a person has with the bridge: what the cap counts.

    Raises:
        SessionRefused: there is no such type, or `now` has no time zone.
    """
    session_input.check_time(now, field="now")
    session_input.check_type(session_type)
    if not session_input.may_be_asked_for(username, package):
        return 0
    parameters = {"user": username, "package": package, "session_type": session_type, "now": now}
    return int((await db.execute(statements.LIVING_OF_BRIDGE, parameters)).scalar_one())


async def _end(
    db: Db, session_ids: Sequence[str], *, invalidated_by: str | None, reason: str, now: datetime
) -> list[UserSession]:
    """End active sessions with all that opens them, and return them as they were."""
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
