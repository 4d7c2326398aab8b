"""Who writes which column, as the pages say, is what happens: each writer runs, and the rows show what it wrote."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.flows.people import NewUser, create_user
from bridge.flows.session_keys import KeyWanted, create_key
from bridge.model import Activity, Identity, NewSession, Profile, SessionPolicy, SessionType, UserSession, digest
from bridge.model.sessions import Device, LoginMethod, Place
from bridge.sealing import Sealer
from bridge.storage import session_credentials, token_families, user_sessions, usergroups, users
from bridge.storage.database import Database, Db, open_database
from bridge.storage.schema.description import describe_tables
from bridge.storage.tables import sys_user, sys_usersession
from bridge.storage.tables.facts import Writer
from bridge.storage.token_families import TokenPair
from bridge.storage.usergroups import Usergroup

Step = Callable[[Db], Awaitable[object]]
NOW = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(minutes=10)
ALICE = Identity("https://kc.example/realms/demo", "11111111-1111-4111-8111-111111111111", "demo")
POLICY = SessionPolicy(
    lifetime=timedelta(hours=8), idle=timedelta(hours=1), max_sessions=3, refresh_lifetime=timedelta(hours=2)
)
OPENED = NewSession(
    session_id="a" * 64,
    session_type=SessionType.WEB,
    credential_digest=digest("credential"),
    identity=ALICE,
    username="alice",
    created_at=NOW,
    expires_at=NOW + timedelta(hours=8),
    client_id="bridge",
    sid="sid-1",
    auth_time=NOW,
    acr="1",
    login_method=LoginMethod.SSO,
    oauth_state_id="c" * 64,
    ip_address="192.0.2.7",
    user_agent="Mozilla/5.0",
    device=Device("phone", "id", "mobile", "Android", "15", "Firefox", "140", "f" * 64),
    place=Place("Graz", "Austria"),
    remember_me=True,
    is_trusted=True,
)
PAIR = TokenPair("1" * 64, "2" * 64, LATER)
NEXT = TokenPair("3" * 64, "4" * 64, LATER, sealed="sealed")


@pytest.fixture
async def database(sqlite_database_url: str) -> AsyncIterator[Database]:
    async with open_database(sqlite_database_url) as opened:
        yield opened


@pytest.fixture
async def session(database: Database) -> UserSession:
    """A living session; what it is like before something is written."""

    async def step(db: Db) -> None:
        await users.upsert_signed_in(db, ALICE, Profile("alice"), now=NOW)
        plain = replace(OPENED, device=Device(), is_trusted=False)
        await user_sessions.create_session(db, plain, policy=POLICY)

    await database.write(step)
    async with database.reading() as db:
        (found,) = await user_sessions.get_user_sessions(db, "alice", package="demo", now=NOW)
    return found


def written_by(table: str, *writers: Writer) -> set[str]:
    (described,) = (one for one in describe_tables() if one.name == table)
    return {column.name for column in described.columns if not set(writers).isdisjoint(column.written_by)}


async def row_of(database: Database, table: sa.Table) -> dict[str, Any]:
    async with database.reading() as db:
        return dict((await db.execute(sa.select(table))).one()._mapping)


async def changed_by(database: Database, step: Step) -> set[str]:
    """Return the columns of the only session that a step changes."""
    before = await row_of(database, sys_usersession)
    await database.write(step)
    after = await row_of(database, sys_usersession)
    return {name for name in before if before[name] != after[name]}


def not_default(row: dict[str, Any], table: sa.Table) -> set[str]:
    """Return the columns that hold more than a row gets by itself."""
    defaults = {
        column.name: column.server_default.arg
        for column in table.columns
        if isinstance(column.server_default, sa.DefaultClause)
    }
    spelt = {name: str(int(value)) if isinstance(value, bool | int) else value for name, value in row.items()}
    return {name for name, value in spelt.items() if value is not None and value != defaults.get(name)}


async def test_a_program_writes_the_columns_of_a_session_that_the_library_is_named_for(database: Database) -> None:
    async def step(db: Db) -> None:
        await users.upsert_signed_in(db, ALICE, Profile("alice"), now=NOW)
        known = replace(OPENED, session_id="0" * 64, credential_digest="0" * 64, device=Device(fingerprint="e" * 64))
        await user_sessions.create_session(db, known, policy=POLICY)
        # Of a device that this person never used: a finding.
        await user_sessions.create_session(db, OPENED, policy=POLICY)
        await db.execute(sa.delete(sys_usersession).where(sys_usersession.c.SessionId == known.session_id))

    await database.write(step)

    found = not_default(await row_of(database, sys_usersession), sys_usersession)
    assert found | {"IsActive"} == written_by("sys_usersession", Writer.LIBRARY)


async def test_a_sign_in_writes_the_columns_of_a_person_that_it_is_named_for(database: Database) -> None:
    profile = Profile("alice", "alice@example.com", True, "Alice", "Ames", "Alice Ames")  # noqa: FBT003 - a profile

    await database.write(lambda db: users.upsert_signed_in(db, ALICE, profile, now=NOW))

    found = not_default(await row_of(database, sys_user), sys_user)
    # It takes MissingSince back, and ends a row whose identity is gone when it frees the name.
    assert found | {"Active", "MissingSince", "DeactivatedBy"} == written_by("sys_user", Writer.SIGN_IN)


async def test_a_user_command_writes_the_columns_that_it_is_named_for(database: Database) -> None:
    new = NewUser("bob", "bob@example.com", "Bob", "Best", "Bob Best", "1", ("till",), legacy_password="secret")

    await database.write(partial(usergroups.seed, groups=[Usergroup("till", "Till")], package="demo", now=NOW))
    await create_user(database, new, package="demo", sealer=Sealer([b"k" * 32]), created_by="operator", now=NOW)

    found = not_default(await row_of(database, sys_user), sys_user)
    assert found | {"Active", "Origin"} == written_by("sys_user", Writer.USER_COMMAND)


@pytest.mark.parametrize(
    ("writer", "activity"),
    [
        (
            Writer.ACTIVITY,
            Activity("a" * 64, LATER, idle_expires_at=NOW + timedelta(hours=2), ip_address="192.0.2.8", suspicious=1),
        ),
        (Writer.PERSON, Activity("a" * 64, LATER, device_name="laptop", is_trusted=True)),
    ],
)
async def test_activity_writes_the_columns_that_it_is_named_for(
    database: Database, session: UserSession, writer: Writer, activity: Activity
) -> None:
    changed = await changed_by(database, lambda db: user_sessions.update_activity(db, [activity]))

    assert session.session_id == activity.session_id
    assert changed == written_by("sys_usersession", writer)


async def test_a_rotation_writes_the_columns_that_it_is_named_for(database: Database, session: UserSession) -> None:
    changed = await changed_by(
        database,
        lambda db: session_credentials.supersede(
            db,
            session.session_id,
            old=OPENED.credential_digest,
            seen=None,
            new=digest("next"),
            expires_at=session.expires_at,
            now=LATER,
        ),
    )

    assert changed == written_by("sys_usersession", Writer.ROTATION)


async def test_an_app_writes_the_columns_that_exchange_and_refresh_are_named_for(
    database: Database, session: UserSession
) -> None:
    exchanged = await changed_by(
        database,
        lambda db: token_families.open_family(db, session, PAIR, policy=POLICY, now=NOW + timedelta(seconds=1)),
    )
    refreshed = await changed_by(
        database, lambda db: token_families.rotate(db, PAIR.refresh_digest, NEXT, policy=POLICY, now=LATER)
    )

    assert exchanged == written_by("sys_usersession", Writer.CODE_EXCHANGE)
    assert refreshed == written_by("sys_usersession", Writer.TOKEN_REFRESH)


async def test_an_end_writes_the_columns_that_it_is_named_for(database: Database, session: UserSession) -> None:
    changed = await changed_by(
        database,
        lambda db: user_sessions.invalidate_session(
            db, session.session_id, invalidated_by="alice", reason="logout", now=LATER
        ),
    )

    assert changed == written_by("sys_usersession", Writer.SIGN_OUT)


async def test_the_clean_up_writes_the_columns_that_it_is_named_for(database: Database, session: UserSession) -> None:
    over = session.expires_at + timedelta(hours=1)
    changed = await changed_by(
        database,
        lambda db: user_sessions.cleanup_expired(
            db, now=over, expired_for=timedelta(days=7), inactive_for=timedelta(days=30)
        ),
    )

    assert changed == written_by("sys_usersession", Writer.CLEAN_UP)


async def test_a_session_command_writes_the_columns_that_it_is_named_for(database: Database) -> None:
    await database.write(lambda db: users.upsert_signed_in(db, ALICE, Profile("alice"), now=NOW))
    wanted = KeyWanted("alice", "demo", SessionType.API, device_name="nightly report", is_trusted=True)

    made = await create_key(database, wanted, policy=POLICY, created_by="operator", now=NOW)
    created = not_default(await row_of(database, sys_usersession), sys_usersession)
    ended = await changed_by(
        database,
        lambda db: user_sessions.invalidate_session(
            db, made.session_id, invalidated_by="operator", reason="admin", now=LATER
        ),
    )

    assert created | ended == written_by("sys_usersession", Writer.SESSION_COMMAND)
