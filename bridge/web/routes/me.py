"""`GET /me`: who is signed in, as a page for people and as JSON for applications."""

from datetime import datetime

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from bridge.flows.session import get_signed_in
from bridge.model import User, UserSession
from bridge.web import cookies
from bridge.web.dependencies import RunningBridge
from bridge.web.error_handlers import wants_page
from bridge.web.forms import build_form_token

router = APIRouter()


@router.get("/")
async def home() -> Response:
    """Send people who come without an application to their own page."""
    return RedirectResponse("/me", status_code=303)


@router.get("/me")
async def show(request: Request, bridge: RunningBridge, package: str | None = None) -> Response:
    """Show the signed-in person, with groups and session; 401 when nobody is."""
    rp = bridge.get_relying_party(package)
    credential = cookies.read_session(request, rp.package)
    session, user = await get_signed_in(rp, credential)
    facts = _describe(session, user, form_token=build_form_token(credential or ""))
    if not wants_page(request):
        return JSONResponse(facts)
    return HTMLResponse(bridge.pages.get_template("me.html").render(title="Signed in", **facts))


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
