"""The clean-up of a tenth of all sessions, while others write: how fast it is, and how long it keeps them waiting."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from bridge.config.policy import RetentionSettings
from bridge.flows.cleanup import SESSIONS_AT_ONCE, end_overdue
from bridge.model import Activity
from bridge.storage import user_sessions
from bridge.storage.database import Database, Db, open_database
from bridge.storage.user_sessions import CleanedUp
from tests.bench.figures import expect
from tests.bench.session_operations import POLICY, build_session, find_living
from tests.bench.sessions_made import count_rows
from tests.bench.statements_heard import Heard, hearing

QUIET_SECONDS = 3.0
"""How long others write alone first."""
BETWEEN_WRITES = 0.005
NEWCOMERS = 500
"""The number of the first person who signs in meanwhile."""
T = TypeVar("T")


@dataclass
class Cleaned:
    """What a clean-up came to; times are seconds."""

    rows: int
    seconds: float
    idle_seconds: float
    """A clean-up that finds nothing."""
    transactions: list[float]
    quiet: list[float]
    waits: list[float]
    """How long writes of others took, before and meanwhile."""
    heard: list[Heard] = field(default_factory=list)


class TimedDatabase(Database):
    """The product's own database, which also takes the time that its transactions hold locks."""

    def __init__(self, opened: Database) -> None:
        """Take over an open database with all that belongs to it."""
        vars(self).update(vars(opened))
        self.seconds: list[float] = []

    async def write(self, step: Callable[[Db], Awaitable[T]]) -> T:
        """Run a step as the product does."""
        begun: list[float] = []

        async def timed(db: Db) -> T:
            # From here on: SQLite's lock is had when the transaction has begun, the others' with the first statement.
            begun.append(time.perf_counter())
            return await step(db)

        try:
            return await super().write(timed)
        finally:
            self.seconds.extend(time.perf_counter() - began for began in begun)


async def measure_cleaning(url: str, *, sessions: int, now: datetime, batch: int = SESSIONS_AT_ONCE) -> Cleaned:
    """Clean up while others use sessions and sign in, over connections of their own."""
    retention = RetentionSettings()
    wanted = CleanedUp(
        count_rows(sessions, "over"), count_rows(sessions, "idle"), count_rows(sessions, "long_over", "long_ended")
    )
    async with open_database(url) as opened, _others(url, now=now) as waits:
        await asyncio.sleep(QUIET_SECONDS)
        quiet, waits[:] = list(waits), []
        database = TimedDatabase(opened)
        with hearing(database) as heard:
            began = time.perf_counter()
            found = await end_overdue(database, retention, now=now, limit=batch)
            seconds = time.perf_counter() - began
        meanwhile, transactions = list(waits), list(database.seconds)
        expect("what the clean-up did", wanted=wanted, found=found)
        began = time.perf_counter()
        found = await end_overdue(database, retention, now=now, limit=batch)
        idle_seconds = time.perf_counter() - began
        expect("what it left", wanted=CleanedUp(0, 0, 0), found=found)
    rows = wanted.expired + wanted.idle + wanted.deleted
    return Cleaned(rows, seconds, idle_seconds, transactions, quiet, meanwhile, _different(heard))


@asynccontextmanager
async def _others(url: str, *, now: datetime) -> AsyncIterator[list[float]]:
    """Write all the time as another process does, and give the list of how long each write took."""
    waits: list[float] = []
    async with open_database(url, pool_size=2) as database:
        living = await find_living(database, now=now, number=500)
        clock = itertools.count(1)

        async def use(db: Db) -> None:
            number = next(clock)
            at = now + timedelta(milliseconds=number)
            one = Activity(living[number % len(living)].session_id, at, idle_expires_at=at + POLICY.lifetime)
            await user_sessions.update_activity(db, [one])

        async def sign_in(db: Db) -> None:
            opened = build_session(NEWCOMERS + next(clock) % 100, now=now)
            await user_sessions.create_session(db, opened, policy=POLICY)

        async def write(step: Callable[[Db], Awaitable[Any]]) -> None:
            while True:
                began = time.perf_counter()
                await database.write(step)
                waits.append(time.perf_counter() - began)
                await asyncio.sleep(BETWEEN_WRITES)

        tasks = [asyncio.create_task(write(step)) for step in (use, sign_in)]
        try:
            yield waits
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    raise outcome


def _different(heard: Sequence[Heard]) -> list[Heard]:
    """Return one of each statement: the clean-up repeats a few."""
    return list({one.statement: one for one in heard}.values())
