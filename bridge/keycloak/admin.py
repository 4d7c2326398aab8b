"""The Admin API: reads with a service account through python-keycloak's connection, repeated where that is safe.

    async with open_admin(issuer, sync_settings, http_settings) as admin:
        users = await admin.fetch("/users", {"first": 0, "max": 100})

Three things are mended of python-keycloak 7.1.1: concurrent calls renew an expired token once instead of once each,
the headers of a call are its own, and all calls share one HTTP client that this file closes. Reads are repeated here
and nowhere else.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote

import httpx
import orjson
from keycloak import KeycloakOpenIDConnection
from keycloak.exceptions import KeycloakConnectionError
from keycloak.exceptions import KeycloakError as LibraryError

from bridge.config import HttpSettings, SyncSettings
from bridge.errors import ConfigurationError, KeycloakAnswerInvalid, KeycloakUnavailable, PermissionMissing
from bridge.keycloak.http import open_http

ATTEMPTS = 5
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
LARGEST_BODY = 16 * 1024 * 1024
OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 200, 401, 403, 404
TOO_MANY, SERVER_ERROR = 429, 500
GONE = {
    "users": ("User not found", "Client not found"),
    "groups": ("Could not find group by id",),
    "clients": ("Could not find client",),
}
"""By the first part of a path: the only 404s that say so; a wrong realm or path is a 404 with another text."""
ROLES = {"users": "view-users", "groups": "view-users", "clients": "view-clients"}
OTHER_ROLE = "view-realm"


@dataclass(frozen=True)
class Received:
    """A whole answer, and how long to wait when it says so."""

    status: int
    body: bytes
    retry_after: float | None


class Transient(Exception):
    """An attempt failed in a way that may pass."""

    def __init__(self, reason: str, *, answered: bool = False, pause: float | None = None) -> None:
        """Say why; `answered` when there was an answer that cannot be used."""
        super().__init__(reason)
        self.answered = answered
        self.pause = pause


class AdminConnection(KeycloakOpenIDConnection):
    """The library's connection, safe to use from many tasks at once."""

    def __init__(self, server_url: str, *, realm: str, client_id: str, client_secret: str) -> None:
        """Take where Keycloak is, and the service account."""
        self._renewing = asyncio.Lock()
        super().__init__(
            server_url=server_url,
            realm_name=realm,
            client_id=client_id,
            client_secret_key=client_secret,
            grant_type="client_credentials",
        )

    async def share(self, http: httpx.AsyncClient) -> None:
        """Use this HTTP client for reads and for tokens instead of the two the library made."""
        for part in (self, self.keycloak_openid.connection):
            await part.async_s.aclose()
            part.async_s = http
            # Its synchronous sibling is never used, and closing it at interpreter exit prints an ImportError.
            vars(part).pop("_s").close()

    async def a__refresh_if_required(self) -> None:
        """Renew an expired token once, however many calls find it expired at the same moment."""
        if self._is_expired():
            async with self._renewing:
                if self._is_expired():
                    await self.a_get_token()

    async def renew(self, refused: str | None) -> None:
        """Renew a token that Keycloak refused, unless another call has done so already."""
        async with self._renewing:
            if self.access_token() == refused:
                await self.a_get_token()

    def access_token(self) -> str | None:
        """Return the token that calls carry now."""
        return self.token["access_token"] if self.token else None

    def _is_expired(self) -> bool:
        return self.token is None or self.expires_at is None or datetime.now(UTC) >= self.expires_at


