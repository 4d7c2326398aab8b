"""The two servers under contract, with the same few ways to arrange a test."""

from __future__ import annotations

import secrets
import ssl
from abc import ABC, abstractmethod
from dataclasses import dataclass

import httpx

from deploy.demo.keycloak_server import KeycloakServer
from tests.double import KeycloakDouble
from tests.double.records import SYNC_ROLES

CALLBACK = "http://127.0.0.1:8000/callback/demo"
AFTER_LOGOUT = "http://127.0.0.1:8000/logout/done/demo"
BRIDGE = ("bridge", "bridge-demo-secret")
SYNC = ("bridge-sync", "sync-demo-secret")
QUERY_ONLY = ("query-only", "query-only-secret")
BARE = ("bare", "bare-secret")
ROLES: dict[tuple[str, str], frozenset[str]] = {
    SYNC: SYNC_ROLES,
    QUERY_ONLY: frozenset({"query-users"}),
    BARE: frozenset(),
}
# A context costs 30 ms to make, and every client would make one of its own.
TLS = ssl.create_default_context()
SERVICE_ACCOUNTS = {f"service-account-{client_id}" for client_id, _ in ROLES}
NOBODY = "00000000-0000-0000-0000-000000000000"
TREE = ("/staff/sales", "/staff/support", "/guests")


@dataclass(frozen=True)
class Person:
    """Somebody made for one test; the password is the username."""

    id: str
    username: str


class Keycloak(ABC):
    """A server with one realm that both sides fill alike."""

    url: str
    realm: str
    http: httpx.Client

    @property
    def issuer(self) -> str:
        """The issuer of the realm."""
        return f"{self.url}/realms/{self.realm}"

    @property
    def endpoint(self) -> str:
        """The address before `/auth`, `/token`, ..."""
        return f"{self.issuer}/protocol/openid-connect"

    @abstractmethod
    def add_person(self, username: str) -> str:
        """Add somebody with a name, a verified address, and membership of /staff and /staff/sales; gives the id."""

    @abstractmethod
    def enable(self, person: Person, *, enabled: bool) -> None:
        """Enable or disable somebody."""

    @abstractmethod
    def revoke_refresh_tokens(self, *, on: bool) -> None:
        """Switch "revoke refresh token" of the realm."""

    def person(self) -> Person:
        """Add somebody new."""
        username = f"person-{secrets.token_hex(6)}"
        return Person(self.add_person(username), username)

    def token(self, form: dict[str, str], auth: tuple[str, str] | None = BRIDGE) -> httpx.Response:
        """Call the token endpoint, by default as the bridge; None sends no authorization."""
        return self.http.post(
            f"{self.endpoint}/token", data=form, auth=httpx.BasicAuth(*auth) if auth else httpx.Auth()
        )

    def userinfo(self, access_token: str) -> httpx.Response:
        """Call the userinfo endpoint."""
        headers = {"Authorization": f"Bearer {access_token}"}
        return self.http.get(f"{self.endpoint}/userinfo", headers=headers)

    def refresh(self, refresh_token: str) -> httpx.Response:
        """Refresh as the bridge."""
        return self.token({"grant_type": "refresh_token", "refresh_token": refresh_token})

    def admin(self, path: str, /, **params: str | int) -> httpx.Response:
        """Call the Admin API as the sync's service account."""
        return self.admin_as(SYNC, path, **params)

    def admin_as(self, account: tuple[str, str], path: str, /, **params: str | int) -> httpx.Response:
        """Call the Admin API as a service account."""
        granted = self.token({"grant_type": "client_credentials"}, account).json()
        headers = {"Authorization": f"Bearer {granted['access_token']}"}
        return self.http.get(f"{self.url}/admin/realms/{self.realm}{path}", headers=headers, params=params)


