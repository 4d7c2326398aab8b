"""One run of the sync over one package: lease, sweep, census, one record.

acquire the lease -> sync_run: running -> sweep -> census -> sync_run: complete | incomplete | failed -> release
                     heartbeat beside it; whoever loses the lease stops at once and has written nothing since
"""

import asyncio
import hashlib
from collections.abc import Awaitable
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum

import orjson

from bridge.errors import BridgeError, LeaseLost, StorageError
from bridge.keycloak import pages
from bridge.keycloak.admin import Admin
from bridge.storage import leases, sync_runs
from bridge.storage.database import Database
from bridge.storage.leases import Lease
from bridge.telemetry import get_logger
from sync.census import census
from sync.job import Clock, Counts, Job, Progress
from sync.reconcile import Conflict
from sync.sweep import sweep

LEASE_LASTS = timedelta(seconds=60)
HEARTBEAT_EVERY = timedelta(seconds=10)
CONFLICTS_KEPT = 100
DONE, FAILED, INCOMPLETE = 0, 1, 3


class Status(StrEnum):
    """How a run ended."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


@dataclass(frozen=True)
class RunReport:
    """What a run did; `reasons` say why it is not complete."""

    run_id: str
    package: str
    status: Status
    counts: Counts
    conflicts: tuple[Conflict, ...]
    reasons: tuple[str, ...] = ()

    @property
    def changed(self) -> int:
        """How many rows of the public tables were written."""
        one = self.counts
        users = one.users_created + one.users_updated + one.users_missing
        return users + one.sessions_created + one.sessions_updated + one.sessions_ended

    @property
    def exit_status(self) -> int:
        """What the command answers its caller with."""
        return {Status.COMPLETE: DONE, Status.INCOMPLETE: INCOMPLETE, Status.FAILED: FAILED}[self.status]


async def run_once(
    database: Database,
    admin: Admin,
    *,
    package: str,
    issuer: str,
    holder: str,
    now: Clock,
    progress: Progress,
    heartbeat_every: timedelta = HEARTBEAT_EVERY,
) -> RunReport:
    """Mirror the realm of `issuer` into `package` once.

    Raises:
        LeaseHeld: another worker mirrors this realm; nothing was done.
        LeaseLost: another worker took over; nothing was written since.
        KeycloakError, StorageError: as they happened; the record says `failed`.
    """
    held = await database.write(lambda db: leases.acquire(db, _lease_name(issuer), holder=holder, lasting=LEASE_LASTS))
    try:
        run_id = await database.write(lambda db: sync_runs.start_run(db, package=package, now=now()))
        job = Job(database, admin, held, run_id, package, issuer, now, progress)
        log = get_logger().bind(package=package, realm=job.realm, run_id=run_id)
        log.info("sync_run_started")
        try:
            await _while_held(database, held, _read_and_write(job), every=heartbeat_every)
        except (Exception, asyncio.CancelledError) as error:
            await _record_failure(job, run_id, error)
            raise
        report = _report(job, run_id, Status.INCOMPLETE if job.incomplete else Status.COMPLETE)
        await _finish(job, report)
        log.info("sync_run_ended", status=str(report.status), **asdict(job.counts))
        return report
    finally:
        await _release(database, held)


def _lease_name(issuer: str) -> str:
    """Return the name of a realm's lease: readable, and never longer than its column."""
    return f"sync:{issuer.rsplit('/', 1)[-1][:100]}:{hashlib.sha256(issuer.encode()).hexdigest()[:16]}"


async def _read_and_write(job: Job) -> None:
    limits = await pages.fetch_realm_limits(job.admin)
    clients = await pages.fetch_clients(job.admin)
    await sweep(job, clients)
    await census(job, clients, limits)


async def _record_failure(job: Job, run_id: str, error: BaseException) -> None:
    """Log why a run ended early and write it into its record, whatever the reason was."""
    log = get_logger().bind(package=job.package, realm=job.realm, run_id=run_id)
    if isinstance(error, BridgeError):
        reason = f"{error.code}: {error.message}"
        log.warning("sync_run_failed", reason=reason, evidence=error.evidence)
    else:
        reason = f"internal_error: {type(error).__name__}"
        log.error("sync_run_failed", reason=reason, exc_info=error)
    try:
        await _finish(job, _report(job, run_id, Status.FAILED, reason=reason))
    except StorageError as lost:
        log.warning("sync_run_not_recorded", error=lost.code)


async def _while_held(database: Database, held: Lease, work: Awaitable[None], *, every: timedelta) -> None:
    """Do the work while the heart beats; stop it as soon as the lease is somebody else's."""
    working = asyncio.ensure_future(work)
    beating = asyncio.create_task(_beat(database, held, every))
    try:
        await asyncio.wait({working, beating}, return_when=asyncio.FIRST_COMPLETED)
        if beating.done():
            await beating
        await working
    finally:
        for task in (working, beating):
            task.cancel()
        await asyncio.gather(working, beating, return_exceptions=True)


async def _beat(database: Database, held: Lease, every: timedelta) -> None:
    while True:
        await asyncio.sleep(every.total_seconds())
        try:
            await database.write(lambda db: leases.heartbeat(db, held, lasting=LEASE_LASTS))
        except LeaseLost:
            raise
        except StorageError as error:
            # Every write is guarded by the fencing number, so a missed beat costs the lease at worst.
            get_logger().warning("sync_heartbeat_failed", lease=held.name, error=error.code)


async def _release(database: Database, held: Lease) -> None:
    try:
        await database.write(lambda db: leases.release(db, held))
    except StorageError as error:
        get_logger().warning("sync_lease_not_released", lease=held.name, error=error.code)


def _report(job: Job, run_id: str, status: Status, *, reason: str | None = None) -> RunReport:
    reasons = (*job.incomplete, *([reason] if reason else []))
    conflicts = tuple(sorted(job.conflicts.values(), key=lambda one: one.name))
    return RunReport(run_id, job.package, status, job.counts, conflicts, reasons)


async def _finish(job: Job, report: RunReport) -> None:
    kept = [asdict(conflict) for conflict in report.conflicts[:CONFLICTS_KEPT]]
    text = orjson.dumps({"conflicts": kept, "reasons": report.reasons, "counts": asdict(report.counts)}).decode()
    counts = {**asdict(report.counts), "conflicts": len(report.conflicts)}
    await job.database.write(
        lambda db: sync_runs.finish_run(
            db, report.run_id, status=str(report.status), counts=counts, report=text, now=job.now()
        )
    )
