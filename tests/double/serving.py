"""What every endpoint needs: the realm of the request, its fields, and Keycloak's error bodies."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from tests.double.faults import Faults
from tests.double.realm import Realm

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}


class Refused(Exception):
    """An answer that ends the handling of a request."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class House:
    """The realms of a server, its address and its faults: what the endpoints share."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.realms: dict[str, Realm] = {}
        self.url = ""
        self.issuer_override: str | None = None
        self.signed_in: str | None = None
        self.signed_in_at = 0.0
        self.types_password = False
        self.pending: dict[str, dict[str, str]] = {}

    def realm(self, request: Request, *, admin: bool = False) -> Realm:
        """Find the realm of the path; Keycloak has a body of its own for each of its two trees."""
        realm = self.realms.get(request.path_params["realm"])
        if realm is None:
            raise Refused(JSONResponse({"error": "Realm not found." if admin else "Realm does not exist"}, 404))
        return realm

    def issuer(self, realm: Realm) -> str:
        """Give the issuer of a realm."""
        return self.issuer_override or f"{self.url}/realms/{realm.name}"


def fields(request: Request) -> dict[str, str]:
    """Give the parameters of the query, or of the form of a POST; a repeated one is refused (RFC 6749, section 3.1)."""
    pairs: list[tuple[str, str]] = request.scope["double.form" if request.method == "POST" else "double.query"]
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise Refused(oauth_error(400, "invalid_request", "duplicated parameter"))
    return dict(pairs)


def oauth_error(status: int, error: str, description: str) -> Response:
    """Write an error answer (RFC 6749, section 5.2)."""
    return JSONResponse({"error": error, "error_description": description}, status, headers=NO_STORE)


def page(status: int, title: str, body: str = "") -> Response:
    """Write one of Keycloak's pages, without its looks."""
    return HTMLResponse(f"<!DOCTYPE html><html lang=en><title>{title}</title><h1>{title}</h1>{body}</html>", status)


def guarded(endpoint: Endpoint) -> Endpoint:
    """Let an endpoint refuse by raising."""

    async def handle(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Refused as refusal:
            return refusal.response

    return handle


def uri_allowed(uri: str, registered: list[str]) -> bool:
    """Compare a redirect URI with the registered ones: exactly, by a trailing asterisk, or on any loopback port."""
    portless = re.sub(r"^(http://(?:127\.0\.0\.1|\[::1\]|localhost)):\d+(?=/)", r"\1", uri)
    return any(
        one in {uri, portless} or (one.endswith("*") and (uri.startswith(one[:-1]) or portless.startswith(one[:-1])))
        for one in registered
    )
