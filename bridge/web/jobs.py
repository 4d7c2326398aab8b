"""What the service does beside its requests: write what was noted, end what is over, delete what is long over, and say
which key it seals with.

A job that fails is said in the log and done again at its next time. All jobs of all replicas may run at once.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta

from bridge.config.policy import RetentionSettings
from bridge.flows.activity import FLUSH_EVERY, Activities
from bridge.flows.cleanup import delete_old, end_overdue, find_sure_time
from bridge.flows.relying_party import Clock
from bridge.flows.sealing_keys import note_keys
from bridge.sealing import Sealer
from bridge.storage.database import Database
from bridge.telemetry import get_logger

END_EVERY = timedelta(seconds=30)
DELETE_EVERY = timedelta(minutes=10)
NOTE_EVERY = timedelta(minutes=10)
Job = Callable[[], Awaitable[object]]
log = get_logger()


@asynccontextmanager
async def running_jobs(
    database: Database, activities: Activities, retention: RetentionSettings, *, sealer: Sealer, clock: Clock
) -> AsyncIterator[None]:
    """Do the jobs until the block ends; what was noted by then is written."""

    async def write_activity() -> object:
        return await activities.flush(now=clock())

    async def end_sessions() -> object:
        return await end_overdue(database, retention, now=await find_sure_time(database, now=clock()))

    async def delete_rows() -> object:
        return await delete_old(database, retention, now=await find_sure_time(database, now=clock()))

    async def note_key() -> None:
        # A rotation elsewhere may have forgotten the key that this process still seals with.
        await note_keys(database, {sealer.sealing_key_id}, now=clock())

    jobs: tuple[tuple[Job, timedelta], ...] = (
        (write_activity, FLUSH_EVERY),
        (end_sessions, END_EVERY),
        (delete_rows, DELETE_EVERY),
        (note_key, NOTE_EVERY),
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_attempt, write_activity)
        for job, pause in jobs:
            await stack.enter_async_context(_repeating(job, pause))
        yield


@asynccontextmanager
async def _repeating(job: Job, pause: timedelta) -> AsyncIterator[None]:
    """Do a job now and then until the block ends; a round that has begun is finished."""
    stopping = asyncio.Event()

    async def rounds() -> None:
        while not stopping.is_set():
            await _attempt(job)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), pause.total_seconds())

    repeating = asyncio.create_task(rounds())
    try:
        yield
    finally:
        stopping.set()
        await repeating


async def _attempt(job: Job) -> None:
    try:
        await job()
    except Exception as error:  # noqa: BLE001 - whatever it is, the next round comes
        log.warning("job_failed", job=getattr(job, "__name__", "job"), reason=f"{type(error).__name__}: {error}")
