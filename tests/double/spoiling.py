"""How an answer is spoilt on its way out: each function gets the answer and the connection it should have gone to."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from starlette.types import Send


@dataclass(frozen=True)
class Answer:
    """A whole answer, before it is sent."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


@dataclass(frozen=True)
class Connection:
    """Where an answer goes."""

    send: Send
    transport: asyncio.Transport

    async def start(self, answer: Answer) -> None:
        """Send the head; the length is that of the whole body."""
        headers = [(name, value) for name, value in answer.headers if name.lower() != b"content-length"]
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await self.send({"type": "http.response.start", "status": answer.status, "headers": headers})

    async def body(self, chunk: bytes, *, more: bool) -> None:
        """Send a part of the body."""
        await self.send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def whole(self, answer: Answer) -> None:
        """Send the answer as it is."""
        await self.start(answer)
        await self.body(answer.body, more=False)

    def reset(self) -> None:
        """Close with RST instead of FIN, so that the other end sees a reset and no orderly end."""
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


Act: TypeAlias = Callable[[Answer, Connection], Awaitable[None]]


class Hold:
    """An answer kept back by a test, which decides what happens meanwhile."""

    def __init__(self) -> None:
        self._arrived = threading.Semaphore(0)
        self._released: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._lock = threading.Lock()

    def wait_for_arrival(self, seconds: float = 10.0) -> None:
        """Wait for one more request to arrive here."""
        if not self._arrived.acquire(timeout=seconds):
            raise TimeoutError(f"no request arrived in {seconds} s")

    def release(self) -> None:
        """Let every answer go that waits here, now and later."""
        with self._lock:
            if not self._released.done():
                self._released.set_result(None)

    async def act(self, answer: Answer, connection: Connection) -> None:
        """Announce the request, wait for the release, answer."""
        self._arrived.release()
        await asyncio.shield(asyncio.wrap_future(self._released))
        await connection.whole(answer)


def wait(seconds: float) -> Act:
    """Answer later."""

    async def act(answer: Answer, connection: Connection) -> None:
        await asyncio.sleep(seconds)
        await connection.whole(answer)

    return act


def replaced(status: int, body: bytes, headers: Mapping[str, str]) -> Act:
    """Answer something else."""
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def act(_answer: Answer, connection: Connection) -> None:
        await connection.whole(Answer(status, raw, body))

    return act


async def cut_bytes(answer: Answer, connection: Connection) -> None:
    """Send half of the body as if it were all, with status 200."""
    await connection.whole(replace(answer, status=200, body=answer.body[: len(answer.body) // 2]))


async def reset_connection(_answer: Answer, connection: Connection) -> None:
    """Send nothing at all."""
    connection.reset()


def huge(megabytes: int) -> Act:
    """Send one JSON string of this size, in chunks, until the reader has enough."""

    async def act(_answer: Answer, connection: Connection) -> None:
        chunk = b"x" * (1 << 20)
        head = [(b"content-type", b"application/json")]
        length = str(megabytes * len(chunk) + 2).encode()
        start = {"type": "http.response.start", "status": 200, "headers": [*head, (b"content-length", length)]}
        await connection.send(start)
        await connection.body(b'"', more=True)
        for _ in range(megabytes):
            await connection.body(chunk, more=True)
        await connection.body(b'"', more=False)

    return act


def drip(seconds_a_byte: float, *, cut: bool = False) -> Act:
    """Send byte by byte; with `cut` reset the connection half-way."""

    async def act(answer: Answer, connection: Connection) -> None:
        await connection.start(answer)
        half = len(answer.body) // 2
        for place in range(half if cut else len(answer.body)):
            await connection.body(answer.body[place : place + 1], more=True)
            await asyncio.sleep(seconds_a_byte)
            if connection.transport.is_closing():
                return
        if cut:
            connection.reset()
        else:
            await connection.body(b"", more=False)

    return act
