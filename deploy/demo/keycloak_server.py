"""A real Keycloak for the demo, the end-to-end tests and the benchmarks: found, started, waited for, stopped.

    with KeycloakServer(port=0, log=Path("keycloak.log")) as keycloak:
        keycloak.create_realm(load_realm(name="shop"))
        people = keycloak.admin("GET", "/realms/shop/users").json()

Raises `PortTaken`, `KeycloakMissing` or `ChildFailed`; the message of each is meant for the person who started it.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from deploy.demo.child import Child, ChildFailed, wait_until
from deploy.demo.keycloak_home import Container, Launch, WorkingHome
from deploy.demo.keycloak_source import DockerEngine, KeycloakMissing, RunningServer, find_source
from deploy.demo.ports import HOST, PortTaken, check_port, free_port

__all__ = ["ChildFailed", "KeycloakMissing", "KeycloakServer", "PortTaken"]

READY_SECONDS = 180.0
_ADMIN = "admin"
_HTTP_SECONDS = 120.0  # creating a realm with thousands of people is one request
_NOT_FOUND = 404


class KeycloakServer:
    """One Keycloak, running between `__enter__` and `__exit__`.

    With `KEYCLOAK_URL` in the environment nothing is started and `port` is ignored. `port=0` chooses a free one.
    `persistent` keeps the data over `stop()` and `kill()` until the end of the `with` block. `options` go to
    `start-dev` (a `--db=` among them replaces the database in memory), `providers` are jars to install.
    """

    def __init__(
        self,
        port: int = 8180,
        *,
        log: Path,
        persistent: bool = False,
        options: Sequence[str] = (),
        providers: Sequence[Path] = (),
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._port = port or free_port()
        self._log = log
        self._persistent = persistent
        self._options = options
        self._providers = providers
        self._environ = environ
        self._launch: Launch | None = None
        self._child: Child | None = None
        # A proxy of the environment is for the Keycloak of somebody else, never for our own loopback address.
        self._http = httpx.Client(timeout=_HTTP_SECONDS, trust_env=bool(environ.get("KEYCLOAK_URL")))
        self._authorization = ""
        self._authorized_until = 0.0
        self.url = f"http://{HOST}:{self._port}"
        self.admin_username = _ADMIN
        self.admin_password = _ADMIN

    def __enter__(self) -> Self:
        try:
            self._prepare()
            self.start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    @property
    def running(self) -> bool:
        """Whether the process lives; a server that somebody else started is taken to."""
        return self._launch is None or (self._child is not None and self._child.running)

    def start(self) -> None:
        """Start it and return when it is ready; also after `stop()` or `kill()`, on the same port."""
        self._authorized_until = 0.0
        if self._launch is None:
            self._check_answers()
            return
        check_port(self._port, variable="KEYCLOAK_PORT")
        management_port = free_port()
        bootstrap = {
            "KC_BOOTSTRAP_ADMIN_USERNAME": self.admin_username,
            "KC_BOOTSTRAP_ADMIN_PASSWORD": self.admin_password,
        }
        command = self._launch.command(port=self._port, management_port=management_port)
        self._child = Child("Keycloak", command, log=self._log, env=self._launch.environment(bootstrap))
        health = f"http://{HOST}:{management_port}/health/ready"
        wait_until(self._child, lambda: _answers(self._http, health), seconds=READY_SECONDS)
        self._launch.keep()

    def stop(self) -> None:
        """Stop it in order; nothing happens when it does not run or is not ours."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """End it at once, as a crash would; nothing happens when it does not run or is not ours."""
        if self._child is not None and self._launch is not None:
            self._launch.kill()
            self._child.kill()
            self._child = None

    def failure(self, what: str) -> ChildFailed:
        """Return the error to raise when it has ended by itself; it quotes the log."""
        return self._child.failure(what) if self._child else ChildFailed(f"Keycloak {what}.")

    def create_realm(self, representation: Mapping[str, Any]) -> None:
        """Create the realm; one of the same name is deleted first."""
        name = representation["realm"]
        answer = self.admin("DELETE", f"/realms/{name}")
        if answer.status_code != _NOT_FOUND:
            _check(answer, f"delete realm {name}")
        _check(self.admin("POST", "/realms", json=representation), f"create realm {name}")

    def admin(self, method: str, path: str, json: Any = None) -> httpx.Response:
        """Call the Admin API as administrator of the master realm; `path` is below /admin, as in "/realms/demo/users".

        The answer is returned whatever its status.
        """
        if time.monotonic() > self._authorized_until:
            self._authorize()
        return self._http.request(
            method, f"{self.url}/admin{path}", json=json, headers={"Authorization": self._authorization}
        )

    def _prepare(self) -> None:
        if not self._environ.get("KEYCLOAK_URL"):
            check_port(self._port, variable="KEYCLOAK_PORT")  # before anything is fetched
        source = find_source(self._environ)
        if isinstance(source, RunningServer):
            self.url = source.url
            self.admin_username, self.admin_password = source.admin_username, source.admin_password
        elif isinstance(source, DockerEngine):
            self._launch = Container(
                source, persistent=self._persistent, options=self._options, providers=self._providers
            )
        else:
            self._launch = WorkingHome(
                source,
                environ=self._environ,
                persistent=self._persistent,
                options=self._options,
                providers=self._providers,
            )

    def _check_answers(self) -> None:
        if not _answers(self._http, f"{self.url}/realms/master/.well-known/openid-configuration"):
            raise KeycloakMissing(f"KEYCLOAK_URL={self.url} does not answer as a Keycloak")

    def _authorize(self) -> None:
        form = {
            "grant_type": "password",
            "client_id": "admin-cli",
            "username": self.admin_username,
            "password": self.admin_password,
        }
        answer = self._http.post(f"{self.url}/realms/master/protocol/openid-connect/token", data=form)
        _check(answer, f"sign in as {self.admin_username}")
        granted = answer.json()
        self._authorization = f"Bearer {granted['access_token']}"
        self._authorized_until = time.monotonic() + granted["expires_in"] - 20

    def _close(self) -> None:
        self.stop()
        if self._launch is not None:
            self._launch.remove()
        self._http.close()


def _answers(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def _check(answer: httpx.Response, what: str) -> None:
    if answer.is_error:
        raise ChildFailed(f"Keycloak refused to {what}: {answer.status_code} {answer.text[:500]}")
