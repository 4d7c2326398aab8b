"""Keycloak's tokens of a session, sealed; the id_token is the hint of a sign-out, the refresh_token keeps it alive."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select

from bridge.storage.database import Db
from bridge.storage.retention import count_rows
from bridge.storage.session_rows import in_parts
from bridge.storage.session_statements import is_of_ended
from bridge.storage.tables import keycloak_grant

TABLE = "keycloak_grant"
"""The name that sealing binds the values to."""


async def add(
    db: Db,
    session_id: str,
    *,
    sealed_id_token: str,
    sealed_refresh_token: str | None,
    refresh_expires_at: datetime | None,
    now: datetime,
) -> None:
    """Store the sealed tokens of a new session."""
    await db.execute(
        insert(keycloak_grant).values(
            session_id=session_id,
            sealed_id_token=sealed_id_token,
            sealed_refresh_token=sealed_refresh_token,
            refresh_expires_at=refresh_expires_at,
            updated_at=now,
        )
    )


async def find_sealed_id_token(db: Db, session_id: str) -> str | None:
    """Return the sealed id_token of a session."""
    query = select(keycloak_grant.c.sealed_id_token).where(keycloak_grant.c.session_id == session_id)
    sealed: str | None = (await db.execute(query)).scalar()
    return sealed


async def delete_of_session(db: Db, session_id: str) -> None:
    """Delete the tokens of a session that has ended."""
    await db.execute(delete(keycloak_grant).where(keycloak_grant.c.session_id == session_id))


async def find_of_ended(db: Db, *, limit: int) -> list[str]:
    """Return the SessionId of at most `limit` sessions with tokens that an application has ended by itself."""
    c = keycloak_grant.c
    found = await db.execute(select(c.session_id).where(is_of_ended(c.session_id)).limit(limit))
    return [str(one) for one in found.scalars()]


async def delete_of_ended(db: Db, session_ids: Sequence[str]) -> int:
    """Delete what `find_of_ended` has found, as far as it is still ended; return how many there were."""
    c, deleted = keycloak_grant.c, 0
    for part in in_parts(session_ids):
        chosen = delete(keycloak_grant).where(c.session_id.in_(part), is_of_ended(c.session_id))
        deleted += (await db.execute(chosen)).rowcount
    return deleted


async def count_of_ended(db: Db) -> int:
    """Return how many tokens `delete_of_ended` would delete in the end."""
    return await count_rows(db, keycloak_grant, is_of_ended(keycloak_grant.c.session_id))
