"""End what time has ended, and delete what nobody can come back to, some rows at a time.

    end_overdue     every half minute: sessions past their absolute or idle end become inactive; long ended ones go
    delete_old      every ten minutes: forgotten logins, dead credentials, codes, counters, revocations, history, audit

Every batch is a transaction of its own, so that nobody waits long for a lock. Any number of replicas may do so at once.
What they do binds them all: each goes by the database's clock when its own is ahead of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol

from bridge.config.policy import RetentionSettings
from bridge.errors import StorageError
from bridge.storage import (
    keycloak_grants,
    lockouts,
    oauth_states,
    security_events,
    session_credentials,
    session_revocations,
    statistics,
    user_history,
    user_sessions,
)
from bridge.storage.database import Database, Db
from bridge.storage.database_clock import read_clock
from bridge.storage.retention import count_kept_until, delete_kept_until
from bridge.storage.user_sessions import CleanedUp

BATCH = 500
SESSIONS_AT_ONCE = 50
"""Each row stands in some seventeen indexes, and whoever waits for its lock is to wait for a moment only."""
PAUSE_SECONDS = 0.02
"""Between two transactions: writers of other processes only look now and then whether SQLite is free."""
MOST_FOUND = 50_000
"""Bounds the memory; what is beyond is deleted ten minutes later."""
Deletion = Callable[[Db], Awaitable[int]]
Delete = Callable[[Db, Sequence[str]], Awaitable[int]]


class Find(Protocol):
    """Returns the keys of at most `limit` rows."""

    def __call__(self, db: Db, *, limit: int) -> Awaitable[list[str]]:
        """Look for them, without a lock."""


async def find_sure_time(database: Database, *, now: datetime) -> datetime:
    """Return the earlier one of `now` and the database's clock: a clean-up by a clock that is ahead takes from all.

    Raises:
        StorageError: the database cannot be read.
    """
    async with database.reading() as db:
        return min(now, await read_clock(db))


async def end_overdue(
    database: Database, retention: RetentionSettings, *, now: datetime, limit: int = SESSIONS_AT_ONCE
) -> CleanedUp:
    """End and delete sessions until none is left to, and return how many there were."""
    expired = idle = deleted = 0
    while True:
        done = await database.write(
            lambda db: user_sessions.cleanup_expired(
                db,
                now=now,
                expired_for=retention.expired_sessions,
                inactive_for=retention.inactive_sessions,
                limit=limit,
            )
        )
        expired, idle, deleted = expired + done.expired, idle + done.idle, deleted + done.deleted
        if done.expired + done.idle + done.deleted < limit:
            return CleanedUp(expired, idle, deleted)
        await asyncio.sleep(PAUSE_SECONDS)


async def count_overdue(database: Database, retention: RetentionSettings, *, now: datetime) -> CleanedUp:
    """Return how many sessions a clean-up would end and delete now."""
    async with database.reading(patient=True) as db:
        return await user_sessions.cleanup_expired(
            db,
            now=now,
            expired_for=retention.expired_sessions,
            inactive_for=retention.inactive_sessions,
            dry_run=True,
        )


async def delete_old(database: Database, retention: RetentionSettings, *, now: datetime, limit: int = BATCH) -> int:
    """Delete what is over in the private tables, and return how many rows that were.

    Then the database looks anew at how its rows are spread, where it does not do so by itself. A step that fails keeps
    none of the others from being done.

    Raises:
        StorageError: of the first step that failed.
    """
    deletions: list[Deletion] = [
        lambda db: oauth_states.delete_old(db, now=now, limit=limit),
        lambda db: session_credentials.delete_expired(db, now=now, limit=limit),
        lambda db: session_revocations.delete_old(db, now=now, limit=limit),
        lambda db: lockouts.delete_old(db, now=now, limit=limit),
        lambda db: delete_kept_until(db, now=now, limit=limit),
        lambda db: user_history.delete_old(db, before=now - retention.user_history, limit=limit),
        lambda db: security_events.delete_old(db, before=now - retention.security_events, limit=limit),
    ]
    steps: list[Callable[[], Awaitable[int | None]]] = [
        *(partial(_until_done, database, deletion, limit=limit) for deletion in deletions),
        *(
            partial(_find_and_delete, database, table.find_of_ended, table.delete_of_ended, limit=limit)
            for table in (keycloak_grants, session_credentials)
        ),
        partial(database.write, statistics.refresh),
    ]
    deleted, failures = 0, []
    for step in steps:
        try:
            deleted += await step() or 0
        except StorageError as failure:
            failures.append(failure)
    if failures:
        raise failures[0]
    return deleted


async def count_old(database: Database, retention: RetentionSettings, *, now: datetime) -> int:
    """Return how many rows of the private tables `delete_old` would delete now."""
    async with database.reading(patient=True) as db:
        counts = [
            await oauth_states.count_old(db, now=now),
            await session_credentials.count_old(db, now=now),
            await keycloak_grants.count_of_ended(db),
            await session_revocations.count_old(db, now=now),
            await lockouts.count_old(db, now=now),
            await count_kept_until(db, now=now),
            await user_history.count_old(db, before=now - retention.user_history),
            await security_events.count_old(db, before=now - retention.security_events),
        ]
    return sum(counts)


async def _until_done(database: Database, step: Deletion, *, limit: int) -> int:
    total = 0
    while True:
        deleted = await database.write(step)
        total += deleted
        if deleted < limit:
            return total
        await asyncio.sleep(PAUSE_SECONDS)


async def _find_and_delete(database: Database, find: Find, delete: Delete, *, limit: int) -> int:
    """Delete what applications have left of sessions that they ended. No index finds it: it is read without a lock."""
    async with database.reading(patient=True) as db:
        found = await find(db, limit=MOST_FOUND)
    total = 0
    for first in range(0, len(found), limit):
        part = found[first : first + limit]
        total += await database.write(partial(_apply, delete=delete, keys=part))
        await asyncio.sleep(PAUSE_SECONDS)
    return total


async def _apply(db: Db, *, delete: Delete, keys: Sequence[str]) -> int:
    return await delete(db, keys)
