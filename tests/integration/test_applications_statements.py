"""Statements of applications: they keep working, their rows stay theirs, and what they end is ended."""

import secrets
from collections.abc import AsyncIterator
from contextlib import closing

import httpx
import pymysql
import pytest

from bridge.model import digest
from tests.browser import Browser
from tests.double import KeycloakDouble
from tests.integration.applications import (
    Execute,
    Rows,
    as_user,
    connected,
    kind_of,
    mariadb_address,
    spelt,
    statements_of,
)
from tests.integration.mirror import Mirror, Silent
from tests.integration.service import Service

COOKIE = "__Host-kb-demo"
FEW_RIGHTS = (
    "GRANT SELECT, INSERT, UPDATE ON sys_user TO {0}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON sys_usersession TO {0}",
)
INSERT_USER = """
INSERT INTO sys_user (User, Uuid, Package, Active, Password, Email, RegisterDate, Usergroups)
VALUES ('carol', UUID(), 'demo', 1, 'secret', 'carol@example.com', NOW(), 'till,stock')"""
UPDATE_USER = """
UPDATE sys_user SET LastLoginDate = NOW(), LastInteraction = NOW() WHERE User = 'carol' AND Package = 'demo'"""
INSERT_SESSION = """
INSERT INTO sys_usersession
  (SessionId, User, Package, SessionType, IpAddress, UserAgent, CreatedAt, ExpiresAt, LoginMethod)
VALUES
  (UUID(), 'carol', 'demo', 'web', '192.0.2.7', 'Mozilla/5.0', NOW(), DATE_ADD(NOW(), INTERVAL 8 HOUR), 'password')"""
JUST_NOW = "BETWEEN NOW() - INTERVAL 1 MINUTE AND NOW()"
CAROL = {"user": "carol", "package": "demo", "email": "carol@example.com", "uuid": "u", "session_id": "s"}
BOB = {**CAROL, "user": "bob", "session_id": "t"}


@pytest.fixture
async def application_url(migrated_database_url: str) -> AsyncIterator[str]:
    """A migrated database, for a user with the rights of an application; SQLite has no users."""
    kind, role = kind_of(migrated_database_url), f"role_{secrets.token_hex(6)}"
    if kind == "sqlite":
        yield migrated_database_url
        return
    async with connected(migrated_database_url) as owner:
        await owner(f"CREATE USER {role}")
        for grant in FEW_RIGHTS:
            await owner(grant.format(role))
        yield as_user(migrated_database_url, role)
        if kind == "postgresql":
            await owner(f"DROP OWNED BY {role}")
        await owner(f"DROP USER {role}")


@pytest.mark.parametrize("migrated_database_url", ["mariadb"], indirect=True)
def test_the_statements_of_existing_applications_work_as_they_are_written(application_url: str) -> None:
    with closing(pymysql.connect(**mariadb_address(application_url))) as connection, connection.cursor() as cursor:
        for statement in INSERT_USER, UPDATE_USER, INSERT_SESSION:
            assert cursor.execute(statement) == 1
        connection.commit()
        assert cursor.execute("SELECT * FROM sys_user WHERE Package = 'demo' AND Active = 1") == 1
        recent = " AND ".join(f"{name} {JUST_NOW}" for name in ("RegisterDate", "LastLoginDate", "LastInteraction"))
        assert cursor.execute(f"SELECT 1 FROM sys_user WHERE CHAR_LENGTH(Uuid) = 36 AND {recent}") == 1
        active = "SELECT SessionId, User FROM sys_usersession WHERE IsActive = 1 AND ExpiresAt > NOW()"
        assert cursor.execute(active) == 1
        ((session_id, user),) = cursor.fetchall()
        assert (len(session_id), user) == (36, "carol")
        end = "UPDATE sys_usersession SET IsActive = 0, InvalidatedAt = NOW(), InvalidatedReason = 'logout'"
        assert cursor.execute(f"{end} WHERE SessionId = '{session_id}'") == 1
        assert cursor.execute(active) == 0
        delete = "DELETE FROM sys_usersession WHERE IsActive = 0 AND ExpiresAt < DATE_SUB(NOW(), INTERVAL 7 DAY)"
        assert cursor.execute(delete) == 0
        days_ago = "CreatedAt = DATE_SUB(NOW(), INTERVAL 9 DAY), ExpiresAt = DATE_SUB(NOW(), INTERVAL 8 DAY)"
        cursor.execute(f"UPDATE sys_usersession SET {days_ago}")
        assert cursor.execute(delete) == 1
        connection.commit()


