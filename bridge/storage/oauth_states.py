"""Pending logins: remembered when a browser leaves for Keycloak, claimed once when it comes back.

    pending --claim--> claimed --close--> consumed (session or error)
       ^                  |
       +----release-------+   only when nothing was sent to Keycloak

A claim that is past its deadline without an outcome is a login that failed.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, insert, or_, select, update

from bridge.model import PendingLogin
from bridge.storage.database import Db
from bridge.storage.retention import count_rows
from bridge.storage.session_rows import in_parts
from bridge.storage.tables import oauth_state

KEEP_CONSUMED = timedelta(hours=24)
"""Digests and return_to stay that long, so that a late duplicate is still recognised."""


async def add(db: Db, login: PendingLogin) -> None:
    """Remember a pending login of a browser."""
    await db.execute(
        insert(oauth_state).values(
            state_digest=login.state_digest,
            package=login.package,
            client_kind="web",
            binding_digest=login.binding_digest,
            sealed_nonce=login.sealed_nonce,
            sealed_code_verifier=login.sealed_code_verifier,
            return_to=login.return_to,
            prompt=login.prompt,
            login_hint=login.login_hint,
            ui_locales=login.ui_locales,
            max_age=login.max_age,
            restarted=login.restarted,
            created_at=login.created_at,
            expires_at=login.expires_at,
        )
    )


async def find(db: Db, state_digest: str) -> PendingLogin | None:
    """Return the login of a state, whatever became of it."""
    row = (await db.execute(select(oauth_state).where(oauth_state.c.state_digest == state_digest))).one_or_none()
    return _to_model(row) if row else None


async def claim(db: Db, state_digest: str, *, claim_id: str, deadline: datetime, now: datetime) -> bool:
    """Take a login for this callback alone; False when another has taken it. One UPDATE decides."""
    c = oauth_state.c
    result = await db.execute(
        update(oauth_state)
        .where(c.state_digest == state_digest, c.claim_id.is_(None), c.consumed_at.is_(None), c.expires_at > now)
        .values(claim_id=claim_id, claim_deadline=deadline)
    )
    return result.rowcount == 1


async def release(db: Db, state_digest: str, *, claim_id: str) -> bool:
    """Give a claim back because nothing was sent to Keycloak; the same answer may be tried again."""
    c = oauth_state.c
    result = await db.execute(
        update(oauth_state)
        .where(c.state_digest == state_digest, c.claim_id == claim_id, c.consumed_at.is_(None))
        .values(claim_id=None, claim_deadline=None)
    )
    return result.rowcount == 1


async def close_with_session(db: Db, state_digest: str, *, claim_id: str, session_id: str, now: datetime) -> bool:
    """Record the session as the outcome; False when the claim is past its deadline and counts as failed already."""
    c = oauth_state.c
    result = await db.execute(
        update(oauth_state)
        .where(c.state_digest == state_digest, c.claim_id == claim_id, c.consumed_at.is_(None), c.claim_deadline > now)
        .values(consumed_at=now, session_id=session_id, sealed_nonce="", sealed_code_verifier="")
    )
    return result.rowcount == 1


async def close_with_error(db: Db, state_digest: str, *, claim_id: str | None, error_code: str, now: datetime) -> bool:
    """Record an error as the outcome; without a claim only when nobody has claimed the login."""
    c = oauth_state.c
    holder = c.claim_id.is_(None) if claim_id is None else c.claim_id == claim_id
    result = await db.execute(
        update(oauth_state)
        .where(c.state_digest == state_digest, holder, c.consumed_at.is_(None))
        .values(consumed_at=now, error_code=error_code, sealed_nonce="", sealed_code_verifier="")
    )
    return result.rowcount == 1


async def delete_old(db: Db, *, now: datetime, limit: int) -> int:
    """Delete at most `limit` logins that nobody can come back to; consumed ones are kept for a day first."""
    c = oauth_state.c
    query = select(c.state_digest).where(_is_old(now)).order_by(c.expires_at).limit(limit)
    found = await db.execute(query.with_for_update(skip_locked=True))
    digests = [str(one) for one in found.scalars()]
    for part in in_parts(digests):
        await db.execute(delete(oauth_state).where(c.state_digest.in_(part)))
    return len(digests)


async def count_old(db: Db, *, now: datetime) -> int:
    """Return how many logins `delete_old` would delete in the end."""
    return await count_rows(db, oauth_state, _is_old(now))


def _is_old(now: datetime) -> ColumnElement[bool]:
    c = oauth_state.c
    kept_long_enough = or_(c.consumed_at.is_(None), c.consumed_at < now - KEEP_CONSUMED)
    # A claimed login may still be on its way: an hour beyond its expiry nobody works on it any more.
    return and_(c.expires_at < now - timedelta(hours=1), kept_long_enough)


def _to_model(row: Row[Any]) -> PendingLogin:
    return PendingLogin(
        state_digest=row.state_digest,
        package=row.package,
        binding_digest=row.binding_digest,
        sealed_nonce=row.sealed_nonce,
        sealed_code_verifier=row.sealed_code_verifier,
        return_to=row.return_to,
        prompt=row.prompt,
        login_hint=row.login_hint,
        ui_locales=row.ui_locales,
        max_age=row.max_age,
        created_at=row.created_at,
        expires_at=row.expires_at,
        restarted=row.restarted,
        claim_id=row.claim_id,
        claim_deadline=row.claim_deadline,
        consumed_at=row.consumed_at,
        session_id=row.session_id,
        error_code=row.error_code,
    )
