"""The bridge in this process, on a real port, with a configuration of the test's own."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
import uvicorn

from bridge.config import Settings
from bridge.storage.database import Database, open_database
from bridge.web.app import create_app
from bridge.web.server import bind
from tests.double import KeycloakDouble

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
APPLICATION = "http://127.0.0.1:9/"
"""An application that people may be sent back to; nothing listens there."""


class Clock:
    """The machine's clock, moved by as much as a test likes."""

    def __init__(self) -> None:
        self.offset = timedelta()
        self.passed = 0.0

    def __call__(self) -> datetime:
        return datetime.now(tz=UTC) + self.offset

    def advance(self, **by: float) -> None:
        """Move on, as in `advance(seconds=90)`."""
        self.offset += timedelta(**by)
        self.passed += timedelta(**by).total_seconds()

    def jump(self, **by: float) -> None:
        """Set the clock wrong, or right again: no time passes."""
        self.offset += timedelta(**by)

    def elapsed(self) -> float:
        """Return what a clock that never jumps says, in seconds."""
        return time.monotonic() + self.passed


@dataclass(frozen=True)
class Service:
    """A running bridge."""

    url: str
    settings: Settings
    database: Database
    clock: Clock

    async def rows(self, query: str, **parameters: object) -> list[dict[str, Any]]:
        """Read from the database beside the bridge; names in double quotes work on every database."""
        if self.database.dialect.name == "mysql":
            query = query.replace('"', "`")
        async with self.database.reading() as db:
            return [dict(row._mapping) for row in await db.execute(sa.text(query), parameters)]

    async def write(self, statement: str, **parameters: object) -> None:
        """Write into the database beside the bridge, as an application would."""
        if self.database.dialect.name == "mysql":
            statement = statement.replace('"', "`")

        async def step(db: Any) -> None:
            await db.execute(sa.text(statement), parameters)

        await self.database.write(step)

    async def count(self, table: str) -> int:
        """Count the rows of a table."""
        return int((await self.rows(f"SELECT COUNT(*) AS n FROM {table}"))[0]["n"])


def build_settings(
    double: KeycloakDouble,
    database_url: str,
    *,
    port: int = 8000,
    packages: Mapping[str, Any] | None = None,
    **more: Any,
) -> Settings:
    """Return settings for a bridge in front of the double; `more` replaces whole sections."""
    package = {
        "issuer": double.issuer,
        "client_id": "bridge",
        "client_secret": "bridge-demo-secret",
        "return_to": [APPLICATION],
        "sync": {"client_id": "bridge-sync", "client_secret": "sync-demo-secret"},
    }
    values = {
        "public_url": f"http://127.0.0.1:{port}",
        "listen": f"127.0.0.1:{port}",
        "database": {"url": database_url},
        "sealing": {"keys": [KEY]},
        "http": {"connect_timeout": "1s", "read_timeout": "2s", "total_timeout": "3s"},
        "packages": packages or {"demo": package},
        **more,
    }
    return Settings.model_validate(values)


@asynccontextmanager
async def running(double: KeycloakDouble, database_url: str, **more: Any) -> AsyncIterator[Service]:
    """Run the bridge on a free port until the block ends; the double accepts its callback address."""
    listener = bind("127.0.0.1", 0)
    port = int(listener.getsockname()[1])
    settings = build_settings(double, database_url, port=port, **more)
    client = double.realm.client("bridge")
    assert client is not None
    for package in settings.packages:
        client.redirect_uris.append(f"{settings.public_url}/callback/{package}")
        client.post_logout_uris.append(f"{settings.public_url}/logout/done/{package}")
    clock = Clock()
    config = uvicorn.Config(
        create_app(settings, clock=clock, elapsed=clock.elapsed),
        log_config=None,
        access_log=False,
        proxy_headers=False,
        http="httptools",
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if serving.done():
                await serving
            await asyncio.sleep(0.005)
        async with open_database(database_url) as database:
            yield Service(settings.public_url, settings, database, clock)
    finally:
        server.should_exit = True
        await serving
        listener.close()
