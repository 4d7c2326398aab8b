"""While the database is migrated: applications and sign-ins go on, and a second migration waits its turn."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from alembic.script import ScriptDirectory

from bridge.errors import DatabaseUnavailable, StorageError
from bridge.storage import user_sessions
from bridge.storage.database import Database, open_database
from bridge.storage.installed_triggers import find_missing_triggers
from bridge.storage.migrate import Migrated, newest_revision, upgrade
from tests.documents import ROOT
from tests.integration.applications import Execute, connected, kind_of, spelt, statements_of
from tests.integration.stored_sessions import find_active, new_session, open_one

LOCK = {
    "postgresql": "SELECT pg_advisory_lock(7021996451330118)",
    "mariadb": "SELECT GET_LOCK('keycloak-bridge-migrate', 0)",
}
A_MOMENT = timedelta(seconds=0.1)
LONGEST_ROUND = 10
"""Seconds. A migration waits for a lock for 5, and everybody else behind it; the machine may be busy."""
CAROL = {"user": "carol", "package": "shop", "email": "carol@example.com", "uuid": "u", "session_id": "s"}


@pytest.mark.parametrize("migrated_database_url", ["postgresql", "mariadb"], indirect=True)
async def test_a_second_migration_waits_for_the_first_and_then_says_that_there_is_one(
    migrated_database_url: str,
) -> None:
    url = migrated_database_url
    async with connected(url) as other:
        await other(LOCK[kind_of(url)])
        with pytest.raises(StorageError) as refused:
            await asyncio.to_thread(upgrade, url, longest_wait=A_MOMENT)
        assert refused.value.message == "Another process is migrating this database; try again when it is done."
    assert await asyncio.to_thread(upgrade, url) == Migrated(newest_revision())


async def test_on_sqlite_a_migration_waits_for_the_one_writer(sqlite_database_url: str) -> None:
    async with connected(sqlite_database_url) as other:
        await other("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable) as refused:
            await asyncio.to_thread(upgrade, sqlite_database_url, longest_wait=A_MOMENT)
        assert "another transaction holds a lock" in refused.value.message
        await other("ROLLBACK")
    assert await asyncio.to_thread(upgrade, sqlite_database_url) == Migrated(newest_revision())


@pytest.mark.parametrize("migrated_database_url", ["postgresql"], indirect=True)
async def test_triggers_are_made_without_a_deadlock_with_who_has_written_one_table_and_then_writes_the_other(
    migrated_database_url: str,
) -> None:
    url = migrated_database_url
    insert_user, _, _, insert_session, *_ = statements_of("database.md", "sql postgresql")
    async with connected(url) as application, connected(url) as owner:
        for name in ("sys_usersession", "sys_user"):
            await owner(f"DROP TRIGGER tr_{name}_update ON {name}")
        await application("BEGIN")
        await application(insert_user, **CAROL)
        migrating = asyncio.create_task(asyncio.to_thread(upgrade, url))
        while await owner("SELECT count(*) FROM pg_locks WHERE NOT granted") == [(0,)]:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)
        await application(insert_session, **CAROL)
        await application("COMMIT")
        assert await migrating == Migrated(newest_revision())


async def test_applications_and_sign_ins_go_on_while_the_newest_migration_runs(database_url: str) -> None:
    """Both work before, during and after it, and nobody waits for longer than a migration waits for a lock."""
    before = ScriptDirectory(str(ROOT / "migrations")).get_revision("head").down_revision
    await asyncio.to_thread(upgrade, database_url, revision=str(before))
    migrated = asyncio.Event()
    async with connected(database_url) as application, open_database(database_url) as database:

        async def work() -> None:
            await _work_as_application(application, database_url)

        async def sign_in() -> None:
            await _sign_in_and_out(database)

        async with asyncio.TaskGroup() as together:
            others = [_Rounds(one, until=migrated) for one in (work, sign_in)]
            tasks = [together.create_task(one.run()) for one in others]
            for one in others:
                await one.first
            done = await asyncio.to_thread(upgrade, database_url)
            migrated.set()
        assert all(task.done() for task in tasks)
        async with database.reading() as db:
            assert await find_missing_triggers(db) == ()
    assert done == Migrated(newest_revision())
    assert [one.longest for one in others if one.longest > LONGEST_ROUND] == []


class _Rounds:
    """Does some work again and again; the last round begins after the event."""

    def __init__(self, work: Callable[[], Awaitable[None]], *, until: asyncio.Event) -> None:
        self._work, self._until = work, until
        self.first = asyncio.get_running_loop().create_future()
        self.longest = 0.0

    async def run(self) -> None:
        is_last = False
        while not is_last:
            is_last, begun = self._until.is_set(), time.monotonic()
            await self._work()
            self.longest = max(self.longest, time.monotonic() - begun)
            if not self.first.done():
                self.first.set_result(None)


async def _work_as_application(execute: Execute, url: str) -> None:
    answers = [await execute(one, **CAROL) for one in statements_of("database.md", f"sql {kind_of(url)}")]
    assert [len(answer) for answer in answers if answer] == [1, 1, 1]
    for table in ("sys_usersession", "sys_user"):
        await execute(spelt(url, f"DELETE FROM {table} WHERE \"User\" = 'carol'"))


async def _sign_in_and_out(database: Database) -> None:
    now = datetime.now(tz=UTC)
    await open_one(database, new_session("key", created_at=now))
    found = await find_active(database, "key", now=now)
    assert found is not None
    await database.write(
        lambda db: user_sessions.invalidate_session(
            db, found.session.session_id, invalidated_by="alice", reason="logout", now=now
        )
    )
    assert await find_active(database, "key", now=now) is None
