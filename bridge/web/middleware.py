"""What every request gets: an id, a line in the log without its query, and headers that browsers obey (pure ASGI)."""

import time
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge.telemetry import REQUEST_ID, get_logger

log = get_logger()


class EveryRequest:
    """Wraps the application; `form_action` lists the origins that a sign-out form may lead to."""

    def __init__(self, app: ASGIApp, *, form_action: tuple[str, ...], is_https: bool) -> None:
        """Take the application and what its headers depend on."""
        self._app = app
        # Without Keycloak's origin Chromium blocks the redirect that answers the sign-out form.
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
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers["x-request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            milliseconds = round((time.perf_counter() - began) * 1000, 1)
            log.info("request", method=scope["method"], path=scope["path"], status=status, milliseconds=milliseconds)
            REQUEST_ID.reset(token)
