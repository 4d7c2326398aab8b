"""Rights in the database: with the lines of the page each role can do what it must, and is refused what it must not."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.config.policy import RetentionSettings
from bridge.flows.check import run_check
from bridge.flows.cleanup import delete_old, end_overdue
from bridge.flows.people import erase_user
from bridge.model import digest
from bridge.storage.database import open_database
from bridge.storage.migrate import upgrade
from bridge.storage.schema.description import describe_tables
from bridge.storage.session_queries import published
from bridge.storage.tables.facts import Writer
from tests.browser import Browser
from tests.double import KeycloakDouble
from tests.integration.applications import NO_RIGHT, REFUSED, as_user, connected, kind_of, spelt, statements_of
from tests.integration.mirror import Mirror, Silent
from tests.integration.service import Service, running
from tests.servers import MariadbServer, PostgresqlServer

TABLES = {table.name: table for table in describe_tables()}
PRIVATE = sorted(name for name, table in TABLES.items() if not table.public)
OF_SYNC = {name for name, table in TABLES.items() if Writer.SYNC in table.written_by}
OF_OTHER_INSTALLATIONS = {"SessionToken", "RefreshToken", "RefreshTokenExpiresAt", "Location"}
"""Columns that existing applications fill; nothing of ours goes by them."""
PERSON = {"user": "carol", "package": "demo", "email": "carol@example.com"}


@dataclass(frozen=True)
class Granted:
    """A migrated database with the roles of the page; the rest is the administrator's."""

    admin_url: str
    passwords: dict[str, str]

    def url(self, role: str) -> str:
        """Return the address of the database for a role."""
        return as_user(self.admin_url, role, self.passwords[role])


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def prepared(request: pytest.FixtureRequest) -> Iterator[Granted]:
    """Follow the page from its first line to its last."""
    server: MariadbServer | PostgresqlServer = request.getfixturevalue(f"{request.param}_server")
    place = f"{server.url}/{'mysql' if request.param == 'mariadb' else 'postgres'}"
    roles = statements_of("grants.md", f"sql {request.param}-roles")
    passwords = dict(re.findall(r"(?:USER|ROLE) (\w+) .*'(.+)'", "\n".join(roles)))
    granted = Granted(f"{server.url}/sso", passwords)
    _aside(lambda: asyncio.run(_run(place, roles)))
    _aside(lambda: upgrade(granted.url("bridge_migrate")))
    _aside(lambda: asyncio.run(_run(granted.admin_url, statements_of("grants.md", f"sql {request.param}-grants"))))
    yield granted
    server.drop_database("sso")
    _aside(lambda: asyncio.run(_run(place, [f"DROP USER {role}" for role in passwords])))


@pytest.fixture
async def granted(prepared: Granted) -> Granted:
    """The same database with nobody in it."""
    async with connected(prepared.admin_url) as admin:
        for name in TABLES:
            await admin(f"DELETE FROM {name}")
    return prepared


def _aside(step: Callable[[], object]) -> None:
    """Run a step where there is no event loop."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        executor.submit(step).result()


async def _run(url: str, statements: list[str]) -> None:
    async with connected(url) as execute:
        for statement in statements:
            await execute(statement)


@asynccontextmanager
async def signed_in(granted: Granted, double: KeycloakDouble) -> AsyncIterator[tuple[Service, Browser]]:
    """Sign alice in through a service that has the bridge's rights."""
    async with running(double, granted.url("bridge")) as service, Browser(service.url) as browser:
        await browser.sign_in()
        assert (await browser.get("/me")).status_code == 200
        yield service, browser


async def test_the_bridge_signs_in_checks_cleans_up_and_erases(granted: Granted, double: KeycloakDouble) -> None:
    async with signed_in(granted, double) as (service, browser):
        found = {finding.subject: finding for finding in await run_check(service.settings)}
        assert [found[f"database{what}"].ok for what in ("", " schema", " clock", " triggers")] == [True] * 4
        later = datetime.now(UTC) + timedelta(days=60)
        assert (await end_overdue(service.database, RetentionSettings(), now=later)).deleted == 1
        assert await delete_old(service.database, RetentionSettings(), now=later) > 0
        assert (await browser.get("/me")).status_code == 401
        await erase_user(service.database, "alice", package="demo", erased_by="admin", now=later)
        assert await service.count("sys_user") == 0


async def test_the_sync_mirrors_and_ends_the_sessions_of_the_disabled(granted: Granted, double: KeycloakDouble) -> None:
    double.realm.join("alice", "/staff")
    async with signed_in(granted, double) as (service, browser), open_database(granted.url("bridge_sync")) as database:
        mirror = Mirror(double, database, Silent())
        report = await mirror.run()
        assert (report.exit_status, report.counts.users_created, report.counts.sessions_created > 0) == (0, 1, True)
        double.realm.change_user("bob", username="robert")
        double.realm.change_user("alice", enabled=False)
        assert (await mirror.run()).exit_status == 0
        assert {name: row["Active"] for name, row in (await mirror.users()).items()} == {"alice": 0, "robert": 1}
        assert await service.count("session_credential") == 0
        assert (await browser.get("/me")).status_code == 401


