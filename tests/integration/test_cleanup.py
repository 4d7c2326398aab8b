"""What nobody can come back to is deleted, and nothing else."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.config.policy import RetentionSettings
from bridge.errors import DatabaseUnavailable
from bridge.flows.cleanup import count_old, delete_old
from bridge.storage.database import Database, open_database
from bridge.storage.installed_triggers import drop_triggers
from bridge.storage.tables import (
    exchange_code,
    logout_token_seen,
    logout_tombstone,
    session_credential,
    signing_key,
    sys_usersession,
)
from tests.browser import Browser
from tests.integration.service import APPLICATION, Service
from tests.integration.stored_sessions import ISSUER, NOW, PACKAGE, find_active, new_session, open_one, read

RETENTION = RetentionSettings()
SOON = NOW + timedelta(seconds=1)
CODE = {"session_id": "s", "client_id": "app", "redirect_uri": "app:/", "code_challenge": "c"}
JWK = {"algorithm": "RS256", "public_jwk": "{}", "sealed_private_key": "x"}
KEPT_UNTIL: dict[str, tuple[sa.Table, dict[str, Any], str, str]] = {
    "exchange_code": (exchange_code, {**CODE, "created_at": NOW, "expires_at": NOW}, "digest", "kept_until"),
    "logout_token_seen": (logout_token_seen, {"package": PACKAGE, "seen_at": NOW}, "digest", "expires_at"),
    "logout_tombstone": (
        logout_tombstone,
        {"package": PACKAGE, "issuer": ISSUER, "issued_at": NOW},
        "sid",
        "expires_at",
    ),
    "signing_key": (
        signing_key,
        {**JWK, "created_at": NOW, "signs_from": NOW, "signs_until": NOW},
        "key_id",
        "published_until",
    ),
}
"""A table, what else its rows hold, what tells them apart, and until when they are kept."""


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


async def drop_all_triggers(database: Database) -> None:
    await database.write(lambda db: db.run_sync(drop_triggers))


async def test_old_logins_go_and_a_late_duplicate_is_still_known_for_a_day(service: Service, browser: Browser) -> None:
    """S8: a consumed state keeps its digest for 24 hours, a pending one its hour and an hour more."""
    callback = await browser.go_to_keycloak()
    await browser.get(callback)
    await browser.get("/login")
    for hours, left in ((1, 2), (3, 1), (25.1, 0)):
        await delete_old(service.database, RETENTION, now=service.clock() + timedelta(hours=hours))
        assert await service.count("oauth_state") == left
        if left:
            assert (await browser.get(callback)).headers["location"] == APPLICATION


async def test_expired_credentials_go(service: Service, browser: Browser) -> None:
    await browser.sign_in()
    for hours in (7, 9, 31):
        # A day longer than it lives: a clock that is wrong for a while must not sign anybody out.
        await delete_old(service.database, RETENTION, now=service.clock() + timedelta(hours=hours))
        assert await service.count("session_credential") == 1
    await delete_old(service.database, RETENTION, now=service.clock() + timedelta(hours=33))
    assert await service.count("session_credential") == 0


@pytest.mark.parametrize("with_triggers", [True, False])
async def test_credentials_and_tokens_go_when_an_application_has_ended_their_session(
    service: Service, browser: Browser, *, with_triggers: bool
) -> None:
    """MariaDB may refuse the triggers; then nothing notes which sessions those are."""
    if not with_triggers:
        await drop_all_triggers(service.database)
    await browser.sign_in()
    await delete_old(service.database, RETENTION, now=service.clock())
    assert (await service.count("session_credential"), await service.count("keycloak_grant")) == (1, 1)
    await service.write('UPDATE sys_usersession SET "IsActive" = 0')
    await delete_old(service.database, RETENTION, now=service.clock())
    assert (await service.count("session_credential"), await service.count("keycloak_grant")) == (0, 0)


async def test_of_many_sessions_those_that_have_ended_are_found_a_few_at_a_time(database: Database) -> None:
    await drop_all_triggers(database)
    for number in range(9):
        await open_one(database, new_session(f"key {number}", username=f"person {number}"))
    first_five = sys_usersession.c.User < "person 5"
    await database.write(lambda db: db.execute(sa.update(sys_usersession).where(first_five).values(IsActive=False)))
    assert await count_old(database, RETENTION, now=NOW) == 5
    assert await delete_old(database, RETENTION, now=NOW, limit=2) == 5
    assert len(await read(database, session_credential)) == 4
    assert await find_active(database, "key 5") is not None


@pytest.mark.parametrize("name", KEPT_UNTIL)
async def test_what_says_itself_how_long_it_is_kept_goes_then(database: Database, name: str) -> None:
    table, others, key, time = KEPT_UNTIL[name]
    rows = [{**others, key: str(number), time: NOW if number < 5 else SOON} for number in range(7)]
    await database.write(lambda db: db.execute(sa.insert(table), rows))
    assert await delete_old(database, RETENTION, now=NOW) == 0
    now = NOW + timedelta(microseconds=1)
    assert await count_old(database, RETENTION, now=now) == 5
    assert await delete_old(database, RETENTION, now=now, limit=2) == 5
    assert sorted(row[key].strip() for row in await read(database, table)) == ["5", "6"]


async def test_a_step_that_fails_keeps_none_of_the_others_from_being_done(sqlite_database_url: str) -> None:
    async with open_database(sqlite_database_url) as database:
        old = sa.insert(logout_tombstone).values(package=PACKAGE, issuer=ISSUER, issued_at=NOW, sid="s", expires_at=NOW)
        await database.write(lambda db: db.execute(old))
        await database.write(lambda db: db.execute(sa.text("ALTER TABLE oauth_state RENAME TO away")))
        with pytest.raises(DatabaseUnavailable):
            await delete_old(database, RETENTION, now=SOON)
        assert await read(database, logout_tombstone) == []
