"""Rules that hold for all tables, on SQLite, PostgreSQL and MariaDB; and what each storage function promises."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from bridge.errors import DatabaseUnfit, SessionRefused, StorageError
from bridge.model import Identity, NewSession, Origin, Profile, SessionPolicy, SessionType, UserSession, digest
from bridge.storage import keycloak_grants, mirrored_users, session_credentials, user_sessions, users
from bridge.storage.database import Database, Db, RowClash, check_clock, open_database
from bridge.storage.tables import sys_user, sys_usersession
from tests.servers.mariadb import MariadbServer

NOW = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
ALICE = Identity("https://kc.example/realms/demo", "11111111-1111-4111-8111-111111111111", "demo")
SESSION = NewSession(
    session_id="a" * 64,
    session_type=SessionType.WEB,
    credential_digest=digest("credential"),
    identity=ALICE,
    username="alice",
    client_id="bridge",
    sid="sid-1",
    auth_time=NOW,
    acr="1",
    login_method=None,
    oauth_state_id="c" * 64,
    ip_address="127.0.0.1",
    user_agent="x" * 3000,
    created_at=NOW,
    expires_at=NOW + timedelta(hours=8),
)
POLICY = SessionPolicy(lifetime=timedelta(hours=8), idle=None, max_sessions=3)


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


async def open_one(database: Database, session: NewSession = SESSION) -> None:
    async def step(db: Db) -> None:
        await users.upsert_signed_in(db, session.identity, Profile(session.username), now=session.created_at)
        await user_sessions.create_session(db, session, policy=POLICY)

    await database.write(step)


async def insert_user(database: Database, name: str, **more: object) -> None:
    await database.write(lambda db: db.execute(sa.insert(sys_user).values(User=name, Package="demo", **more)))


async def test_identifiers_compare_binary(database: Database) -> None:
    """S4, V36: another case, an accent, a trailing blank or another composition is another person."""
    names = ["jose", "Jose", "Jos\u00e9", "jose\u0301", "jose ", "\u0458ose"]
    for name in names:
        await insert_user(database, name)
    async with database.reading() as db:
        for name in names:
            found = await users.find_by_name(db, name, package="demo")
            assert found is not None
            assert found.username == name
        assert await users.find_by_name(db, "JOSE", package="demo") is None
    with pytest.raises(RowClash):
        await insert_user(database, "jose ")


async def test_times_keep_microseconds_and_come_back_in_utc(database: Database) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    await insert_user(database, "alice", RegisterDate=elsewhere)
    async with database.reading() as db:
        found = (await db.execute(sa.select(sys_user.c.RegisterDate))).scalar_one()
    assert found == NOW
    assert found.utcoffset() == timedelta(0)


async def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="without a time zone cannot be stored"):
        await insert_user(database, "alice", RegisterDate=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


async def test_flags_are_zero_or_one(database: Database) -> None:
    quote = database.dialect.identifier_preparer.quote
    statement = f"INSERT INTO sys_user ({quote('User')}, {quote('Package')}, {quote('Active')}) VALUES ('x', 'p', 2)"
    with pytest.raises((StorageError, sa.exc.IntegrityError)):
        await database.write(lambda db: db.execute(sa.text(statement)))


async def test_a_session_cannot_end_before_it_begins(database: Database) -> None:
    with pytest.raises(SessionRefused):
        await open_one(database, replace(SESSION, expires_at=NOW))
    await open_one(database)
    # The table itself refuses it too, whoever writes.
    with pytest.raises((StorageError, sa.exc.IntegrityError)):
        await database.write(lambda db: db.execute(sa.update(sys_usersession).values(ExpiresAt=NOW)))


async def test_a_credential_opens_its_session_until_it_ends(database: Database) -> None:
    await open_one(database)
    async with database.reading() as db:
        for later, alive in ((0, True), (7, True), (8, False), (9, False)):
            found = await user_sessions.get_active_session(
                db, SESSION.credential_digest, package="demo", now=NOW + timedelta(hours=later)
            )
            assert (found is not None) is alive
        assert await user_sessions.get_active_session(db, digest("other"), package="demo", now=NOW) is None
        assert await user_sessions.get_active_session(db, SESSION.credential_digest, package="x", now=NOW) is None


async def test_a_namesake_does_not_inherit_a_session(database: Database) -> None:
    """V37: the row of the name belongs to another identity by now."""
    await open_one(database)
    await database.write(lambda db: db.execute(sa.update(sys_user).values(Sub="somebody-else")))
    async with database.reading() as db:
        assert await user_sessions.get_active_session(db, SESSION.credential_digest, package="demo", now=NOW) is None


async def test_a_further_credential_needs_a_living_session(database: Database) -> None:
    await open_one(database)
    ends = await database.write(
        lambda db: session_credentials.add_cookie_to_active(
            db, SESSION.session_id, credential_digest=digest("second"), now=NOW
        )
    )
    assert ends == SESSION.expires_at

    async def end(db: Db) -> UserSession | None:
        return await user_sessions.invalidate_session(
            db, SESSION.session_id, invalidated_by="alice", reason="logout", now=NOW
        )

    assert await database.write(end)
    assert not await database.write(end)
    refused = await database.write(
        lambda db: session_credentials.add_cookie_to_active(
            db, SESSION.session_id, credential_digest=digest("third"), now=NOW
        )
    )
    assert refused is None


async def test_deleting_a_session_row_takes_credentials_and_grant_with_it(database: Database) -> None:
    """An application's own DELETE must work, and leaves nothing that opens anything."""
    await open_one(database)
    await database.write(
        lambda db: keycloak_grants.add(
            db,
            SESSION.session_id,
            sealed_id_token="v1.x",
            sealed_refresh_token=None,
            refresh_expires_at=None,
            now=NOW,
        )
    )
    await database.write(lambda db: db.execute(sa.delete(sys_usersession)))
    async with database.reading() as db:
        for table in ("session_credential", "keycloak_grant"):
            assert (await db.execute(sa.text(f"SELECT COUNT(*) FROM {table}"))).scalar() == 0


