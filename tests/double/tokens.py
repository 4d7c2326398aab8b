"""The tokens of a login, as Keycloak 26.7 makes them, and the claims a fault changes."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass

from tests.double.faults import Faults
from tests.double.keys import encode_segment
from tests.double.realm import Realm
from tests.double.records import Client, Json, Session, User


def at_hash(access_token: str) -> str:
    """Hash an access token for the ID token (OpenID Connect Core, section 3.1.3.6)."""
    return encode_segment(hashlib.sha256(access_token.encode()).digest()[:16])


def shown_scope(scope: str) -> str:
    """Write the granted scope as the token answer shows it: email and profile are default scopes."""
    asked = scope.split()
    return " ".join([*(one for one in asked if one not in {"email", "profile"}), "email", "profile"])


def person_claims(user: User) -> Json:
    """Give the claims about a person that the default mappers write: no groups, no attributes."""
    claims: Json = {"email_verified": user.email_verified, "name": user.name or None, "email": user.email}
    claims |= {"preferred_username": user.username, "given_name": user.first_name, "family_name": user.last_name}
    return {name: value for name, value in claims.items() if value is not None}


@dataclass(frozen=True)
class Login:
    """Whose tokens are made, for which client, in which session."""

    realm: Realm
    issuer: str
    user: User
    client: Client
    session: Session
    scope: str
    nonce: str | None = None


def login_answer(login: Login, faults: Faults) -> Json:
    """Make the token answer of a code exchange or a refresh."""
    sessions = login.realm.sessions
    scope = shown_scope(login.scope)
    person = person_claims(login.user)
    base = _base(login)
    claims = {**base, "jti": f"onrtac:{uuid.uuid4()}", "aud": "account", "typ": "Bearer", "scope": scope}
    access = login.realm.keys.sign(claims | person)
    sessions.access_tokens.add(access)
    refresh, refresh_seconds = _refresh_token(login)
    answer: Json = {
        "access_token": access,
        "expires_in": sessions.access_token_seconds,
        "refresh_expires_in": refresh_seconds,
        "refresh_token": refresh,
        "token_type": "Bearer",
        "not-before-policy": 0,
        "session_state": login.session.id,
        "scope": scope,
    }
    if "openid" in login.scope.split():
        claims = {**base, "jti": str(uuid.uuid4()), "aud": login.client.client_id, "typ": "ID"}
        claims |= {"at_hash": at_hash(access)} | ({"nonce": login.nonce} if login.nonce else {})
        answer["id_token"] = faults.sign_id_token(login.realm.keys, claims | person)
    return faults.change_token_answer(answer)


def service_answer(realm: Realm, issuer: str, *, client: Client, user: User) -> Json:
    """Make the answer of client_credentials: no session, no refresh token."""
    now = int(realm.clock.now())
    claims: Json = {"exp": now + realm.sessions.access_token_seconds, "iat": now, "jti": f"trrtcc:{uuid.uuid4()}"}
    claims |= {"iss": issuer, "aud": "realm-management", "sub": user.id, "typ": "Bearer", "azp": client.client_id}
    claims |= {"acr": "1", "resource_access": {"realm-management": {"roles": sorted(user.roles)}}}
    access = realm.keys.sign(claims | {"scope": "email profile", "preferred_username": user.username})
    realm.sessions.access_tokens.add(access)
    return {
        "access_token": access,
        "expires_in": realm.sessions.access_token_seconds,
        "refresh_expires_in": 0,
        "token_type": "Bearer",
        "not-before-policy": 0,
        "scope": "email profile",
    }


def logout_token(realm: Realm, issuer: str, client_id: str, *, sub: str | None, sid: str | None) -> Json:
    """Give the claims of a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.4)."""
    now = int(realm.clock.now())
    claims: Json = {"iat": now, "exp": now + 120, "jti": str(uuid.uuid4()), "iss": issuer, "aud": client_id}
    claims |= {"sub": sub, "typ": "Logout", "sid": sid}
    claims["events"] = {"http://schemas.openid.net/event/backchannel-logout": {}}
    return {name: value for name, value in claims.items() if value is not None}


def _base(login: Login) -> Json:
    now = int(login.realm.clock.now())
    return {
        "exp": now + login.realm.sessions.access_token_seconds,
        "iat": now,
        "auth_time": login.session.auth_time,
        "iss": login.issuer,
        "sub": login.user.id,
        "azp": login.client.client_id,
        "sid": login.session.id,
        "acr": login.session.clients[login.client.uuid].acr,
    }


def _refresh_token(login: Login) -> tuple[str, int]:
    now = login.realm.clock.now()
    jti = str(uuid.uuid4())
    record = login.realm.sessions.keep_refresh(jti, login.session, login.client.uuid, scope=login.scope)
    claims: Json = {"iat": int(now), "jti": jti, "iss": login.issuer, "aud": login.issuer, "sub": login.user.id}
    claims |= {"typ": "Offline" if record.offline else "Refresh", "azp": login.client.client_id}
    claims |= {"sid": login.session.id, "scope": login.scope}
    if record.expires is not None:
        claims["exp"] = int(record.expires)
    return login.realm.keys.sign_refresh(claims), 0 if record.expires is None else round(record.expires - now)
