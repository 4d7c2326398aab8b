"""The command as an operator meets it: what it prints and how it ends when something is in the way."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.double import KeycloakDouble
from tests.integration.service import KEY


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KEYCLOAK_BRIDGE")}
    return subprocess.run(
        [sys.executable, "-m", "bridge", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**clean, **environment},
        timeout=60,
    )


@pytest.fixture
def configured(tmp_path: Path, double: KeycloakDouble) -> Path:
    """A directory with a configuration and a migrated SQLite database."""
    for person in range(30):
        double.realm.add_user(f"person{person:02}")
    (tmp_path / "keycloak-bridge.toml").write_text(
        f"""
public_url = "http://127.0.0.1:8000"
[sealing]
keys = ["{KEY}"]
[packages.demo]
issuer = "{double.issuer}"
client_id = "bridge"
client_secret = "env:DEMO_SECRET"
[packages.demo.sync]
client_id = "bridge-sync"
client_secret = "sync-demo-secret"
""",
        encoding="utf-8",
    )
    migrated = run("migrate", cwd=tmp_path, DEMO_SECRET="x")
    assert migrated.returncode == 0, migrated.stderr
    return tmp_path


def test_sync_run_reports_and_a_second_one_changes_nothing(configured: Path) -> None:
    first = run("sync", "run", cwd=configured, DEMO_SECRET="x")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("demo: complete, 32 rows changed, 0 conflicts.")
    second = run("sync", "run", "--json", cwd=configured, DEMO_SECRET="x")
    report = json.loads(second.stdout)
    assert (report["status"], report["counts"]["users_read"]) == ("complete", 32)
    assert report["counts"]["users_created"] == report["counts"]["users_updated"] == 0


def test_an_incomplete_run_ends_with_status_three(configured: Path, double: KeycloakDouble) -> None:
    run("sync", "run", cwd=configured, DEMO_SECRET="x")
    double.faults.non_object("users/count", body="40")
    ended = run("sync", "run", cwd=configured, DEMO_SECRET="x")
    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert "incomplete" in ended.stdout


def test_sync_run_of_an_unknown_package_is_wrong_usage(configured: Path) -> None:
    ended = run("sync", "run", "--package", "nobody", cwd=configured, DEMO_SECRET="x")
    assert ended.returncode == 2
    assert "nobody" in ended.stderr


def test_sync_run_without_keycloak_fails_with_a_sentence(configured: Path, double: KeycloakDouble) -> None:
    double.stop()
    ended = run("sync", "run", cwd=configured, DEMO_SECRET="x")
    assert ended.returncode == 1
    assert "cannot be reached" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_secret_names_variable_and_setting(configured: Path) -> None:
    ended = run("serve", cwd=configured)
    assert ended.returncode == 2
    assert "packages.demo.client_secret: the environment variable DEMO_SECRET is not set" in ended.stderr


def test_no_configuration_at_all_says_what_is_missing(tmp_path: Path) -> None:
    ended = run("serve", cwd=tmp_path)
    assert ended.returncode == 2
    assert "public_url: it is missing" in ended.stderr
    assert "Example:" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_one_clear_sentence(configured: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("serve", "--port", str(port), cwd=configured, DEMO_SECRET="x")
    assert ended.returncode == 2
    assert f"The address 127.0.0.1:{port} cannot be used: another program is using it." in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_wrong_place_database_is_one_clear_sentence(configured: Path) -> None:
    ended = run("serve", cwd=configured, DEMO_SECRET="x", KEYCLOAK_BRIDGE__GEOIP__DATABASE="none.mmdb")
    assert ended.returncode == 2
    assert "The place database none.mmdb (geoip.database) cannot be read: No such file or directory." in ended.stderr
    assert "Traceback" not in ended.stderr


def test_serve_refuses_a_database_without_tables(configured: Path) -> None:
    (configured / "bridge.db").unlink()
    ended = run("serve", cwd=configured, DEMO_SECRET="x")
    assert ended.returncode == 1
    assert "keycloak-bridge migrate" in ended.stderr


def test_serve_refuses_a_database_that_is_gone(configured: Path) -> None:
    ended = run(
        "serve", cwd=configured, DEMO_SECRET="x", KEYCLOAK_BRIDGE__DATABASE__URL="postgresql://u:pa55@127.0.0.1:1/x"
    )
    assert ended.returncode == 1
    assert "database of the bridge cannot be reached" in ended.stderr
    assert "pa55" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_version_is_told(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).stdout.startswith("keycloak-bridge 0.1.0")
