"""Times of the operations on sessions, each beside something that the same database does in the same round."""

import itertools
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa

from bridge.model import Activity, Device, Identity, NewSession, SessionPolicy, SessionType
from bridge.storage import session_credentials, user_sessions
from bridge.storage.database import Database, Db
from bridge.storage.tables import session_credential, sys_usersession
from tests.bench.figures import expect
from tests.bench.sessions_made import ISSUER, PACKAGE, sub, username
from tests.bench.statements_heard import Heard, hearing

LOOK_UPS, BATCH, FIRST_USES, COUNTS, SIGN_INS = 200, 500, 100, 100, 20
"""How often each is done in a round; of the batches, their rows."""
DIFFERENT = 2_000
"""Living sessions to choose from."""
HISTORY = 10_000
BUSY = 7
"""The person who has so many ended sessions."""
POLICY = SessionPolicy(timedelta(hours=8), timedelta(hours=1), 3)
DEVICE = Device(name="Chrome on Linux", fingerprint=f"{'0' * 63}1")
NOTHING = sa.text("SELECT 1")
s, k = sys_usersession.c, session_credential.c
T = TypeVar("T")
Round = Callable[[], Awaitable[float]]


@dataclass
class Series:
    """Seconds of one operation, and of what stands beside it, one number a round."""

    operation: str
    beside: str
    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    """The statements of one such operation."""

    async def measure(self, number: int, *, bare: Round, ours: Round) -> None:
        """Do a round; one with a number below nought only warms up."""
        seconds = await bare(), await ours()
        if number >= 0:
            self.bare.append(seconds[0])
            self.ours.append(seconds[1])


@dataclass(frozen=True)
class Living:
    """A living session and the digest that opens it."""

    digest: str
    session_id: str


async def find_living(database: Database, *, now: datetime, number: int = DIFFERENT) -> list[Living]:
    """Return living sessions from all over the table."""
    query = sa.select(k.digest).where(k.digest >= sa.bindparam("least")).order_by(k.digest).limit(10)
    found: dict[str, Living] = {}
    async with database.reading(patient=True) as db:
        while len(found) < number:
            for digest in (await db.execute(query, {"least": secrets.token_hex(32)})).scalars().all():
                active = await user_sessions.get_active_session(db, digest, package=PACKAGE, now=now)
                if active is not None:
                    found[digest] = Living(digest, active.session.session_id)
    return list(found.values())


