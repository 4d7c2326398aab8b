"""A bridge that signs people in, rotates, refreshes, ends, cleans up and changes keys at random, until it is killed.

It runs in a process that is forked from one that has imported everything, before there is an event loop or a database
engine. It goes through the real flows against the Keycloak double. What somebody outside would know after the kill is
in its journal, a line at a time: a line is written before the step that it announces, or after the answer it tells of.
"""

import asyncio
import json
import os
import random
import signal
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any

import httpx
from sqlalchemy import event

from bridge.config import Settings
from bridge.errors import LeaseHeld, NotSignedIn
from bridge.flows import key_rotation, web_login
from bridge.flows.cleanup import delete_old, end_overdue
from bridge.flows.duplicates import Callback, SignedIn
from bridge.flows.relying_party import Clock, RelyingParty
from bridge.flows.sealing_keys import check_keys
from bridge.flows.session_administration import end_all
from bridge.flows.session_keys import KeyWanted, create_key
from bridge.flows.signed_in import Presented, get_signed_in, rotate_if_due
from bridge.model import ClientFacts, Identity, NewSession, Profile, SessionType, digest
from bridge.sealing import seal_under
from bridge.storage import token_families, user_sessions, users
from bridge.storage.database import Database, Db
from bridge.storage.token_families import Outcome, TokenPair
from bridge.telemetry import configure_logging
from bridge.web.app import open_bridge
from bridge.web.dependencies import Bridge
from tests.browser import query

PACKAGE = "demo"
PUBLIC_URL = "http://127.0.0.1:8000"
PATIENT = {"connect_timeout": "30s", "read_timeout": "60s", "total_timeout": "90s"}
WORKERS = 2
SOMEBODY = ClientFacts("127.0.0.1", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
ACCESS_LIVES = timedelta(minutes=15)
SUCCESSOR = {"table": "session_credential", "column": "sealed_successor"}
"""Where a sealed pair of tokens lies; the row is the digest of the token before."""
POLICY = {
    # Every use rotates.
    "web": {"max_sessions": 2, "rotation": "0.001s"},
    "mobile": {"max_sessions": 2, "lifetime": "5d", "idle": "2d", "refresh_lifetime": "10d"},
    "console": {"max_sessions": 1},
}


@dataclass(frozen=True)
class Orders:
    """What a life is like."""

    database_url: str
    issuer: str
    username: str
    keys: tuple[str, ...]
    """The first one seals."""
    ahead: timedelta
    """How far its clock is ahead of the machine's."""
    journal: str
    seed: str
    dies_at: int | None
    """Which touch of the database is the last; None waits for somebody to do it."""


def build_settings(database_url: str, issuer: str, keys: tuple[str, ...]) -> Settings:
    """Return the settings of a bridge in front of the double."""
    package = {"issuer": issuer, "client_id": "bridge", "client_secret": "bridge-demo-secret"}
    return Settings.model_validate(
        {
            "public_url": PUBLIC_URL,
            "database": {"url": database_url, "timeout": "120s"},
            "sealing": {"keys": list(keys)},
            "http": PATIENT,
            "policy": POLICY,
            "packages": {PACKAGE: package},
        }
    )


def build_clock(ahead: timedelta) -> Clock:
    """Return a clock that goes with the machine's."""
    return lambda: datetime.now(tz=UTC) + ahead


def run(orders: Orders, begun: Connection) -> None:
    """Live until killed; whatever else ends it stands in the journal."""
    configure_logging(level="error")
    try:
        asyncio.run(_live(orders, begun))
    except BaseException:
        Journal(orders.journal).write(failed=traceback.format_exc())
        raise


@dataclass(frozen=True)
class Journal:
    """Lines that survive the process: each is in the file when `write` returns."""

    path: str

    def write(self, **line: Any) -> None:
        """Append a line."""
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, json.dumps(line).encode() + b"\n")
        os.close(file)


