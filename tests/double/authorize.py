"""The authorization endpoint and the login form (OpenID Connect Core, section 3.1.2)."""

from __future__ import annotations

import html
import re
import secrets
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tests.double.realm import Realm
from tests.double.records import Client, Json, Session, User
from tests.double.serving import House, Refused, fields, guarded, page, uri_allowed

COOKIE = "KEYCLOAK_IDENTITY"


class Authorize:
    """Decides who the browser is, and sends it back with a code or an error."""

    def __init__(self, house: House) -> None:
        self._house = house

    def routes(self) -> list[Route]:
        """List the routes of this part."""
        return [
            Route("/realms/{realm}/protocol/openid-connect/auth", guarded(self.authorize), methods=["GET", "POST"]),
            Route("/realms/{realm}/login-actions/authenticate", guarded(self.authenticate), methods=["POST"]),
        ]

    async def authorize(self, request: Request) -> Response:
        """Answer an authorization request."""
        realm = self._house.realm(request)
        try:
            asked = fields(request)
        except Refused:
            return page(400, "Invalid Request")
        client = realm.client(asked.get("client_id", ""))
        if client is None or not client.enabled:
            return page(400, "Client not found.")
        if not uri_allowed(asked.get("redirect_uri", ""), client.redirect_uris):
            return page(400, "Invalid parameter: redirect_uri")
        error = problem(client, asked)
        if error is not None:
            return self._back(realm, asked, error)
        with realm.lock:
            return self._decide(realm, client, asked, request)

    def _decide(self, realm: Realm, client: Client, asked: dict[str, str], request: Request) -> Response:
        session = self._browser_session(realm, request)
        if session is not None and not must_ask(realm, session, asked):
            return self._with_cookie(realm, self._code(realm, client, asked, session, acr="0", fresh=False), session)
        if "none" in asked.get("prompt", "").split():
            return self._back(realm, asked, {"error": "login_required"})
        person = realm.users.get(self._house.signed_in or "")
        if person is not None and person.enabled and self._house.types_password:
            return self._logged_in(realm, client, asked, person, session)
        return self._form(realm, asked)

    async def authenticate(self, request: Request) -> Response:
        """Take the login form."""
        realm = self._house.realm(request)
        asked = self._house.pending.get(request.query_params.get("session_code", ""))
        if asked is None:
            return page(400, "Page has expired")
        client = realm.client(asked["client_id"])
        form = fields(request)
        user = realm.user(form.get("username", ""))
        right = user is not None and user.password is not None and user.password == form.get("password")
        if user is None or client is None or not right or not user.enabled:
            error = "user_disabled" if right else "invalid_user_credentials"
            identity = None if user is None else user.id
            realm.record_event("LOGIN_ERROR", client_id=asked["client_id"], userId=identity, error=error)
            return self._form(realm, asked, "Account is disabled." if right else "Invalid username or password.")
        with realm.lock:
            session = self._cookie_session(realm, request)
            own = session if session is not None and session.user_id == user.id else None
            return self._logged_in(realm, client, asked, user, own)

    def _logged_in(
        self, realm: Realm, client: Client, asked: dict[str, str], user: User, session: Session | None
    ) -> Response:
        """Open a session, or renew the one there is: its id stays, its auth_time is now."""
        fresh = session is None
        session = session or realm.sessions.open(user.id)
        session.auth_time = int(realm.clock.now())
        return self._with_cookie(realm, self._code(realm, client, asked, session, acr="1", fresh=fresh), session)

    def _with_cookie(self, realm: Realm, response: Response, session: Session) -> Response:
        """Set the identity cookie; Keycloak marks it Secure even over http, the double does not: plain jars work."""
        response.set_cookie(COOKIE, session.id, path=f"/realms/{realm.name}/", httponly=True, samesite="lax")
        return response

    def _code(
        self, realm: Realm, client: Client, asked: dict[str, str], session: Session, *, acr: str, fresh: bool
    ) -> Response:
        code = realm.sessions.issue_code(
            session,
            client.uuid,
            redirect_uri=asked["redirect_uri"],
            scope=asked.get("scope", ""),
            nonce=asked.get("nonce"),
            challenge=asked.get("code_challenge"),
            fresh=fresh,
            acr=acr,
        )
        user = realm.users[session.user_id]
        details = {"username": user.username, "redirect_uri": asked["redirect_uri"], "code_id": session.id}
        realm.record_event("LOGIN", client_id=client.client_id, userId=user.id, sessionId=session.id, details=details)
        return self._back(realm, asked, {"session_state": session.id, "code": code.value})

    def _back(self, realm: Realm, asked: dict[str, str], answer: dict[str, str]) -> Response:
        """Redirect with Keycloak's parameters in Keycloak's order; `iss` is in errors too (RFC 9207)."""
        names = ("error", "error_description", "state", "session_state", "iss", "code")
        every = {**answer, "state": asked.get("state"), "iss": self._house.issuer(realm)}
        ordered: Json = {name: every[name] for name in names if every.get(name) is not None}
        query = urlencode(
            {name: str(value) for name, value in self._house.faults.apply("authorization", ordered).items()}
        )
        uri = asked["redirect_uri"]
        return RedirectResponse(f"{uri}{'&' if '?' in uri else '?'}{query}", 302, {"cache-control": "no-store"})

    def _form(self, realm: Realm, asked: dict[str, str], message: str = "") -> Response:
        key = secrets.token_urlsafe(16)
        self._house.pending[key] = asked
        action = f"{self._house.url}/realms/{realm.name}/login-actions/authenticate?session_code={key}&client_id=x"
        return page(
            200,
            "Sign in to your account",
            f'<p>{message}</p><form id="kc-form-login" action="{html.escape(action)}" method="post">'
            '<input id="username" name="username" type="text"><input id="password" name="password" type="password">'
            '<input type="hidden" name="credentialId"><button id="kc-login" type="submit">Sign In</button></form>',
        )

    def _browser_session(self, realm: Realm, request: Request) -> Session | None:
        """Give the session of the browser; `sign_in_as` makes every browser that person, signed in before."""
        session = self._cookie_session(realm, request)
        person = realm.users.get(self._house.signed_in or "")
        if person is None:
            return session
        if session is not None and session.user_id == person.id:
            return session
        if self._house.types_password or not person.enabled:
            return None
        session = realm.sessions.open(person.id)
        session.started = session.auth_time = int(self._house.signed_in_at)
        return session

    def _cookie_session(self, realm: Realm, request: Request) -> Session | None:
        session = realm.sessions.find(request.cookies.get(COOKIE, ""))
        user = None if session is None else realm.users.get(session.user_id)
        return session if user is not None and user.enabled else None


