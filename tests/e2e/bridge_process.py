"""`keycloak-bridge serve` as a process of its own, in front of a real Keycloak."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from deploy.demo.keycloak_server import KeycloakServer
from deploy.demo.realm import BRIDGE_SECRET, SYNC_SECRET, load_realm
from tests.integration.service import KEY

APPLICATION = "http://127.0.0.1:9/"
READY_SECONDS = 60.0


def free_port() -> int:
    """Return a port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class BridgeProcess:
    """A bridge with a realm of its own; `run` calls the command with its configuration."""

    url: str
    realm: str
    keycloak: KeycloakServer
    config: Path

    @property
    def issuer(self) -> str:
        """The issuer of the realm."""
        return f"{self.keycloak.url}/realms/{self.realm}"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `keycloak-bridge` to its end."""
        command = [sys.executable, "-m", "bridge", "--config", str(self.config), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return Keycloak's own events of one type for the client of the bridge."""
        found = self.keycloak.admin("GET", f"/realms/{self.realm}/events?type={kind}&client=bridge&max=1000").json()
        return list(found)

    @contextmanager
    def serving(self, *arguments: str) -> Iterator[None]:
        """Serve until the block ends, then stop with SIGTERM."""
        command = [sys.executable, "-m", "bridge", "--config", str(self.config), "serve", *arguments]
        with self.config.with_suffix(".log").open("ab") as log, subprocess.Popen(command, stderr=log) as process:
            try:
                self._wait(process)
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                httpx.get(f"{self.url}/livez", trust_env=False)
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(self.config.with_suffix(".log").read_text(encoding="utf-8")[-2000:])


def build_bridge(
    keycloak: KeycloakServer, directory: Path, *, database_url: str, application: str = APPLICATION
) -> BridgeProcess:
    """Create a realm of the demo's people and the configuration of a bridge for it; the database is migrated."""
    port, realm = free_port(), f"e2e-{os.getpid()}-{uuid4().hex[:6]}"
    url = f"http://127.0.0.1:{port}"
    keycloak.create_realm(load_realm(name=realm, bridge_url=url, app_url=APPLICATION.rstrip("/")))
    config = directory / f"{realm}.toml"
    config.write_text(
        f"""
public_url = "{url}"
listen = "127.0.0.1:{port}"
[database]
url = {json.dumps(database_url)}
[sealing]
keys = ["{KEY}"]
[packages.demo]
issuer = "{keycloak.url}/realms/{realm}"
client_id = "bridge"
client_secret = "{BRIDGE_SECRET}"
return_to = ["{application}"]
[packages.demo.sync]
client_id = "bridge-sync"
client_secret = "{SYNC_SECRET}"
""",
        encoding="utf-8",
    )
    process = BridgeProcess(url, realm, keycloak, config)
    migrated = process.run("migrate")
    assert migrated.returncode == 0, migrated.stderr
    return process
