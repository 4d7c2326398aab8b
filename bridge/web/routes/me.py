"""`GET /me`: who is signed in, as a page for people and as JSON for applications."""

from datetime import datetime

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from bridge.flows.signed_in import get_signed_in, rotate_if_due
from bridge.model import User, UserSession
from bridge.web import cookies
from bridge.web.dependencies import Client, RunningBridge, read_credential
from bridge.web.error_handlers import wants_page
from bridge.web.forms import build_form_token

router = APIRouter()


@router.get("/")
async def home() -> Response:
    """Send people who come without an application to their own page."""
    return RedirectResponse("/me", status_code=303)


@router.get("/me")
async def show(request: Request, bridge: RunningBridge, client: Client, package: str | None = None) -> Response:
    """Show the signed-in person, with groups and session; 401 when nobody is.

    A page reaches the browser, so it carries a new cookie when the present one is old enough. JSON does not: an
    application asks for it with its visitor's cookie, and has no way to pass another on.
    """
    rp = bridge.get_relying_party(package)
    presented = read_credential(request, rp)
    found = await get_signed_in(rp, presented, client=client)
    credential = str(presented.credential)
    if not wants_page(request):
        return JSONResponse(_describe(found.session, found.user, form_token=build_form_token(credential)))
    successor = None if presented.is_bearer else await rotate_if_due(rp, found, credential=credential)
    facts = _describe(found.session, found.user, form_token=build_form_token(successor or credential))
    response = HTMLResponse(bridge.pages.get_template("me.html").render(title="Signed in", **facts))
    if successor is not None:
        cookies.set_session(response, rp.package, successor, expires_at=found.session.expires_at, now=bridge.now())
    return response


def _describe(session: UserSession, user: User, *, form_token: str) -> dict[str, object]:
    """Return what an application may know of its visitor; times are ISO 8601 in UTC."""
    return {
        "package": session.package,
        "user": {
            "username": user.username,
            "uuid": user.uuid,
            "email": user.email,
            "first_name": user.first_name,
            "last_name": user.last_name,
            "display_name": user.display_name,
            "groups": list(user.usergroups),
        },
        "session": {
            "id": session.session_id,
            "created_at": session.created_at.isoformat(),
            "expires_at": session.expires_at.isoformat(),
            "login_method": session.login_method,
            "auth_time": _iso(session.auth_time),
        },
        "form_token": form_token,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
