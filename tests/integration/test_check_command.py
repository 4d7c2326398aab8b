"""The command `keycloak-bridge check`: what it prints, and how it ends."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner, Result

from bridge.cli import app
from tests.double import KeycloakDouble
from tests.double.records import SYNC_ROLES
from tests.integration.service import KEY

ADD_VIEW_REALM = (
    "kcadm.sh add-roles -r demo --uusername service-account-bridge-sync --cclientid realm-management "
    "--rolename view-realm"
)


@pytest.fixture
def config(double: KeycloakDouble, sqlite_database_url: str, tmp_path: Path) -> Path:
    file = tmp_path / "keycloak-bridge.toml"
    file.write_text(
        f"""
public_url = "http://127.0.0.1:8000"
database.url = "{sqlite_database_url}"
sealing.keys = ["{KEY}"]
[packages.demo]
issuer = "{double.issuer}"
client_id = "bridge"
client_secret = "bridge-demo-secret"
sync = {{ client_id = "bridge-sync", client_secret = "sync-demo-secret" }}
""",
        encoding="utf-8",
    )
    return file


@pytest.fixture
def check() -> Iterator[Callable[..., Result]]:
    before = structlog.get_config()
    yield lambda config, *words: CliRunner().invoke(app, ["--config", str(config), "check", *words])
    # The command has pointed the logs at a stream that ends with the runner.
    structlog.configure(**before)


def test_the_command_says_ok_and_ends_with_0(check: Callable[..., Result], config: Path) -> None:
    answer = check(config)
    assert answer.exit_code == 0, answer.output
    assert "ok      database schema: It is the one of this version." in answer.stdout.splitlines()
    assert "not ok" not in answer.stdout


def test_the_command_prints_a_line_to_copy_and_ends_with_1(
    double: KeycloakDouble, check: Callable[..., Result], config: Path
) -> None:
    client = double.realm.client("bridge")
    assert client is not None
    client.redirect_uris[:] = [f"https://{number}.example.com/[callback]" for number in range(9)]
    answer = check(config)
    assert answer.exit_code == 1
    lines = answer.stdout.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("not ok"))
    assert lines[place].endswith("The redirect URI http://127.0.0.1:8000/callback/demo is not registered.")
    # However long it is, the line is whole, and brackets are no markup.
    assert lines[place + 1].startswith("        kcadm.sh update clients/")
    assert "https://8.example.com/[callback]" in lines[place + 1]
    assert lines[place + 1].endswith("""http://127.0.0.1:8000/callback/demo"]'""")


def test_the_command_prints_json(double: KeycloakDouble, check: Callable[..., Result], config: Path) -> None:
    double.realm.set_roles("bridge-sync", SYNC_ROLES - {"view-realm"})
    answer = check(config, "--json")
    assert answer.exit_code == 1
    found = json.loads(answer.stdout)
    assert found[0] == {
        "subject": "configuration",
        "ok": True,
        "message": "public_url is http://127.0.0.1:8000; packages: demo.",
        "mend": None,
    }
    assert [finding["mend"] for finding in found if not finding["ok"]] == [ADD_VIEW_REALM]


def test_the_command_ends_with_2_for_a_configuration_error(check: Callable[..., Result], tmp_path: Path) -> None:
    answer = check(tmp_path / "nothing.toml")
    assert answer.exit_code == 2
