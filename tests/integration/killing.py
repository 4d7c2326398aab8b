"""Kill a bridge again and again, and look at what it leaves behind: the invariants, then the next start.

    a round     time passes -> a process lives and is killed -> invariants -> logins that were under way come back
                -> the jobs and the change of keys are done once -> invariants, and nothing is left to do

Keys change with each round, so that the next start must finish what the killed one had begun.
"""

import asyncio
import base64
import json
import multiprocessing
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from bridge.config.policy import PolicySettings, RetentionSettings
from bridge.flows import key_rotation, web_login
from bridge.flows.cleanup import count_overdue, delete_old, end_overdue
from bridge.flows.duplicates import SignedIn
from bridge.flows.outcomes import Outcomes
from bridge.flows.policies import build_policies
from bridge.flows.relying_party import RelyingParty
from bridge.flows.sealing_keys import build_sealer, check_keys
from bridge.flows.web_login import Started
from bridge.model import digest
from bridge.sealing import Sealer
from bridge.storage import oauth_states
from bridge.storage.database import Database, open_database
from bridge.storage.tables import lease
from bridge.storage.user_sessions import CleanedUp
from bridge.web.app import open_bridge
from tests.double import KeycloakDouble
from tests.integration import killed
from tests.integration.invariants import Tables, find_unopenable, find_wrong, read_tables
from tests.integration.killed import PACKAGE, POLICY, Orders, build_clock, build_settings, come_back

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload([killed.__name__])
PEOPLE = ("alice", "bob")
MOST_TOUCHES = 500
LONGEST_LIFE = 1.0
"""Seconds that a process lives that is not killed at a touch of its database."""
PATIENCE = 120.0
MOST_LOGINS = 4
"""So many of those that a process began come back after it."""
POLICIES = PolicySettings.model_validate(POLICY)
PASSING = [timedelta(0), timedelta(0), timedelta(minutes=90), timedelta(hours=9), timedelta(days=8), timedelta(days=40)]
OTHERS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT count(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()",
}
"""Counts connections beside this one."""


@contextmanager
def open_double() -> Iterator[KeycloakDouble]:
    """Give a Keycloak double with the people who sign in."""
    with KeycloakDouble(realm="demo") as double:
        for name in PEOPLE:
            double.realm.add_user(name, email=f"{name}@example.com")
        # A machine that has a lot to do must not make codes expire.
        double.realm.sessions.code_seconds = 3600
        yield double


@dataclass
class Killing:
    """A database on which bridges are killed one after another."""

    database_url: str
    double: KeycloakDouble
    directory: Path
    seed: int
    keys: tuple[str, ...] = ()
    ahead: timedelta = timedelta(0)
    tokens: dict[str, str] = field(default_factory=dict)
    """Refresh tokens by digest."""
    tally: Counter[str] = field(default_factory=Counter)
    """How many kills, at a touch or a moment; what had been done by then, and what had only begun."""

    def now(self) -> datetime:
        """Return the time."""
        return build_clock(self.ahead)()

    def round(self, number: int) -> None:
        """Let a bridge live and die, and look at what is left."""
        chance = random.Random(f"{self.seed} {number}")  # noqa: S311 - to be repeated, not to be secret
        self._let_time_pass(chance)
        orders = Orders(
            database_url=self.database_url,
            issuer=self.double.issuer,
            username=chance.choice(PEOPLE),
            keys=self.keys,
            ahead=self.ahead,
            journal=str(self.directory / f"{number}.journal"),
            seed=f"{self.seed} {number}",
            dies_at=chance.randint(1, MOST_TOUCHES) if chance.random() < 0.7 else None,
        )
        self.double.sign_in_as(orders.username)
        _live_and_die(orders, longest=chance.uniform(0, LONGEST_LIFE))
        journal = _read_journal(Path(orders.journal))
        self.tokens |= {digest(line["seals"]): line["seals"] for line in journal if "seals" in line}
        self.tally["kills at a touch" if orders.dies_at else "kills at a moment"] += 1
        self.tally["done"] += sum("given" in line for line in journal)
        asyncio.run(_look(self, journal))

    def _let_time_pass(self, chance: random.Random) -> None:
        passing = chance.choice(PASSING)
        self.ahead += passing
        self.double.realm.clock.advance(passing.total_seconds())
        self.keys = (base64.urlsafe_b64encode(chance.randbytes(32)).decode(), *self.keys[:1])


def _live_and_die(orders: Orders, *, longest: float) -> None:
    told, tells = FORK.Pipe(duplex=False)
    process = FORK.Process(target=killed.run, args=(orders, tells))
    process.start()
    tells.close()
    with told:
        begun = told.poll(PATIENCE)
        process.join(PATIENCE if orders.dies_at is not None else longest)
        if orders.dies_at is None:
            process.kill()
            process.join()
    failures = [line["failed"] for line in _read_journal(Path(orders.journal)) if "failed" in line]
    assert not failures, failures[0]
    assert begun
    assert process.exitcode == -signal.SIGKILL
    process.close()


