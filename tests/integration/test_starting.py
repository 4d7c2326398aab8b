"""What `serve` and `check` look at before anything else: the place database, the database's clock, and its silence."""

import asyncio
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from mmdb_writer import MMDBWriter

from bridge.cli.opening import open_fit_database
from bridge.config import Settings
from bridge.errors import ConfigurationError, DatabaseUnavailable, DatabaseUnfit
from bridge.flows.check import Finding, run_check
from bridge.web.server import run
from tests.double import KeycloakDouble
from tests.integration.service import build_settings
from tests.servers import MariadbServer

HINT = "Name a city database such as /var/lib/GeoIP/GeoLite2-City.mmdb, or leave the section [geoip] out."
CONNECT_SECONDS = 5
"""What the drivers would wait for an answer."""


def serve(settings: Settings) -> None:
    """Start the service on a port that is taken: it ends there, if nothing has ended it before."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run(settings, config=None, host=None, port=taken.getsockname()[1], workers=1)


def find(settings: Settings, subject: str) -> Finding:
    """Return the one finding of a check about a subject."""
    (finding,) = [one for one in asyncio.run(run_check(settings)) if one.subject == subject]
    return finding


@contextmanager
def another_time(server: MariadbServer) -> Iterator[None]:
    """Let MariaDB keep another time than UTC meanwhile; nobody else uses the server of this process."""
    server.execute(["SET GLOBAL time_zone = '+02:00'"])
    try:
        yield
    finally:
        server.execute(["SET GLOBAL time_zone = '+00:00'"])


@pytest.fixture
def with_places(double: KeycloakDouble, sqlite_database_url: str) -> Callable[[Path], Settings]:
    return lambda path: build_settings(double, sqlite_database_url, geoip={"database": str(path)})


def test_a_place_database_is_checked_and_the_service_starts_with_it(
    with_places: Callable[[Path], Settings], tmp_path: Path
) -> None:
    MMDBWriter(6, "Test-City").to_db_file(str(tmp_path / "city.mmdb"))
    settings = with_places(tmp_path / "city.mmdb")
    found = find(settings, "geoip.database")
    assert found == Finding("geoip.database", ok=True, message=f"{tmp_path}/city.mmdb can be read.")
    with pytest.raises(ConfigurationError, match="another program is using it"):
        serve(settings)


def test_a_wrong_place_database_is_told_by_check_and_refused_by_serve(
    with_places: Callable[[Path], Settings], tmp_path: Path
) -> None:
    settings = with_places(tmp_path / "none.mmdb")
    told = f"The place database {tmp_path}/none.mmdb (geoip.database) cannot be read: No such file or directory."
    assert find(settings, "geoip.database") == Finding("geoip.database", ok=False, message=told, mend=HINT)
    assert find(settings, "database schema").ok
    with pytest.raises(ConfigurationError) as refused:
        serve(settings)
    assert (refused.value.message, refused.value.hint) == (told, HINT)


def test_a_schema_of_a_newer_version_is_said_and_its_triggers_are_not_judged(
    double: KeycloakDouble, sqlite_database_url: str
) -> None:
    """The newer version may have changed them; `migrate` of this one must not be asked for."""
    with closing(sqlite3.connect(sqlite_database_url.removeprefix("sqlite:///"))) as newer:
        newer.execute("UPDATE keycloak_bridge_schema SET version_num = '9999_later'")
        newer.execute("DROP TRIGGER tr_sys_user_update")
        newer.commit()
    settings = build_settings(double, sqlite_database_url)
    finding = find(settings, "database schema")
    assert (finding.ok, "9999_later, newer than this version's" in finding.message) == (True, True)
    assert "database triggers" not in {one.subject for one in asyncio.run(run_check(settings))}
    with structlog.testing.capture_logs() as logged, pytest.raises(ConfigurationError, match="another program"):
        serve(settings)
    assert {"database_schema_newer"} == {one["event"] for one in logged if one["log_level"] == "warning"}


def test_serve_and_every_command_refuse_a_mariadb_that_keeps_another_time(
    double: KeycloakDouble, mariadb_server: MariadbServer, mariadb_template: Callable[[str], str]
) -> None:
    settings = build_settings(double, mariadb_template("start_clock"))

    async def open_for_a_command() -> None:
        async with open_fit_database(settings):
            raise AssertionError("the command has begun")

    try:
        with another_time(mariadb_server):
            with pytest.raises(DatabaseUnfit) as by_serve:
                serve(settings)
            with pytest.raises(DatabaseUnfit) as by_command:
                asyncio.run(open_for_a_command())
    finally:
        mariadb_server.drop_database("start_clock")
    assert "MariaDB's time zone is +02:00" in by_serve.value.message
    assert "default_time_zone = '+00:00'" in (by_serve.value.hint or "")
    assert (by_command.value.message, by_command.value.hint) == (by_serve.value.message, by_serve.value.hint)


def test_a_database_that_says_nothing_is_waited_for_as_long_as_configured(double: KeycloakDouble) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://bridge@127.0.0.1:{silent.getsockname()[1]}/sso"
        database: dict[str, Any] = {"url": url, "timeout": "1s"}
        settings = build_settings(double, url, database=database)
        begun = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            serve(settings)
        assert time.monotonic() - begun < CONNECT_SECONDS - 1
        begun = time.monotonic()
        finding = find(settings, "database")
        assert not finding.ok
        assert time.monotonic() - begun < CONNECT_SECONDS - 1
