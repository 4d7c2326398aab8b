"""The HTTP client for Keycloak: pooled, bounded in time and size, and honest about what was sent."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
import orjson

from bridge.config import HttpSettings
from bridge.errors import KeycloakAnswerInvalid, KeycloakUnavailable, OutcomeUnknown

LARGEST_BODY = 4 * 1024 * 1024
NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Errors from before the first byte of a request left."""


@dataclass(frozen=True)
class Answer:
    """A whole answer; `body` is None when it is no JSON."""

    status: int
    body: object


@asynccontextmanager
async def open_http(settings: HttpSettings) -> AsyncIterator[httpx.AsyncClient]:
    """Open the pooled client that all calls to Keycloak share.

    Redirects are not followed: an endpoint that redirects is not the one that was configured. No Origin and no cookie
    is ever sent, and no answer sets one.
    """
    no_cookies = CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
    timeout = httpx.Timeout(
        settings.read_timeout.total_seconds(), connect=settings.connect_timeout.total_seconds(), pool=5
    )
    limits = httpx.Limits(max_connections=settings.connections, max_keepalive_connections=settings.connections)
    async with httpx.AsyncClient(
        verify=ssl.create_default_context(),
        timeout=timeout,
        limits=limits,
        cookies=no_cookies,
        follow_redirects=False,
        trust_env=False,
    ) as http:
        yield http


async def fetch_json(http: httpx.AsyncClient, url: str, *, total: timedelta) -> Answer:
    """GET a JSON document; may be repeated by the caller.

    Raises:
        KeycloakUnavailable: no answer in time.
        KeycloakAnswerInvalid: the answer is larger than any that is meant.
    """
    try:
        return await _send(http, http.build_request("GET", url), total)
    except (httpx.TransportError, TimeoutError) as error:
        raise _unavailable(url, error) from error


async def post_form_once(
    http: httpx.AsyncClient, url: str, *, form: Mapping[str, str], headers: Mapping[str, str], total: timedelta
) -> Answer:
    """POST a form exactly once and never again.

    Raises:
        KeycloakUnavailable: the connection was never opened, so nothing was sent.
        OutcomeUnknown: something was sent and the answer is lost.
    """
    request = http.build_request("POST", url, data=dict(form), headers=dict(headers))
    try:
        return await _send(http, request, total)
    except NOTHING_SENT as error:
        raise _unavailable(url, error) from error
    except (httpx.TransportError, TimeoutError, KeycloakAnswerInvalid) as error:
        raise OutcomeUnknown(evidence={"endpoint": url, "reason": _reason(error)}) from error


async def _send(http: httpx.AsyncClient, request: httpx.Request, total: timedelta) -> Answer:
    # httpx limits the pause between two bytes; the whole call is limited here, or a slow drip could hold it for ever.
    async with asyncio.timeout(total.total_seconds()):
        response = await http.send(request, stream=True)
        try:
            body = await _read_bounded(response)
        finally:
            await response.aclose()
    try:
        return Answer(response.status_code, orjson.loads(body))
    except orjson.JSONDecodeError:
        return Answer(response.status_code, None)


async def _read_bounded(response: httpx.Response) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > LARGEST_BODY:
            raise KeycloakAnswerInvalid(evidence={"body": f"larger than {LARGEST_BODY} bytes"})
        chunks.append(chunk)
    return b"".join(chunks)


def _unavailable(url: str, error: Exception) -> KeycloakUnavailable:
    return KeycloakUnavailable(
        hint="Is Keycloak running, and does this machine reach the address of the issuer?",
        evidence={"endpoint": url, "reason": _reason(error)},
        retry_after=10,
    )


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
