"""One real Keycloak for the whole test run, however many xdist workers ask for it.

    the first worker that asks   starts it, writes its address, keeps it until nobody uses it any more
    every other worker           reads the address and holds a shared lock while it uses it

Locks are `flock`s: they end with their process, so a killed worker blocks nobody, and the server itself ends with the
process that started it.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest

from deploy.demo.keycloak_server import KeycloakMissing, KeycloakServer
from tests.skipping import skip_because


@pytest.fixture(scope="session")
def real_keycloak(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[KeycloakServer]:
    """Give a running Keycloak; whoever makes realms in it names them after the worker."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    address = shared / "keycloak.json"
    with (shared / "keycloak.in-use").open("w") as in_use, ExitStack() as running:
        with _locked(shared / "keycloak.lock"):
            fcntl.flock(in_use, fcntl.LOCK_SH)
            owner = not address.exists()
            try:
                server = running.enter_context(_server(address, shared / "keycloak.log"))
            except KeycloakMissing as missing:
                skip_because(str(missing))
            if owner:
                address.write_text(json.dumps(_environment(server)), encoding="utf-8")
        try:
            yield server
        finally:
            if owner:
                _wait_for_the_others(address, in_use)


def _server(address: Path, log: Path) -> KeycloakServer:
    if address.exists():
        return KeycloakServer(log=log, environ=json.loads(address.read_text(encoding="utf-8")))
    return KeycloakServer(port=0, log=log)


def _environment(server: KeycloakServer) -> dict[str, str]:
    return {
        "KEYCLOAK_URL": server.url,
        "KEYCLOAK_ADMIN": server.admin_username,
        "KEYCLOAK_ADMIN_PASSWORD": server.admin_password,
    }


def _wait_for_the_others(address: Path, in_use: IO[str]) -> None:
    """Take the address away, so that nobody new comes, and wait until nobody uses the server."""
    with _locked(address.with_suffix(".lock")):
        address.unlink()
    fcntl.flock(in_use, fcntl.LOCK_UN)
    fcntl.flock(in_use, fcntl.LOCK_EX)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
