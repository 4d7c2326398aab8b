"""`sync run` beside the bare read of the same pages: once into an empty database, once where nothing has changed.

round    bare read, first run (all people created), bare read, second run (nothing written)

The bare read calls the same functions in the same order and throws the results away; both must make the same calls.
Rows are counted in the database, by comparing both tables before and after a run.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from bridge.config import HttpSettings
from bridge.config.sections import SyncSettings
from bridge.keycloak import pages, session_pages
from bridge.keycloak.admin import Admin, open_admin
from bridge.storage.database import Database, open_database
from bridge.telemetry import configure_logging
from deploy.demo.keycloak_server import KeycloakServer
from deploy.demo.realm import SYNC_SECRET
from sync.worker import run_once
from tests.bench.databases import DatabaseKind, open_databases
from tests.bench.figures import BenchmarkFailed, build_ratio, build_spread, expect
from tests.bench.machine import python_version
from tests.bench.page import Result
from tests.bench.realms import import_people, open_realm, read_version, username
from tests.bench.service import PACKAGE
from tests.bench.visitors import Place, come_in, open_http

GOAL = 0.85
ROUNDS = 5
PEOPLE = 10_000
WITH_SESSION = 20
REALM = "bench-sync"
NOBODY = "http://127.0.0.1:9"
"""No bridge runs here; browsers would only be sent to it."""
WARM_UP = 3
"""Reads that nobody counts the time of: a Java server is slow at first, and its caches are empty."""
CALLS_MAY_DIFFER = 0.02
"""Windows begin at the clock of their run, so that one more or less may be halved."""
_NOTES = """\
* People a second: least, median and greatest of {rounds} rounds; *ratio* is the median of each round's own ratio.
* {users:,} people in 40 groups, {sessions} sessions. The first run creates all of them in an empty database, the second
  finds nothing changed. Before that, {warm_up} bare reads warm Keycloak up.
* *Calls* are the requests of one run to the Admin API; *rows written* are counted by comparing both tables before and
  after.
* The worker runs in the process of the benchmark, without the start of the command. Worker, Keycloak (its database in
  memory) and database share the cores; PostgreSQL does not wait for the disk.
"""
TABLES = {"sys_user": '"User", "Package"', "sys_usersession": '"SessionId"'}


@dataclass
class Runs:
    """People a second of one kind of run and of the bare reads beside it, one number a round."""

    name: str
    sync: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    written: set[int] = field(default_factory=set)
    calls: int = 0


class CountingAdmin(Admin):
    """The product's own connection, which also counts the calls by path."""

    def __init__(self, opened: Admin) -> None:
        """Take over an open connection with all that belongs to it."""
        vars(self).update(vars(opened))
        self.calls: Counter[str] = Counter()

    async def find(self, path: str, params: Mapping[str, object] | None = None) -> object | None:
        """GET as the product does."""
        self.calls[path] += 1
        return await super().find(path, params)


class Quiet:
    """Nobody watches the progress."""

    def stage(self, name: str, total: int | None) -> None:
        """Take note of nothing."""

    def advance(self, n: int = 1) -> None:
        """Take note of nothing."""


def measure(directory: Path, *, rounds: int, users: int, say: Callable[[str], None]) -> Result:
    """Run the benchmark."""
    configure_logging(level="warning")
    rows: list[list[str]] = []
    with (
        open_databases(directory, say=say) as kinds,
        KeycloakServer(port=0, log=directory / "keycloak.log") as keycloak,
        open_realm(keycloak, name=REALM, signing_in=WITH_SESSION, bridge_url=NOBODY) as issuer,
    ):
        say(f"Importing {users:,} people ...")
        import_people(keycloak, realm=REALM, first=WITH_SESSION, number=users)
        asyncio.run(_open_sessions(issuer))
        for kind in kinds:
            say(f"Mirroring them, {kind.title} ...")
            measured = asyncio.run(_measure_rounds(kind, issuer, users=users, rounds=rounds))
            rows.extend(_row(kind, runs) for runs in measured)
        versions = [python_version(), read_version(keycloak), *(kind.version for kind in kinds)]
    return Result(
        name="sync",
        title="Sync",
        columns=("database", "run", *_three("sync"), *_three("bare"), "ratio", "goal", "calls", "rows written"),
        rows=rows,
        notes=_NOTES.format(rounds=rounds, users=users, sessions=WITH_SESSION, warm_up=WARM_UP),
        versions=versions,
    )


