"""The command line in this process, on a database and a Keycloak double of the test's own.

with commands(write_config(double, template, directory)) as run:
    run("user", "list").stdout                  as an operator types it
    in_demo(run, "user", "list")                on the package demo, and the JSON of it
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from typer.testing import CliRunner, Result

from bridge.cli import app
from tests.double import KeycloakDouble
from tests.integration.service import KEY

Run = Callable[..., Result]


def write_config(double: KeycloakDouble, template: Path, directory: Path) -> Path:
    """Write a configuration of two packages, of which `demo` is mirrored, beside a migrated database."""
    shutil.copyfile(template, directory / "bridge.db")
    path = directory / "bridge.toml"
    path.write_text(
        f"""
public_url = "http://127.0.0.1:8000"
[database]
url = "sqlite:///{directory}/bridge.db"
[sealing]
keys = ["{KEY}"]
[packages.demo]
issuer = "{double.issuer}"
client_id = "bridge"
client_secret = "x"
[packages.demo.sync]
client_id = "bridge-sync"
client_secret = "sync-demo-secret"
[packages.guests]
issuer = "{double.issuer}"
client_id = "guests"
client_secret = "x"
""",
        encoding="utf-8",
    )
    return path


@contextmanager
def commands(config: Path) -> Iterator[Run]:
    """Give the function that runs `keycloak-bridge` with words, and with `stdin` if it is given."""
    before = structlog.get_config()
    yield lambda *words, stdin=None: CliRunner().invoke(app, ["--config", str(config), *words], input=stdin)
    # The command has pointed the log at a stream that ends with the runner.
    structlog.configure(**before)


def in_demo(run: Run, *words: str, status: int = 0, stdin: str | bytes | None = None) -> Any:
    """Run a command on the package demo and return its JSON, or what it said on standard error."""
    ended = run(*words, "--package", "demo", "--json", stdin=stdin)
    assert ended.exit_code == status, ended.output
    return json.loads(ended.stdout) if status in (0, 3) else ended.stderr
