"""What is promised about the life of sessions, in plain Python. Nothing here knows SQL, or the bridge's own rules.

`now` is set from outside, forwards and backwards; every answer is about that moment. The methods are named after what
happens, and return what the bridge must answer.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta

OVERLAP = timedelta(seconds=60)
GRACE = timedelta(seconds=10)
FRESH = CLOSE = timedelta(seconds=30)
KEPT = timedelta(days=1)
"""So long a credential that is over stays."""
BRIDGE, KEYCLOAK, LOCAL = "bridge", "keycloak", "local"
CENSUS = "keycloak_session_ended"


@dataclass(frozen=True)
class Limits:
    """How long sessions of a type live, and how many a person may have."""

    lifetime: timedelta
    idle: timedelta | None
    most: int
    rotation: timedelta | None = None
    refresh: timedelta = timedelta(days=5)


@dataclass(frozen=True)
class Person:
    """A user of a package."""

    name: str
    package: str


@dataclass
class Session:
    """A row that everybody sees."""

    id: str
    person: Person
    kind: str
    origin: str
    created: datetime
    expires: datetime
    idle_ends: datetime | None
    sid: str | None
    used: datetime
    active: bool = True
    ended: datetime | None = None
    ended_by: str | None = None
    reason: str | None = None
    rotations: int = 0
    rotated: datetime | None = None


@dataclass
class Credential:
    """What opens a session (cookie, access) or fetches what does (refresh)."""

    session_id: str
    kind: str
    created: datetime
    expires: datetime
    used: datetime | None = None
    successor: str | None = None
    sealed: str | None = None


@dataclass
class Note:
    """The use of a session that is not written yet."""

    at: datetime
    idle_ends: datetime | None = None
    credentials: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Seen:
    """What a request knew of its credential and session when it came in; others may have changed both since."""

    text: str
    session: Session
    credential: Credential


@dataclass
class Model:
    """Everything there is, and the clock."""

    now: datetime
    limits: dict[str, Limits]
    sessions: dict[str, Session] = field(default_factory=dict)
    credentials: dict[str, Credential] = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)
    disabled: set[Person] = field(default_factory=set)

    # What there is to see.

    def is_alive(self, one: Session, at: datetime | None = None) -> bool:
        at = at or self.now
        return one.active and one.expires > at and (one.idle_ends is None or one.idle_ends > at)

    def find(self, text: str) -> Session | None:
        """Return the session that a credential opens now."""
        known = self.credentials.get(text)
        if known is None or known.kind == "refresh" or known.expires <= self.now:
            return None
        found = self.sessions[known.session_id]
        return found if self.is_alive(found) and found.person not in self.disabled else None

    def living(self, person: Person, *, kind: str | None = None, origin: str | None = None) -> list[Session]:
        """Return a person's living sessions, newest first."""
        found = [one for one in self.sessions.values() if one.person == person and self.is_alive(one)]
        found = [one for one in found if kind in (None, one.kind) and origin in (None, one.origin)]
        return sorted(sorted(found, key=lambda one: one.id), key=lambda one: one.created, reverse=True)

    def listed(self, person: Person) -> list[str]:
        """Return what a person sees: mirrored sessions only where no living one of the bridge stands for them."""
        package = [one for one in self.sessions.values() if one.person.package == person.package]
        covered = {one.sid for one in package if one.origin == BRIDGE and self.is_alive(one)}
        return [one.id for one in self.living(person) if one.origin != KEYCLOAK or one.sid not in covered]

    def moments(self) -> list[datetime]:
        """Return the moments at which something changes by itself."""
        ends = [one.expires for one in self.sessions.values()]
        ends += [one.expires for one in self.credentials.values()]
        ends += [one.idle_ends for one in self.sessions.values() if one.idle_ends is not None]
        ends += [one.used + GRACE for one in self.credentials.values() if one.used is not None]
        return sorted(set(ends))

    # How sessions begin.

    def create(self, new: Session, text: str, *, refuses: bool) -> list[str] | None:
        """Return whom the cap has ended; None when the login is refused."""
        of_type, most = self.living(new.person, kind=new.kind, origin=BRIDGE), self.limits[new.kind].most
        if len(of_type) >= most and refuses:
            return None
        oldest = sorted(of_type, key=lambda one: (one.created, one.id))[: max(0, len(of_type) - most + 1)]
        for one in oldest:
            self.end(one.id, by=new.person.name, reason="session_limit")
        self.sessions[new.id] = new
        self.give(new, text, "cookie" if new.kind == "web" else "access", ends=new.expires)
        return [one.id for one in oldest]

    def give(self, session: Session, text: str, kind: str, *, ends: datetime) -> None:
        """Give a credential out; none lives longer than its session."""
        self.credentials[text] = Credential(session.id, kind, self.now, min(ends, session.expires))

    # How they are used.

    def use(self, text: str) -> Seen | None:
        """A request comes in; return what it knows, None when nobody is signed in."""
        found = self.find(text)
        if found is None:
            return None
        seen = Seen(text, copy.copy(found), copy.copy(self.credentials[text]))
        first, idle = seen.credential.used is None, self.limits[found.kind].idle
        fresh = FRESH if idle is None else min(FRESH, idle / 20)
        if not first and timedelta(0) <= self.now - found.used < fresh:
            return seen
        note = self.notes.setdefault(found.id, Note(self.now))
        note.at = max(note.at, self.now)
        note.credentials |= {text} if first else set()
        if idle is not None and found.idle_ends is not None:
            note.idle_ends = note.at + idle
            if found.idle_ends - self.now < CLOSE:
                self.flush()
        return seen

    def flush(self) -> None:
        """Write what was noted; times never go back, and what has ended stays as it ended."""
        for session_id, note in self.notes.items():
            self.touch(session_id, note.at, idle_ends=note.idle_ends)
        used = {text for note in self.notes.values() for text in note.credentials}
        for text, one in self.credentials.items():
            one.used = self.now if one.used is None and text in used else one.used
            one.expires = min(one.expires, self.now + OVERLAP) if one.successor in used else one.expires
        self.notes.clear()

    def touch(self, session_id: str, at: datetime, *, idle_ends: datetime | None = None) -> Session | None:
        """Move the last use of a session that was alive then, and with it its idle end."""
        one = self.sessions.get(session_id)
        if one is None or not self.is_alive(one, at):
            return None
        one.used = max(one.used, at)
        if one.idle_ends is not None and idle_ends is not None:
            one.idle_ends = max(one.idle_ends, idle_ends)
        return one

    def rotate(self, seen: Seen, new: str) -> bool:
        """Replace a cookie that is old enough, unless another request has done so since; return whether."""
        known, after = seen.credential, self.limits[seen.session.kind].rotation
        began = known.created if known.successor is None else seen.session.rotated or known.created
        if known.kind != "cookie" or after is None or self.now - began < after:
            return False
        old = self.credentials.get(seen.text)
        if old is None or old.expires <= self.now or old.successor != known.successor:
            return False
        if not self.is_alive(self.sessions[old.session_id]):  # it may have ended while the request was slow
            return False
        old.successor, lost = new, known.successor
        for text, one in self.credentials.items():
            # A successor that was lost on its way ends with the old one, and so does what it had replaced.
            if lost is not None and one.session_id == old.session_id and lost in (text, one.successor):
                one.successor = new
        self.give(seen.session, new, "cookie", ends=seen.session.expires)
        self._rotated(seen.session.id)
        return True

    def _rotated(self, session_id: str, *, idle_ends: datetime | None = None) -> None:
        if one := self.touch(session_id, self.now, idle_ends=idle_ends):
            one.rotated, one.rotations = self.now, one.rotations + 1

    # Tokens of apps.

    def give_pair(self, session: Session, access: str, refresh: str, *, access_lives: timedelta) -> None:
        self.give(session, access, "access", ends=self.now + access_lives)
        self.give(session, refresh, "refresh", ends=self.now + self.limits[session.kind].refresh)
        of_session = [(text, one) for text, one in self.credentials.items() if one.session_id == session.id]
        for text, one in of_session:
            if one.kind == "access" and one.expires <= self.now:
                del self.credentials[text]

    def refresh(
        self, old: str, access: str, new: str, *, sealed: str, access_lives: timedelta
    ) -> tuple[str, str | None]:
        """Return the outcome, and the sealed pair when it is that of an earlier refresh."""
        known = self.credentials.get(old)
        if known is None or not self.is_alive(self.sessions[known.session_id]):
            return "refused", None
        session = self.sessions[known.session_id]
        if known.successor is not None:
            if known.sealed is not None and known.used is not None and abs(self.now - known.used) < GRACE:
                return "repeated", known.sealed
            self.end(session.id, by=None, reason="token_theft")
            return "stolen", None
        if known.expires <= self.now:
            return "refused", None
        for one in self.credentials.values():
            one.sealed = None if one.session_id == session.id else one.sealed
        known.successor, known.sealed, known.used, known.expires = new, sealed, self.now, session.expires
        self.give_pair(session, access, new, access_lives=access_lives)
        idle = self.limits[session.kind].idle
        self._rotated(session.id, idle_ends=self.now + idle if idle is not None else None)
        return "rotated", None

    # How sessions end.

    def end(self, session_id: str, *, by: str | None, reason: str) -> bool:
        """End a session with all that opens it; return whether it was active."""
        one = self.sessions.get(session_id)
        if one is None or not one.active:
            return False
        one.active, one.ended, one.ended_by, one.reason = False, self.now, by, reason
        self.credentials = {key: value for key, value in self.credentials.items() if value.session_id != one.id}
        return True

    def delete(self, session_id: str) -> None:
        """Take a row away, and with it what opens it."""
        self.credentials = {key: value for key, value in self.credentials.items() if value.session_id != session_id}
        self.sessions.pop(session_id, None)

    def clean_up(self, *, expired_for: timedelta, inactive_for: timedelta) -> tuple[int, int, int]:
        """End what time has ended, delete what is long over; return how many expired, were idle, and were deleted."""
        expired = [one.id for one in self.sessions.values() if self._is_over(one, expired_for)]
        for session_id in expired:
            self.end(session_id, by="cleanup", reason="expired")
        of_bridge = [one for one in self.sessions.values() if one.origin == BRIDGE and one.active]
        idle = [one.id for one in of_bridge if one.idle_ends is not None and one.idle_ends <= self.now]
        for session_id in idle:
            self.end(session_id, by="cleanup", reason="idle")
        old = [one.id for one in self.sessions.values() if self._is_old(one, expired_for, inactive_for)]
        for session_id in old:
            self.delete(session_id)
        return len(expired), len(idle), len(old)

    def _is_over(self, one: Session, expired_for: timedelta) -> bool:
        """The end of a mirrored session is the census's to write, as long as it may still move it."""
        if one.origin == BRIDGE:
            return one.active and one.expires <= self.now
        return one.origin == KEYCLOAK and one.active and one.expires < self.now - expired_for

    def _is_old(self, one: Session, expired_for: timedelta, inactive_for: timedelta) -> bool:
        """What somebody else ended in the mirror stays the longer time; what applications wrote is theirs."""
        if one.active or one.origin == LOCAL:
            return False
        by_time = one.origin == BRIDGE or one.reason in ("expired", CENSUS)
        long_over = by_time and one.expires < self.now - expired_for
        return long_over or (one.ended or one.expires) < self.now - inactive_for

    def forget(self) -> None:
        """Delete credentials that are long over."""
        self.credentials = {key: one for key, one in self.credentials.items() if one.expires >= self.now - KEPT}
