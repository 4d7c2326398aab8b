"""Change what is sealed over to the first key, so that older keys can be taken out of the configuration.

    1 take the lease          2 note the first key as in use
    3 every column, in the order of its primary key: read values under other keys, open, seal, write back
      (one transaction a batch; it holds the lease, and a value that has changed since it was read stays as it is)
    4 look through the column again until nothing was left to change: rows move while they are read
    5 forget keys that nothing needs any more, and say in the audit trail what was done

Nothing has to be remembered between two runs: a run that was killed is simply begun again.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bridge.errors import ConfigurationError, StorageError
from bridge.flows.sealing_keys import count_all, note_keys
from bridge.sealing import LEGACY_PREFIX, SealBroken, Sealer, is_ours, legacy_row
from bridge.storage import leases, sealed_values, sealing_keys, security_events
from bridge.storage.database import Database, Db
from bridge.storage.leases import Lease
from bridge.storage.sealed_values import SEALED_COLUMNS, SealedColumn, SealedValue, ValueCounts
from bridge.storage.security_events import SecurityEvent
from bridge.telemetry import get_logger

LEASE = "keys-rotate"
LEASE_LASTS = timedelta(seconds=60)
BATCH = 200
ROUNDS = 5
"""How often a column is looked through; only a bridge that still seals with an old key makes more than two."""

Progress = Callable[[str, int, int], None]
"""Takes the column's name, how many of its values were looked at, and how many there are to look at."""
Clock = Callable[[], datetime]

log = get_logger()


@dataclass(frozen=True)
class ColumnReport:
    """What became of the values of one column."""

    column: str
    already: int
    """Under the first key before the run began."""
    resealed: int = 0
    overtaken: int = 0
    """Changed by somebody else while they were read; what they hold now is under that one's key."""
    foreign: int = 0
    """In legacy columns: values of other programs. They stay as they are."""
    unopenable: int = 0
    """Under an unknown key, moved from elsewhere, or damaged. They stay as they are."""


@dataclass(frozen=True)
class RotationReport:
    """What a run did, and the keys that nothing needs any more."""

    key_id: str
    columns: tuple[ColumnReport, ...]
    forgotten: tuple[str, ...] = ()

    @property
    def unopenable(self) -> int:
        """How many values are left that none of the keys opens."""
        return sum(one.unopenable for one in self.columns)


@dataclass(frozen=True)
class _Job:
    database: Database
    sealer: Sealer
    held: Lease | None
    """None: nothing is written."""
    now: Clock
    progress: Progress


async def rotate_keys(
    database: Database,
    sealer: Sealer,
    *,
    holder: str,
    rotated_by: str,
    now: Clock,
    progress: Progress,
    lost: Collection[str] = (),
) -> RotationReport:
    """Seal everything under the first key; `lost` are keys to forget although values need them.

    `holder` names this process, and `rotated_by` who began it.

    Raises:
        ConfigurationError: a lost key is among the configured ones.
        LeaseHeld: another run is at work; nothing was done.
        LeaseLost: another run took over; nothing was written since.
        StorageError: what was done so far stays done.
    """
    for key_id in sorted(set(lost) & set(sealer.key_ids)):
        raise ConfigurationError(
            f"The key {key_id} is among sealing.keys, so it is not lost.", hint="Leave out --lost, or the key."
        )
    held = await database.write(lambda db: leases.acquire(db, LEASE, holder=holder, lasting=LEASE_LASTS))
    try:
        await note_keys(database, {sealer.sealing_key_id}, now=now())
        job = _Job(database, sealer, held, now, progress)
        before = await count_all(database)
        columns = [await _change_column(job, column, before[column.name]) for column in SEALED_COLUMNS]
        report = RotationReport(sealer.sealing_key_id, tuple(columns))
        report = replace(report, forgotten=await _forget(job, held, report, lost=set(lost), rotated_by=rotated_by))
        log.info("keys_rotated", key_id=report.key_id, forgotten=report.forgotten, unopenable=report.unopenable)
        return report
    finally:
        await _release(database, held)


async def plan_rotation(database: Database, sealer: Sealer, *, now: Clock, progress: Progress) -> RotationReport:
    """Return what `rotate_keys` would do, having opened every value and written nothing.

    Raises:
        StorageError: the database cannot be read.
    """
    job = _Job(database, sealer, None, now, progress)
    before = await count_all(database)
    columns = [await _change_column(job, column, before[column.name]) for column in SEALED_COLUMNS]
    return RotationReport(sealer.sealing_key_id, tuple(columns))


