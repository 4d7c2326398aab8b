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

from sqlalchemy import Select, and_, case, delete, func, insert, select

from bridge.errors import SessionLimitReached
from bridge.model import Activity, AtCap, NewSession, SessionPolicy, SessionType, UserSession
from bridge.storage import session_statements as statements
from bridge.storage.database import Db
from bridge.storage.session_input import check_new_session
from bridge.storage.session_rows import (
    ActiveSession,
    describe_new_session,
    describe_use,
    in_parts,
    to_active,
    to_session,
)
from bridge.storage.session_statements import (
    EXPIRED,
    EXPIRED_BEFORE,
    IDLE,
    INACTIVE_BEFORE,
    NOW,
    SESSION_COLUMNS,
    k,
    s,
    u,
)
from bridge.storage.tables import keycloak_grant, session_credential, sys_usersession

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
    user = (u.User == opened.username, u.Package == opened.identity.package)
    if db.dialect.name != "sqlite":  # its one writer is the lock
        await db.execute(select(u.RowVersion).where(*user).with_for_update())
    living, known, alike = await _survey(db, opened)
    if living >= policy.max_sessions and policy.at_cap is AtCap.REFUSE:
        raise SessionLimitReached(evidence={"session_type": opened.session_type, "max_sessions": policy.max_sessions})
    ended = await _end_oldest(db, opened, number=living - policy.max_sessions + 1)
    is_new_device = bool(known) and not alike and opened.device.fingerprint is not None
    parameters, further = describe_new_session(opened, policy=policy, suspicious=int(is_new_device))
    await db.execute(statements.insert_session(NOW, further=further), parameters)
    await db.execute(
        insert(session_credential).values(
            digest=opened.credential_digest,
            session_id=opened.session_id,
            kind=statements.COOKIE if opened.session_type == SessionType.WEB else statements.ACCESS,
            created_at=opened.created_at,
            expires_at=opened.expires_at,
        )
    )
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

    A mirrored session is left out while an active one of the bridge covers it. `sid` is issuer and sid of a session of
    Keycloak; `ended` also returns sessions that have ended.
    """
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
    """Note what happened in living sessions, many in one go; a session that has ended stays as it ended.

    Times never go back, and nothing here moves the absolute end.

    Raises:
        SessionRefused: a value cannot be stored.
    """
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for one in activities:
        parameters, further = describe_use(one)
        alike[further].append(parameters)
    # In the order of their keys: two batches that hold the same rows wait for each other instead of deadlocking.
    for further, rows in sorted(alike.items()):
        rows.sort(key=lambda row: str(row["session_id"]))
        await db.execute(statements.update_use(NOW, further=further), rows)


async def invalidate_session(
    db: Db, session_id: str, *, invalidated_by: str | None, reason: str, now: datetime
) -> UserSession | None:
    """End a session with all that opens it, and return it as it was; None when it had ended before."""
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
    """
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
    """End what time has ended, and delete what ended long enough ago; at most `limit` rows of each kind.

    A row is deleted `expired_for` after its absolute end or `inactive_for` after somebody ended it, and never before it
    was inactive. Several replicas may do so at once: each passes over what another has in hand. With `dry_run` rows are
    counted and left as they are.
    """
    before = {"expired_before": now - expired_for, "inactive_before": now - inactive_for, "now": now}

    async def find(query: Select[Any]) -> list[str]:
        locked = query if dry_run else query.with_for_update(skip_locked=True)
        return [str(one) for one in (await db.execute(locked.limit(limit), before)).scalars()]

    over, idle = await find(statements.select_over(NOW, EXPIRED_BEFORE)), await find(statements.select_idle(NOW))
    if not dry_run:
        await _end(db, over, invalidated_by=CLEANUP, reason=EXPIRED, now=now)
        await _end(db, idle, invalidated_by=CLEANUP, reason=IDLE, now=now)
    old = await find(statements.select_long_expired(EXPIRED_BEFORE))
    old += await find(statements.select_long_inactive(INACTIVE_BEFORE))
    for part in in_parts([] if dry_run else old):
        await db.execute(delete(sys_usersession).where(s.SessionId.in_(part)))
    return CleanedUp(len(over), len(idle), len(old))


async def count_concurrent(db: Db, username: str, *, package: str, session_type: str, now: datetime) -> int:
    """Return how many living sessions of one type a person has with the bridge: what the cap counts."""
    parameters = {"user": username, "package": package, "session_type": session_type, "now": now}
    return int((await db.execute(statements.LIVING_OF_BRIDGE, parameters)).scalar_one())


async def _survey(db: Db, opened: NewSession) -> tuple[int, int, int]:
    """Count a person's living sessions of the new one's type, all known ones, and those from a device like this."""
    of_type = and_(s.SessionType == opened.session_type, statements.is_alive(NOW))
    query = select(
        func.count(case((of_type, 1))),
        func.count(),
        func.count(case((s.DeviceFingerprint == opened.device.fingerprint, 1))),
    ).where(statements.OF_USER, statements.OF_BRIDGE)
    parameters = {"user": opened.username, "package": opened.identity.package, "now": opened.created_at}
    living, known, alike = (await db.execute(query, parameters)).one()
    return living, known, alike


async def _end_oldest(db: Db, opened: NewSession, *, number: int) -> list[UserSession]:
    if number <= 0:
        return []
    query = (
        select(s.SessionId)
        .where(statements.OF_USER, statements.OF_TYPE, statements.OF_BRIDGE, statements.is_alive(NOW))
        .order_by(s.CreatedAt, s.SessionId)
        .limit(number)
    )
    parameters = {
        "user": opened.username,
        "package": opened.identity.package,
        "session_type": opened.session_type,
        "now": opened.created_at,
    }
    session_ids = [str(one) for one in (await db.execute(query, parameters)).scalars()]
    return await _end(db, session_ids, invalidated_by=opened.username, reason=SESSION_LIMIT, now=opened.created_at)


async def _end(
    db: Db, session_ids: Sequence[str], *, invalidated_by: str | None, reason: str, now: datetime
) -> list[UserSession]:
    """End active sessions with all that opens them, and return them as they were."""
    ended: list[UserSession] = []
    for part in in_parts(session_ids):
        chosen = s.SessionId.in_(part)
        query = select(*SESSION_COLUMNS).where(chosen, statements.ACTIVE).order_by(s.SessionId).with_for_update()
        ended += [to_session(row) for row in await db.execute(query)]
        values = {"invalidated_by": invalidated_by, "reason": reason, "now": now}
        await db.execute(statements.update_end(NOW, chosen), values)
        await db.execute(delete(session_credential).where(k.session_id.in_(part)))
        await db.execute(delete(keycloak_grant).where(keycloak_grant.c.session_id.in_(part)))
    return ended
