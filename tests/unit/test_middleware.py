"""What every answer carries, also when a route breaks."""

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from bridge.web.middleware import EveryRequest


def ask(app: Any) -> list[Message]:
    """Send one request of a program through the middleware and return what was sent back."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "query_string": b""}
    wrapped = EveryRequest(app, form_action=("https://kc.example",), is_https=True)
    asyncio.run(wrapped(scope, receive, send))
    return sent


def headers_of(message: Message) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in message["headers"]}


def test_an_unexpected_error_is_answered_with_headers_and_request_id() -> None:
    """K4, J3: nothing of the error leaves, and the connection stays usable."""

    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("the secret is s3cret")

    start, body = ask(broken)
    assert start["status"] == 500
    told = json.loads(body["body"])
    headers = headers_of(start)
    assert told["error"] == "internal_error"
    assert "s3cret" not in body["body"].decode()
    assert told["request_id"] == headers["x-request-id"]
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["strict-transport-security"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "form-action 'self' https://kc.example" in headers["content-security-policy"]


def test_an_error_in_the_middle_of_an_answer_ends_the_connection() -> None:
    async def half(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    with pytest.raises(RuntimeError):
        ask(half)


def test_a_client_that_went_away_is_no_error() -> None:
    async def gone(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ClientDisconnect

    assert ask(gone) == []


def test_other_protocols_pass() -> None:
    passed: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        passed.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    asyncio.run(EveryRequest(app, form_action=(), is_https=False)({"type": "lifespan"}, nothing, nothing))
    assert passed == ["lifespan"]
