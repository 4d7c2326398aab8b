"""Discovery, keys, userinfo, logout and revocation."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.double.authorize import COOKIE
from tests.double.exchange import authenticated_client, usable_refresh
from tests.double.realm import Realm
from tests.double.records import Client, Json, Session, User
from tests.double.serving import NO_STORE, House, Refused, fields, guarded, oauth_error, page, uri_allowed
from tests.double.tokens import person_claims

PROTOCOL = "/realms/{realm}/protocol/openid-connect"


class OpenId:
    """The endpoints around a login."""

    def __init__(self, house: House) -> None:
        self._house = house

    def routes(self) -> list[Route]:
        """List the routes of this part."""
        return [
            Route("/realms/{realm}/.well-known/openid-configuration", guarded(self.discovery)),
            Route(f"{PROTOCOL}/certs", guarded(self.certs)),
            Route(f"{PROTOCOL}/userinfo", guarded(self.userinfo), methods=["GET", "POST"]),
            Route(f"{PROTOCOL}/logout", guarded(self.end_session), methods=["GET", "POST"]),
            Route(f"{PROTOCOL}/revoke", guarded(self.revoke), methods=["POST"]),
        ]

    async def discovery(self, request: Request) -> Response:
        """Show the metadata (OpenID Connect Discovery 1.0, section 4)."""
        realm = self._house.realm(request)
        document = metadata(self._house.issuer(realm), f"{self._house.url}/realms/{realm.name}")
        return JSONResponse(self._house.faults.apply("discovery", document))

    async def certs(self, request: Request) -> Response:
        """Show the keys (RFC 7517)."""
        return JSONResponse(self._house.realm(request).keys.jwks(), headers={"cache-control": "no-cache"})

    async def userinfo(self, request: Request) -> Response:
        """Give the claims of the bearer (OpenID Connect Core, section 5.3)."""
        realm = self._house.realm(request)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            raise bearer_error(realm, 401)
        with realm.lock:
            user, claims = bearer(realm, token)
            scope = str(claims.get("scope", ""))
        if "openid" not in scope.split():
            raise bearer_error(realm, 403, "insufficient_scope", "Missing openid scope")
        return JSONResponse({"sub": user.id, **person_claims(user)}, headers=NO_STORE)

    async def end_session(self, request: Request) -> Response:
        """Log out: by the browser with a hint (RP-Initiated Logout 1.0), or by a refresh token."""
        realm = self._house.realm(request)
        asked = fields(request)
        with realm.lock:
            if "refresh_token" in asked:
                client = authenticated_client(realm, request, asked)
                return _backend_logout(realm, client, asked["refresh_token"])
            return self._browser_logout(realm, request, asked)

    def _browser_logout(self, realm: Realm, request: Request, asked: dict[str, str]) -> Response:
        hint = asked.get("id_token_hint")
        claims = None if hint is None else realm.keys.read(hint)
        if hint is not None and (claims is None or claims.get("typ") != "ID"):
            return page(400, "Invalid parameter: id_token_hint")
        client_id = asked.get("client_id") or (None if claims is None else str(claims["azp"]))
        uri = asked.get("post_logout_redirect_uri")
        client = realm.client(client_id or "")
        if claims is not None and claims["azp"] != client_id:
            return page(400, "Invalid parameter: client_id")
        if uri is not None and (client is None or not uri_allowed(uri, client.post_logout_uris)):
            return page(400, "Invalid redirect uri")
        browser = realm.sessions.find(request.cookies.get(COOKIE, ""))
        sid = None if claims is None else str(claims["sid"])
        if browser is not None and browser.id != sid:
            return page(200, "Logging out", "<p>Do you want to log out?</p>")
        if sid is not None:
            log_out(realm, realm.sessions.find(sid), client)
        if uri is None:
            return page(200, "You are logged out")
        query = urlencode({"state": asked["state"]}) if "state" in asked else ""
        response = RedirectResponse(f"{uri}{'?' if query else ''}{query}", 302)
        response.delete_cookie(COOKIE, path=f"/realms/{realm.name}/")
        return response

    async def revoke(self, request: Request) -> Response:
        """Revoke a token (RFC 7009): a refresh token takes its client out of the session."""
        realm = self._house.realm(request)
        form = fields(request)
        with realm.lock:
            client = authenticated_client(realm, request, form)
            token = form.get("token", "")
            if token in realm.sessions.access_tokens:
                realm.sessions.access_tokens.discard(token)
                return Response(status_code=200)
            try:
                _, session = usable_refresh(realm, client, token)
            except Refused:
                known = realm.keys.read_refresh(token) is not None
                return Response() if known else oauth_error(200, "invalid_token", "Invalid token")
            realm.sessions.leave(session, client.uuid)
            return Response(status_code=200)


def bearer(realm: Realm, token: str) -> tuple[User, Json]:
    """Check an access token of this realm, or refuse it as the userinfo endpoint does (RFC 6750, section 3.1)."""
    claims = realm.keys.read(token) if token in realm.sessions.access_tokens else None
    if claims is None or float(str(claims["exp"])) < realm.clock.now():
        raise bearer_error(realm, 401, "invalid_token", "Token verification failed")
    user = realm.users.get(str(claims["sub"]))
    client = realm.client(str(claims["azp"]))
    sid = claims.get("sid")
    if user is None or client is None or (sid is not None and not _alive(realm, str(sid), client.uuid)):
        raise bearer_error(realm, 401, "invalid_token", "user_session_not_found")
    if not user.enabled:
        raise bearer_error(realm, 401, "invalid_token", "User disabled")
    return user, claims


def bearer_error(realm: Realm, status: int, error: str | None = None, description: str = "") -> Refused:
    """Write the challenge of a refused bearer token; the body is empty."""
    detail = f', error="{error}", error_description="{description}"' if error else ""
    headers = {**NO_STORE, "www-authenticate": f'Bearer realm="{realm.name}"{detail}'}
    return Refused(PlainTextResponse("", status, headers=headers))


def log_out(realm: Realm, session: Session | None, client: Client | None) -> None:
    """End a session and record it."""
    if session is None:
        return
    realm.sessions.end(session.id, offline=session.offline)
    client_id = None if client is None else client.client_id
    realm.record_event("LOGOUT", client_id=client_id, userId=session.user_id, sessionId=session.id)


def _alive(realm: Realm, sid: str, client_uuid: str) -> bool:
    found = (realm.sessions.find(sid), realm.sessions.find(sid, offline=True))
    return any(session is not None and client_uuid in session.clients for session in found)


def _backend_logout(realm: Realm, client: Client, token: str) -> Response:
    claims = realm.keys.read_refresh(token)
    if claims is None:
        return oauth_error(400, "invalid_grant", "Invalid refresh token")
    offline = claims.get("typ") == "Offline"
    log_out(realm, realm.sessions.find(str(claims["sid"]), offline=offline), client)
    return Response(status_code=204)


def metadata(issuer: str, base: str) -> Json:
    """Write the part of Keycloak's discovery document that a relying party reads."""
    protocol = f"{base}/protocol/openid-connect"
    algorithms = ["PS384", "RS384", "EdDSA", "ES384", "HS256", "HS512", "ES256", "RS256", "HS384", "ES512", "PS256"]
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{protocol}/auth",
        "token_endpoint": f"{protocol}/token",
        "introspection_endpoint": f"{protocol}/token/introspect",
        "userinfo_endpoint": f"{protocol}/userinfo",
        "end_session_endpoint": f"{protocol}/logout",
        "jwks_uri": f"{protocol}/certs",
        "revocation_endpoint": f"{protocol}/revoke",
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
        "response_types_supported": ["code", "none", "id_token", "token"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["public", "pairwise"],
        "prompt_values_supported": ["none", "login", "consent"],
        "acr_values_supported": ["0", "1"],
        "id_token_signing_alg_values_supported": algorithms,
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic", "client_secret_post"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "name", "preferred_username", "email"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "code_challenge_methods_supported": ["plain", "S256"],
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "require_pushed_authorization_requests": False,
    }