async def _change_column(job: _Job, column: SealedColumn, before: ValueCounts) -> ColumnReport:
    key_id = job.sealer.sealing_key_id
    total = sum(before.by_key.values()) - before.by_key.get(key_id, 0) + before.foreign + before.unreadable
    report = ColumnReport(column.name, already=before.by_key.get(key_id, 0))
    for number in range(ROUNDS):
        one = await _look_through(job if number == 0 else replace(job, progress=_be_quiet), column, total)
        report = replace(
            one,
            already=report.already,
            resealed=report.resealed + one.resealed,
            overtaken=report.overtaken + one.overtaken,
        )
        if job.held is None or one.resealed + one.overtaken == 0:
            break
    return report


async def _look_through(job: _Job, column: SealedColumn, total: int) -> ColumnReport:
    """Go through the values of a column that are not under the first key, once."""
    report = ColumnReport(column.name, already=0)
    after: Sequence[str] | None = None
    done = 0
    while True:
        async with job.database.reading(patient=True) as db:
            values = await sealed_values.read_batch(
                db, column, key_id=job.sealer.sealing_key_id, after=after, limit=BATCH
            )
        if not values:
            return report
        ours = [value for value in values if not column.is_legacy or is_ours(value.sealed)]
        changes = _seal_again(job.sealer, column, ours)
        written = await _write(job, column, changes)
        report = replace(
            report,
            resealed=report.resealed + written,
            overtaken=report.overtaken + len(changes) - written,
            foreign=report.foreign + len(values) - len(ours),
            unopenable=report.unopenable + len(ours) - len(changes),
        )
        after, done = values[-1].key, done + len(values)
        job.progress(column.name, done, max(total, done))


def _be_quiet(_column: str, _done: int, _total: int) -> None:
    """Show nothing: what is looked at again was counted before."""


def _seal_again(sealer: Sealer, column: SealedColumn, values: Sequence[SealedValue]) -> Mapping[SealedValue, str]:
    """Return the values that open, each with its new seal; the others have no place in it."""
    mark = LEGACY_PREFIX if column.is_legacy else ""
    changes: dict[SealedValue, str] = {}
    for value in values:
        row = legacy_row(*value.row) if column.is_legacy else value.row[0]
        place = {"table": column.table, "column": column.column, "row": row}
        try:
            text = sealer.open(value.sealed.removeprefix(mark), **place)
        except SealBroken:
            continue
        changes[value] = mark + sealer.seal(text, **place)
    return changes


async def _write(job: _Job, column: SealedColumn, changes: Mapping[SealedValue, str]) -> int:
    """Write what is still as it was read, in one transaction that holds the lease; return how many that were."""
    held = job.held
    if held is None or not changes:
        return len(changes)

    async def step(db: Db) -> int:
        await leases.heartbeat(db, held, lasting=LEASE_LASTS)
        return await sealed_values.write_back(db, column, changes, now=job.now())

    return await job.database.write(step)


async def _forget(
    job: _Job, held: Lease, report: RotationReport, *, lost: set[str], rotated_by: str
) -> tuple[str, ...]:
    """Take keys off the list that no value names any more, and those that are lost; note the run as done."""
    needed = {key_id for counts in (await count_all(job.database)).values() for key_id in counts.by_key}

    async def step(db: Db) -> tuple[str, ...]:
        await leases.heartbeat(db, held, lasting=LEASE_LASTS)
        known = {key.key_id for key in await sealing_keys.list_in_use(db)}
        gone = sorted(known & (lost | (known - needed)) - {job.sealer.sealing_key_id})
        await sealing_keys.forget(db, gone)
        evidence = {
            "key_id": report.key_id,
            "resealed": sum(one.resealed for one in report.columns),
            "unopenable": report.unopenable,
            "forgotten": gone,
            "lost": sorted(lost.intersection(gone)),
            "rotated_by": rotated_by,
        }
        # The keys are those of all packages.
        await security_events.append(db, SecurityEvent("keys_rotated", None, evidence=evidence), now=job.now())
        return tuple(gone)

    return await job.database.write(step)


async def _release(database: Database, held: Lease) -> None:
    try:
        await database.write(lambda db: leases.release(db, held))
    except StorageError as error:
        log.warning("keys_lease_not_released", error=error.code)
