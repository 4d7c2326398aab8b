"""What a route may ask for: the running bridge, the relying party of a package, facts of the client."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends
from jinja2 import Environment
from starlette.requests import Request

from bridge.config import Settings
from bridge.errors import UnknownPackage
from bridge.flows.activity import Activities
from bridge.flows.relying_party import Clock, RelyingParty
from bridge.flows.signed_in import Presented
from bridge.model import ClientFacts
from bridge.storage.database import Database
from bridge.web import cookies
from bridge.web.client_address import find_client_address

BEARER = re.compile(r"bearer(?![\w-])(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Bridge:
    """Everything that lives as long as the service; built and closed in `bridge.web.app`."""

    settings: Settings
    database: Database
    relying_parties: Mapping[str, RelyingParty]
    activities: Activities
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
    """Return address and user agent of the visitor; only proxies that are configured are believed."""
    address = find_client_address(
        request.client.host if request.client else None,
        request.headers.getlist("x-forwarded-for"),
        trusted=get_bridge(request).settings.proxies.trusted,
    )
    return ClientFacts(
        ip_address=address.text,
        user_agent=request.headers.get("user-agent") or None,
        address_is_shared=address.is_shared,
    )


def read_credential(request: Request, rp: RelyingParty) -> Presented:
    """Return what a request shows to be let in: a bearer key (RFC 6750 section 2.1), else the package's cookie.

    A request that shows a key is judged by that alone: a program's mistake must not fall back on a cookie. Other
    schemes are for somebody else: a proxy's own password in front of an application, for instance.
    """
    keys = _read_keys(request)
    if not keys:
        return Presented(cookies.read_session(request, rp.package), is_bearer=False)
    usable = len(keys) == 1 and cookies.TOKEN.match(keys[0]) is not None
    return Presented(keys[0] if usable else None, is_bearer=True)


def shows_key(request: Request) -> bool:
    """Return whether a request shows a bearer key, a good one or not: no other site can make a browser do that."""
    return bool(_read_keys(request))


def _read_keys(request: Request) -> list[str]:
    """Return what stands behind each `Bearer`; also what is spelt wrongly there, so that it counts as a wrong key."""
    found = (BEARER.match(header.strip()) for header in request.headers.getlist("authorization"))
    return [one[1].strip(" ") for one in found if one]


RunningBridge = Annotated[Bridge, Depends(_depend_on_bridge)]
Client = Annotated[ClientFacts, Depends(get_client_facts)]
