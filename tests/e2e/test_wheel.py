"""The built wheel in an empty environment: what an operator gets who has no checkout."""

import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import sys
import venv
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("serve", "migrate", "check", "sync")
CONFIGURATION = """
public_url = "http://127.0.0.1:8000"
[sealing]
keys = ["{key}"]
[packages.staff]
issuer = "https://keycloak.example.com/realms/staff"
client_id = "bridge"
client_secret = "not-a-real-secret"
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the command of the wheel, installed with the versions of the lock and nothing of our own environment."""
    place = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)], cwd=ROOT)
    (wheel,) = place.glob("*.whl")
    # The hashes of the lock are for the packages it names; ours has none, and one mode excludes the other.
    pins = re.findall(r"^([A-Za-z0-9_.-]+==[^\s;\\]+)", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE)
    constraints = place / "constraints.txt"
    constraints.write_text("\n".join(pins), encoding="utf-8")
    environment = place / "environment"
    wanted = ("--constraint", str(constraints), str(wheel))
    if uv := shutil.which("uv"):
        venv.create(environment)
        run([uv, "pip", "install", "--quiet", "--python", str(environment / "bin" / "python"), *wanted], cwd=place)
    else:
        venv.create(environment, with_pip=True)
        run([str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted], cwd=place)
    return environment / "bin" / "keycloak-bridge"


def run(command: Sequence[str], *, cwd: Path) -> str:
    """Run a command without the variables of this test run, and return what it said."""
    ours = ("COV", "KEYCLOAK_BRIDGE", "PYTHON", "PYTEST", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_help_names_the_commands(installed: Path, tmp_path: Path) -> None:
    said = run([str(installed), "--help"], cwd=tmp_path)
    assert [command for command in COMMANDS if not re.search(rf"^\W*{command}\s", said, re.MULTILINE)] == []


def test_nothing_but_our_packages_and_one_command_is_installed(installed: Path) -> None:
    (record,) = installed.parents[1].glob("lib/python3*/site-packages/keycloak_bridge-*.dist-info/RECORD")
    paths = [line.split(",")[0] for line in record.read_text("utf-8").splitlines()]
    assert {path.split("/")[0] for path in paths} == {"..", "bridge", "sync", record.parent.name}
    assert "bridge/py.typed" in paths
    assert [Path(path).name for path in paths if path.startswith("../")] == ["keycloak-bridge"]


def test_migrate_works_in_an_empty_directory_with_the_smallest_configuration(installed: Path, tmp_path: Path) -> None:
    key = urlsafe_b64encode(secrets.token_bytes(32)).decode()
    (tmp_path / "keycloak-bridge.toml").write_text(CONFIGURATION.format(key=key), encoding="utf-8")
    run([str(installed), "migrate"], cwd=tmp_path)
    with closing(sqlite3.connect(tmp_path / "bridge.db")) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables >= {"keycloak_bridge_schema", "sys_user", "sys_usersession"}