def must_ask(realm: Realm, session: Session, asked: dict[str, str]) -> bool:
    """Say whether a session is not enough: `prompt=login`, or older than `max_age`."""
    prompts = asked.get("prompt", "").split()
    if "login" in prompts or "select_account" in prompts or "create" in prompts:
        return True
    limit = asked.get("max_age")
    return limit is not None and limit.isdigit() and realm.clock.now() - session.auth_time > int(limit) + 1


def problem(client: Client, asked: dict[str, str]) -> dict[str, str] | None:
    """Find what Keycloak answers by redirect, in its words."""
    kind = asked.get("response_type")
    if kind is None:
        return _invalid("Missing parameter: response_type")
    if kind != "code" or not client.standard_flow:
        return {"error": "unsupported_response_type"}
    wrong = challenge_problem(client, asked)
    return None if wrong is None else _invalid(wrong)


def challenge_problem(client: Client, asked: dict[str, str]) -> str | None:
    """Check the code challenge (RFC 7636, section 4.4.1) in Keycloak's order."""
    method, challenge = asked.get("code_challenge_method"), asked.get("code_challenge")
    if client.pkce is None and challenge is None:
        return None
    if method is None:
        return "Missing parameter: code_challenge_method"
    if method != (client.pkce or "S256"):
        return "Invalid parameter: code challenge method is not matching the configured one"
    if challenge is None:
        return "Missing parameter: code_challenge"
    if not re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", challenge):
        return "Invalid parameter: code_challenge"
    return None


def _invalid(description: str) -> dict[str, str]:
    return {"error": "invalid_request", "error_description": description}
