"""The life of sessions against a plain model: everything that can happen, in random order, with a clock that jumps.

After every step the database and the model must agree: which session each credential ever given out opens, what people
see, what the cap counts, how each row ended, and what a clean-up would do. A failure prints the shortest sequence that
shows it. SESSION_LIFE_EXAMPLES=1000 looks longer.
"""

import asyncio
import copy
import os
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import make_url

from bridge.model import digest
from bridge.storage.database import Database, open_database
from bridge.storage.session_rows import ActiveSession
from tests.integration.session_model import BRIDGE, CENSUS, KEYCLOAK, LOCAL, Limits, Model, Person, Seen, Session
from tests.integration.session_world import Shown, World, describe_row

EXAMPLES = int(os.environ.get("SESSION_LIFE_EXAMPLES", "40"))
STEPS = 40
BEGIN = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
PEOPLE = (Person("alice", "demo"), Person("bob", "demo"), Person("alice", "other"))
EXPIRED_FOR, INACTIVE_FOR = timedelta(days=7), timedelta(days=30)
ACCESS_LIVES = timedelta(minutes=15)
MINUTES, HOURS, DAYS = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LIMITS = {
    "web": Limits(8 * HOURS, idle=HOURS, most=2, rotation=20 * MINUTES),
    "api": Limits(30 * DAYS, idle=None, most=2),
    "mobile": Limits(20 * DAYS, idle=2 * DAYS, most=2),
    "console": Limits(12 * HOURS, idle=HOURS, most=1, rotation=20 * MINUTES),
}
SHORT = [timedelta(seconds=number) for number in (0.000001, 1, 9, 31, 61)]
SPANS = st.sampled_from([*SHORT, 20 * MINUTES, 50 * MINUTES, 2 * HOURS, 9 * HOURS, 25 * HOURS, 8 * DAYS, 31 * DAYS])
people, kinds, sids = st.sampled_from(PEOPLE), st.sampled_from(sorted(LIMITS)), st.sampled_from(["x", "y"])
# The newest comes first: what is old is found by shrinking.
places = st.integers(0, 3)
limits = st.sampled_from([1, 2, 500])


