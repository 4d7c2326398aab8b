"""The one place that turns an error into an answer: a page for people, JSON for programs, evidence for the log."""

from collections.abc import Mapping

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from bridge.errors import (
    BridgeError,
    KeycloakError,
    NotSignedIn,
    RequestRefused,
    ReturnToRefused,
    SignInRefused,
    StorageError,
)
from bridge.telemetry import REQUEST_ID, get_logger
from bridge.web.dependencies import get_bridge

log = get_logger()

TITLES = {
    401: "Please sign in",
    404: "Not found",
    405: "Not possible here",
    413: "Too much",
    429: "Please wait",
    503: "Please try again",
}
SERVER_FAULT = 500


class NotHere(RequestRefused):
    """There is nothing at this address."""

    code = "not_found"


class MethodRefused(RequestRefused):
    """This address does not take requests of this kind."""

    code = "method_not_allowed"


def wants_page(request: Request) -> bool:
    """Whether the visitor is a browser that shows a page, rather than a program."""
    return "text/html" in request.headers.get("accept", "")


def render_error(
    request: Request, error: BridgeError, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Log an error with its evidence and answer with what its reader may know."""
    number = status or error.status
    write = log.error if number >= SERVER_FAULT else log.warning
    write("refused", error=error.code, status=number, path=request.url.path, hint=error.hint, evidence=error.evidence)
    # The address of a callback holds a code, and nothing on this page needs to know where it was.
    headers = {"Referrer-Policy": "no-referrer", **(headers or {})}
    if error.retry_after:
        headers["Retry-After"] = str(error.retry_after)
    request_id = REQUEST_ID.get()
    if not wants_page(request):
        if isinstance(error, NotSignedIn):
            headers["WWW-Authenticate"] = _build_challenge(request)
        body = {"error": error.code, "message": error.message, "request_id": request_id}
        return JSONResponse(body, status_code=number, headers=headers)
    page = (
        get_bridge(request)
        .pages.get_template("error.html")
        .render(
            title=TITLES.get(number, "This did not work"),
            message=error.message,
            code=error.code,
            request_id=request_id,
            start_again=_start_again(request, error),
        )
    )
    return HTMLResponse(page, status_code=number, headers=headers)


def _build_challenge(request: Request) -> str:
    """Return how a program signs in (RFC 6750 section 3); one that showed nothing is told of no error."""
    challenge = 'Bearer realm="bridge"'
    return f'{challenge}, error="invalid_token"' if "authorization" in request.headers else challenge


def _start_again(request: Request, error: BridgeError) -> str | None:
    """Return the way on where signing in is one: for the package of the address."""
    if not isinstance(error, SignInRefused | KeycloakError | StorageError | NotSignedIn | ReturnToRefused):
        return None
    package = request.path_params.get("package") or request.query_params.get("package")
    known = get_bridge(request).relying_parties
    if package is None:
        return "/login" if len(known) == 1 else None
    return f"/login?package={package}" if package in known else None


def install(app: FastAPI) -> None:
    """Make `render_error` answer for every error a route raises; what else happens ends in `EveryRequest`."""

    async def render_ours(request: Request, error: Exception) -> Response:
        return render_error(request, error if isinstance(error, BridgeError) else BridgeError())

    async def render_http(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else SERVER_FAULT
        kind = {404: NotHere, 405: MethodRefused}.get(status, RequestRefused)
        headers = error.headers if isinstance(error, HTTPException) else None
        return render_error(request, kind(), status=status, headers=headers)

    async def render_unreadable(request: Request, _error: Exception) -> Response:
        return render_error(request, RequestRefused())

    app.add_exception_handler(BridgeError, render_ours)
    app.add_exception_handler(HTTPException, render_http)
    app.add_exception_handler(RequestValidationError, render_unreadable)