async def test_the_statements_of_the_page_work_for_an_application_with_few_rights(
    migrated_database_url: str, application_url: str
) -> None:
    statements = statements_of("database.md", f"sql {kind_of(application_url)}")
    async with connected(application_url) as execute:
        answers = [await execute(statement, **CAROL) for statement in statements]
        assert [len(answer) for answer in answers if answer] == [1, 1, 1]
        assert (answers[1][0][0], answers[1][0][2]) == ("carol", "carol@example.com")
        assert (answers[4][0][1], answers[5]) == ("carol", [(1,)])
        ended = 'SELECT "IsActive", "InvalidatedReason", "Origin" FROM sys_usersession'
        assert await execute(spelt(application_url, ended)) == [(0, "logout", "local")]
    async with connected(migrated_database_url) as owner:
        assert await owner("SELECT kind, username FROM session_revocation") == [("session", "carol")]


async def test_hand_written_rows_are_never_changed_by_us_and_never_sign_anybody_in(
    service: Service, browser: Browser, double: KeycloakDouble
) -> None:
    """Whoever may insert into sys_usersession cannot make a login; Keycloak knows bob, and does not know carol."""
    url = service.settings.database.url.get_secret_value()
    async with connected(url) as execute:
        for person in (CAROL, BOB):
            await write_rows(execute, url, person)
        before = await rows_by_hand(execute, url)
        assert [len(rows) for rows in before] == [2, 2]
        await browser.sign_in()
        double.sign_in_as("bob")
        async with Browser(service.url) as other:
            assert (await other.sign_in()).status_code == 409
        double.realm.add_session("bob", "bridge")
        for _ in range(2):
            report = await Mirror(double, service.database, Silent()).run()
            assert [conflict.name for conflict in report.conflicts] == ["bob"]
        assert await rows_by_hand(execute, url) == before
        session_ids = [row[0] for row in await execute("SELECT * FROM sys_usersession")]
    assert len(session_ids) > 2
    for cookie in (*session_ids, "token-carol", digest("token-carol"), "token-bob"):
        async with httpx.AsyncClient(trust_env=False) as program:
            answer = await program.get(f"{service.url}/me", headers={"Cookie": f"{COOKIE}={cookie}"})
        assert answer.status_code == 401
    assert (await browser.get("/me")).status_code == 200


async def write_rows(execute: Execute, url: str, person: dict[str, str]) -> None:
    """Write a person and a session as the page says, with a token of the application's own."""
    for statement in statements_of("database.md", f"sql {kind_of(url)}"):
        if statement.startswith("INSERT"):
            await execute(statement, **person)
    token = 'UPDATE sys_usersession SET "SessionToken" = :token WHERE "User" = :user'
    await execute(spelt(url, token), token=digest(f"token-{person['user']}"), user=person["user"])


async def rows_by_hand(execute: Execute, url: str) -> tuple[Rows, Rows]:
    """Return the rows of Origin local that are active, as they stand."""
    users = """SELECT * FROM sys_user WHERE "Origin" = 'local' AND "Active" = 1 ORDER BY "User" """
    sessions = """SELECT * FROM sys_usersession WHERE "Origin" = 'local' AND "IsActive" = 1 ORDER BY "User" """
    return await execute(spelt(url, users)), await execute(spelt(url, sessions))


@pytest.mark.parametrize(
    "statement",
    [
        """UPDATE sys_usersession SET "IsActive" = 0, "InvalidatedReason" = 'logout' WHERE "User" = 'alice'""",
        """DELETE FROM sys_usersession WHERE "User" = 'alice'""",
        """UPDATE sys_user SET "Active" = 0 WHERE "User" = 'alice'""",
    ],
)
async def test_what_an_application_ends_is_refused_at_the_next_request(
    service: Service, browser: Browser, statement: str
) -> None:
    """The statement goes to the database alone; nobody tells the running service."""
    await browser.sign_in()
    assert (await browser.get("/me")).status_code == 200
    url = service.settings.database.url.get_secret_value()
    async with connected(url) as execute:
        await execute(spelt(url, statement))
    assert (await browser.get("/me")).status_code == 401
