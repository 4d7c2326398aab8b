"""Runs of the sync: one row each, written when it begins and when it ends."""

from collections.abc import Mapping
from datetime import datetime
from uuid import uuid4

from sqlalchemy import insert, update

from bridge.storage.database import Db
from bridge.storage.tables import sync_run

RUNNING = "running"


async def start_run(db: Db, *, package: str, now: datetime) -> str:
    """Note that a run has begun and return its id; a run that is killed stays `running` without an end."""
    run_id = str(uuid4())
    await db.execute(insert(sync_run).values(id=run_id, package=package, started_at=now, status=RUNNING))
    return run_id


async def finish_run(
    db: Db, run_id: str, *, status: str, counts: Mapping[str, int], report: str, now: datetime
) -> None:
    """Note how a run ended; `counts` are by column, `report` is JSON."""
    values = {name: number for name, number in counts.items() if name in sync_run.c}
    await db.execute(
        update(sync_run).where(sync_run.c.id == run_id).values(finished_at=now, status=status, report=report, **values)
    )
