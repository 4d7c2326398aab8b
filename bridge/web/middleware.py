"""What every request gets: an id, a line in the log without its query, and headers that browsers obey (pure ASGI)."""

import time
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge.errors import BridgeError
from bridge.telemetry import REQUEST_ID, get_logger
from bridge.web.error_handlers import render_error

log = get_logger()


class EveryRequest:
    """Wraps the application; `form_action` lists the origins that a sign-out form may lead to."""

    def __init__(self, app: ASGIApp, *, form_action: tuple[str, ...], is_https: bool) -> None:
        """Take the application and what its headers depend on."""
        self._app = app
        # Chromium holds this against every redirect that answers the form: Keycloak, and the application behind it.
        policy = f"default-src 'none'; style-src 'self'; form-action 'self' {' '.join(form_action)}"
        self._headers = {
            "content-security-policy": f"{policy}; base-uri 'none'; frame-ancestors 'none'",
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
            # Not no-referrer: browsers would then say "Origin: null" on our own forms.
            "referrer-policy": "same-origin",
        }
        if is_https:
            self._headers["strict-transport-security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(uuid4())
        token = REQUEST_ID.set(request_id)
        began = time.perf_counter()
        status, began_to_answer = 500, False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, began_to_answer
            if message["type"] == "http.response.start":
                status, began_to_answer = message["status"], True
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers["x-request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            log.info("client_went_away", path=scope["path"])
        except Exception as error:
            # Caught here, inside the headers and the request id, and not raised again: the connection stays usable.
            log.exception("unexpected_error", path=scope["path"], reason=type(error).__name__)
            if began_to_answer:
                raise
            response = render_error(Request(scope, receive), BridgeError())
            await response(scope, receive, send_with_headers)
        finally:
            milliseconds = round((time.perf_counter() - began) * 1000, 1)
            log.info("request", method=scope["method"], path=scope["path"], status=status, milliseconds=milliseconds)
            REQUEST_ID.reset(token)
