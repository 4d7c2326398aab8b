"""A browser without pictures: keeps cookies as one, walks redirects one by one, and shows what was set.

Keycloak and the bridge mark their cookies Secure; real browsers send them to loopback addresses over http all the
same, which Python's cookie jar does not, so the flag is passed over here (and asserted on the raw header instead).
"""

from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

MOST_REDIRECTS = 10
PAGE = {"Accept": "text/html"}


class _LoopbackIsSecure(DefaultCookiePolicy):
    def set_ok(self, cookie: Cookie, request: Any) -> bool:
        accepted = super().set_ok(cookie, request)
        cookie.secure = False
        return accepted


class Browser:
    """One cookie jar and one user agent."""

    def __init__(self, base: str, *, keeps_cookies: bool = True) -> None:
        """Take the bridge's address; paths are relative to it."""
        self.base = base
        policy = _LoopbackIsSecure() if keeps_cookies else DefaultCookiePolicy(allowed_domains=[])
        self.jar = CookieJar(policy=policy)
        limits = httpx.Limits(max_connections=200)
        self.http = httpx.AsyncClient(cookies=self.jar, timeout=60, limits=limits, headers=PAGE, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask once, without following a redirect."""
        return await self.http.get(urljoin(self.base, path), **options)

    async def post(self, path: str, form: dict[str, str], **options: Any) -> httpx.Response:
        """Send a form once, as a page of the bridge does."""
        headers = {"Sec-Fetch-Site": "same-origin", **options.pop("headers", {})}
        return await self.http.post(urljoin(self.base, path), data=form, headers=headers, **options)

    async def follow(self, response: httpx.Response, *, until: str = "") -> httpx.Response:
        """Follow redirects until one leads to an address that starts with `until`, or there is none."""
        for _ in range(MOST_REDIRECTS):
            if not response.is_redirect:
                return response
            target = urljoin(str(response.request.url), response.headers["location"])
            if until and target.startswith(until):
                return response
            response = await self.http.get(target)
        raise AssertionError(f"more than {MOST_REDIRECTS} redirects, the last one to {response.headers['location']}")

    async def go_to_keycloak(self, path: str = "/login") -> str:
        """Begin a login and return the address of the callback that Keycloak's answer leads to."""
        begun = await self.get(path)
        assert begun.status_code == 303, begun.text
        answered = await self.follow(begun, until=f"{self.base}/callback/")
        return str(answered.headers["location"])

    async def sign_in(self, path: str = "/login") -> httpx.Response:
        """Begin a login and finish it; return the callback's own answer."""
        return await self.get(await self.go_to_keycloak(path))

    def cookie(self, name: str) -> str | None:
        """Return the value of a cookie."""
        return next((cookie.value for cookie in self.jar if cookie.name == name), None)

    def names(self, prefix: str = "") -> set[str]:
        """Return the names of the cookies that begin like this."""
        return {cookie.name for cookie in self.jar if cookie.name.startswith(prefix)}


def query(url: str) -> dict[str, str]:
    """Return the parameters of an address; each must be there once."""
    found = parse_qs(urlsplit(url).query, keep_blank_values=True)
    assert all(len(values) == 1 for values in found.values()), found
    return {name: values[0] for name, values in found.items()}
