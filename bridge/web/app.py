"""Composition root of the web service: opens what must be closed, builds what requests need, mounts the routes."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

import httpx
from fastapi import FastAPI
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bridge.config import Settings, load_settings
from bridge.devices import warm_up
from bridge.flows.activity import Activities
from bridge.flows.outcomes import Outcomes
from bridge.flows.policies import build_policies
from bridge.flows.relying_party import Clock, RelyingParty
from bridge.flows.sealing_keys import build_sealer
from bridge.keycloak.admin import open_admin, segment
from bridge.keycloak.documents import Elapsed
from bridge.keycloak.http import open_http
from bridge.keycloak.provider import Provider
from bridge.places import Places, open_places
from bridge.sealing import Sealer
from bridge.storage.database import Database, open_database
from bridge.telemetry import get_logger
from bridge.web import error_handlers
from bridge.web.dependencies import Bridge
from bridge.web.jobs import running_jobs
from bridge.web.middleware import EveryRequest
from bridge.web.routes import livez, login, logout, me

log = get_logger()
TEMPLATES = Path(__file__).parent / "templates"
LARGEST_FORM = 64 * 1024
WRITING_TIME = timedelta(seconds=15)
"""What a login may take beyond the exchange: verification, a look at the Admin API, the transaction."""


class State(TypedDict):
    """What Starlette gives to every request as `request.state`."""

    bridge: Bridge


def utc_now() -> datetime:
    """Return the time of this machine; the only clock of the service."""
    return datetime.now(tz=UTC)


def create_app(
    settings: Settings | None = None, *, clock: Clock = utc_now, elapsed: Elapsed = time.monotonic
) -> FastAPI:
    """Build the application; without settings they are loaded as the command line does (for several workers).

    Raises:
        ConfigurationError: the settings are not usable.
    """
    found = settings or load_settings()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        async with open_bridge(found, clock=clock, elapsed=elapsed) as bridge:
            yield State(bridge=bridge)

    # FastAPI's own tracing would write the callback's query, and with it the code, into spans.
    app = FastAPI(
        title="Keycloak bridge",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # Starlette would build those redirects from the Host header, with the code in them.
        redirect_slashes=False,
        max_body_size=LARGEST_FORM,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    error_handlers.install(app)
    for route in (login, logout, me, livez):
        app.include_router(route.router)
    app.add_middleware(
        EveryRequest,
        form_action=_list_origins(found),
        is_https=found.public_url.startswith("https:"),
    )
    return app


@asynccontextmanager
async def open_bridge(settings: Settings, *, clock: Clock, elapsed: Elapsed) -> AsyncIterator[Bridge]:
    """Open database and HTTP client, and build the relying party of each package."""
    async with AsyncExitStack() as stack:
        url = settings.database.url.get_secret_value()
        database = await stack.enter_async_context(
            open_database(url, pool_size=settings.database.pool_size, longest=settings.database.timeout)
        )
        http = await stack.enter_async_context(open_http(settings.http))
        places = stack.enter_context(open_places(settings.geoip.database if settings.geoip else None))
        await asyncio.to_thread(warm_up)
        activities = Activities(database, build_policies(settings.policy))
        sealer = build_sealer(settings.sealing)
        build = _RelyingParties(
            settings, database, http, activities, places, sealer=sealer, clock=clock, elapsed=elapsed
        )
        jobs = running_jobs(database, activities, settings.retention, sealer=sealer, clock=clock)
        await stack.enter_async_context(jobs)
        yield Bridge(
            settings=settings,
            database=database,
            relying_parties={name: build.one(name) for name in settings.packages},
            activities=activities,
            pages=Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined),
            clock=clock,
        )


class _RelyingParties:
    """Builds relying parties on the shared database and client."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        http: httpx.AsyncClient,
        activities: Activities,
        places: Places,
        *,
        sealer: Sealer,
        clock: Clock,
        elapsed: Elapsed,
    ) -> None:
        self._settings, self._database, self._http = settings, database, http
        self._activities, self._places, self._policies = activities, places, build_policies(settings.policy)
        self._clock, self._elapsed = clock, elapsed
        self._sealer = sealer
        self._outcomes = Outcomes(database, now=clock)

    def one(self, name: str) -> RelyingParty:
        settings, package = self._settings, self._settings.packages[name]
        return RelyingParty(
            package=name,
            settings=package,
            public_url=settings.public_url,
            policies=self._policies,
            claim_life=settings.http.total_timeout + WRITING_TIME,
            provider=Provider(self._http, package, settings.http, now=self._clock, elapsed=self._elapsed),
            database=self._database,
            sealer=self._sealer,
            outcomes=self._outcomes,
            activities=self._activities,
            places=self._places,
            now=self._clock,
            is_user_gone=self._ask_admin(name),
        )

    def _ask_admin(self, name: str) -> Callable[[str], Awaitable[bool]] | None:
        package = self._settings.packages[name]
        sync = package.sync
        if sync is None:
            return None

        async def is_user_gone(sub: str) -> bool:
            # Asked so seldom (a name that changed hands) that a connection of its own is kept for nobody.
            async with open_admin(package.issuer, sync, self._settings.http) as admin:
                return await admin.find(f"/users/{segment(sub)}") is None

        return is_user_gone


def _list_origins(settings: Settings) -> tuple[str, ...]:
    """Return where the sign-out form leads: to Keycloak, and from there to an application."""
    packages = settings.packages.values()
    addresses = [*(package.issuer for package in packages), *(one for package in packages for one in package.return_to)]
    return tuple(sorted({f"{urlsplit(address).scheme}://{urlsplit(address).netloc}" for address in addresses}))
