"""The triggers on the public tables: what leaves a row in session_revocation, and what does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pymysql
import pytest
import sqlalchemy as sa

from bridge.storage.database import Database, Db, open_database
from bridge.storage.migrate import upgrade
from bridge.storage.tables import session_revocation, sys_user, sys_usersession
from bridge.storage.tables.columns import Flag, UtcDateTime
from tests.integration.applications import REFUSED, as_user, connected, mariadb_address

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
EXPIRES = datetime(2100, 1, 1, tzinfo=UTC)
PERSON: dict[str, Any] = {"User": "alice", "Package": "demo", "Issuer": "https://kc/realms/demo", "Sub": "1"}
SESSION = PERSON | {"SessionId": "s1", "SessionType": "web", "CreatedAt": CREATED, "ExpiresAt": EXPIRES}
OF_SESSION = {"kind": "session", "session_id": "s1", "username": "alice", "package": "demo"}
OF_USER = {**OF_SESSION, "kind": "user", "session_id": None}
WATCHED = {
    "sys_usersession": {"IsActive", "User", "Package", "Issuer", "Sub", "SessionType"},
    "sys_user": {"User", "Package", "Uuid", "Email", "Active", "Usergroups", "Issuer", "Sub"},
}


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as one:
        yield one


async def execute(database: Database, *statements: Any) -> None:
    async def step(db: Db) -> None:
        for statement in statements:
            await db.execute(statement)

    await database.write(step)


async def insert(database: Database, **columns: object) -> None:
    await execute(database, sa.insert(sys_usersession).values(SESSION | columns))


async def appended(database: Database) -> list[dict[str, Any]]:
    """Return what was appended since the last look."""
    async with database.reading() as db:
        found = await db.execute(sa.select(session_revocation).order_by(session_revocation.c.id))
        rows = [dict(row._mapping) for row in found]
    await execute(database, sa.delete(session_revocation))
    return rows


def another_value(column: sa.Column[Any]) -> object:
    if isinstance(column.type, Flag):
        return column.name not in ("IsActive", "Active")
    if isinstance(column.type, UtcDateTime):
        return (EXPIRES if column.name == "ExpiresAt" else CREATED) + timedelta(days=1)
    return 7 if isinstance(column.type, sa.Integer) else "other"


@pytest.mark.parametrize("name", WATCHED)
async def test_these_columns_append_and_no_other_does(database: Database, name: str) -> None:
    """Uses of a session or an account are the commonest writes of all: they must append nothing."""
    table, row = (sys_user, PERSON) if name == "sys_user" else (sys_usersession, SESSION)
    found = set()
    for column in table.columns:
        await execute(database, sa.delete(table), sa.insert(table).values(row))
        await appended(database)
        await execute(database, sa.update(table).values({column.name: another_value(column)}))
        if await appended(database):
            found.add(column.name)
    assert found == WATCHED[name]


async def test_a_write_of_the_same_values_appends_nothing(database: Database) -> None:
    await insert(database)
    await execute(database, sa.insert(sys_user).values(PERSON))
    for table in (sys_user, sys_usersession):
        same = {name: table.c[name] for name in WATCHED[table.name]}
        await execute(database, sa.update(table).values(same))
    assert await appended(database) == []


async def test_an_empty_value_is_a_value(database: Database) -> None:
    await execute(database, sa.insert(sys_user).values(PERSON))
    for email, number in (("a@example.com", 1), ("A@example.com", 1), (None, 1), (None, 0)):
        await execute(database, sa.update(sys_user).values(Email=email))
        assert len(await appended(database)) == number


async def test_an_ended_session_is_told_with_name_and_identity(database: Database) -> None:
    await insert(database)
    before = datetime.now(UTC)
    await execute(database, sa.update(sys_usersession).values(IsActive=False))
    (row,) = await appended(database)
    assert row | OF_SESSION == row
    assert (row["issuer"], row["sub"]) == (PERSON["Issuer"], "1")
    # SQLite counts milliseconds.
    assert before - timedelta(milliseconds=1) <= row["at"] <= datetime.now(UTC) + timedelta(milliseconds=1)


async def test_a_changed_person_is_told_by_the_old_name(database: Database) -> None:
    await execute(database, sa.insert(sys_user).values(PERSON))
    await execute(database, sa.update(sys_user).values(User="alicia"))
    (row,) = await appended(database)
    assert row | OF_USER == row
    assert (row["issuer"], row["sub"]) == (PERSON["Issuer"], "1")


@pytest.mark.parametrize(("by", "number"), [(timedelta(microseconds=-1), 1), (timedelta(days=1), 0)])
async def test_an_end_that_comes_nearer_appends(database: Database, by: timedelta, number: int) -> None:
    await insert(database)
    await execute(database, sa.update(sys_usersession).values(ExpiresAt=EXPIRES + by))
    assert len(await appended(database)) == number


async def test_a_deleted_row_appends_once_and_an_ended_session_did_so_before(database: Database) -> None:
    await insert(database)
    await execute(database, sa.delete(sys_usersession))
    assert [row["session_id"] for row in await appended(database)] == ["s1"]
    await insert(database, IsActive=False)
    await execute(database, sa.update(sys_usersession).values(User="other", ExpiresAt=CREATED + timedelta(1)))
    await execute(database, sa.delete(sys_usersession))
    assert await appended(database) == []
    for active in (True, False):
        await execute(database, sa.insert(sys_user).values(PERSON | {"Active": active}), sa.delete(sys_user))
        assert [row["kind"] for row in await appended(database)] == ["user"]


async def test_one_statement_over_many_rows_appends_for_each_that_it_ends(database: Database) -> None:
    rows = [SESSION | {"SessionId": f"s{n:03}", "IsActive": n % 3 > 0} for n in range(300)]
    await execute(database, sa.insert(sys_usersession).values(rows))
    await execute(database, sa.update(sys_usersession).values(IsActive=False))
    found = {row["session_id"] for row in await appended(database)}
    assert found == {row["SessionId"] for row in rows if row["IsActive"]}
    await execute(database, sa.delete(sys_usersession))
    assert await appended(database) == []


async def test_what_is_taken_back_has_appended_nothing(database: Database) -> None:
    await insert(database)

    async def step(db: Db) -> None:
        await db.execute(sa.delete(sys_usersession))
        assert (await db.execute(sa.select(session_revocation.c.kind))).scalars().all() == ["session"]
        raise KeyError("given up")

    with pytest.raises(KeyError):
        await database.write(step)
    assert await appended(database) == []


@pytest.mark.parametrize("migrated_database_url", ["mariadb"], indirect=True)
def test_mariadb_notes_utc_and_the_true_time_whatever_an_application_sets(migrated_database_url: str) -> None:
    """An entry that seems old would never be read, and its session would go on."""
    with closing(pymysql.connect(**mariadb_address(migrated_database_url))) as connection:
        cursor = connection.cursor()
        cursor.execute("SET time_zone = '+05:30'")
        cursor.execute("INSERT INTO sys_user (User, Package) VALUES ('alice', 'demo')")
        cursor.execute("SET timestamp = 1000000000")
        cursor.execute("UPDATE sys_user SET Active = 0")
        cursor.execute("SELECT at FROM session_revocation")
        ((at,),) = cursor.fetchall()
    assert abs(at.replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(seconds=10)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_an_application_needs_no_right_on_the_private_table_wherever_the_tables_are(database_url: str) -> None:
    """PostgreSQL: the function runs as its owner, and finds the table whatever search_path the application has."""
    ours, people = '"Our ""Tables"', '"Our ""Tables".sys_user'
    role = database_url.rpartition("/")[2]
    async with connected(database_url) as owner:
        await owner(f"CREATE SCHEMA {ours}")
        await owner(f"CREATE ROLE {role} LOGIN")
        await owner(f"ALTER DATABASE {role} SET search_path = {ours}")
    await asyncio.to_thread(upgrade, database_url)
    async with connected(database_url) as owner, connected(as_user(database_url, role)) as application:
        await owner(f"GRANT USAGE ON SCHEMA {ours} TO {role}")
        await owner(f"GRANT CREATE ON SCHEMA public TO {role}")
        await owner(f"GRANT SELECT, INSERT, UPDATE ON sys_user TO {role}")
        await application("SET search_path = public")
        await application("CREATE TABLE session_revocation (at text)")
        await application(f"""INSERT INTO {people} ("User", "Package") VALUES ('alice', 'demo')""")
        await application(f"""UPDATE {people} SET "Active" = 0""")
        assert await application("SELECT * FROM session_revocation") == []
        with pytest.raises(REFUSED, match="denied for table"):
            await application(f"SELECT * FROM {ours}.session_revocation")
        with pytest.raises(REFUSED, match="denied for function"):
            await application(
                "CREATE TRIGGER own AFTER INSERT ON session_revocation FOR EACH ROW "
                f"EXECUTE FUNCTION {ours}.sys_user_revoke()"
            )
        assert await owner("SELECT username FROM session_revocation") == [("alice",)]
        await owner(f"DROP OWNED BY {role}")
        await owner(f"DROP ROLE {role}")


@pytest.mark.parametrize("migrated_database_url", ["postgresql"], indirect=True)
async def test_postgresql_wakes_the_replicas_when_something_was_appended_and_only_then(
    migrated_database_url: str,
) -> None:
    heard: list[str] = []
    replica = await asyncpg.connect(migrated_database_url, ssl=False)
    await replica.add_listener("session_revocation", lambda *found: heard.append(found[3]))
    async with connected(migrated_database_url) as application:
        await application("""INSERT INTO sys_user ("User", "Package") VALUES ('alice', 'demo')""")
        await application('UPDATE sys_user SET "LastLoginDate" = now()')
        # A message waits for the listener before the answer to its next statement.
        await replica.execute("SELECT 1")
        assert heard == []
        await application('UPDATE sys_user SET "Active" = 0')
        await replica.execute("SELECT 1")
        assert heard == [""]
    await replica.close()
