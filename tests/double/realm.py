"""The state of a realm: people, groups, clients and events; thread-safe by one lock.

Tests change it from their own thread while the server reads it from another, so everything here takes the lock. What
happens to sessions, codes and tokens is in `sessions.py`.
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field

from tests.double.keys import KeyRing
from tests.double.records import SYNC_ROLES, Client, Group, Json, User
from tests.double.sessions import Sessions


@dataclass
class Clock:
    """The realm's clock: the machine's, moved by as much as a test likes."""

    offset: float = 0.0

    def now(self) -> float:
        """Give the seconds since the epoch as this realm sees them."""
        return time.time() + self.offset

    def advance(self, seconds: float) -> None:
        """Move the clock; codes, tokens and sessions age at once."""
        self.offset += seconds


@dataclass
class Realm:
    """One realm. Settings are plain attributes; everything else goes through the methods."""

    name: str
    clock: Clock = field(default_factory=Clock)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    enabled: bool = True
    events_enabled: bool = True
    admin_events_enabled: bool = True
    events_expiration: int = 86400
    users: dict[str, User] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    events: list[Json] = field(default_factory=list)
    admin_events: list[Json] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.keys = KeyRing(self.name)
        self.sessions = Sessions(clock=self.clock, lock=self.lock)

    # People

    def add_user(self, username: str, **fields: object) -> str:
        """Add a person; fields as in `User`, `created` in milliseconds. The password defaults to the username."""
        with self.lock:
            identity = str(fields.pop("id", None) or uuid.uuid4())
            created = fields.pop("created", int(self.clock.now() * 1000))
            user = User(identity, username.lower(), created, **{"password": username, **fields})  # type: ignore[arg-type]
            self.users[identity] = user
            return identity

    def user(self, username: str) -> User | None:
        """Find by username, whatever its case, as Keycloak does."""
        with self.lock:
            wanted = username.lower()
            return next((user for user in self.users.values() if user.username == wanted), None)

    def change_user(self, username: str, /, **fields: object) -> None:
        """Set fields of a person; disabling leaves the sessions, as on the real server."""
        with self.lock:
            user = self._known(username)
            for name, value in fields.items():
                setattr(user, name, value)

    def delete_user(self, username: str) -> None:
        """Delete a person and, without any notice, the sessions."""
        with self.lock:
            user = self._known(username)
            del self.users[user.id]
            self.sessions.drop_user(user.id)

    def _known(self, username: str) -> User:
        user = self.user(username)
        if user is None:
            raise LookupError(f"the realm {self.name} has no user {username}")
        return user

    # Groups

    def add_group(self, path: str, **attributes: list[str]) -> str:
        """Add a group by path, with the parents it needs; gives the id, also of one that exists."""
        parent: str | None = None
        for name in path.strip("/").split("/"):
            parent = self._child(name, parent) or self.add_group_named(name, parent_id=parent)
        if parent is None:
            raise LookupError(f"{path!r} names no group")
        self.groups[parent].attributes.update(attributes)
        return parent

    def add_group_named(self, name: str, *, parent_id: str | None = None) -> str:
        """Add one group of exactly this name, which may hold a slash."""
        with self.lock:
            group = Group(str(uuid.uuid4()), name, parent_id)
            self.groups[group.id] = group
            return group.id

    def join(self, username: str, path: str) -> None:
        """Put a person into the group of this path (or id)."""
        with self.lock:
            self._known(username).groups.add(path if path in self.groups else self.add_group(path))

    def leave(self, username: str, path: str) -> None:
        """Take a person out of the group of this path (or id)."""
        with self.lock:
            self._known(username).groups.discard(path if path in self.groups else self.add_group(path))

    def delete_group(self, path: str) -> None:
        """Delete a group with its children and all memberships."""
        with self.lock:
            doomed = [path if path in self.groups else self.add_group(path)]
            for parent in doomed:
                doomed.extend(group.id for group in self.groups.values() if group.parent_id == parent)
            for identity in doomed:
                del self.groups[identity]
            for user in self.users.values():
                user.groups.difference_update(doomed)

    def group_path(self, group: Group) -> str:
        """Write the path from the parent chain; a slash in a name is not escaped, as on the real server."""
        above = self.groups.get(group.parent_id) if group.parent_id else None
        return f"{self.group_path(above) if above else ''}/{group.name}"

    def _child(self, name: str, parent_id: str | None) -> str | None:
        with self.lock:
            return next((g.id for g in self.groups.values() if g.name == name and g.parent_id == parent_id), None)

    # Clients

    def add_client(self, client_id: str, **fields: object) -> Client:
        """Add a client; fields as in `Client`. A service account gets its user, with no roles yet."""
        with self.lock:
            client = Client(str(uuid.uuid4()), client_id, **fields)  # type: ignore[arg-type]
            self.clients[client.uuid] = client
            if client.service_account:
                self.add_user(f"service-account-{client_id}", password=None, service_account_of=client_id)
            return client

    def client(self, client_id: str) -> Client | None:
        """Find by clientId."""
        with self.lock:
            return next((client for client in self.clients.values() if client.client_id == client_id), None)

    def service_account(self, client_id: str) -> User | None:
        """Find the user of a service account."""
        with self.lock:
            return next((user for user in self.users.values() if user.service_account_of == client_id), None)

    def set_roles(self, client_id: str, roles: set[str] | frozenset[str] = SYNC_ROLES) -> None:
        """Give a service account exactly these roles of realm-management."""
        with self.lock:
            self._known(f"service-account-{client_id}").roles = set(roles)

    def add_session(self, username: str, client_id: str, *, offline: bool = False, **times: int) -> str:
        """Open a session without a login; `started` and `last_access` in seconds. Gives the sid."""
        with self.lock:
            client = self.client(client_id)
            if client is None:
                raise LookupError(f"the realm {self.name} has no client {client_id}")
            return self.sessions.put(self._known(username).id, client.uuid, offline=offline, **times)

    # Events

    def record_event(self, kind: str, *, client_id: str | None = None, **fields: object) -> None:
        """Store a user event in Keycloak's shape; absent fields are left out, as Keycloak leaves them out."""
        with self.lock:
            if not self.events_enabled:
                return
            event: Json = {"id": str(uuid.uuid4()), "time": int(self.clock.now() * 1000), "type": kind}
            event.update({"realmId": self.id, "clientId": client_id, "ipAddress": "127.0.0.1", "details": {}})
            event.update(fields)
            self.events.append({name: value for name, value in event.items() if value is not None})

    def record_admin_event(self, operation: str, resource_type: str, resource_path: str | None, **more: object) -> None:
        """Store an admin event, e.g. `("CREATE", "USER", "users/ID")`."""
        with self.lock:
            event: Json = {"id": str(uuid.uuid4()), "time": int(self.clock.now() * 1000), "realmId": self.id}
            event.update({"operationType": operation, "resourceType": resource_type, "resourcePath": resource_path})
            event.update(more)
            self.admin_events.append({name: value for name, value in event.items() if value is not None})
