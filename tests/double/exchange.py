"""The token endpoint: code exchange, refresh, client credentials (RFC 6749), in the words of Keycloak 26.7."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from urllib.parse import unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.double.keys import encode_segment
from tests.double.realm import Realm
from tests.double.records import Client, Code, RefreshRecord, Session
from tests.double.serving import NO_STORE, House, Refused, fields, guarded, oauth_error
from tests.double.tokens import Login, login_answer, service_answer

BAD_CLIENT = "Invalid client or Invalid client credentials"


class Exchange:
    """The token endpoint."""

    def __init__(self, house: House) -> None:
        self._house = house

    def routes(self) -> list[Route]:
        """List the routes of this part."""
        return [Route("/realms/{realm}/protocol/openid-connect/token", guarded(self.token), methods=["POST"])]

    async def token(self, request: Request) -> Response:
        """Answer a token request."""
        realm = self._house.realm(request)
        form = fields(request)
        if "grant_type" not in form:
            return oauth_error(400, "invalid_request", "Missing form parameter: grant_type")
        with realm.lock:
            client = authenticated_client(realm, request, form)
            grants = {
                "authorization_code": self._code,
                "refresh_token": self._refresh,
                "client_credentials": self._service,
            }
            grant = grants.get(form["grant_type"])
            if grant is None:
                return oauth_error(400, "unsupported_grant_type", "Unsupported grant_type")
            return grant(realm, client, form)

    def _code(self, realm: Realm, client: Client, form: dict[str, str]) -> Response:
        value = form.get("code")
        if value is None:
            return oauth_error(400, "invalid_request", "Missing parameter: code")
        code = realm.sessions.take_code(value)
        sid = value.split(".")[1] if value.count(".") == 2 else None
        if code is None:
            raise self._failed(realm, client, sid, "invalid_code", "Code not valid")
        self._check_code(realm, client, code, form)
        session = realm.sessions.granted(code)
        user = realm.users[session.user_id]
        details = {"grant_type": "authorization_code", "code_id": session.id, "scope": code.scope}
        realm.record_event(
            "CODE_TO_TOKEN", client_id=client.client_id, userId=user.id, sessionId=session.id, details=details
        )
        return self._login(Login(realm, self._house.issuer(realm), user, client, session, code.scope, code.nonce))

    def _check_code(self, realm: Realm, client: Client, code: Code, form: dict[str, str]) -> None:
        """Check what a code is bound to; it is spent whatever comes out."""
        user = realm.users.get(realm.sessions.online[code.session_id].user_id)
        verifier = form.get("code_verifier")
        if code.client_uuid != client.uuid:
            error, reason = "invalid_code", "Auth error: Found different client_id in clientSession"
        elif user is None or not user.enabled:
            error, reason = "user_disabled", "User disabled"
        elif form.get("redirect_uri") != code.redirect_uri:
            error, reason = "invalid_code", "Incorrect redirect_uri"
        elif code.challenge is not None and verifier is None:
            error, reason = "code_verifier_missing", "PKCE code verifier not specified"
        elif verifier is not None and not re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier):
            error, reason = "invalid_code_verifier", "PKCE verification failed: Invalid code verifier"
        elif verifier is not None and encode_segment(hashlib.sha256(verifier.encode()).digest()) != code.challenge:
            error, reason = "pkce_verification_failed", "PKCE verification failed: Code mismatch"
        else:
            return
        raise self._failed(realm, client, code.session_id, error, reason)

    def _failed(self, realm: Realm, client: Client, sid: str | None, error: str, reason: str) -> Refused:
        details = {"grant_type": "authorization_code"}
        realm.record_event(
            "CODE_TO_TOKEN_ERROR", client_id=client.client_id, sessionId=sid, error=error, details=details
        )
        return Refused(oauth_error(400, "invalid_grant", reason))

    def _refresh(self, realm: Realm, client: Client, form: dict[str, str]) -> Response:
        if "refresh_token" not in form:
            return oauth_error(400, "invalid_request", "No refresh token")
        record, session = usable_refresh(realm, client, form["refresh_token"])
        reason = realm.sessions.spend_refresh(record, session)
        if reason is not None:
            return oauth_error(400, "invalid_grant", reason)
        user = realm.users[session.user_id]
        return self._login(Login(realm, self._house.issuer(realm), user, client, session, record.scope))

    def _login(self, login: Login) -> Response:
        if login.session.offline and not login.user.offline_access:
            return oauth_error(400, "not_allowed", "Offline tokens not allowed for the user or client")
        return JSONResponse(login_answer(login, self._house.faults), headers=NO_STORE)

    def _service(self, realm: Realm, client: Client, form: dict[str, str]) -> Response:
        user = realm.service_account(client.client_id)
        if user is None or client.secret is None:
            return oauth_error(401, "unauthorized_client", "Client not enabled to retrieve service account")
        details = {"grant_type": form["grant_type"], "username": user.username}
        realm.record_event("CLIENT_LOGIN", client_id=client.client_id, userId=user.id, details=details)
        answer = service_answer(realm, self._house.issuer(realm), client=client, user=user)
        return JSONResponse(answer, headers=NO_STORE)


def authenticated_client(realm: Realm, request: Request, form: dict[str, str]) -> Client:
    """Authenticate a client by basic or post (RFC 6749, section 2.3.1); a public one only names itself."""
    client_id, secret = form.get("client_id"), form.get("client_secret")
    basic = request.headers.get("authorization", "")
    if basic.lower().startswith("basic "):
        try:
            name, _, word = base64.b64decode(basic[6:], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise Refused(oauth_error(401, "invalid_client", BAD_CLIENT)) from None
        client_id, secret = unquote_plus(name), unquote_plus(word)
    client = realm.client(client_id or "")
    if client is None or not client.enabled:
        raise Refused(oauth_error(401, "invalid_client", BAD_CLIENT))
    if client.secret is not None and not hmac.compare_digest(client.secret.encode(), (secret or "").encode()):
        raise Refused(oauth_error(401, "unauthorized_client", BAD_CLIENT))
    return client


def usable_refresh(realm: Realm, client: Client, token: str) -> tuple[RefreshRecord, Session]:
    """Find what a refresh token stands for, or refuse it in Keycloak's words."""
    claims = realm.keys.read_refresh(token)
    record = None if claims is None else realm.sessions.refresh_tokens.get(str(claims.get("jti")))
    if record is None:
        raise _no_grant("Invalid refresh token")
    if record.client_uuid != client.uuid:
        raise _no_grant("Invalid refresh token. Token client and authorized client don't match")
    if record.expires is not None and record.expires < realm.clock.now():
        raise _no_grant("Token is not active")
    session = realm.sessions.find(record.session_id, offline=record.offline)
    user = None if session is None else realm.users.get(session.user_id)
    if session is None or user is None:
        raise _no_grant("Offline user session not found" if record.offline else "Session not active")
    if not user.enabled:
        raise _no_grant("User disabled")
    if record.client_uuid not in session.clients:
        raise _no_grant("Session doesn't have required client")
    return record, session


def _no_grant(reason: str) -> Refused:
    return Refused(oauth_error(400, "invalid_grant", reason))
