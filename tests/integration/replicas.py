"""Bridges whose inside a test may reach: several on one database and one clock, and their jobs on demand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import uvicorn

from bridge.flows.cleanup import end_overdue
from bridge.storage.database import open_database
from bridge.storage.user_sessions import CleanedUp
from bridge.web.app import create_app
from bridge.web.dependencies import Bridge
from bridge.web.server import bind
from tests.double import KeycloakDouble
from tests.integration.service import Clock, Service, build_settings

PATIENT = {"connect_timeout": "30s", "read_timeout": "60s", "total_timeout": "90s"}
"""The machine may have a lot to do, and nothing here is about a Keycloak that is slow."""


class StoppableClock(Clock):
    """A clock that a test may stop, so that it does not matter how long the machine takes."""

    def __init__(self) -> None:
        super().__init__()
        self._stopped: datetime | None = None

    def __call__(self) -> datetime:
        return super().__call__() if self._stopped is None else self._stopped + self.offset

    def stop(self) -> None:
        """Let time pass by `advance` and `jump` alone, from now on."""
        self._stopped = datetime.now(tz=UTC)


@dataclass(frozen=True)
class Replica(Service):
    """A running bridge with what lives in it."""

    clock: StoppableClock
    bridge: Bridge

    async def flush(self) -> int:
        """Write the activity that was noted; return of how many sessions."""
        return await self.bridge.activities.flush(now=self.clock())

    async def end_overdue(self) -> CleanedUp:
        """Do once what the job does every half minute."""
        return await end_overdue(self.database, self.settings.retention, now=self.clock())


async def ask(
    service: Service,
    path: str = "/me",
    *,
    method: str = "GET",
    cookie: str | None = None,
    key: str | None = None,
    package: str = "demo",
    address: str = "127.0.0.1",
    accept: str = "application/json",
    **headers: str,
) -> httpx.Response:
    """Ask once with a credential as it is, from an address of this machine."""
    sent = {"Accept": accept, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if cookie is not None:
        sent["Cookie"] = f"__Host-kb-{package}={cookie}"
    if key is not None:
        sent["Authorization"] = f"Bearer {key}"
    transport = httpx.AsyncHTTPTransport(local_address=address)
    async with httpx.AsyncClient(transport=transport, timeout=60) as http:
        return await http.request(method, f"{service.url}{path}", headers=sent)


@asynccontextmanager
async def replica(
    double: KeycloakDouble, database_url: str, *, clock: StoppableClock | None = None, **more: Any
) -> AsyncIterator[Replica]:
    """Run a bridge on a free port until the block ends; with a clock that others may have too."""
    listener = bind("127.0.0.1", 0)
    settings = build_settings(double, database_url, port=int(listener.getsockname()[1]), **{"http": PATIENT, **more})
    for package in settings.packages.values():
        client = double.realm.client(package.client_id)
        assert client is not None
        client.redirect_uris.extend(f"{settings.public_url}/callback/{name}" for name in settings.packages)
        client.post_logout_uris.extend(f"{settings.public_url}/logout/done/{name}" for name in settings.packages)
    clock = clock or StoppableClock()
    app = create_app(settings, clock=clock, elapsed=clock.elapsed)
    config = uvicorn.Config(app, log_config=None, access_log=False, proxy_headers=False, http="httptools")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if serving.done():
                await serving
            await asyncio.sleep(0.005)
        async with open_database(database_url) as database:
            yield Replica(settings.public_url, settings, database, clock, server.lifespan.state["bridge"])
    finally:
        server.should_exit = True
        await serving
        listener.close()
