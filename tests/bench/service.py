"""A real `keycloak-bridge serve` in a process of its own, with a configuration and a log of its own."""

import base64
import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from deploy.demo.child import Child, wait_until
from deploy.demo.ports import HOST
from deploy.demo.realm import BRIDGE_SECRET
from tests.bench.figures import BenchmarkFailed

PACKAGE = "bench"
RETURN_TO = "http://127.0.0.1:9/"
"""An application that people are sent back to; nothing listens there and nobody goes there."""
READY_SECONDS = 60.0
_CONFIGURATION = """\
public_url = {public_url}
listen = {listen}

[database]
url = {database_url}

[sealing]
keys = [{key}]

[packages.bench]
issuer = {issuer}
client_id = "bridge"
client_secret = {client_secret}
return_to = [{return_to}]
"""


def find_command() -> Path:
    """Return the bridge's command in the environment that runs us.

    Raises:
        BenchmarkFailed: the product is not installed there.
    """
    program = Path(sys.executable).with_name("keycloak-bridge")
    if not program.exists():
        raise BenchmarkFailed(f"{program} is not there; `make bench` installs the product before it starts.")
    return program


@contextmanager
def running_bridge(directory: Path, *, port: int, issuer: str, database_url: str) -> Iterator[str]:
    """Run the service until the block ends, and give its address."""
    url = f"http://{HOST}:{port}"
    values = {
        "public_url": url,
        "listen": f"{HOST}:{port}",
        "database_url": database_url,
        "key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "issuer": issuer,
        "client_secret": BRIDGE_SECRET,
        "return_to": RETURN_TO,
    }
    configuration = directory / "keycloak-bridge.toml"
    # A JSON string is a TOML string too.
    quoted = {name: json.dumps(value) for name, value in values.items()}
    configuration.write_text(_CONFIGURATION.format_map(quoted), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYCLOAK_BRIDGE")}
    command = [str(find_command()), "--config", str(configuration), "serve"]
    child = Child("The bridge", command, log=directory / "bridge.log", env=environment)
    try:
        with httpx.Client(timeout=5, trust_env=False) as http:
            wait_until(child, lambda: _answers(http, f"{url}/livez"), seconds=READY_SECONDS)
        yield url
    finally:
        child.stop()


def _answers(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(url).is_success
    except httpx.HTTPError:
        return False