class Admin:
    """Reads of one realm with one service account."""

    def __init__(
        self, connection: AdminConnection, http: httpx.AsyncClient, *, base: str, settings: SyncSettings, total: float
    ) -> None:
        """Take an open connection; `open_admin` makes one."""
        self.page_size = settings.page_size
        self.in_flight = settings.in_flight
        self._connection = connection
        self._http = http
        self._base = base
        self._client_id = settings.client_id
        self._total = total

    async def fetch(self, path: str, params: Mapping[str, object] | None = None) -> object:
        """GET the JSON below `/admin/realms/{realm}`; parts of the path are encoded by the caller (`segment`).

        Raises:
            KeycloakUnavailable: no usable answer after several attempts.
            KeycloakAnswerInvalid: an answer that no attempt would change.
            PermissionMissing: the service account may not, with the role it lacks.
        """
        found = await self.find(path, params)
        if found is None:
            raise KeycloakAnswerInvalid(evidence={"call": self._call(path), "found": "404 or null"})
        return found

    async def find(self, path: str, params: Mapping[str, object] | None = None) -> object | None:
        """GET as `fetch` does; None when Keycloak says in so many words that what the path names is gone."""
        last = Transient("no attempt")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._attempt(path, params or {})
            except Transient as failure:
                last = failure
                if attempt < ATTEMPTS:
                    await asyncio.sleep(_pause(attempt, failure))
        evidence: dict[str, object] = {"call": self._call(path), "reason": str(last), "attempts": ATTEMPTS}
        if last.answered:
            raise KeycloakAnswerInvalid(evidence=evidence)
        raise KeycloakUnavailable(evidence=evidence, retry_after=10)

    async def _attempt(self, path: str, params: Mapping[str, object]) -> object | None:
        await self._with_token(self._connection.a__refresh_if_required())
        used = self._connection.access_token()
        received = await self._send(path, params, used)
        if received.status == UNAUTHORIZED:
            # A token can die before its time (a restart, new keys): one new one, then the refusal stands.
            await self._with_token(self._connection.renew(used))
            received = await self._send(path, params, self._connection.access_token())
        if received.status == OK:
            try:
                found: object = orjson.loads(received.body)
            except orjson.JSONDecodeError:
                raise Transient("an answer of 200 that is no JSON", answered=True) from None
            if found is None:
                # Never what a read means, and it must not pass for "this user is gone".
                raise Transient("an answer of 200 that is null", answered=True)
            return found
        if received.status == TOO_MANY or received.status >= SERVER_ERROR:
            raise Transient(f"status {received.status}", pause=received.retry_after)
        if received.status == NOT_FOUND and _error_text(received.body) in GONE.get(_kind(path), ()):
            return None
        if received.status in (UNAUTHORIZED, FORBIDDEN):
            raise self._forbidden(path, received.status)
        raise KeycloakAnswerInvalid(
            evidence={"call": self._call(path), "status": received.status, "error": _error_text(received.body)}
        )

    async def _send(self, path: str, params: Mapping[str, object], access_token: str | None) -> Received:
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        known = {name: str(value) for name, value in params.items() if value is not None}
        request = self._http.build_request("GET", self._base + path, params=known, headers=headers)
        try:
            # httpx limits the pause between two bytes; this limits the whole, or a slow drip could hold it for ever.
            async with asyncio.timeout(self._total):
                response = await self._http.send(request, stream=True)
                try:
                    body = await self._read(response, path)
                finally:
                    await response.aclose()
        except (httpx.TransportError, httpx.DecodingError, TimeoutError) as error:
            raise Transient(f"{type(error).__name__}: {error}"[:200]) from error
        return Received(response.status_code, body, _retry_after(response.headers.get("Retry-After")))

    async def _read(self, response: httpx.Response, path: str) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > LARGEST_BODY:
                raise KeycloakAnswerInvalid(
                    evidence={"call": self._call(path), "body": f"larger than {LARGEST_BODY} bytes"}
                )
        return bytes(body)

    async def _with_token(self, renewal: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._total):
                await renewal
        except (KeycloakConnectionError, TimeoutError) as error:
            raise Transient(f"token endpoint: {type(error.__cause__ or error).__name__}") from error
        except LibraryError as error:
            status = error.response_code or SERVER_ERROR
            if status in (TOO_MANY, OK) or status >= SERVER_ERROR:
                raise Transient(f"token endpoint: status {status}") from error
            raise PermissionMissing(
                f"Keycloak refuses the service account {self._client_id} (status {status} at the token endpoint).",
                hint="Look at sync.client_id and client_secret; the client must have 'Service accounts roles' on.",
            ) from error
        except (TypeError, KeyError, ValueError) as error:
            raise Transient("token endpoint: an answer that is no token", answered=True) from error

    def _forbidden(self, path: str, status: int) -> PermissionMissing:
        role = ROLES.get(_kind(path), OTHER_ROLE)
        return self.permission_missing(role, call=f"{self._call(path)} (status {status})")

    def permission_missing(self, role: str, *, call: str) -> PermissionMissing:
        """Return the error that names a call, the role it needs, and how to give it."""
        realm = unquote(self._base.rsplit("/", 1)[-1])
        return PermissionMissing(
            f"The service account {self._client_id} may not call {call}: it lacks the role {role} of realm-management.",
            hint=f"kcadm.sh add-roles -r {realm} --uusername service-account-{self._client_id} "
            f"--cclientid realm-management --rolename {role}",
            evidence={"call": call, "role": role},
        )

    def _call(self, path: str) -> str:
        return f"GET {httpx.URL(self._base).path}{path}"


@asynccontextmanager
async def open_admin(issuer: str, settings: SyncSettings, http: HttpSettings) -> AsyncIterator[Admin]:
    """Open the Admin API of an issuer's realm; it connects when first used.

    Raises:
        ConfigurationError: the issuer names no realm.
    """
    server, marker, name = issuer.rpartition("/realms/")
    if not marker or not name:
        raise ConfigurationError(f"The issuer {issuer} does not end with /realms/NAME.")
    realm = segment(unquote(name))
    async with open_http(http) as shared:
        connection = AdminConnection(
            f"{server}/",
            realm=realm,
            client_id=settings.client_id,
            client_secret=settings.client_secret.get_secret_value(),
        )
        await connection.share(shared)
        base = f"{server}/admin/realms/{realm}"
        yield Admin(connection, shared, base=base, settings=settings, total=http.total_timeout.total_seconds())


def segment(text: str) -> str:
    """Encode one part of a path: a session id may begin with `-`, a federated user's id holds colons."""
    return quote(text, safe="")


def _kind(path: str) -> str:
    return path.split("/")[1] if "/" in path else ""


def _pause(attempt: int, failure: Transient) -> float:
    jitter = random.uniform(0.5, 1.5)  # noqa: S311 - jitter, not a secret
    return failure.pause if failure.pause is not None else min(FIRST_PAUSE * 2 ** (attempt - 1) * jitter, LONGEST_PAUSE)


def _retry_after(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        if value.isdecimal():
            seconds = float(value)
        else:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)) / timedelta(seconds=1)
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), LONGEST_PAUSE)


def _error_text(body: bytes) -> str | None:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    text = found.get("error") or found.get("errorMessage") if isinstance(found, dict) else None
    return text if isinstance(text, str) else None