async def test_an_application_that_writes_needs_nothing_private(granted: Granted, double: KeycloakDouble) -> None:
    url = granted.url("shop")
    values = {**PERSON, "session_id": "s", "session_type": "web", "ip_address": "192.0.2.7", "user_agent": "Till 4.2"}
    values |= {"session_token_sha256": digest("x"), "login_method": "password", "reason": "logout"}
    # The drivers of the two databases take times of different kinds.
    later = datetime.now(UTC).replace(tzinfo=None if kind_of(url) == "mariadb" else UTC) + timedelta(hours=8)
    times = {"expires_at": later, "idle_expires_at": later}
    async with connected(url) as shop:
        for statement in statements_of("database.md", f"sql {kind_of(url)}"):
            await shop(statement, **PERSON)
        for operation in ("create_session", "update_activity", "invalidate_session", "cleanup_expired"):
            for statement in published(kind_of(url))[operation]:
                await shop(statement, **values, **times, invalidated_by="carol")
        assert await shop(spelt(url, 'SELECT "InvalidatedReason" FROM sys_usersession')) == [("logout",)] * 2
        for end in ('UPDATE sys_usersession SET "IsActive" = 0', "DELETE FROM sys_usersession"):
            async with signed_in(granted, double) as (_service, browser):
                await shop(spelt(url, end))
                assert (await browser.get("/me")).status_code == 401
    async with connected(granted.admin_url) as admin:
        told = await admin("SELECT username FROM session_revocation WHERE kind = 'session' ORDER BY id")
    assert [row[0] for row in told] == ["carol", "carol", "alice", "alice"]


async def test_an_application_that_reads_sees_who_is_signed_in(granted: Granted, double: KeycloakDouble) -> None:
    url = granted.url("reports")
    (find_active,) = published(kind_of(url))["get_active_session"]
    async with signed_in(granted, double) as (_service, browser), connected(url) as reports:
        await reports("SELECT * FROM sys_user")
        cookie = browser.cookie("__Host-kb-demo") or ""
        ((_session_id, user, *_),) = await reports(find_active, session_token_sha256=digest(cookie), package="demo")
        assert user == "alice"


INSERT_CREDENTIAL = (
    "INSERT INTO session_credential (digest, session_id, kind, created_at, expires_at) "
    "VALUES ('d', 's', 'cookie', '2026-01-01', '2027-01-01')"
)
UPDATE_CREDENTIAL = "UPDATE session_credential SET expires_at = '2099-01-01'"
MAKE_IDENTITY = """INSERT INTO sys_user ("User", "Package", "Issuer", "Sub") VALUES ('mallory', 'demo', 'i', 's')"""
TAKE_IDENTITY = """UPDATE sys_usersession SET "Issuer" = 'i', "Sub" = 's'"""
REFUSALS = {
    "reports": [
        *(f"SELECT * FROM {name}" for name in PRIVATE),
        "SELECT sealed_successor FROM session_credential",
        """INSERT INTO sys_user ("User", "Package") VALUES ('mallory', 'demo')""",
        'UPDATE sys_usersession SET "IsActive" = 0',
        "DELETE FROM sys_usersession",
    ],
    "shop": [
        *(f"SELECT * FROM {name}" for name in PRIVATE),
        *(f"DELETE FROM {name}" for name in (*PRIVATE, "sys_user")),
        "SELECT digest FROM session_credential",
        INSERT_CREDENTIAL,
        UPDATE_CREDENTIAL,
        MAKE_IDENTITY,
        TAKE_IDENTITY,
        """UPDATE sys_user SET "Sub" = 's'""",
        """UPDATE sys_usersession SET "Origin" = 'bridge'""",
    ],
    "bridge_sync": [
        *(f"SELECT * FROM {name}" for name in PRIVATE if name not in OF_SYNC),
        "SELECT digest FROM session_credential",
        "SELECT sealed_refresh_token FROM keycloak_grant",
        INSERT_CREDENTIAL,
        UPDATE_CREDENTIAL,
        "DELETE FROM sys_user",
        "DELETE FROM sys_user_history",
        "UPDATE keycloak_bridge_schema SET version_num = 'x'",
    ],
    "bridge": ["CREATE TABLE mine (n INTEGER)", "DROP TABLE sys_user", "ALTER TABLE sys_user ADD COLUMN n INTEGER"],
}


@pytest.mark.parametrize("role", REFUSALS)
async def test_a_role_is_refused_what_it_must_not_do(granted: Granted, role: str) -> None:
    """Whoever could write a credential, or an identity, could sign in as anybody."""
    async with connected(granted.url(role)) as execute:
        for statement in REFUSALS[role]:
            with pytest.raises(REFUSED, match=NO_RIGHT):
                await execute(spelt(granted.admin_url, statement))


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_the_page_grants_what_the_tables_say_of_their_writers(kind: str) -> None:
    lines = [line for line in statements_of("grants.md", f"sql {kind}-grants") if " bridge_sync" in line]
    inserting = [line for line in lines if "INSERT" in line]
    assert {name for line in inserting for name in re.findall(r"\w+", line) if name in TABLES} == OF_SYNC
    for table in ("sys_user", "sys_usersession"):
        assert granted_columns(kind, table) == [columns_of_applications(table)] * 2


def granted_columns(kind: str, table: str) -> list[set[str]]:
    """Return which columns an application may give and change."""
    lines = statements_of("grants.md", f"sql {kind}-grants")
    (line,) = [one for one in lines if one.endswith("TO shop") and re.search(rf"\b{table}\b", one)]
    return [set(re.findall(r"\w+", columns)) for columns in re.findall(r"(?:INSERT|UPDATE) \((.*?)\)", line, re.DOTALL)]


def columns_of_applications(name: str) -> set[str]:
    """Return what applications write by the facts of the tables, and by the statements that we publish."""
    table = TABLES[name]
    written: set[Any] = {column.name for column in table.columns if Writer.APPLICATION in column.written_by}
    if name == "sys_user":
        return written
    for statement in (one for ones in published("mariadb").values() for one in ones):
        if statement.startswith("INSERT"):
            written |= set(re.findall(r"`(\w+)`", statement.partition("VALUES")[0]))
        if statement.startswith("UPDATE"):
            written |= set(re.findall(r"(?:SET |, )`(\w+)`=", statement))
    return written | OF_OTHER_INSTALLATIONS
