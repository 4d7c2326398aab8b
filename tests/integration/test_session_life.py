"""The life of sessions against a plain model: everything that can happen, in random order, with a clock that jumps.

After every step the database and the model must agree: which session each credential ever given out opens, what people
see, what the cap counts, how each row ended, and what a clean-up would do. A failure prints the shortest sequence that
shows it. SESSION_LIFE_EXAMPLES=1000 looks longer.
"""

import asyncio
import os
from bisect import bisect
from datetime import datetime, timedelta
from typing import TypeAlias

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import make_url

from bridge.model import digest
from bridge.storage.database import open_database
from bridge.storage.session_rows import ActiveSession
from tests.integration.session_model import BRIDGE, CENSUS, KEYCLOAK, LOCAL, Model, Person, Seen, Session
from tests.integration.session_shown import count_types, show
from tests.integration.session_world import BEGIN, DAYS, HOURS, LIMITS, MINUTES, PEOPLE, World

EXAMPLES = int(os.environ.get("SESSION_LIFE_EXAMPLES", "25"))
STEPS = 40
EXPIRED_FOR, INACTIVE_FOR = timedelta(days=7), timedelta(days=30)
ACCESS_LIVES = timedelta(minutes=15)
SOON = st.sampled_from([timedelta(seconds=number) for number in (0, 0.000001, 1, 9, 31, 61, 20 * 60, 50 * 60)])
SPANS = st.sampled_from([timedelta(seconds=2), 2 * HOURS, 9 * HOURS, 25 * HOURS, 3 * DAYS, 8 * DAYS, 31 * DAYS])
# Mostly one person and one type, so that the cap is reached.
people = st.sampled_from([PEOPLE[0], PEOPLE[0], *PEOPLE])
kinds, sids = st.sampled_from(["web", "web", *sorted(LIMITS)]), st.sampled_from(["x", "y"])
# The newest comes first: what is old is found by shrinking.
places = st.integers(0, 3)
limits = st.sampled_from([1, 2, 500])
Request: TypeAlias = tuple[ActiveSession, Seen]


