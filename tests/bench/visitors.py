"""People at their browsers, as far as a benchmark needs them: cookies by server, and two ways to sign in.

Cookies are kept by hand: Python's cookie jar does not send Secure cookies over http, and in front of a benchmark it
would cost more than it does for a browser.
"""

import base64
import html
import json
import re
import secrets
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from bridge.oidc.pkce import build_code_challenge, build_code_verifier
from bridge.oidc.token import build_client_authorization
from deploy.demo.realm import BRIDGE_SECRET
from tests.bench.figures import BenchmarkFailed, expect
from tests.bench.service import PACKAGE, RETURN_TO

_FORM = re.compile(r'<form[^>]*action="([^"]+)"')
_SCOPE = "openid profile email"


@dataclass(frozen=True)
class Person:
    """Somebody whom Keycloak knows by a living single sign-on cookie."""

    username: str
    cookies: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where people sign in: the realm, and the bridge in front of it."""

    issuer: str
    bridge_url: str

    @property
    def redirect_uri(self) -> str:
        """The callback that the realm knows."""
        return f"{self.bridge_url}/callback/{PACKAGE}"

    def endpoint(self, name: str) -> str:
        """Return an endpoint of Keycloak: `auth` or `token`."""
        return f"{self.issuer}/protocol/openid-connect/{name}"


def open_http(in_flight: int) -> httpx.AsyncClient:
    """Return the one client for everything: pooled, without a cookie jar."""
    no_cookies = CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
    limits = httpx.Limits(max_connections=2 * in_flight + 2, max_keepalive_connections=2 * in_flight + 2)
    headers = {"Accept": "text/html", "User-Agent": "keycloak-bridge benchmark"}
    return httpx.AsyncClient(cookies=no_cookies, limits=limits, headers=headers, timeout=60, trust_env=False)


async def come_in(http: httpx.AsyncClient, place: Place, username: str) -> Person:
    """Sign somebody in at Keycloak by its form, and keep the cookies; the code is left unused."""
    person = Person(username)
    url, _ = _authorization_url(place)
    shown = await _get(http, url, person.cookies)
    expect("the login form of Keycloak", wanted=200, found=shown.status_code)
    action = _FORM.search(shown.text)
    if action is None:
        raise BenchmarkFailed("Keycloak's login page holds no form")
    filled = {"username": username, "password": username, "credentialId": ""}
    answer = await http.post(html.unescape(action[1]), data=filled, headers=_cookie_header(person.cookies))
    _take_cookies(person.cookies, answer)
    _check_redirect(answer, 302, f"{place.redirect_uri}?")
    return person


async def sign_in_barely(http: httpx.AsyncClient, place: Place, person: Person) -> None:
    """Authorize and exchange the code, and do nothing with the answer but to look whether it is one."""
    nonce = secrets.token_urlsafe(32)
    url, verifier = _authorization_url(place, nonce=nonce)
    answered = await _get(http, url, person.cookies)
    parameters = parse_qs(urlsplit(_check_redirect(answered, 302, f"{place.redirect_uri}?")).query)
    form = {
        "grant_type": "authorization_code",
        "code": parameters["code"][0],
        "redirect_uri": place.redirect_uri,
        "code_verifier": verifier,
    }
    authorization = {"Authorization": build_client_authorization("bridge", BRIDGE_SECRET)}
    exchanged = await http.post(place.endpoint("token"), data=form, headers=authorization)
    expect("the exchange of a code", wanted=200, found=exchanged.status_code)
    expect("the nonce of an ID token", wanted=nonce, found=_claims(exchanged.json()["id_token"])["nonce"])


async def sign_in_through_bridge(http: httpx.AsyncClient, place: Place, person: Person) -> None:
    """Go to the bridge, to Keycloak and back, as a browser that has no session at the bridge yet."""
    own: dict[str, str] = {}
    begun = await _get(http, f"{place.bridge_url}/login?package={PACKAGE}", own)
    answered = await _get(http, _check_redirect(begun, 303, f"{place.endpoint('auth')}?"), person.cookies)
    ended = await _get(http, _check_redirect(answered, 302, f"{place.redirect_uri}?"), own)
    expect("the place to return to", wanted=RETURN_TO, found=_check_redirect(ended, 303, RETURN_TO))
    if not own.get(f"__Host-kb-{PACKAGE}"):
        raise BenchmarkFailed("the callback set no session cookie")


def _authorization_url(place: Place, *, nonce: str = "") -> tuple[str, str]:
    verifier = build_code_verifier()
    parameters = {
        "client_id": "bridge",
        "redirect_uri": place.redirect_uri,
        "response_type": "code",
        "scope": _SCOPE,
        "state": secrets.token_urlsafe(32),
        "nonce": nonce or secrets.token_urlsafe(32),
        "code_challenge": build_code_challenge(verifier),
        "code_challenge_method": "S256",
    }
    return f"{place.endpoint('auth')}?{urlencode(parameters)}", verifier


def _claims(id_token: str) -> dict[str, object]:
    payload = id_token.split(".")[1]
    claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


async def _get(http: httpx.AsyncClient, url: str, cookies: dict[str, str]) -> httpx.Response:
    answer = await http.get(url, headers=_cookie_header(cookies))
    _take_cookies(cookies, answer)
    return answer


def _cookie_header(cookies: dict[str, str]) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}


def _take_cookies(cookies: dict[str, str], answer: httpx.Response) -> None:
    for header in answer.headers.get_list("set-cookie"):
        pair, _, attributes = header.partition(";")
        name, _, value = pair.partition("=")
        if "max-age=0" in attributes.lower():
            cookies.pop(name, None)
        else:
            cookies[name] = value


def _check_redirect(answer: httpx.Response, status: int, begin: str) -> str:
    location = answer.headers.get("location", "")
    if answer.status_code != status or not location.startswith(begin):
        raise BenchmarkFailed(
            f"{answer.request.method} {answer.request.url.path}: expected {status} to {begin}, found "
            f"{answer.status_code} to {location.partition('?')[0] or 'nowhere'}"
        )
    return str(location)