async def read_barely(admin: Admin) -> int:
    """Read what a run reads, in the same order, and return how many users there were."""
    await pages.fetch_realm_limits(admin)
    clients = await pages.fetch_clients(admin)
    await pages.check_users_visible(admin)
    groups = await pages.fetch_groups(admin)
    await pages.fetch_service_accounts(admin, clients)
    await pages.count_users(admin)
    await _exhaust(pages.read_members(admin, [group.group_id for group in groups]))
    found = 0
    async with aclosing(pages.read_windows(admin, now=datetime.now(tz=UTC))) as windows:
        async for window in windows:
            found += len(window.users)
    await pages.count_users(admin)
    await pages.count_users(admin, after=0)
    await _exhaust(session_pages.read_sessions(admin, await session_pages.fetch_client_session_stats(admin)))
    return found


async def _exhaust(pieces: AsyncGenerator[object]) -> None:
    async with aclosing(pieces):
        async for _ in pieces:
            pass


async def _open_sessions(issuer: str) -> None:
    place = Place(issuer, NOBODY)
    async with open_http(1) as http:
        for number in range(WITH_SESSION):
            await come_in(http, place, username(number))


async def _measure_rounds(kind: DatabaseKind, issuer: str, *, users: int, rounds: int) -> list[Runs]:
    first, second = Runs("first"), Runs("second")
    async with _admin(issuer) as admin:
        for _ in range(WARM_UP):
            await read_barely(admin)
        for number in range(rounds):
            async with open_database(kind.create(f"sync_{number}")) as database:
                for runs, created in ((first, users), (second, 0)):
                    await _measure_pair(runs, admin, database, issuer, users=users, created=created)
    expect("rows written by the second run", wanted={0}, found=second.written)
    return [first, second]


async def _measure_pair(
    runs: Runs, admin: CountingAdmin, database: Database, issuer: str, *, users: int, created: int
) -> None:
    admin.calls.clear()
    began = time.perf_counter()
    found = await read_barely(admin)
    runs.bare.append(users / (time.perf_counter() - began))
    expect("people read, and the service account", wanted=users + 1, found=found)
    bare_calls = Counter(admin.calls)

    before = await _snapshot(database)
    admin.calls.clear()
    began = time.perf_counter()
    report = await run_once(
        database, admin, package=PACKAGE, issuer=issuer, holder="benchmark", now=_now, progress=Quiet()
    )
    runs.sync.append(users / (time.perf_counter() - began))
    runs.calls = admin.calls.total()
    after = await _snapshot(database)
    runs.written.add(len(after - before))

    expect(f"state of the {runs.name} run", wanted=("complete", ()), found=(str(report.status), report.reasons))
    expect("people created", wanted=created, found=report.counts.users_created)
    expect("people in the database", wanted=users, found=sum(table == "sys_user" for table, *_ in after))
    sessions = sum(table == "sys_usersession" for table, *_ in after)
    expect("sessions in the database", wanted=WITH_SESSION, found=sessions)
    _check_calls(bare_calls, admin.calls)


def _check_calls(bare: Counter[str], ours: Counter[str]) -> None:
    """Refuse to compare a run with a read of something else."""
    differing = (bare - ours).total() + (ours - bare).total()
    if differing > CALLS_MAY_DIFFER * bare.total():
        raise BenchmarkFailed(f"the bare read made other calls: {bare - ours or 'none'} more, {ours - bare} less")


@asynccontextmanager
async def _admin(issuer: str) -> AsyncIterator[CountingAdmin]:
    settings = SyncSettings.model_validate({"client_id": "bridge-sync", "client_secret": SYNC_SECRET})
    async with open_admin(issuer, settings, HttpSettings()) as opened:
        yield CountingAdmin(opened)


async def _snapshot(database: Database) -> set[tuple[object, ...]]:
    """Return all rows of the two public tables; every write of a row changes its version or its time."""
    rows: set[tuple[object, ...]] = set()
    async with database.reading() as db:
        for table, key in TABLES.items():
            query = sa.text(f"SELECT * FROM {table} ORDER BY {key}")
            rows.update((table, *row) for row in await db.execute(query))
    return rows


def _now() -> datetime:
    return datetime.now(tz=UTC)


def _three(name: str) -> tuple[str, str, str]:
    return (f"{name} least", "median", "greatest")


def _row(kind: DatabaseKind, runs: Runs) -> list[str]:
    ratio = build_ratio(runs.sync, runs.bare).median
    figures = (*build_spread(runs.sync).cells(), *build_spread(runs.bare).cells())
    written = " or ".join(f"{number:,}" for number in sorted(runs.written))
    return [kind.title, runs.name, *figures, f"{ratio:.2f}", f"{GOAL:.2f}", str(runs.calls), written]
