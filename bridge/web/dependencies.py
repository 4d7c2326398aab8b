"""What a route may ask for: the running bridge, the relying party of a package, facts of the client."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends
from jinja2 import Environment
from starlette.requests import Request

from bridge.config import Settings
from bridge.errors import UnknownPackage
from bridge.flows.session import Clock, RelyingParty
from bridge.model import ClientFacts
from bridge.storage.database import Database

LONGEST_USER_AGENT = 2000


@dataclass(frozen=True)
class Bridge:
    """Everything that lives as long as the service; built and closed in `bridge.web.app`."""

    settings: Settings
    database: Database
    relying_parties: Mapping[str, RelyingParty]
    pages: Environment
    clock: Clock

    def now(self) -> datetime:
        """Return the time, aware and in UTC."""
        return self.clock()

    def get_relying_party(self, package: str | None) -> RelyingParty:
        """Return the relying party of a package; with one package its name may be left out.

        Raises:
            UnknownPackage: there is none of this name, or a name is needed.
        """
        if package is None and len(self.relying_parties) == 1:
            return next(iter(self.relying_parties.values()))
        if package is None:
            raise UnknownPackage("Please name the application area in the address: ?package=NAME.")
        found = self.relying_parties.get(package)
        if found is None:
            raise UnknownPackage(evidence={"package": package[:100], "known": sorted(self.relying_parties)})
        return found


def get_bridge(request: Request) -> Bridge:
    """Return the running bridge."""
    bridge: Bridge = request.state.bridge
    return bridge


# Asynchronous although they wait for nothing: FastAPI runs plain functions in a thread.
async def _depend_on_bridge(request: Request) -> Bridge:
    return get_bridge(request)


async def get_client_facts(request: Request) -> ClientFacts:
    """Return address and user agent of the peer; no forwarding header is believed."""
    agent = request.headers.get("user-agent")
    return ClientFacts(
        ip_address=request.client.host.partition("%")[0][:45] if request.client else None,
        user_agent=agent[:LONGEST_USER_AGENT] if agent else None,
    )


RunningBridge = Annotated[Bridge, Depends(_depend_on_bridge)]
Client = Annotated[ClientFacts, Depends(get_client_facts)]
