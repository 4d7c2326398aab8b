"""The command with a configuration of a test's own, beside the database that it works on."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from typer.testing import CliRunner

from bridge.cli import app
from tests.integration.service import KEY

PACKAGE = """
[packages.{name}]
issuer = "https://kc.example/realms/{name}"
client_id = "bridge"
client_secret = "x"
"""
WIDE = {"COLUMNS": "200"}
"""So that no message is folded."""


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed for programs."""
        return json.loads(self.out)


@dataclass(frozen=True)
class CommandLine:
    """`keycloak-bridge` with a configuration in a directory of its own."""

    directory: Path

    @property
    def config(self) -> Path:
        """Where the configuration is."""
        return self.directory / "keycloak-bridge.toml"

    def configure(self, database_url: str, *packages: str, more: str = "") -> None:
        """Write the configuration; without names there is the one package `demo`."""
        sections = "".join(PACKAGE.format(name=name) for name in packages or ("demo",))
        text = f"""
public_url = "http://127.0.0.1:8000"
[database]
url = "{database_url}"
[sealing]
keys = ["{KEY}"]
{sections}
{more}
"""
        self.config.write_text(text, encoding="utf-8")

    async def run(self, *words: str) -> Ended:
        """Run a command to its end, in a thread of this process: a new one takes a second to begin."""
        before = structlog.get_config()
        try:
            done = await asyncio.to_thread(
                CliRunner().invoke, app, ["--config", str(self.config), *words], env=WIDE, catch_exceptions=False
            )
        finally:
            structlog.configure(**before)
        return Ended(done.exit_code, done.stdout, done.stderr)

    async def run_apart(self, *words: str) -> Ended:
        """Run a command to its end as a process of its own."""
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "bridge", *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
            env={name: value for name, value in os.environ.items() if not name.startswith("KEYCLOAK_BRIDGE")},
            timeout=60,
        )
        return Ended(done.returncode, str(done.stdout), str(done.stderr))
