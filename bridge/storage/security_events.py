"""The audit trail: who did what, when, from where, with evidence and without secrets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import insert

from bridge.model import Identity
from bridge.storage.database import Db
from bridge.storage.retention import delete_older
from bridge.storage.tables import security_event
from bridge.telemetry import REQUEST_ID

LONGEST_TEXT = 300


@dataclass(frozen=True)
class SecurityEvent:
    """One entry; everything but the event's name and package may be unknown."""

    event: str
    package: str
    identity: Identity | None = None
    username: str | None = None
    session_id: str | None = None
    ip_address: str | None = None
    evidence: Mapping[str, object] = field(default_factory=dict)


def _bounded(evidence: Mapping[str, object]) -> dict[str, object]:
    """Cut texts: part of the evidence is what a visitor's address held."""
    return {name: value[:LONGEST_TEXT] if isinstance(value, str) else value for name, value in evidence.items()}


async def append(db: Db, entry: SecurityEvent, *, now: datetime) -> None:
    """Write an entry in the transaction of what it tells about."""
    await db.execute(
        insert(security_event).values(
            at=now,
            event=entry.event,
            package=entry.package,
            issuer=entry.identity.issuer if entry.identity else None,
            sub=entry.identity.sub if entry.identity else None,
            username=entry.username[:150] if entry.username else None,
            session_id=entry.session_id,
            ip_address=entry.ip_address,
            request_id=REQUEST_ID.get(),
            evidence=json.dumps(_bounded(entry.evidence), default=str) if entry.evidence else None,
        )
    )


async def delete_old(db: Db, *, before: datetime, limit: int) -> int:
    """Delete the oldest entries from before a moment, at most `limit`; return how many are gone."""
    return await delete_older(db, security_event, before=before, limit=limit)
