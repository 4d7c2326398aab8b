"""A process that opens sessions of one person at a word of its parent, many at once: what a replica does in a rush.

    python -m tests.integration.session_opening DATABASE_URL NUMBER

It says `ready`, waits for a line, and prints what came of each as JSON: when it began, whether it was refused, and whom
it ended. Every session begins when the person's row is held, as in a sign-in.
"""

import asyncio
import json
import sys
from collections import Counter
from datetime import UTC, datetime

from bridge.errors import SessionLimitReached
from bridge.model import Profile, SessionPolicy
from bridge.storage import user_sessions, users
from bridge.storage.database import Database, Db, open_database
from tests.integration.stored_sessions import POLICY, REFUSING, identity, new_session


async def open_many(database: Database, number: int, *, policy: SessionPolicy) -> Counter[str]:
    """Open sessions of alice at once, and count what came of them."""

    async def step(db: Db) -> int:
        await users.upsert_signed_in(db, identity("alice"), Profile("alice"), now=datetime.now(tz=UTC))
        opened = new_session(created_at=datetime.now(tz=UTC))
        return len((await user_sessions.create_session(db, opened, policy=policy)).ended)

    came = Counter[str]()

    async def one() -> None:
        try:
            ended = await database.write(step)
        except SessionLimitReached:
            came["refused"] += 1
        else:
            came.update(opened=1, ended=ended)

    await asyncio.gather(*(one() for _ in range(number)))
    return came


async def main(url: str, number: int, *, policy: SessionPolicy) -> None:
    """Wait for the word, and open."""
    # A connection each, so that they wait for the person's row and for nothing else.
    async with open_database(url, pool_size=number) as database:
        async with database.reading():
            print("ready", flush=True)  # noqa: T201 - the parent reads it
        await asyncio.to_thread(sys.stdin.readline)
        print(json.dumps(await open_many(database, number, policy=policy)))  # noqa: T201 - as above


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), policy=REFUSING if "refuse" in sys.argv else POLICY))
