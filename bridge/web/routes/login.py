"""`GET /login` sends a browser to Keycloak, `GET /callback/{package}` takes it back."""

from collections.abc import Mapping

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bridge.errors import HintRefused
from bridge.flows import web_login
from bridge.flows.duplicates import Callback, SignedIn
from bridge.flows.web_login import Started
from bridge.oidc.authorization import PROMPTS, LoginHints, check_parameters
from bridge.web import cookies
from bridge.web.dependencies import Bridge, Client, RunningBridge

router = APIRouter()

LONGEST_HINT = 255
LONGEST_AGE_DIGITS = 7


@router.get("/login")
async def begin(request: Request, bridge: RunningBridge, client: Client) -> Response:
    """Begin a login: `package`, `return_to` and a few hints; every other parameter is ignored."""
    parameters = check_parameters(request.query_params.multi_items())
    rp = bridge.get_relying_party(parameters.get("package"))
    started = await web_login.start(rp, client, return_to=parameters.get("return_to"), hints=_read_hints(parameters))
    return _to_keycloak(request, bridge, started)


@router.get("/callback/{package}")
async def come_back(request: Request, package: str, bridge: RunningBridge, client: Client) -> Response:
    """Finish a login, or begin it again where that helps."""
    rp = bridge.get_relying_party(package)
    parameters = check_parameters(request.query_params.multi_items())
    callback = Callback(
        parameters=parameters,
        binding=cookies.read_binding(request, parameters.get("state", "")),
        keeps_cookies=cookies.keeps_cookies(request),
        session_credential=cookies.read_session(request, package),
        client=client,
    )
    outcome = await web_login.finish(rp, callback)
    if isinstance(outcome, Started):
        return _to_keycloak(request, bridge, outcome)
    return _to_application(bridge, package, outcome)


def _read_hints(parameters: Mapping[str, str]) -> LoginHints:
    """Return the hints that are understood; the rest of a request cannot reach Keycloak through us.

    Raises:
        HintRefused: the application asked for a proof that it would not get; ignoring that would pass for having it.
    """
    prompt, age = parameters.get("prompt"), parameters.get("max_age")
    if "acr_values" in parameters:
        raise HintRefused("Signing in at a stronger level (acr_values) is not available in this version.")
    if age is not None and not (age.isascii() and age.isdigit() and len(age) <= LONGEST_AGE_DIGITS):
        raise HintRefused("The parameter max_age must be a number of seconds.", evidence={"max_age": age[:100]})
    return LoginHints(
        prompt=prompt if prompt in PROMPTS else None,
        login_hint=parameters.get("login_hint", "")[:LONGEST_HINT] or None,
        ui_locales=parameters.get("ui_locales", "")[:LONGEST_HINT] or None,
        max_age=None if age is None else int(age),
    )


def _to_keycloak(request: Request, bridge: Bridge, started: Started) -> Response:
    response = _redirect(started.url)
    cookies.set_binding(request, response, state_digest=started.state_digest, binding=started.binding, now=bridge.now())
    return response


def _to_application(bridge: Bridge, package: str, signed_in: SignedIn) -> Response:
    response = _redirect(signed_in.return_to)
    if signed_in.credential is not None and signed_in.expires_at is not None:
        cookies.set_session(response, package, signed_in.credential, expires_at=signed_in.expires_at, now=bridge.now())
    return response


def _redirect(url: str) -> Response:
    """Answer 303, so that no method and no body travels on, without telling the next page where we came from."""
    return RedirectResponse(url, status_code=303, headers={"Referrer-Policy": "no-referrer"})