async def measure_look_ups(databases: Mapping[int, Database], *, now: datetime, rounds: int) -> dict[int, Series]:
    """Look living sessions up by their digests, in tables of each size in turn."""
    series = {size: Series("look-up of a credential", "SELECT 1") for size in databases}
    living = {
        size: await find_living(database, now=now, number=min(DIFFERENT, size // 5))
        for size, database in databases.items()
    }

    async def look_up(db: Db, one: Living) -> None:
        found = await user_sessions.get_active_session(db, one.digest, package=PACKAGE, now=now)
        expect("the session of a digest", wanted=one.session_id, found=found and found.session.session_id)

    for number in range(-1, rounds):
        for size, database in databases.items():
            chosen = _choose(living[size], LOOK_UPS)
            async with database.reading() as db:
                bare, ours = _each(chosen, partial(_do_nothing, db)), _each(chosen, partial(look_up, db))
                await series[size].measure(number, bare=bare, ours=ours)
    for size, database in databases.items():
        series[size].heard = await _hear(database, partial(look_up, one=living[size][0]))
    return series


async def measure_activity(database: Database, *, now: datetime, rounds: int) -> Series:
    """Write a batch of uses in one transaction, beside an UPDATE of one column without an index."""
    series = Series(f"{BATCH} uses written", f"{BATCH} plain UPDATEs")
    living = await find_living(database, now=now)
    plain = sa.update(sys_usersession).where(s.SessionId == sa.bindparam("chosen"))
    # MariaDB moves LastActivity at every UPDATE that does not name it.
    plain = plain.values(UpdatedAt=sa.bindparam("at"), LastActivity=s.LastActivity)

    async def write(db: Db, number: int) -> None:
        at = now + timedelta(seconds=number + 2)
        uses = [Activity(one.session_id, at, idle_expires_at=at + POLICY.lifetime) for one in _choose(living, BATCH)]
        await user_sessions.update_activity(db, uses)

    async def update(db: Db, number: int) -> None:
        at = now + timedelta(seconds=number + 2)
        await db.execute(plain, [{"chosen": one.session_id, "at": at} for one in _choose(living, BATCH)])

    for number in range(-1, rounds):
        bare, ours = (_each([partial(step, number=number)], database.write) for step in (update, write))
        await series.measure(number, bare=bare, ours=ours)
    series.heard = await _hear(database, partial(write, number=rounds))
    return series


async def measure_first_uses(database: Database, *, now: datetime, rounds: int) -> Series:
    """Note that new cookies were used, beside the plain UPDATE of as many rows by their keys."""
    series = Series(f"{FIRST_USES} first uses noted", f"{FIRST_USES} plain UPDATEs")
    living = await find_living(database, now=now)
    plain = sa.update(session_credential).where(k.digest == sa.bindparam("chosen")).values(host=sa.bindparam("at"))

    async def note(db: Db, number: int) -> None:
        chosen = _choose(living, FIRST_USES)
        at = now + timedelta(seconds=number + 2)
        await session_credentials.note_first_use(db, [one.digest for one in chosen], now=at)

    async def update(db: Db, number: int) -> None:
        chosen = _choose(living, FIRST_USES)
        await db.execute(plain, [{"chosen": one.digest, "at": str(number)} for one in chosen])

    for number in range(-1, rounds):
        bare, ours = (_each([partial(step, number=number)], database.write) for step in (update, note))
        await series.measure(number, bare=bare, ours=ours)
    series.heard = await _hear(database, partial(note, number=rounds))
    return series


async def measure_count(database: Database, *, now: datetime, rounds: int) -> Series:
    """Count what the cap counts, of a person with many ended sessions."""
    series = Series(f"count for the cap, {HISTORY:,} ended", "SELECT 1")

    async def count(db: Db, _: object = None) -> None:
        await user_sessions.count_concurrent(db, username(BUSY), package=PACKAGE, session_type="web", now=now)

    async with database.reading() as db:
        for number in range(-1, rounds):
            bare, ours = (_each(range(COUNTS), partial(step, db)) for step in (_do_nothing, count))
            await series.measure(number, bare=bare, ours=ours)
    series.heard = await _hear(database, count)
    return series


async def measure_sign_ins(database: Database, *, now: datetime, rounds: int) -> Series:
    """Open sessions at the cap, of a person with many ended ones, beside somebody with few."""
    series = Series(f"session opened at the cap, {HISTORY:,} ended", "the same with few ended")
    clock = itertools.count()

    async def open_one(db: Db, person: int) -> int:
        opened = build_session(person, now=now + timedelta(seconds=next(clock)))
        return len((await user_sessions.create_session(db, opened, policy=POLICY)).ended)

    async def open_at_cap(person: int) -> None:
        expect("sessions that the cap ended", wanted=1, found=await database.write(partial(open_one, person=person)))

    for number in range(-1, rounds):
        few = BUSY + 2 + number
        for person in (few, BUSY):
            while not await database.write(partial(open_one, person=person)):
                pass
        bare, ours = (_each([person] * SIGN_INS, open_at_cap) for person in (few, BUSY))
        await series.measure(number, bare=bare, ours=ours)
    series.heard = await _hear(database, partial(open_one, person=BUSY))
    return series


def build_session(person: int, *, now: datetime) -> NewSession:
    """Return a session that somebody opens in a browser."""
    return NewSession(
        session_id=secrets.token_hex(32),
        session_type=SessionType.WEB,
        credential_digest=secrets.token_hex(32),
        identity=Identity(ISSUER, sub(person), PACKAGE),
        username=username(person),
        created_at=now,
        expires_at=now + POLICY.lifetime,
        client_id="bridge",
        sid=secrets.token_hex(16),
        ip_address="192.0.2.1",
        device=DEVICE,
    )


def _choose(living: list[Living], number: int) -> list[Living]:
    """Return some of them in the order of their keys, as batches are written."""
    return sorted(random.sample(living, number), key=lambda one: one.session_id)


async def _do_nothing(db: Db, _: object) -> None:
    await db.execute(NOTHING)


def _each(many: Sequence[T], step: Callable[[T], Awaitable[Any]]) -> Round:
    """Return what does a step for each in turn, and returns the mean seconds."""

    async def measure() -> float:
        began = time.perf_counter()
        for one in many:
            await step(one)
        return (time.perf_counter() - began) / len(many)

    return measure


async def _hear(database: Database, step: Callable[[Db], Awaitable[Any]]) -> list[Heard]:
    """Return the statements of a step, in a transaction that is taken back."""
    with hearing(database) as heard:
        async with database.reading() as db:
            await step(db)
    return heard
