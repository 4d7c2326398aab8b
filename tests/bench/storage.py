"""Operations on sessions among 10,000, 100,000 and 1,000,000 of them, and the clean-up of 100,000 that are due.

round    SELECT 1, look-ups; in the table of each size in turn
then     in the largest: batches of uses, counts for the cap, sessions opened at the cap, at last the clean-up

Everything is what the product itself calls, on the three databases. The plans of all statements are looked at: none may
read one of the large tables from end to end.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bridge.flows.cleanup import SESSIONS_AT_ONCE
from bridge.storage.database import open_database
from bridge.storage.installed_triggers import find_missing_triggers
from bridge.telemetry import configure_logging
from tests.bench import session_operations as operations
from tests.bench.cleaning import QUIET_SECONDS, Cleaned, measure_cleaning
from tests.bench.databases import DatabaseKind, open_databases
from tests.bench.figures import build_ratio, build_spread, expect
from tests.bench.machine import python_version
from tests.bench.page import KEPT, MISSED, Result, Table
from tests.bench.session_operations import BUSY, HISTORY, Series
from tests.bench.sessions_made import PASSED_OVER, count_rows, make_history, make_sessions
from tests.bench.statements_heard import find_full_reads

SESSIONS = 1_000_000
STEP = 100_000
"""So that each kind of row has its whole share in a hundredth of them."""
ROUNDS = 10
FLAT = 1.3
"""A look-up in the largest table may take so many times as long as in the smallest."""
LONGEST_LOCK = 0.2
PLANS_MATTER_FROM = 1_000_000
"""A smaller table is sometimes rightly read from end to end."""
_NOTES = """\
* First table: milliseconds of one operation, least, median and greatest of {rounds} rounds; *statements* are those of
  one operation, a batch counting as one. *Times* compares round by round with what stands before it.
* Second table: {rows:,} rows are due. Half of them is ended (with credentials and grants; the triggers append a
  revocation each), half is deleted; {others:,} older rows of an application are passed over. A transaction has at most
  {batch:,} rows; its time goes from its begin to the end of its commit. *Nothing due*: the same once more, when all
  is done.
* *Wait*: two other connections write all the time, one of them uses, the other sign-ins. The longest that one of these
  transactions took: in {quiet:.0f} seconds before the clean-up, and during it.
* Third table: by the plans of each database, of all statements of these operations.
* PostgreSQL (without autovacuum) and MariaDB are throw-away servers that do not wait for the disk; SQLite is a file,
  set up as in real use.
