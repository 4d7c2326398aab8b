"""The triggers as `migrate` makes them, and what is told when they are missing or MariaDB refuses them."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import DatabaseUnfit
from bridge.flows.check import Finding, run_check
from bridge.storage.database import build_engine, open_database
from bridge.storage.installed_triggers import find_missing_triggers
from bridge.storage.migrate import downgrade, newest_revision, upgrade
from bridge.storage.triggers import TRIGGERS
from tests.double import KeycloakDouble
from tests.integration.applications import as_user
from tests.integration.service import KEY, build_settings
from tests.servers import MariadbServer
from tests.skipping import require

NAMES = tuple(trigger.name for trigger in TRIGGERS)
TRUST = "SET GLOBAL log_bin_trust_function_creators = 1"
COUNTED = ("sys_user", "sys_usersession", "session_revocation")


async def _execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    engine = build_engine(url)
    try:
        async with engine.begin() as connection:
            quoted = [one.replace('"', "`") if url.startswith("mysql") else one for one in statements]
            found = [await connection.exec_driver_sql(statement) for statement in quoted]
            return [tuple(row) for row in found[-1]] if found[-1].returns_rows else []
    finally:
        await engine.dispose()


async def _find_missing(url: str) -> tuple[str, ...]:
    async with open_database(url) as database, database.reading() as db:
        return await find_missing_triggers(db)


async def _check(url: str) -> Finding:
    with KeycloakDouble(realm="demo") as double:
        found = await run_check(build_settings(double, url))
    return next(finding for finding in found if finding.subject == "database triggers")


def drop(url: str, name: str) -> None:
    table = f" ON {name.removeprefix('tr_').rpartition('_')[0]}" if url.startswith("postgresql") else ""
    asyncio.run(_execute(url, f"DROP TRIGGER {name}{table}"))


def test_an_older_schema_works_without_them_and_the_newest_one_gets_them_again(database_url: str) -> None:
    upgrade(database_url)
    assert asyncio.run(_find_missing(database_url)) == ()
    downgrade(database_url, revision="0007_sync")
    # A trigger that is left would look for its table.
    insert = """INSERT INTO sys_user ("User", "Package") VALUES ('alice', 'demo')"""
    asyncio.run(_execute(database_url, insert, 'UPDATE sys_user SET "Active" = 0', "DELETE FROM sys_user"))
    upgrade(database_url)
    assert asyncio.run(_find_missing(database_url)) == ()
    assert asyncio.run(_check(database_url)).ok


@pytest.mark.parametrize("name", NAMES)
def test_migrate_makes_what_is_missing(migrated_database_url: str, name: str) -> None:
    drop(migrated_database_url, name)
    assert asyncio.run(_find_missing(migrated_database_url)) == (name,)
    finding = asyncio.run(_check(migrated_database_url))
    assert (finding.ok, finding.mend) == (False, "keycloak-bridge migrate")
    assert name in finding.message
    assert upgrade(migrated_database_url).incomplete is None
    assert asyncio.run(_find_missing(migrated_database_url)) == ()


SPOILT = {
    "sqlite": ["DROP TRIGGER {0}", "CREATE TRIGGER {0} AFTER UPDATE ON sys_user BEGIN SELECT 1; END"],
    "mysql": ["CREATE OR REPLACE TRIGGER {0} AFTER UPDATE ON sys_user FOR EACH ROW SET @a = 1"],
    "postgresql": ["ALTER TABLE sys_user DISABLE TRIGGER {0}"],
}


def test_migrate_makes_anew_what_differs(migrated_database_url: str) -> None:
    changes = [change.format("tr_sys_user_update") for change in SPOILT[migrated_database_url.partition(":")[0]]]
    asyncio.run(_execute(migrated_database_url, *changes))
    assert asyncio.run(_find_missing(migrated_database_url)) == ("tr_sys_user_update",)
    upgrade(migrated_database_url)
    assert asyncio.run(_find_missing(migrated_database_url)) == ()


@pytest.mark.parametrize("migrated_database_url", ["postgresql"], indirect=True)
def test_another_function_of_postgresql_is_put_right_for_both_triggers_that_call_it(migrated_database_url: str) -> None:
    head = "CREATE OR REPLACE FUNCTION sys_user_revoke() RETURNS trigger LANGUAGE plpgsql"
    asyncio.run(_execute(migrated_database_url, f"{head} AS 'BEGIN RETURN NULL; END'"))
    assert asyncio.run(_find_missing(migrated_database_url)) == ("tr_sys_user_update", "tr_sys_user_delete")
    upgrade(migrated_database_url)
    assert asyncio.run(_find_missing(migrated_database_url)) == ()


def test_looking_leaves_nothing_behind(migrated_database_url: str) -> None:
    assert asyncio.run(_find_missing(migrated_database_url)) == ()
    for table in COUNTED:
        assert asyncio.run(_execute(migrated_database_url, f"SELECT COUNT(*) FROM {table}")) == [(0,)]


@pytest.mark.parametrize("migrated_database_url", ["mariadb"], indirect=True)
def test_a_trigger_whose_definer_is_gone_counts_as_missing(migrated_database_url: str) -> None:
    """It would refuse every change of its table."""
    url, database = migrated_database_url, migrated_database_url.rpartition("/")[2]
    asyncio.run(_execute(url, "CREATE USER once", f"GRANT ALL ON {database}.* TO once"))
    for name in NAMES:
        drop(url, name)
    upgrade(as_user(url, "once"))
    assert asyncio.run(_find_missing(url)) == ()
    asyncio.run(_execute(url, "DROP USER once"))
    assert asyncio.run(_find_missing(url)) == NAMES


@pytest.fixture(scope="module")
def logging_server() -> Iterator[MariadbServer]:
    """A MariaDB with a binary log, and a user `owner` who owns his database and nothing more."""
    require("mariadb")
    with MariadbServer(binary_log=True) as server:
        server.execute(["CREATE USER owner", "CREATE DATABASE sso", "GRANT ALL ON sso.* TO owner"])
        yield server


@pytest.fixture
def owned_url(logging_server: MariadbServer) -> str:
    logging_server.execute(["DROP DATABASE sso", "CREATE DATABASE sso", f"{TRUST[:-1]}0"])
    return as_user(f"{logging_server.url}/sso", "owner")


def run(directory: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command with a configuration for this database."""
    (directory / "keycloak-bridge.toml").write_text(
        f"""
public_url = "http://127.0.0.1:8000"
database.url = "{url}"
sealing.keys = ["{KEY}"]
[packages.demo]
issuer = "http://127.0.0.1:9/realms/demo"
client_id = "bridge"
client_secret = "secret"
""",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "bridge", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory, timeout=60)


