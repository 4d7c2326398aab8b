"""Corner Shop: a small application behind the bridge, as its developers would write it.

    visitor -> GET /         no session:  303 to the bridge's /login, which comes back here
                             a session:   who is signed in, and the person's row in SQL
               sign out      a form that posts to the bridge's /logout, which comes back to /goodbye

It knows nothing of Keycloak or of OpenID. It passes the visitor's cookies to the bridge's `/me` and believes the
answer; and it reads `sys_user` with plain SQL, as applications do that are older than the bridge. It must not write to
that table, nor show a page of its own for signing in.
"""

import argparse
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pydantic
import uvicorn
from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from deploy.demo.me import Me, readable_time
from deploy.demo.ports import HOST

_TEMPLATES = Path(__file__).with_name("templates")
_ROW = 'SELECT "User", Package, Uuid, Active, Email, Usergroups, LastLoginDate FROM sys_user'


@dataclass(frozen=True)
class PageSettings:
    """Where the application lives, and what it stands behind."""

    app_url: str
    bridge_url: str
    keycloak_url: str
    database: Path
    package: str = "demo"


class BridgeTrouble(Exception):
    """The bridge gave no usable answer; the message is fit for the visitor."""


def build_app(settings: PageSettings, *, bridge: httpx.Client) -> Starlette:
    """Return the application; `bridge` is the HTTP client for the bridge's address."""
    shop = _Shop(settings, bridge)
    routes = [
        Route("/", shop.home),
        Route("/goodbye", shop.goodbye),
        Route("/style.css", shop.style),
    ]
    return Starlette(routes=routes, exception_handlers={BridgeTrouble: shop.trouble})


class _Shop:
    """The pages. They are plain functions of the request, so Starlette runs each in a thread and SQL may block."""

    def __init__(self, settings: PageSettings, bridge: httpx.Client) -> None:
        self._settings = settings
        self._bridge = bridge
        self._headers = _security_headers(settings)
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES), autoescape=select_autoescape(default=True), trim_blocks=True
        )
        self._templates.filters["time"] = readable_time

    def home(self, request: Request) -> Response:
        """Show who is signed in, or send the visitor to sign in."""
        me = fetch_me(self._bridge, request.headers.get("cookie", ""), package=self._settings.package)
        if me is None:
            return RedirectResponse(self._login_address(), status_code=303, headers=self._headers)
        row = find_row(self._settings.database, username=me.user.username, package=me.package)
        return self._page("shop.html", me=me, row=row)

    def goodbye(self, request: Request) -> Response:
        """Say that the visitor is signed out; the bridge comes back here."""
        del request
        return self._page("goodbye.html")

    def style(self, request: Request) -> Response:
        """Serve the style sheet."""
        del request
        return FileResponse(_TEMPLATES / "style.css", headers={"X-Content-Type-Options": "nosniff"})

    def trouble(self, request: Request, error: Exception) -> Response:
        """Say that the bridge does not answer, and what to do."""
        del request
        return self._page("trouble.html", status=502, reason=str(error))

    def _page(self, template: str, *, status: int = 200, **values: object) -> Response:
        text = self._templates.get_template(template).render(settings=self._settings, **values)
        return HTMLResponse(text, status_code=status, headers=self._headers)

    def _login_address(self) -> str:
        query = urlencode({"package": self._settings.package, "return_to": f"{self._settings.app_url}/"})
        return f"{self._settings.bridge_url}/login?{query}"


def fetch_me(bridge: httpx.Client, cookies: str, *, package: str) -> Me | None:
    """Ask the bridge who the visitor with these cookies is; None when nobody is signed in."""
    try:
        answer = bridge.get(
            "/me", params={"package": package}, headers={"Cookie": cookies, "Accept": "application/json"}
        )
    except httpx.HTTPError as error:
        raise BridgeTrouble(f"It could not be reached ({type(error).__name__}).") from error
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return None
    if answer.status_code != httpx.codes.OK:
        raise BridgeTrouble(f"It answered with status {answer.status_code}.")
    try:
        return Me.model_validate_json(answer.content)
    except pydantic.ValidationError as error:
        raise BridgeTrouble("Its answer could not be understood.") from error


def find_row(database: Path, *, username: str, package: str) -> Mapping[str, object] | None:
    """Return the person's row in `sys_user`; None when there is none, or no such table yet."""
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            row = db.execute(f'{_ROW} WHERE "User" = ? AND Package = ?', (username, package)).fetchone()
    except sqlite3.OperationalError:
        return None
    return None if row is None else dict(row)


def _security_headers(settings: PageSettings) -> dict[str, str]:
    """Return the headers of every page.

    `form-action` names the bridge and Keycloak: the sign-out form is answered by redirects there and back, and Chromium
    holds each step against the policy. The referrer policy must not be `no-referrer` nor `same-origin`: with those the
    browser posts the form with `Origin: null`, which the bridge refuses.
    """
    policy = [
        "default-src 'none'",
        "style-src 'self'",
        f"form-action 'self' {settings.bridge_url} {settings.keycloak_url}",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
    return {
        "Content-Security-Policy": "; ".join(policy),
        "Referrer-Policy": "strict-origin",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }


def main() -> None:
    """Serve the application on the loopback address until it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m deploy.demo.page", description="The application of the demo.")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--bridge-url", default="http://127.0.0.1:8000")
    parser.add_argument("--keycloak-url", default="http://127.0.0.1:8180")
    parser.add_argument("--database", type=Path, default=Path(".demo/bridge.db"))
    given = parser.parse_args()
    settings = PageSettings(
        app_url=f"http://{HOST}:{given.port}",
        bridge_url=given.bridge_url,
        keycloak_url=given.keycloak_url,
        database=given.database,
    )
    with httpx.Client(base_url=settings.bridge_url, timeout=10, trust_env=False) as bridge:
        uvicorn.run(build_app(settings, bridge=bridge), host=HOST, port=given.port, server_header=False)


if __name__ == "__main__":
    main()
