"""How a key of a program is made: for whom, within which limits, and what of it is written."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.cli.session_keys import KeyType
from bridge.errors import BridgeError, IdentityMissing, SessionLimitReached, SessionRefused, UserDisabled, UserUnknown
from bridge.flows.session_keys import WITHOUT_BROWSER, KeyWanted, MadeKey, PlannedKey, create_key, plan_key
from bridge.model import AtCap, SessionPolicy, SessionType, digest
from bridge.storage import user_sessions
from bridge.storage.database import Database, Db, open_database
from bridge.storage.tables import security_event, session_credential, sys_user, sys_usersession
from tests.integration.stored_sessions import (
    HOURS,
    ISSUER,
    NOW,
    PACKAGE,
    add_person,
    find_active,
    identity,
    read,
    read_one,
    write_row,
)

DAYS = timedelta(days=1)
POLICY = SessionPolicy(lifetime=30 * DAYS, idle=None, max_sessions=2)
WANTED = KeyWanted("alice", PACKAGE, SessionType.API, device_name="nightly report")


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


async def make(
    database: Database, wanted: KeyWanted = WANTED, *, policy: SessionPolicy = POLICY, now: datetime = NOW
) -> MadeKey:
    return await create_key(database, wanted, policy=policy, created_by="command:root", now=now)


async def plan(
    database: Database, wanted: KeyWanted = WANTED, *, policy: SessionPolicy = POLICY, now: datetime = NOW
) -> PlannedKey:
    return await plan_key(database, wanted, policy=policy, now=now)


def test_the_command_offers_the_types_that_begin_without_a_browser() -> None:
    assert [str(one) for one in KeyType] == [str(one) for one in WITHOUT_BROWSER]


@pytest.mark.parametrize("kind", [SessionType.API, SessionType.CONSOLE])
async def test_everything_that_is_known_of_a_key_is_written_and_the_key_is_not(
    database: Database, kind: SessionType
) -> None:
    await add_person(database)
    wanted = replace(WANTED, session_type=kind, lifetime=2 * DAYS, is_trusted=True)
    made = await make(database, wanted, policy=replace(POLICY, idle=HOURS))
    assert (made.ended, made.expires_at) == ((), NOW + 2 * DAYS)
    assert len(made.key) == 43
    row = {name: value for name, value in (await read_one(database, made.session_id)).items() if value is not None}
    alice = identity("alice")
    assert row == {
        "SessionId": made.session_id,
        "User": "alice",
        "Package": PACKAGE,
        "SessionToken": digest(made.key),
        "SessionType": str(kind),
        "CreatedAt": NOW,
        "LastActivity": NOW,
        "UpdatedAt": NOW,
        "ExpiresAt": NOW + 2 * DAYS,
        "IdleExpiresAt": NOW + HOURS,
        "IsActive": True,
        "DeviceName": "nightly report",
        "LoginMethod": "api_key",
        "Issuer": ISSUER,
        "Realm": "demo",
        "Sub": alice.sub,
        "Origin": "bridge",
        "IsTrusted": True,
        "Offline": False,
        "TokensExchanged": False,
        "RememberMe": False,
        "RotationCount": 0,
        "SuspiciousActivityCount": 0,
    }
    (credential,) = await read(database, session_credential)
    assert (credential["digest"], credential["kind"]) == (digest(made.key), "access")
    assert credential["expires_at"] == made.expires_at
    (event,) = await read(database, security_event)
    assert (event["event"], event["username"], event["session_id"]) == ("key_created", "alice", made.session_id)
    assert json.loads(event["evidence"]) == {"session_type": str(kind), "created_by": "command:root"}


async def test_the_cap_of_keys_ends_the_oldest_or_refuses(database: Database) -> None:
    await add_person(database)
    first = await make(database)
    second = await make(database, now=NOW + HOURS)
    third = await make(database, now=NOW + 2 * HOURS)
    assert third.ended == (first.session_id,)
    assert await find_active(database, first.key) is None
    for made in (second, third):
        assert await find_active(database, made.key) is not None
    (event,) = await read(database, security_event, event="session_ended")
    assert event["session_id"] == first.session_id
    assert json.loads(event["evidence"]) == {"reason": "session_limit", "invalidated_by": "alice"}
    before = await read(database), await read(database, security_event)
    for act in (make, plan):
        with pytest.raises(SessionLimitReached):
            await act(database, policy=replace(POLICY, at_cap=AtCap.REFUSE), now=NOW + 3 * HOURS)
    assert (await read(database), await read(database, security_event)) == before


async def test_a_plan_says_what_making_the_key_then_does_and_writes_nothing(database: Database) -> None:
    """Sessions of others, of other types and over ones do not count, and neither do rows of applications."""
    await add_person(database)
    await add_person(database, "bob")
    assert await plan(database) == PlannedKey(NOW + 30 * DAYS, ())
    assert await read(database) == []
    first, second = [await make(database) for _ in range(2)]
    await make(database, replace(WANTED, username="bob"))
    await make(database, replace(WANTED, session_type=SessionType.CONSOLE))
    await write_row(database, SessionType="api", ExpiresAt=NOW + DAYS)
    oldest = min(first.session_id, second.session_id)
    before = await read(database), await read(database, security_event)
    planned = await plan(database, replace(WANTED, lifetime=DAYS), now=NOW + HOURS)
    assert planned == PlannedKey(NOW + HOURS + DAYS, (oldest,))
    assert (await read(database), await read(database, security_event)) == before
    made = await make(database, replace(WANTED, lifetime=DAYS), now=NOW + HOURS)
    assert (made.expires_at, made.ended) == (planned.expires_at, planned.ended)


async def test_a_plan_ends_as_many_as_a_cap_that_was_lowered_takes(database: Database) -> None:
    await add_person(database)
    made = [await make(database, now=NOW + number * HOURS) for number in range(2)]
    planned = await plan(database, policy=replace(POLICY, max_sessions=1), now=NOW + 2 * HOURS)
    assert planned.ended == tuple(one.session_id for one in made)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"username": "nobody"}, UserUnknown, "There is no person of this name."),
        ({"username": "a\0b"}, UserUnknown, "There is no person of this name."),
        ({"username": "half \ud800 a pair"}, UserUnknown, "There is no person of this name."),
        ({"username": "x" * 1000}, UserUnknown, "There is no person of this name."),
        ({"username": "disabled"}, UserDisabled, "This account is disabled."),
        ({"username": "written by hand"}, IdentityMissing, ""),
        ({"package": "other"}, UserUnknown, "There is no person of this name."),
        ({"session_type": SessionType.WEB}, SessionRefused, "A session of type web needs a sign-in"),
        ({"session_type": SessionType.MOBILE}, SessionRefused, "A session of type mobile needs a sign-in"),
        ({"lifetime": 31 * DAYS}, SessionRefused, "within the policy's 30 days"),
        ({"lifetime": -DAYS}, SessionRefused, "must be positive"),
        ({"device_name": "x" * 256}, SessionRefused, "DeviceName is 256 characters long, and at most 255"),
        ({"device_name": "a\0b"}, SessionRefused, "DeviceName holds characters that cannot be stored"),
    ],
)
async def test_a_key_that_cannot_be_made_says_why_and_leaves_nothing(
    database: Database, changes: dict[str, Any], error: type[BridgeError], says: str
) -> None:
    await add_person(database)
    await add_person(database, "disabled")
    off = sa.update(sys_user).where(sys_user.c.User == "disabled").values(Active=False)
    await database.write(lambda db: db.execute(off))
    await database.write(lambda db: db.execute(sa.insert(sys_user).values(User="written by hand", Package=PACKAGE)))
    for act in (make, plan):
        with pytest.raises(error) as refused:
            await act(database, replace(WANTED, **changes))
        assert says in refused.value.message
    for table in (sys_usersession, session_credential, security_event):
        assert await read(database, table) == []


async def test_a_person_disabled_while_a_key_is_made_gets_none(database: Database) -> None:
    """V38: one of the two transactions must see the other."""
    await add_person(database)
    held, done = asyncio.Event(), asyncio.Event()

    async def disable(db: Db) -> None:
        await db.execute(sa.update(sys_user).values(Active=False))
        await user_sessions.invalidate_user_sessions(
            db, "alice", package=PACKAGE, invalidated_by="sync", reason="disabled", now=NOW
        )
        held.set()
        await done.wait()

    disabling = asyncio.create_task(database.write(disable))
    await held.wait()
    making = asyncio.create_task(make(database))
    while not await _waits(database, making):  # noqa: ASYNC110 - nobody announces it
        # MariaDB shows the same picture again to whoever asks more often than every tenth of a second.
        await asyncio.sleep(0.2)
    done.set()
    await disabling
    with pytest.raises(UserDisabled):
        await making
    assert await read(database) == []


async def _waits(database: Database, making: "asyncio.Task[MadeKey]") -> bool:
    """Whether the making of the key has come as far as it can; the database tells who waits for a lock."""
    if making.done() or database.dialect.name == "sqlite":
        return True  # one writer at a time
    query = {
        "postgresql": "SELECT COUNT(*) FROM pg_locks WHERE NOT granted",
        "mysql": "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
    }[database.dialect.name]
    async with database.reading() as db:
        return bool((await db.execute(sa.text(query))).scalar())


def test_a_key_is_shown_by_no_representation() -> None:
    made = MadeKey("s" * 64, NOW, (), "the key itself")
    assert "the key itself" not in repr(made)
