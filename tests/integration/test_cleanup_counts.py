"""What a clean-up says that it would delete of the private tables is what it then deletes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from bridge.config.policy import RetentionSettings
from bridge.flows.cleanup import count_old, delete_old
from bridge.sealing import Sealer
from bridge.storage.database import Db, open_database
from bridge.storage.tables import (
    keycloak_grant,
    login_lockout,
    oauth_state,
    security_event,
    session_revocation,
    sys_user_history,
    sys_usersession,
)
from tests.integration.sealed_rows import login
from tests.integration.stored_sessions import HOURS, NOW, PACKAGE, new_session, open_one

RETENTION = RetentionSettings()
LATER = NOW + timedelta(days=400)


async def test_old_rows_of_each_table_are_counted_once_and_those_that_stay_are_not(migrated_database_url: str) -> None:
    """The credential of the session that an application has ended is expired as well."""
    ended, living = new_session("ended"), replace(new_session("living", username="bob"), expires_at=LATER + HOURS)
    attempt = {"client": PACKAGE, "failures": 1, "first_failed_at": NOW}
    history = {"username": "alice", "package": PACKAGE, "change": "updated", "cause": "command"}
    forgotten = {"kind": "user", "username": "alice", "package": PACKAGE}
    sessions = [one.session_id for one in (ended, living)]
    rows: dict[sa.Table, list[dict[str, object]]] = {
        oauth_state: [{**login(Sealer([b"k" * 32]), "1" * 64), "expires_at": NOW}],
        keycloak_grant: [{"session_id": one, "sealed_id_token": "v1.x", "updated_at": NOW} for one in sessions],
        session_revocation: [{"at": at, **forgotten} for at in (NOW, datetime.now(UTC))],
        login_lockout: [{**attempt, "address": str(at), "last_failed_at": at} for at in (NOW, LATER)],
        sys_user_history: [{**history, "at": at} for at in (NOW, LATER)],
        security_event: [{"event": "signed_in", "at": at} for at in (NOW, LATER)],
    }

    async def step(db: Db) -> None:
        for table, of_table in rows.items():
            await db.execute(sa.insert(table), of_table)
        of_application = sys_usersession.c.SessionId == ended.session_id
        await db.execute(sa.update(sys_usersession).where(of_application).values(IsActive=False))

    async with open_database(migrated_database_url) as database:
        for opened in (ended, living):
            await open_one(database, opened)
        await database.write(step)
        # One of each table and of the credentials, and what the history says of the two who signed in.
        for _ in range(2):
            assert await count_old(database, RETENTION, now=LATER) == 7 + 2
        assert await delete_old(database, RETENTION, now=LATER, limit=1) == 7 + 2
        assert await count_old(database, RETENTION, now=LATER) == 0
        assert await delete_old(database, RETENTION, now=LATER) == 0