def die_at(database: Database, number: int) -> None:
    """Kill this process at its touch of the database of this number: before or after a statement, or at a commit."""
    touches = iter(range(1, number))

    def touch(*_: object) -> None:
        if next(touches, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    engine = database._engine.sync_engine
    for name in ("before_cursor_execute", "after_cursor_execute", "commit", "checkin"):
        event.listen(engine, name, touch)


async def _live(orders: Orders, begun: Connection) -> None:
    settings = build_settings(orders.database_url, orders.issuer, orders.keys)
    clock = build_clock(orders.ahead)
    async with (
        open_bridge(settings, clock=clock, elapsed=time.monotonic) as bridge,
        httpx.AsyncClient(timeout=60, trust_env=False) as http,
    ):
        await check_keys(bridge.database, bridge.relying_parties[PACKAGE].sealer, now=clock())
        if orders.dies_at is not None:
            die_at(bridge.database, orders.dies_at)
        begun.send("begun")
        chance = random.Random(orders.seed)  # noqa: S311 - to be repeated, not to be secret
        life = Life(bridge, http, orders.username, Journal(orders.journal), chance)
        await asyncio.gather(*(life.go_on() for _ in range(WORKERS)))


@dataclass
class Life:
    """What happens, without end."""

    bridge: Bridge
    http: httpx.AsyncClient
    username: str
    journal: Journal
    chance: random.Random
    cookies: list[str] = field(default_factory=list)
    refresh_tokens: list[str] = field(default_factory=list)

    @property
    def rp(self) -> RelyingParty:
        return self.bridge.relying_parties[PACKAGE]

    async def go_on(self) -> None:
        """Do one thing after another."""
        acts: list[Callable[[], Awaitable[object]]] = [self.sign_in, self.rotate, self.sign_in_app, self.refresh]
        rare = [self.make_key, self.clean_up, self.change_keys, self.sign_out]
        while True:
            await self.chance.choice([*acts, *acts, *rare])()

    async def sign_in(self) -> None:
        """Go to Keycloak and come back, sometimes twice at once; the session of this browser is replaced."""
        started = await web_login.start(self.rp, SOMEBODY)
        replaced = self.chance.choice([None, *self.cookies[-1:]])
        login = {"state": started.state_digest, "url": started.url, "binding": started.binding}
        self.journal.write(login=login)
        callback = await come_back(self.http, started.url, started.binding, credential=replaced)
        times = self.chance.choice([1, 1, 2])
        for done in await asyncio.gather(*(web_login.finish(self.rp, callback) for _ in range(times))):
            if isinstance(done, SignedIn) and done.credential is not None:
                self.journal.write(signed_in=started.state_digest, given=done.credential)
                self.cookies.append(done.credential)

    async def rotate(self) -> None:
        """Use a cookie, and be given the next one."""
        if not self.cookies:
            return
        credential = self.chance.choice(self.cookies)
        try:
            found = await get_signed_in(self.rp, Presented(credential, is_bearer=False), client=SOMEBODY)
        except NotSignedIn:
            return
        successor = await rotate_if_due(self.rp, found, credential=credential)
        if successor is not None:
            self.journal.write(session=found.session.session_id, given=successor)
            self.cookies.append(successor)

    async def sign_in_app(self) -> None:
        """Open a session of an app, and give it its first tokens."""
        now, access, refresh = self.rp.now(), self._text(), self._text()
        policy = self.rp.policies[SessionType.MOBILE]
        opened = NewSession(
            session_id=digest(self._text()),
            session_type=SessionType.MOBILE,
            credential_digest=digest(self._text()),
            identity=Identity(self.rp.settings.issuer, f"app of {self.username}", PACKAGE),
            username=f"{self.username} with an app",
            created_at=now,
            expires_at=now + policy.lifetime,
        )

        async def step(db: Db) -> None:
            await users.upsert_signed_in(db, opened.identity, Profile(opened.username), now=now)
            await user_sessions.create_session(db, opened, policy=policy)
            (session,) = await user_sessions.get_user_sessions(
                db, opened.username, package=PACKAGE, now=now, session_id=opened.session_id
            )
            pair = TokenPair(digest(access), digest(refresh), now + ACCESS_LIVES)
            await token_families.open_family(db, session, pair, policy=policy, now=now)

        await self.rp.database.write(step)
        self.journal.write(session=opened.session_id, given=refresh)
        self.refresh_tokens.append(refresh)

    async def refresh(self) -> None:
        """Replace the newest refresh token, or seldom an older one, sometimes twice at once."""
        if not self.refresh_tokens:
            return
        old = self.chance.choice([*self.refresh_tokens[-2:], *self.refresh_tokens[-2:], *self.refresh_tokens])
        times = self.chance.choice([1, 1, 2])
        await asyncio.gather(*(self._refresh_once(old) for _ in range(times)))

    async def _refresh_once(self, old: str) -> None:
        now, access, new = self.rp.now(), self._text(), self._text()
        # Whoever holds the old token can open what is sealed under it; so can the check, from here.
        self.journal.write(seals=old)
        sealed = seal_under(old, f"{access} {new}", row=digest(old), **SUCCESSOR)
        pair = TokenPair(digest(access), digest(new), now + ACCESS_LIVES, sealed)
        policy = self.rp.policies[SessionType.MOBILE]
        done = await self.rp.database.write(
            lambda db: token_families.rotate(db, digest(old), pair, policy=policy, now=now)
        )
        if done.outcome is Outcome.ROTATED:
            self.journal.write(session=done.session_id, given=new)
            self.refresh_tokens.append(new)

    async def make_key(self) -> None:
        """Make a key for a console, which ends the one before."""
        wanted = KeyWanted(self.username, PACKAGE, SessionType.CONSOLE)
        async with self.rp.database.reading() as db:
            known = await users.find_by_name(db, self.username, package=PACKAGE)
        if known is None:
            return
        policy = self.rp.policies[SessionType.CONSOLE]
        made = await create_key(self.rp.database, wanted, policy=policy, created_by="test", now=self.rp.now())
        self.journal.write(session=made.session_id, given=made.key)

    async def clean_up(self) -> None:
        """Do what the jobs do, a row at a time or all at once."""
        limit, now = self.chance.choice([1, 500]), self.rp.now()
        await end_overdue(self.rp.database, self.bridge.settings.retention, now=now, limit=limit)
        await delete_old(self.rp.database, self.bridge.settings.retention, now=now, limit=limit)

    async def change_keys(self) -> None:
        """Change everything over to the first key."""
        with suppress(LeaseHeld):
            await key_rotation.rotate_keys(
                self.rp.database,
                self.rp.sealer,
                holder="killed",
                rotated_by="test",
                now=self.rp.now,
                progress=lambda *_: None,
            )

    async def sign_out(self) -> None:
        """End all sessions of a type."""
        kind = self.chance.choice(["web", "mobile", "console"])
        name = f"{self.username} with an app" if kind == "mobile" else self.username
        await end_all(
            self.rp.database,
            name,
            package=PACKAGE,
            ended_by=name,
            reason="everywhere",
            now=self.rp.now(),
            session_type=kind,
        )

    def _text(self) -> str:
        return self.chance.randbytes(32).hex()


async def come_back(http: httpx.AsyncClient, url: str, binding: str, *, credential: str | None = None) -> Callback:
    """Go to Keycloak as a browser with a living session there, and return what it comes back with."""
    answer = await http.get(url)
    return Callback(query(answer.headers["location"]), binding, True, credential, SOMEBODY)  # noqa: FBT003 - keeps cookies