"""


@dataclass(frozen=True)
class Measured:
    """All figures of one database."""

    kind: DatabaseKind
    look_ups: dict[int, Series]
    others: Sequence[Series]
    cleaned: Cleaned
    full_reads: Sequence[str]
    """Beginnings of statements whose plan reads a large table from end to end."""


def measure(directory: Path, *, rounds: int, sessions: int, say: Callable[[str], None]) -> Result:
    """Run the benchmark."""
    configure_logging(level="warning")
    with open_databases(directory, say=say, mariadb=True) as kinds:
        measured = [asyncio.run(_measure(kind, rounds=rounds, sessions=sessions, say=say)) for kind in kinds]
        versions = [python_version(), *(kind.version for kind in kinds)]
    three = ("ms least", "median", "greatest")
    cleaning = ("database", "rows a second", "nothing due, ms", "transactions", *three, "wait before, ms", "wait, ms")
    return Result(
        name="storage",
        title="Sessions in SQL",
        columns=("database", "operation", "sessions", "statements", *three, "beside", "times", "at most", ""),
        rows=[row for one in measured for row in _rows(one)],
        further=[
            Table((*cleaning, "at most", ""), [_cleaning_row(one) for one in measured]),
            Table(
                ("database", "statements that read a large table from end to end", ""), list(map(_plan_row, measured))
            ),
        ],
        notes=_NOTES.format(
            rounds=rounds,
            rows=measured[0].cleaned.rows,
            others=count_rows(sessions, *PASSED_OVER),
            batch=SESSIONS_AT_ONCE,
            quiet=QUIET_SECONDS,
        ),
        versions=versions,
    )


async def _measure(kind: DatabaseKind, *, rounds: int, sessions: int, say: Callable[[str], None]) -> Measured:
    now = datetime.now(tz=UTC).replace(microsecond=0)
    urls: dict[int, str] = {}
    for size in (sessions // 100, sessions // 10, sessions):
        say(f"Making {size:,} sessions, {kind.title} ...")
        urls[size] = kind.create(f"sessions_{size}")
        await make_sessions(urls[size], number=size, now=now)
    say(f"Looking sessions up, {kind.title} ...")
    async with AsyncExitStack() as stack:
        databases = {size: await stack.enter_async_context(open_database(url)) for size, url in urls.items()}
        look_ups = await operations.measure_look_ups(databases, now=now, rounds=rounds)
    await make_history(urls[sessions], BUSY, number=HISTORY, now=now)
    async with open_database(urls[sessions]) as database:
        async with database.reading() as db:
            expect("triggers that are missing", wanted=(), found=await find_missing_triggers(db))
        say(f"Using them, {kind.title} ...")
        others = [
            await operations.measure_activity(database, now=now, rounds=rounds),
            await operations.measure_first_uses(database, now=now, rounds=rounds),
            await operations.measure_count(database, now=now, rounds=rounds),
            await operations.measure_sign_ins(database, now=now, rounds=rounds),
        ]
        say(f"Cleaning up, {kind.title} ...")
        cleaned = await measure_cleaning(urls[sessions], sessions=sessions, now=now)
        series = [*look_ups.values(), *others]
        heard = [*(one for each in series for one in each.heard), *cleaned.heard]
        async with database.reading() as db:
            found = await find_full_reads(db, heard)
    for url in urls.values():
        kind.drop(url)
    return Measured(kind, look_ups, others, cleaned, found)


def _rows(measured: Measured) -> list[list[str]]:
    title, (least, *larger) = measured.kind.title, measured.look_ups
    largest = max(measured.look_ups)
    rows = [_row(title, size, series) for size, series in measured.look_ups.items()]
    for size in larger:
        flat = Series("look-up of a credential", f"among {least:,}")
        flat.ours, flat.bare = measured.look_ups[size].ours, measured.look_ups[least].ours
        flat.heard = measured.look_ups[size].heard
        rows.append(_row(title, size, flat, limit=FLAT))
    return rows + [_row(title, largest, series) for series in measured.others]


def _row(title: str, size: int, series: Series, *, limit: float | None = None) -> list[str]:
    milliseconds = build_spread([1000 * one for one in series.ours]).cells(2)
    times = build_ratio(series.ours, series.bare).median
    verdict = ["", ""] if limit is None else [f"{limit:.2f}", KEPT if times <= limit else MISSED]
    return [
        title,
        series.operation,
        f"{size:,}",
        str(len(series.heard)),
        *milliseconds,
        series.beside,
        f"{times:.2f}",
        *verdict,
    ]


def _cleaning_row(measured: Measured) -> list[str]:
    cleaned = measured.cleaned
    longest = max(cleaned.transactions)
    return [
        measured.kind.title,
        f"{cleaned.rows / cleaned.seconds:,.0f}",
        f"{1000 * cleaned.idle_seconds:.1f}",
        f"{len(cleaned.transactions):,}",
        *build_spread([1000 * one for one in cleaned.transactions]).cells(),
        f"{1000 * max(cleaned.quiet):,.0f}",
        f"{1000 * max(cleaned.waits):,.0f}",
        f"{1000 * LONGEST_LOCK:.0f}",
        KEPT if longest <= LONGEST_LOCK else MISSED,
    ]


def _plan_row(measured: Measured) -> list[str]:
    found = measured.full_reads
    if max(measured.look_ups) < PLANS_MATTER_FROM:
        return [measured.kind.title, "; ".join(found) or "none", ""]
    return [measured.kind.title, "; ".join(found) or "none", MISSED if found else KEPT]
