"""Sessions, codes and refresh tokens of a realm, and what kills them.

authorize -> open or reuse a session -> issue a code -> take the code once -> refresh
                                             second take: the client leaves the session, every token of it dies
"""

from __future__ import annotations

import secrets
import threading
import uuid
from dataclasses import dataclass, field
from typing import Protocol

from tests.double.records import ClientSession, Code, RefreshRecord, Session


class Ticking(Protocol):
    """Whatever tells the time."""

    def now(self) -> float:
        """Give the seconds since the epoch."""
        ...


def new_sid() -> str:
    """Make a session id in the form of 26.5 and later: 24 characters of base64url."""
    return secrets.token_urlsafe(18)


@dataclass
class Sessions:
    """Everything with a life time. The limits are settings a test may change."""

    clock: Ticking
    lock: threading.RLock
    idle_seconds: int = 1800
    max_seconds: int = 36000
    code_seconds: int = 60
    access_token_seconds: int = 300
    revoke_refresh_token: bool = False
    online: dict[str, Session] = field(default_factory=dict)
    offline: dict[str, Session] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    refresh_tokens: dict[str, RefreshRecord] = field(default_factory=dict)
    access_tokens: set[str] = field(default_factory=set)

    def open(self, user_id: str) -> Session:
        """Open an online session that has no client yet."""
        now = int(self.clock.now())
        with self.lock:
            session = Session(new_sid(), user_id, now, now, now)
            self.online[session.id] = session
            return session

    def put(self, user_id: str, client_uuid: str, *, offline: bool, **times: int) -> str:
        """Add a session with a client, as if somebody had logged in; gives the sid."""
        with self.lock:
            session = self.open(user_id)
            session.clients[client_uuid] = ClientSession()
            for name, value in times.items():
                setattr(session, name, value)
            if offline:
                session.offline = True
                self.offline[session.id] = self.online.pop(session.id)
            return session.id

    def find(self, sid: str, *, offline: bool = False) -> Session | None:
        """Find a session that is neither ended nor over its limits."""
        with self.lock:
            session = (self.offline if offline else self.online).get(sid)
            if session is None or (not offline and self._expired(session)):
                return None
            return session

    def living(self, *, offline: bool = False) -> list[Session]:
        """List the sessions that live, in the order of their ids as the store gives them."""
        with self.lock:
            every = (self.offline if offline else self.online).values()
            return sorted((one for one in every if offline or not self._expired(one)), key=lambda one: one.id)

    def _expired(self, session: Session) -> bool:
        now = self.clock.now()
        return session.last_access + self.idle_seconds < now or session.started + self.max_seconds < now

    def end(self, sid: str, *, offline: bool = False) -> Session | None:
        """End one session."""
        with self.lock:
            return (self.offline if offline else self.online).pop(sid, None)

    def drop_user(self, user_id: str) -> None:
        """End every session of one user, online and offline."""
        with self.lock:
            for store in (self.online, self.offline):
                for sid in [one.id for one in store.values() if one.user_id == user_id]:
                    del store[sid]

    def issue_code(
        self,
        session: Session,
        client_uuid: str,
        *,
        redirect_uri: str,
        scope: str,
        nonce: str | None,
        challenge: str | None,
        fresh: bool,
        acr: str,
    ) -> Code:
        """Issue a code `{uuid}.{sid}.{client_uuid}`; from here on the session has the client."""
        with self.lock:
            now = self.clock.now()
            value = f"{uuid.uuid4()}.{session.id}.{client_uuid}"
            code = Code(
                value, session.id, client_uuid, redirect_uri, scope, nonce, challenge, now + self.code_seconds, fresh
            )
            self.codes[value] = code
            session.clients[client_uuid] = ClientSession(acr=acr)
            session.last_access = int(now)
            return code

    def take_code(self, value: str) -> Code | None:
        """Take a code once. The second take removes the client from the session, and so kills the first's tokens.

        An expired code answers as an unknown one: the real server has thrown it away by then.
        """
        with self.lock:
            code = self.codes.get(value)
            if code is None:
                return None
            session = self.find(code.session_id)
            if code.used:
                if session is not None:
                    session.clients.pop(code.client_uuid, None)
                return None
            code.used = True
            if session is None or code.client_uuid not in session.clients or code.expires < self.clock.now():
                return None
            return code

    def granted(self, code: Code) -> Session:
        """Give the session that the code's tokens belong to: for offline access a twin under the same id."""
        with self.lock:
            session = self.online[code.session_id]
            if "offline_access" not in code.scope.split():
                return session
            twin = Session(session.id, session.user_id, session.started, session.last_access, session.auth_time)
            twin.offline = True
            twin.clients[code.client_uuid] = ClientSession(acr=session.clients[code.client_uuid].acr)
            self.offline[twin.id] = twin
            if code.fresh:
                # A login whose first interaction asks for offline access keeps no online session (26.1).
                del self.online[session.id]
            return twin

    def keep_refresh(self, jti: str, session: Session, client_uuid: str, *, scope: str) -> RefreshRecord:
        """Remember a refresh token; an offline one has no end."""
        with self.lock:
            limit = min(self.clock.now() + self.idle_seconds, session.started + self.max_seconds)
            number = len(self.refresh_tokens) + 1
            expires = None if session.offline else limit
            record = RefreshRecord(number, session.id, client_uuid, scope, session.offline, expires)
            self.refresh_tokens[jti] = record
            return record

    def spend_refresh(self, record: RefreshRecord, session: Session) -> str | None:
        """Spend a refresh token; gives Keycloak's reason when it is refused. Reuse removes the client."""
        with self.lock:
            known = session.clients[record.client_uuid]
            if self.revoke_refresh_token and record.number <= known.last_used:
                del session.clients[record.client_uuid]
                if record.number == known.last_used:
                    return "Maximum allowed refresh token reuse exceeded"
                return "Stale token"
            known.last_used = max(known.last_used, record.number)
            session.last_access = int(self.clock.now())
            return None

    def leave(self, session: Session, client_uuid: str) -> None:
        """Take one client out of a session (revocation); the last one ends it."""
        with self.lock:
            session.clients.pop(client_uuid, None)
            if not session.clients:
                self.end(session.id, offline=session.offline)

    def forget_access_tokens(self) -> None:
        """Refuse every access token issued so far, as after a not-before push."""
        with self.lock:
            self.access_tokens.clear()
