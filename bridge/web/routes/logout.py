"""`/logout`: a page to confirm, the form that signs out here and at Keycloak, and the way back from there."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bridge.errors import NotSignedIn, ReturnToRefused, UnsupportedForm
from bridge.flows import logout
from bridge.flows.relying_party import RelyingParty
from bridge.flows.return_to import check_return_to
from bridge.flows.signed_in import get_signed_in
from bridge.model import ClientFacts
from bridge.oidc.authorization import check_parameters
from bridge.web import cookies
from bridge.web.dependencies import Bridge, Client, RunningBridge, read_credential, shows_key
from bridge.web.forms import build_form_token, check_form_token, check_origin

router = APIRouter()

FORM = "application/x-www-form-urlencoded"


@router.get("/logout")
async def confirm(request: Request, bridge: RunningBridge, client: Client) -> Response:
    """Ask before signing out: a link of another site must not do it by itself."""
    parameters = check_parameters(request.query_params.multi_items())
    rp = bridge.get_relying_party(parameters.get("package"))
    return_to = parameters.get("return_to")
    if return_to is not None:
        check_return_to(return_to, public_url=rp.public_url, allowed=rp.settings.return_to)
    presented = read_credential(request, rp)
    try:
        found = await get_signed_in(rp, presented, client=client)
    except NotSignedIn:
        return _signed_out(bridge, rp, alive_at_keycloak=False)
    page = bridge.pages.get_template("logout.html").render(
        title="Sign out",
        package=rp.package,
        username=found.user.username,
        form_token=build_form_token(presented.credential or ""),
        return_to=return_to,
    )
    return HTMLResponse(page)


@router.post("/logout")
async def sign_out(request: Request, bridge: RunningBridge, client: Client) -> Response:
    """End the session of this browser, then go to Keycloak with the ID token as a hint, so that it asks nothing.

    A program shows its key as a bearer, which no other site can make it do: it needs no form, and gets 204.
    """
    if shows_key(request):
        return await _sign_program_out(request, bridge, client)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UnsupportedForm
    async with request.form(max_fields=10) as form:
        fields = check_parameters([(name, str(value)) for name, value in form.multi_items()])
    rp = bridge.get_relying_party(fields.get("package"))
    credential = cookies.read_session(request, rp.package)
    # Also without a credential: a form of another site comes without the cookie, and must not take it away.
    check_origin(request, rp)
    if credential is not None:
        check_form_token(credential, fields.get("form_token", ""))
    ended = await logout.sign_out(rp, credential=credential, return_to=fields.get("return_to") or None)
    if ended.url is not None:
        response: Response = RedirectResponse(ended.url, status_code=303, headers={"Referrer-Policy": "no-referrer"})
        if ended.return_to is not None:
            cookies.set_logout(response, state=ended.state, return_to=ended.return_to)
    elif ended.return_to is not None and not ended.alive_at_keycloak:
        response = RedirectResponse(ended.return_to, status_code=303)
    else:
        response = _signed_out(bridge, rp, alive_at_keycloak=ended.alive_at_keycloak)
    cookies.delete_session(response, rp.package)
    return response


async def _sign_program_out(request: Request, bridge: Bridge, client: ClientFacts) -> Response:
    rp = bridge.get_relying_party(request.query_params.get("package"))
    presented = read_credential(request, rp)
    await get_signed_in(rp, presented, client=client)
    await logout.sign_out(rp, credential=presented.credential, return_to=None)
    return Response(status_code=204)


@router.get("/logout/done/{package}")
async def come_back(request: Request, package: str, bridge: RunningBridge) -> Response:
    """Take the browser back from Keycloak; an unknown state only means that we do not know where to go on."""
    rp = bridge.get_relying_party(package)
    state = check_parameters(request.query_params.multi_items()).get("state", "")
    return_to = cookies.read_logout(request, state)
    try:
        if return_to is None:
            return _signed_out(bridge, rp, alive_at_keycloak=False)
        check_return_to(return_to, public_url=rp.public_url, allowed=rp.settings.return_to)
    except ReturnToRefused:
        return _signed_out(bridge, rp, alive_at_keycloak=False)
    response = RedirectResponse(return_to, status_code=303)
    cookies.delete_logout(response, state)
    return response


def _signed_out(bridge: Bridge, rp: RelyingParty, *, alive_at_keycloak: bool) -> Response:
    page = bridge.pages.get_template("signed_out.html").render(
        title="Signed out", package=rp.package, alive_at_keycloak=alive_at_keycloak
    )
    return HTMLResponse(page)