class DoubleServer(Keycloak):
    """The double."""

    def __init__(self, double: KeycloakDouble, http: httpx.Client) -> None:
        self._double = double
        self.http = http
        self.url, self.realm = double.url, double.realm.name
        for (client_id, secret), roles in ROLES.items():
            if double.realm.client(client_id) is None:
                double.realm.add_client(client_id, secret=secret, service_account=True, standard_flow=False)
            double.realm.set_roles(client_id, roles)
        for path in TREE:
            double.realm.add_group(path)

    def add_person(self, username: str) -> str:
        """Add somebody."""
        names = {"first_name": "Alice", "last_name": "Example", "email": f"{username}@example.com"}
        identity = self._double.realm.add_user(username, email_verified=True, **names)
        self._double.realm.join(username, "/staff")
        self._double.realm.join(username, "/staff/sales")
        return identity

    def enable(self, person: Person, *, enabled: bool) -> None:
        """Enable or disable somebody."""
        self._double.realm.change_user(person.username, enabled=enabled)

    def revoke_refresh_tokens(self, *, on: bool) -> None:
        """Switch the setting."""
        self._double.realm.sessions.revoke_refresh_token = on


class RealServer(Keycloak):
    """A real Keycloak."""

    def __init__(self, server: KeycloakServer, realm: str, http: httpx.Client) -> None:
        self._server = server
        self.http = http
        self.url, self.realm = server.url, realm
        server.create_realm(representation(realm))

    def add_person(self, username: str) -> str:
        """Add somebody."""
        person = {
            "username": username,
            "enabled": True,
            "firstName": "Alice",
            "lastName": "Example",
            "email": f"{username}@example.com",
            "emailVerified": True,
            "groups": ["/staff", "/staff/sales"],
            "credentials": [{"type": "password", "value": username}],
        }
        answer = self._server.admin("POST", f"/realms/{self.realm}/users", json=person)
        assert answer.status_code == 201, answer.text
        return answer.headers["location"].rpartition("/")[2]

    def enable(self, person: Person, *, enabled: bool) -> None:
        """Enable or disable somebody; a PUT replaces the user, so all of it is sent."""
        path = f"/realms/{self.realm}/users/{person.id}"
        held = self._server.admin("GET", path).json()
        assert self._server.admin("PUT", path, json={**held, "enabled": enabled}).status_code == 204

    def revoke_refresh_tokens(self, *, on: bool) -> None:
        """Switch the setting."""
        change = {"revokeRefreshToken": on, "refreshTokenMaxReuse": 0}
        assert self._server.admin("PUT", f"/realms/{self.realm}", json=change).status_code == 204


def representation(realm: str) -> dict[str, object]:
    """Write the realm for the real server: what `KeycloakDouble` has by itself, and the two poor accounts."""
    challenge = {"pkce.code.challenge.method": "S256"}
    clients: list[dict[str, object]] = [
        {
            "clientId": "bridge",
            "secret": BRIDGE[1],
            "redirectUris": [CALLBACK],
            "frontchannelLogout": False,
            "attributes": {**challenge, "post.logout.redirect.uris": AFTER_LOGOUT},
        },
        {
            "clientId": "demo-app",
            "publicClient": True,
            "redirectUris": ["com.example.demo:/callback", "http://127.0.0.1/callback"],
            "attributes": challenge,
        },
    ]
    people: list[dict[str, object]] = []
    for (client_id, secret), roles in ROLES.items():
        account: dict[str, object] = {"clientId": client_id, "secret": secret, "serviceAccountsEnabled": True}
        clients.append({**account, "standardFlowEnabled": False})
        person: dict[str, object] = {"username": f"service-account-{client_id}", "enabled": True}
        person |= {"serviceAccountClientId": client_id, "clientRoles": {"realm-management": sorted(roles)}}
        people.append(person)
    staff = {"name": "staff", "subGroups": [{"name": "sales"}, {"name": "support"}]}
    groups = [staff, {"name": "guests"}]
    base: dict[str, object] = {"realm": realm, "enabled": True, "sslRequired": "none", "eventsEnabled": True}
    return {**base, "clients": clients, "users": people, "groups": groups}
