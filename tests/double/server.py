"""The double itself: a real HTTP server on a loopback port, in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from types import TracebackType
from typing import Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from uvicorn import Config, Server

from tests.double import admin_sessions
from tests.double.admin import AdminApi
from tests.double.authorize import Authorize
from tests.double.exchange import Exchange
from tests.double.faults import Faults
from tests.double.openid import OpenId
from tests.double.realm import Realm
from tests.double.records import Json
from tests.double.serving import House
from tests.double.tokens import logout_token
from tests.double.wire import Protocol, Recorded, Wire


class Listening(Server):
    """A uvicorn server that says when it listens and stops at once: uvicorn's own stop costs each test 0.2 s."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    async def main_loop(self) -> None:
        """Serve until `stop()`."""
        self._loop = asyncio.get_running_loop()
        await self.on_tick(0)
        self.listening.set()
        await self._stopping.wait()

    def stop(self) -> None:
        """Stop, said from another thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what listens, drop every connection, cancel what is being answered."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


class KeycloakDouble:
    """A Keycloak to test against; enter it to start it.

    It begins with the realm named, the clients `bridge`, `bridge-sync` (service account) and `demo-app` (public), and
    nobody in it.
    """

    def __init__(self, realm: str = "demo", *, bridge_url: str = "http://127.0.0.1:8000", port: int = 0) -> None:
        self.faults = Faults()
        self.requests: list[Recorded] = []
        self._house = House(self.faults)
        self._bridge_url = bridge_url
        self._port = port
        self._server: Listening | None = None
        self._thread: threading.Thread | None = None
        self._app = Wire(_application(self._house), self.faults, self.requests.append)
        self.realm = self.add_realm(realm)

    @property
    def url(self) -> str:
        """The address, without a slash at the end."""
        return self._house.url

    @property
    def issuer(self) -> str:
        """The issuer of the first realm."""
        return self._house.issuer(self.realm)

    @property
    def events(self) -> list[Json]:
        """The user events of the first realm, oldest first, as `/events` shows them."""
        with self.realm.lock:
            return list(self.realm.events)

    @property
    def realms(self) -> dict[str, Realm]:
        """All realms by name; removing or renaming a key does that to the realm."""
        return self._house.realms

    def add_realm(self, name: str) -> Realm:
        """Add a realm with the clients the demo has."""
        realm = Realm(name)
        back, away = [f"{self._bridge_url}/callback/{name}"], [f"{self._bridge_url}/logout/done/{name}"]
        realm.add_client("bridge", secret="bridge-demo-secret", redirect_uris=back, post_logout_uris=away)
        realm.add_client("bridge-sync", secret="sync-demo-secret", service_account=True, standard_flow=False, pkce=None)
        realm.add_client("demo-app", redirect_uris=["com.example.demo:/callback", "http://127.0.0.1/callback"])
        realm.set_roles("bridge-sync")
        self._house.realms[name] = realm
        return realm

    def sign_in_as(self, username: str | None, *, types_password: bool = False) -> None:
        """Make every browser this person, who is signed in at Keycloak since now (None: nobody, the form is shown).

        With `types_password` nobody is signed in before, and the person logs in at once whenever asked.
        """
        user = None if username is None else self.realm.user(username)
        if username is not None and user is None:
            raise LookupError(f"the realm {self.realm.name} has no user {username}")
        self._house.signed_in = None if user is None else user.id
        self._house.signed_in_at = self.realm.clock.now()
        self._house.types_password = types_password

    def count(self, method: str, pattern: str) -> int:
        """Count the requests whose path ends like this, e.g. `count("POST", "/token")`."""
        return sum(one.method == method and one.path.endswith(pattern) for one in list(self.requests))

    def rotate_keys(self, *, keep_old: bool = False) -> None:
        """Sign with a new key; without `keep_old` the old one is no longer in the JWKS."""
        self.realm.keys.rotate(keep_old=keep_old)

    def logout_token(
        self, client_id: str = "bridge", *, sub: str | None = None, sid: str | None = None, **changes: object
    ) -> str:
        """Sign a logout token; `changes` replace claims, None removes one."""
        claims = logout_token(self.realm, self.issuer, client_id, sub=sub, sid=sid) | changes
        held = {name: value for name, value in claims.items() if value is not None}
        return self.realm.keys.sign(held, header={"typ": "logout+jwt"})

    # Life cycle

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.faults.clear()
        self.stop()

    def start(self) -> None:
        """Listen; after a `stop()` on the same port as before."""
        listener = socket.create_server(("127.0.0.1", self._port), backlog=256)
        self._port = listener.getsockname()[1]
        self._house.url = f"http://127.0.0.1:{self._port}"
        config = Config(
            self._app,
            http=Protocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
        )
        self._server = Listening(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="keycloak-double", daemon=True
        )
        self._thread.start()
        if not self._server.listening.wait(10):
            raise TimeoutError("the Keycloak double did not start")

    def stop(self) -> None:
        """Refuse connections from now on and drop those there are; what is being answered is cut off."""
        if self._server is None or self._thread is None:
            return
        self._server.stop()
        self._thread.join(10)
        self._server = self._thread = None


def _application(house: House) -> Starlette:
    api = AdminApi(house)
    parts = (OpenId(house), Authorize(house), Exchange(house), api)
    routes = [route for part in parts for route in part.routes()]
    routes += admin_sessions.routes(api)

    async def not_found(_request: Request, _error: Exception) -> Response:
        return JSONResponse({"error": "HTTP 404 Not Found"}, 404)

    async def not_allowed(_request: Request, _error: Exception) -> Response:
        return JSONResponse({"error": "HTTP 405 Method Not Allowed"}, 405)

    return Starlette(routes=routes, exception_handlers={404: not_found, 405: not_allowed})
