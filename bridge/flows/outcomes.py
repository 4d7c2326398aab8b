"""Waiting for the outcome of a sign-in that another callback is finishing, here or on another replica."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bridge.errors import TooManyWaiting
from bridge.model import PendingLogin
from bridge.storage import oauth_states
from bridge.storage.database import Database

MOST_WAITERS = 128
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.25


@dataclass
class _Watch:
    """One look-out for all who wait for the same state in this process."""

    task: asyncio.Task[PendingLogin | None]
    waiters: int = 0


class Outcomes:
    """Watches pending logins in the database, one look-out a state; nobody holds a connection while waiting."""

    def __init__(self, database: Database, *, now: Callable[[], datetime]) -> None:
        """Take the database and the clock."""
        self._database = database
        self._now = now
        self._watches: dict[str, _Watch] = {}

    async def wait(self, state_digest: str) -> PendingLogin | None:
        """Return the login once it has an outcome, was released, is past its deadline or is gone.

        Raises:
            TooManyWaiting: more than 128 already wait for this state.
        """
        watch = self._watches.get(state_digest)
        if watch is None:
            watch = _Watch(asyncio.create_task(self._look_out(state_digest)))
            self._watches[state_digest] = watch
        if watch.waiters >= MOST_WAITERS:
            raise TooManyWaiting(retry_after=2)
        watch.waiters += 1
        try:
            return await asyncio.shield(watch.task)
        finally:
            watch.waiters -= 1
            if watch.waiters == 0:
                watch.task.cancel()
                if self._watches.get(state_digest) is watch:
                    del self._watches[state_digest]

    async def _look_out(self, state_digest: str) -> PendingLogin | None:
        pause = FIRST_PAUSE
        while True:
            async with self._database.reading() as db:
                login = await oauth_states.find(db, state_digest)
            if login is None or not self._is_on_its_way(login):
                return login
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    def _is_on_its_way(self, login: PendingLogin) -> bool:
        if login.consumed_at is not None or login.claim_deadline is None:
            return False
        return login.claim_deadline > self._now()
