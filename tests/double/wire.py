"""The outermost layer: reads a request whole, records it, and lets a fault spoil the answer.

uvicorn -> Wire -> (no fault)                         the application
                -> (fault) the application, captured  -> the fault, which owns the connection
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import NamedTuple, cast
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.double.faults import Faults
from tests.double.spoiling import Answer, Connection


class Recorded(NamedTuple):
    """One request as it came; `form` holds the last value of each field."""

    method: str
    path: str
    form: dict[str, str]
    query: dict[str, str]
    headers: dict[str, str]


class Protocol(HttpToolsProtocol):
    """The server's protocol, which tells the application its transport: a fault may have to break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Pass the transport on in the scope's state."""
        super().connection_made(transport)
        # asyncio does this only for sockets that name their protocol; without it each answer waits 40 ms for an ACK.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {"transport": transport}


class Wire:
    """Records requests and applies faults."""

    def __init__(self, app: ASGIApp, faults: Faults, record: Callable[[Recorded], None]) -> None:
        self._app = app
        self._faults = faults
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        body = await _read(receive)
        method, path = str(scope["method"]), str(scope["path"])
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True)
        form = pairs if "urlencoded" in headers.get("content-type", "") else []
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        scope = {**scope, "double.form": form, "double.query": query}
        self._record(Recorded(method, path, dict(form), dict(query), headers))
        fault = self._faults.take(method, path)
        if fault is None:
            await self._app(scope, _replay(body), send)
            return
        answer = await self._capture(scope, body) if fault.processed else Answer()
        transport = cast("asyncio.Transport", scope["state"]["transport"])  # the scope's state is untyped
        await fault.act(answer, Connection(send, transport))

    async def _capture(self, scope: Scope, body: bytes) -> Answer:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, _replay(body), keep)
        parts = [message.get("body", b"") for message in messages[1:]]
        return Answer(messages[0]["status"], list(messages[0]["headers"]), b"".join(parts))


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