def _read_journal(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


async def _look(killing: Killing, journal: Sequence[Mapping[str, Any]]) -> None:
    settings = build_settings(killing.database_url, killing.double.issuer, killing.keys)
    async with open_database(killing.database_url, pool_size=1, longest=settings.database.timeout) as database:
        await _wait_for_silence(database)
        tables = await _check(killing, database, build_sealer(settings.sealing))
        wrong = list(_find_forgotten(tables, journal, killing.now()))
        assert not wrong, "\n".join(wrong)
    async with (
        open_bridge(settings, clock=killing.now, elapsed=time.monotonic) as bridge,
        httpx.AsyncClient(timeout=60, trust_env=False) as http,
    ):
        rp = bridge.relying_parties[PACKAGE]
        await check_keys(rp.database, rp.sealer, now=killing.now())
        for login in [line["login"] for line in journal if "login" in line][-MOST_LOGINS:]:
            await _come_back(killing, rp, http, login, tables.states.get(login["state"]))
        codes = [one.form["code"] for one in killing.double.requests if "code" in one.form]
        assert len(codes) == len(set(codes))
        await _check(killing, rp.database, rp.sealer)
        await _finish_jobs(rp, bridge.settings.retention)
        await _check(killing, rp.database, rp.sealer, under=rp.sealer.sealing_key_id)


async def _wait_for_silence(database: Database) -> None:
    """Wait until the server has noticed that nobody is at the other end any more; SQLite has nothing to notice."""
    query = OTHERS.get(database.dialect.name)
    async with database.reading() as db:
        while query and (await db.execute(sa.text(query))).scalar_one():
            await asyncio.sleep(0.005)
            await db.rollback()


async def _check(killing: Killing, database: Database, sealer: Sealer, *, under: str | None = None) -> Tables:
    tables = await read_tables(database)
    wrong = find_wrong(tables, now=killing.now(), policies=build_policies(POLICIES), tokens=killing.tokens)
    wrong += await find_unopenable(database, sealer, under=under)
    assert not wrong, "\n".join(wrong)
    return tables


def _find_forgotten(tables: Tables, journal: Sequence[Mapping[str, Any]], now: datetime) -> Iterator[str]:
    """Find what somebody was given before the kill, and the tables do not know."""
    for line in journal:
        if "given" not in line:
            continue
        session_id = line["session"] if "session" in line else tables.states[line["signed_in"]]["session_id"]
        if session_id not in tables.sessions:
            yield f"somebody was signed in, and the session {session_id} is not there: {line}"
        if tables.is_alive(session_id, now) and digest(line["given"]) not in tables.credentials:
            yield f"somebody was given what does not open the session {session_id}: {line}"


async def _come_back(
    killing: Killing,
    rp: RelyingParty,
    http: httpx.AsyncClient,
    login: Mapping[str, str],
    state: Mapping[str, Any] | None,
) -> None:
    """Let the browser of a login come back once more: it is signed in, or it begins again."""
    callback = await come_back(http, login["url"], login["binding"])
    if state is None:
        assert isinstance(await web_login.finish(rp, callback), Started)
    elif state["session_id"] is not None or state["claim_id"] is None:
        assert isinstance(await web_login.finish(rp, callback), SignedIn)
    elif state["error_code"] is None:
        # Its exchange died with the process; by the deadline the login has failed.
        killing.tally["logins under way"] += 1
        assert state["claim_deadline"] <= rp.now() + rp.claim_life

        def late() -> datetime:
            deadline: datetime = state["claim_deadline"]
            return deadline + timedelta(seconds=1)

        later = replace(rp, now=late, outcomes=Outcomes(rp.database, now=late))
        assert isinstance(await web_login.finish(later, callback), Started)
        async with rp.database.reading() as db:
            left = await oauth_states.find(db, login["state"])
        assert left is not None
        assert left.session_id is None


async def _finish_jobs(rp: RelyingParty, retention: RetentionSettings) -> None:
    """Do what the next start does, until nothing is left to do. The lease of the killed one runs out."""
    await end_overdue(rp.database, retention, now=rp.now())
    await delete_old(rp.database, retention, now=rp.now())
    over = sa.update(lease).values(expires_at=datetime(2000, 1, 1, tzinfo=UTC))
    await rp.database.write(lambda db: db.execute(over))
    report = await key_rotation.rotate_keys(
        rp.database, rp.sealer, holder="next", rotated_by="test", now=rp.now, progress=lambda *_: None
    )
    assert report.unopenable == 0
    assert await count_overdue(rp.database, retention, now=rp.now()) == CleanedUp(0, 0, 0)