def test_where_mariadb_refuses_triggers_migrate_does_the_rest_and_ends_with_3(
    logging_server: MariadbServer, owned_url: str, tmp_path: Path
) -> None:
    ended = run(tmp_path, owned_url, "migrate")
    assert ended.returncode == 3, ended.stderr
    assert f"The database is at schema {newest_revision()}." in ended.stdout
    assert "error 1419" in ended.stderr
    assert TRUST in ended.stderr
    assert asyncio.run(_find_missing(owned_url)) == NAMES
    logging_server.execute([TRUST])
    assert upgrade(owned_url).incomplete is None
    assert asyncio.run(_find_missing(owned_url)) == ()
    # With all of them there, nothing is asked of MariaDB that it would refuse.
    logging_server.execute([f"{TRUST[:-1]}0"])
    assert upgrade(owned_url).incomplete is None


def test_without_triggers_check_says_what_to_set_and_serve_warns_and_goes_on(owned_url: str, tmp_path: Path) -> None:
    incomplete = upgrade(owned_url).incomplete
    assert incomplete is not None
    assert TRUST in (incomplete.hint or "")
    finding = asyncio.run(_check(owned_url))
    assert not finding.ok
    assert finding.mend == f"In MariaDB as an administrator: {TRUST}; then: keycloak-bridge migrate"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run(tmp_path, owned_url, "serve", "--port", str(taken.getsockname()[1]))
    # The port was looked at after the database, so that the service was about to start.
    assert "is using it" in ended.stderr
    warning = json.loads(ended.stderr.splitlines()[0])
    assert (warning["event"], warning["level"]) == ("database_triggers_missing", "warning")
    assert tuple(warning["triggers"]) == NAMES
    assert "reads the row of the session at each request" in warning["consequence"]
    assert TRUST in warning["mend"]


def test_an_older_schema_is_refused_where_mariadb_keeps_the_triggers(
    logging_server: MariadbServer, owned_url: str
) -> None:
    """Their table must not go before them: no session could be ended any more."""
    logging_server.execute([TRUST])
    upgrade(owned_url)
    logging_server.execute([f"{TRUST[:-1]}0"])
    with pytest.raises(DatabaseUnfit) as refused:
        downgrade(owned_url, revision="0007_sync")
    assert TRUST in (refused.value.hint or "")
    assert asyncio.run(_find_missing(owned_url)) == ()