class SessionLife(RuleBasedStateMachine):
    """Does everything in both; `sessions` are those of the bridge, `others` what the census and applications wrote."""

    sessions: Bundle[str] = Bundle("sessions")
    others: Bundle[str] = Bundle("others")
    requests: Bundle[tuple[ActiveSession, Seen]] = Bundle("requests")

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.world, self.model = World(database, loop, LIMITS, BEGIN), Model(BEGIN, LIMITS)
        self.world.begin(PEOPLE)
        self.made = 0
        self.given: dict[str, list[str]] = {}
        """Texts that ever opened a session, by session, the newest first."""
        self.refreshes: dict[str, list[str]] = {}
        self.packages: dict[str, str] = {}

    def fresh(self) -> str:
        """Return a text that nobody has seen, and the same one when the sequence is played again."""
        self.made += 1
        return f"text {self.made}"

    def build(self, person: Person, kind: str, origin: str, *, lives: timedelta, sid: str | None = None) -> Session:
        now, idle = self.model.now, LIMITS[kind].idle if origin == BRIDGE else None
        idle_ends = now + idle if idle is not None else None
        return Session(digest(self.fresh()), person, kind, origin, now, now + lives, idle_ends, sid, used=now)

    def hand_out(self, session_id: str, *credentials: str) -> None:
        for one in credentials:
            self.given.setdefault(session_id, []).insert(0, one)
            self.packages[one] = self.model.sessions[session_id].person.package

    def pick(self, texts: dict[str, list[str]], session_id: str, place: int) -> str | None:
        found = texts.get(session_id, [])
        return found[place % len(found)] if found else None

    # Sessions of the bridge.

    @rule(target=sessions, person=people, kind=kinds, sid=sids, refuses=st.booleans())
    def create(self, person: Person, kind: str, sid: str, *, refuses: bool) -> object:
        new, credential = self.build(person, kind, BRIDGE, lives=LIMITS[kind].lifetime, sid=sid), self.fresh()
        wanted = self.model.create(copy.copy(new), credential, refuses=refuses)
        assert self.world.create(new, credential, refuses=refuses) == wanted
        if wanted is None:
            return multiple()
        self.hand_out(new.id, credential)
        return new.id

    @rule(session=sessions)
    def come_back_twice(self, session: str) -> None:
        """A duplicated callback gets a cookie of its own."""
        known, credential = self.model.sessions.get(session), self.fresh()
        alive = known is not None and self.model.is_alive(known)
        assert self.world.add_cookie(session, credential) == (known.expires if known and alive else None)
        if known is not None and alive:
            self.model.give(known, credential, "cookie", ends=known.expires)
            self.hand_out(session, credential)

    @rule(target=requests, session=sessions, place=places)
    def come_in(self, session: str, place: int) -> object:
        credential = self.pick(self.given, session, place) or ""
        found = self.world.come_in(credential, self.packages[credential])
        seen = self.model.use(credential)
        assert (found is None) == (seen is None)
        return (found, seen) if found and seen else multiple()

    @rule(request=requests)
    def rotate(self, request: tuple[ActiveSession, Seen]) -> None:
        """A request goes on that came in before, and others with it."""
        found, seen = request
        credential = self.world.rotate(found, seen.text)
        assert self.model.rotate(seen, credential or "lost") == (credential is not None)
        if credential is not None and seen.session.id in self.model.sessions:
            self.hand_out(seen.session.id, credential)

    @rule()
    def flush(self) -> None:
        self.world.flush()
        self.model.flush()

    @rule()
    def restart(self) -> None:
        """A process dies with what it had noted."""
        self.world.restart()
        self.model.notes.clear()

    @rule(session=sessions)
    def exchange(self, session: str) -> None:
        known = self.model.sessions.get(session)
        if known is None or known.kind != "mobile" or session in self.refreshes or not self.model.is_alive(known):
            return
        access, refresh = self.fresh(), self.fresh()
        self.world.exchange(session, known.person, access, refresh, access_lives=ACCESS_LIVES)
        self.model.give_pair(known, access, refresh, access_lives=ACCESS_LIVES)
        self.model.touch(session, self.model.now)
        self.hand_out(session, access)
        self.refreshes[session] = [refresh]

    @rule(session=sessions, place=places)
    def refresh(self, session: str, place: int) -> None:
        old = self.pick(self.refreshes, session, place)
        if old is None:
            return
        access, new, sealed = self.fresh(), self.fresh(), self.fresh()
        wanted = self.model.refresh(old, access, new, sealed=sealed, access_lives=ACCESS_LIVES)
        assert self.world.refresh(old, access, new, sealed=sealed, access_lives=ACCESS_LIVES) == wanted
        if wanted[0] == "rotated":
            self.hand_out(session, access)
            self.refreshes[session].insert(0, new)

    # Ends.

    @rule(session=st.one_of(sessions, others))
    def end(self, session: str) -> None:
        ended = self.world.end(session, by="alice", reason="logout")
        assert self.model.end(session, by="alice", reason="logout") == ended

    @rule(person=people, kind=st.none() | kinds, keep=st.none() | sessions)
    def end_all(self, person: Person, kind: str | None, keep: str | None) -> None:
        of_person = [one.id for one in self.model.sessions.values() if one.person == person and kind in (None, one.kind)]
        chosen = [session_id for session_id in of_person if session_id != keep]
        wanted = {session_id for session_id in chosen if self.model.end(session_id, by=person.name, reason="everywhere")}
        assert self.world.end_all(person, reason="everywhere", kind=kind, keep=keep) == wanted

    @rule(limit=limits)
    def clean_up(self, limit: int) -> None:
        wanted = self.model.clean_up(expired_for=EXPIRED_FOR, inactive_for=INACTIVE_FOR)
        assert self.world.clean_up(limit=limit) == wanted

    @rule(limit=limits)
    def forget(self, limit: int) -> None:
        self.world.forget(limit=limit)
        self.model.forget()

    # Others at the same tables.

    @rule(target=others, person=people, kind=kinds, lives=SPANS)
    def application_opens(self, person: Person, kind: str, lives: timedelta) -> str:
        new = self.build(person, kind, LOCAL, lives=lives)
        self.world.application_opens(new)
        self.model.sessions[new.id] = new
        return new.id

    @rule(session=st.one_of(sessions, others), reason=st.sampled_from([None, "application"]))
    def application_ends(self, session: str, reason: str | None) -> None:
        """By an UPDATE that says when and why, or says nothing."""
        self.world.application_ends(session, reason=reason)
        if known := self.model.sessions.get(session):
            known.active = False
            known.ended, known.reason = (self.model.now, reason) if reason else (known.ended, known.reason)

    @rule(session=st.one_of(sessions, others))
    def application_deletes(self, session: str) -> None:
        self.world.application_deletes(session)
        if session in self.model.sessions:
            self.model.delete(session)

    @rule(person=people, active=st.booleans())
    def switch(self, person: Person, *, active: bool) -> None:
        self.world.switch(person, active=active)
        (self.model.disabled.discard if active else self.model.disabled.add)(person)

    @rule(target=others, person=people, sid=sids)
    def census_finds(self, person: Person, sid: str) -> str:
        new = self.build(person, "web", KEYCLOAK, lives=30 * MINUTES, sid=sid)
        self.world.census_finds(new)
        self.model.sessions[new.id] = new
        return new.id

    @rule(session=others)
    def census_sees(self, session: str) -> None:
        """It moves the end on; what anybody else has ended stays so."""
        expires, known = self.model.now + 30 * MINUTES, self.model.sessions.get(session)
        if known is None or expires <= known.created:
            return
        self.world.census_sees(session, expires=expires)
        if known.origin == KEYCLOAK and (known.active or known.reason == CENSUS):
            known.active, known.ended, known.ended_by, known.reason = True, None, None, None
            known.expires, known.used = expires, self.model.now

    @rule(session=others)
    def census_misses(self, session: str) -> None:
        self.world.census_misses(session)
        known = self.model.sessions.get(session)
        if known is not None and known.origin == KEYCLOAK:
            self.model.end(session, by="sync", reason=CENSUS)

    # The clock.

    @rule(span=SPANS)
    def wait(self, span: timedelta) -> None:
        self.set_clock(self.model.now + span)

    @rule(span=SPANS)
    def jump_back(self, span: timedelta) -> None:
        self.set_clock(self.model.now - span)

    @rule(place=st.integers(0, 50), beside=st.sampled_from([0, -1, 1]))
    def come_to_an_end(self, place: int, beside: int) -> None:
        """Go to the very moment at which something ends, or beside it; it may lie behind us."""
        if moments := self.model.moments():
            self.set_clock(moments[place % len(moments)] + timedelta(microseconds=beside))

    def set_clock(self, now: datetime) -> None:
        self.world.now = self.model.now = now

    @invariant()
    def agree(self) -> None:
        model, counted = self.model, {(one.person, one.kind) for one in self.model.sessions.values()}
        found = self.world.look(self.packages, PEOPLE, counted)
        of_active = [(text, one) for text, one in model.credentials.items() if model.sessions[one.session_id].active]
        wanted = Shown(
            opened={text: one.id for text in self.packages if (one := model.find(text))},
            listed={person: model.listed(person) for person in PEOPLE},
            counted={(person, kind): len(model.living(person, kind=kind, origin=BRIDGE)) for person, kind in counted},
            rows={one.id: describe_row(one) for one in model.sessions.values()},
            credentials={
                digest(text): (one.kind, one.expires, one.used, digest(one.successor) if one.successor else None)
                for text, one in of_active
            },
            overdue=copy.deepcopy(model).clean_up(expired_for=EXPIRED_FOR, inactive_for=INACTIVE_FOR),
        )
        assert found == wanted


def test_sessions_live_as_the_model_says(migrated_database_url: str) -> None:
    """Forty sequences of forty steps; fewer on the servers, where each step takes longer."""
    few = make_url(migrated_database_url).get_backend_name() != "sqlite"
    with asyncio.Runner() as runner:
        opening = open_database(migrated_database_url, pool_size=2)
        database = runner.run(opening.__aenter__())
        try:
            run_state_machine_as_test(
                lambda: SessionLife(database, runner.get_loop()),
                settings=settings(
                    max_examples=max(1, EXAMPLES // 2) if few else EXAMPLES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    derandomize=False,
                    database=None,
                    print_blob=True,
                    phases=[Phase.generate, Phase.shrink],
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(opening.__aexit__(None, None, None))