class SessionLife(RuleBasedStateMachine):
    """Does everything in both. `sessions` and `apps` are the bridge's, `others` what census and applications wrote."""

    sessions: Bundle[str] = Bundle("sessions")
    apps: Bundle[str] = Bundle("apps")
    others: Bundle[str] = Bundle("others")
    requests: Bundle[Request] = Bundle("requests")

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world, self.model = world, Model(BEGIN, LIMITS)
        self.world.begin(PEOPLE)
        self.set_clock(BEGIN)
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

    def hand_out(self, session: Session, credential: str) -> None:
        self.given.setdefault(session.id, []).insert(0, credential)
        self.packages[credential] = session.person.package

    # Sessions of the bridge.

    @rule(target=sessions, person=people, kind=kinds, sid=sids, refuses=st.booleans())
    def create(self, person: Person, kind: str, sid: str, *, refuses: bool) -> str | MultipleResults[str]:
        made = self.create_session(person, kind, sid, refuses=refuses)
        return made.id if made else multiple()

    @rule(target=apps, person=people, sid=sids, refuses=st.booleans())
    def create_app(self, person: Person, sid: str, *, refuses: bool) -> str | MultipleResults[str]:
        """An app signs in, and exchanges its code."""
        made = self.create_session(person, "mobile", sid, refuses=refuses)
        if made is None:
            return multiple()
        access, refresh = self.fresh(), self.fresh()
        self.world.exchange(made.id, person, access, refresh, access_lives=ACCESS_LIVES)
        self.model.give_pair(made, access, refresh, access_lives=ACCESS_LIVES)
        self.hand_out(made, access)
        self.refreshes[made.id] = [refresh]
        return made.id

    def create_session(self, person: Person, kind: str, sid: str, *, refuses: bool) -> Session | None:
        new, credential = self.build(person, kind, BRIDGE, lives=LIMITS[kind].lifetime, sid=sid), self.fresh()
        wanted = self.model.create(new, credential, refuses=refuses)
        assert self.world.create(new, credential, refuses=refuses) == wanted
        if wanted is not None:
            self.hand_out(new, credential)
        return None if wanted is None else new

    @rule(session=sessions)
    def come_back_twice(self, session: str) -> None:
        """A duplicated callback gets a cookie of its own."""
        known, credential = self.model.sessions.get(session), self.fresh()
        alive = known is not None and self.model.is_alive(known)
        assert self.world.add_cookie(session, credential) == (known.expires if known and alive else None)
        if known is not None and alive:
            self.model.give(known, credential, "cookie", ends=known.expires)
            self.hand_out(known, credential)

    @rule(session=sessions | apps, after=SOON)
    def use(self, session: str, after: timedelta) -> None:
        """A browser or an app comes with what it was given last, and perhaps is given another."""
        self.set_clock(self.model.now + after)
        if request := self.look_up(self.given[session][0]):
            self.go_on(request)

    @rule(target=requests, session=sessions | apps, place=places)
    def come_in(self, session: str, place: int) -> Request | MultipleResults[Request]:
        """A request comes in with something older, and is slow."""
        return self.look_up(self.given[session][place % len(self.given[session])]) or multiple()

    @rule(request=requests, after=SOON)
    def go_on_later(self, request: Request, after: timedelta) -> None:
        """Others came in with the same credential meanwhile, or ended its session."""
        self.set_clock(self.model.now + after)
        self.go_on(request)

    def look_up(self, credential: str) -> Request | None:
        found = self.world.come_in(credential, self.packages[credential])
        seen = self.model.use(credential)
        assert (found is None) == (seen is None)
        return (found, seen) if found and seen else None

    def go_on(self, request: Request) -> None:
        found, seen = request
        credential = self.world.rotate(found, seen.text)
        assert self.model.rotate(seen, credential or "lost") == (credential is not None)
        if credential is not None:
            self.hand_out(seen.session, credential)

    @rule(app=apps, after=SOON)
    def refresh(self, app: str, after: timedelta) -> None:
        self.refresh_again(app, 0, after)

    @rule(app=apps, place=places, after=SOON)
    def refresh_again(self, app: str, place: int, after: timedelta) -> None:
        """An app that lost the answer comes with the token before; a thief comes with an older one."""
        self.set_clock(self.model.now + after)
        old = self.refreshes[app][place % len(self.refreshes[app])]
        access, new, sealed = self.fresh(), self.fresh(), self.fresh()
        wanted = self.model.refresh(old, access, new, sealed=sealed, access_lives=ACCESS_LIVES)
        assert self.world.refresh(old, access, new, sealed=sealed, access_lives=ACCESS_LIVES) == wanted
        if wanted[0] == "rotated":
            self.hand_out(self.model.sessions[app], access)
            self.refreshes[app].insert(0, new)

    @precondition(lambda self: self.model.notes)
    @rule(lost=st.booleans())
    def flush(self, *, lost: bool) -> None:
        """What was noted is written, or the process dies with it."""
        if lost:
            self.world.restart()
            self.model.notes.clear()
        else:
            self.world.flush()
            self.model.flush()

    @precondition(lambda self: self.model.sessions)
    @rule(limit=limits, private=st.booleans())
    def clean_up(self, limit: int, *, private: bool) -> None:
        """One of the two jobs that clean up."""
        if private:
            self.world.forget(limit=limit)
            self.model.forget()
        else:
            wanted = self.model.clean_up(expired_for=EXPIRED_FOR, inactive_for=INACTIVE_FOR)
            assert self.world.clean_up(limit=limit) == wanted

    # Ends that somebody brings about.

    @rule(person=people, kind=st.none() | kinds, keep=st.none() | sessions | apps)
    def end_all(self, person: Person, kind: str | None, keep: str | None) -> None:
        of_person = [one for one in self.model.sessions.values() if one.person == person and one.id != keep]
        chosen = [one.id for one in of_person if kind in (None, one.kind)]
        wanted = {one for one in chosen if self.model.end(one, by=person.name, reason="everywhere")}
        assert self.world.end_all(person, reason="everywhere", kind=kind, keep=keep) == wanted

    @rule(session=sessions | apps | others, how=st.sampled_from(["sign out", "UPDATE", "short UPDATE", "DELETE"]))
    def end(self, session: str, how: str) -> None:
        """By us, or by an application's own statement, which may not say when and why."""
        known = self.model.sessions.get(session)
        if how == "sign out":
            ended = self.world.end(session, by="alice", reason="logout")
            assert self.model.end(session, by="alice", reason="logout") == ended
        elif how == "DELETE":
            self.world.application_deletes(session)
            self.model.delete(session)
        else:
            self.world.application_ends(session, reason="application" if how == "UPDATE" else None)
            if known is not None:
                known.active = False
            if known is not None and how == "UPDATE":
                known.ended, known.reason = self.model.now, "application"

    @rule(person=people, active=st.booleans())
    def switch(self, person: Person, *, active: bool) -> None:
        self.world.switch(person, active=active)
        (self.model.disabled.discard if active else self.model.disabled.add)(person)

    # Rows of others.

    @rule(target=others, person=people, kind=kinds, sid=sids, mirrored=st.booleans())
    def find(self, person: Person, kind: str, sid: str, *, mirrored: bool) -> str:
        """The census finds a session, or an application writes one by hand."""
        if mirrored:
            new = self.build(person, "web", KEYCLOAK, lives=30 * MINUTES, sid=sid)
            self.world.census_finds(new)
        else:
            new = self.build(person, kind, LOCAL, lives=2 * HOURS)
            self.world.application_opens(new)
        self.model.sessions[new.id] = new
        return new.id

    @rule(session=others, there=st.booleans())
    def census_looks_again(self, session: str, *, there: bool) -> None:
        """It moves the end on, or ends; what anybody else has ended stays so."""
        known, expires = self.model.sessions.get(session), self.model.now + 30 * MINUTES
        if known is None or known.origin != KEYCLOAK or expires <= known.created:
            return
        if not there:
            self.world.census_misses(session)
            self.model.end(session, by="sync", reason=CENSUS)
            return
        self.world.census_sees(session, expires=expires)
        if known.active or known.reason == CENSUS:
            known.active, known.ended, known.ended_by, known.reason = True, None, None, None
            known.expires, known.used = expires, self.model.now

    # The clock.

    @rule(span=SPANS, back=st.booleans())
    def jump(self, span: timedelta, *, back: bool) -> None:
        self.set_clock(self.model.now - span if back else self.model.now + span)

    @precondition(lambda self: self.model.moments())
    @rule(place=st.integers(-2, 3), beside=st.sampled_from([0, -1, 1]))
    def come_to_an_end(self, place: int, beside: int) -> None:
        """Go to the very moment at which something ends, or beside it: the next one, or one around it."""
        moments = self.model.moments()
        place += bisect(moments, self.model.now)
        self.set_clock(moments[max(0, min(place, len(moments) - 1))] + timedelta(microseconds=beside))

    def set_clock(self, now: datetime) -> None:
        self.world.now = self.model.now = now

    @invariant()
    def agree(self) -> None:
        found = self.world.look(self.packages, PEOPLE, count_types(self.model))
        assert found == show(self.model, self.packages, PEOPLE, expired_for=EXPIRED_FOR, inactive_for=INACTIVE_FOR)


def test_sessions_live_as_the_model_says(migrated_database_url: str) -> None:
    """Sequences of forty steps; fewer on the servers, where each step takes longer."""
    few = make_url(migrated_database_url).get_backend_name() != "sqlite"
    with asyncio.Runner() as runner:
        opening = open_database(migrated_database_url, pool_size=2)
        world = World(runner.run(opening.__aenter__()), runner.get_loop())

        class Here(SessionLife):
            def __init__(self) -> None:
                super().__init__(world)

        try:
            run_state_machine_as_test(
                Here,
                settings=settings(
                    max_examples=max(1, EXAMPLES // 3) if few else EXAMPLES,
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
