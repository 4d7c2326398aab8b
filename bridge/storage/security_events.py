"""The audit trail: who did what, when, from where, with evidence and without secrets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, String, insert, literal, select

from bridge.model import Identity
from bridge.storage.database import Db
from bridge.storage.retention import count_older, delete_older
from bridge.storage.tables import security_event, sys_usersession
from bridge.storage.tables.columns import UtcDateTime
from bridge.telemetry import REQUEST_ID

LONGEST_TEXT = 300


@dataclass(frozen=True)
class SecurityEvent:
    """One entry; everything but the event's name may be unknown. What concerns all packages has none."""

    event: str
    package: str | None
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


async def append_ended(db: Db, *which: ColumnElement[bool], reason: str, invalidated_by: str, now: datetime) -> None:
    """Write `session_ended` for each session of a condition, in one statement: there may be very many."""
    s = sys_usersession.c
    values: dict[str, ColumnElement[Any]] = {
        "at": literal(now, UtcDateTime()),
        "event": literal("session_ended"),
        "package": s.Package,
        "issuer": s.Issuer,
        "sub": s.Sub,
        "username": s.User,
        "session_id": s.SessionId,
        "request_id": literal(REQUEST_ID.get(), String()),
        "evidence": literal(json.dumps({"reason": reason, "invalidated_by": invalidated_by})),
    }
    await db.execute(insert(security_event).from_select(list(values), select(*values.values()).where(*which)))


async def count_old(db: Db, *, before: datetime) -> int:
    """Return how many entries there are from before a moment."""
    return await count_older(db, security_event, before=before)