async def test_a_mirrored_session_is_hidden_while_one_of_the_bridge_covers_it(database: Database) -> None:
    await open_one(database)
    mirrored = {
        "User": "alice",
        "Package": "demo",
        "SessionType": "web",
        "CreatedAt": NOW,
        "ExpiresAt": NOW + timedelta(hours=1),
        "Issuer": ALICE.issuer,
        "Sub": ALICE.sub,
        "Origin": Origin.KEYCLOAK,
    }
    rows = [{**mirrored, "SessionId": "b" * 64, "Sid": "sid-1"}, {**mirrored, "SessionId": "d" * 64, "Sid": "sid-2"}]
    await database.write(lambda db: db.execute(sa.insert(sys_usersession), rows))

    async def listed() -> set[str]:
        async with database.reading() as db:
            found = await user_sessions.get_user_sessions(db, "alice", package="demo", now=NOW)
        return {session.session_id[0] for session in found}

    assert await listed() == {"a", "d"}
    await database.write(
        lambda db: user_sessions.invalidate_session(db, "a" * 64, invalidated_by=None, reason="logout", now=NOW)
    )
    assert await listed() == {"b", "d"}


async def test_concurrent_first_logins_of_one_person_make_one_row(database: Database) -> None:
    async def sign_in() -> None:
        await database.write(lambda db: users.upsert_signed_in(db, ALICE, Profile("alice"), now=NOW))

    await asyncio.gather(*(sign_in() for _ in range(8)))
    async with database.reading() as db:
        found = await users.find_by_identity(db, ALICE)
        assert (await db.execute(sa.text("SELECT COUNT(*) FROM sys_user"))).scalar() == 1
    assert found is not None
    assert found.row_version == 8


async def test_long_user_agents_are_bounded_but_told_apart(database: Database) -> None:
    """S12: an oversized header must not make the insert fail."""
    await open_one(database)
    async with database.reading() as db:
        row = (await db.execute(sa.select(sys_usersession))).one()
    assert len(row.UserAgent) == 2000
    assert row.UserAgentHash == digest("x" * 3000)


async def test_applications_rows_get_defaults_and_log_nobody_in(database: Database) -> None:
    """The statements of data-model.md, in the spelling of each database."""
    q = database.dialect.identifier_preparer.quote
    columns = ", ".join(q(name) for name in ("SessionId", "User", "Package", "SessionType", "CreatedAt", "ExpiresAt"))
    statement = f"INSERT INTO sys_usersession ({columns}) VALUES ('hand', 'alice', 'demo', 'web', :now, :end)"
    moments = {"now": sa.bindparam("now", NOW, sys_user.c.RegisterDate.type)}
    moments["end"] = sa.bindparam("end", NOW + timedelta(hours=8), sys_user.c.RegisterDate.type)
    await insert_user(database, "alice")
    await database.write(lambda db: db.execute(sa.text(statement).bindparams(*moments.values())))
    async with database.reading() as db:
        row = (await db.execute(sa.select(sys_usersession))).one()
        assert (row.IsActive, row.Origin, row.RotationCount) == (True, "local", 0)
        assert await user_sessions.get_active_session(db, digest("hand"), package="demo", now=NOW) is None
        active = f"SELECT COUNT(*) FROM sys_usersession WHERE {q('IsActive')} = 1"
        assert (await db.execute(sa.text(active))).scalar() == 1


async def test_a_mariadb_that_is_not_on_utc_is_refused(mariadb_server: MariadbServer) -> None:
    mariadb_server.execute(["SET GLOBAL time_zone = '+02:00'"])
    try:
        async with open_database(f"{mariadb_server.url}/mysql", pool_size=1) as database, database.reading() as db:
            with pytest.raises(DatabaseUnfit) as refused:
                await check_clock(db)
        assert "must be UTC" in refused.value.message
        assert "default_time_zone" in (refused.value.hint or "")
    finally:
        mariadb_server.execute(["SET GLOBAL time_zone = '+00:00'"])
    async with open_database(f"{mariadb_server.url}/mysql", pool_size=1) as database, database.reading() as db:
        await check_clock(db)


async def test_a_person_disabled_during_a_login_gets_no_session(database: Database) -> None:
    """V38: the sync commits between the login's first look and its write; one of the two must see the other."""
    await open_one(database)
    looked, disabled = asyncio.Event(), asyncio.Event()

    async def log_in(db: Db) -> None:
        await users.find_by_identity(db, ALICE, lock=True)
        looked.set()
        await asyncio.sleep(0)
        await users.upsert_signed_in(db, ALICE, Profile("alice"), now=NOW)
        other = replace(SESSION, session_id="e" * 64, credential_digest=digest("other"))
        await user_sessions.create_session(db, other, policy=POLICY)

    async def disable() -> None:
        await looked.wait()
        batch = mirrored_users.UserBatch(changes={ALICE.sub: {"Active": False}}, noted={ALICE.sub: 2})
        await database.write(
            lambda db: mirrored_users.write_batch(db, batch, issuer=ALICE.issuer, package="demo", now=NOW)
        )
        disabled.set()

    await asyncio.gather(database.write(log_in), disable())
    assert disabled.is_set()
    async with database.reading() as db:
        query = sa.select(sys_usersession.c.SessionId).where(sys_usersession.c.IsActive == True)  # noqa: E712 - SQL
        assert (await db.execute(query)).all() == []
