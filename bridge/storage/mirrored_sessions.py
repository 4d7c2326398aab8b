"""Sessions in `sys_usersession` that mirror those of Keycloak: many at once, and only where the mirror may write.

A row that anybody but the census has ended stays as it is: every statement here says so in its condition, because an
application may end a session between our reading and our writing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, bindparam, func, insert, literal, or_, select, update

from bridge.model import Origin
from bridge.storage.database import Db
from bridge.storage.tables import sys_usersession
from bridge.storage.tables.columns import UtcDateTime

Columns = Mapping[str, object]

IN_A_LIST = 500
IN_A_PART = 5000
"""Rows of a long answer that are fetched together."""
SYNC = "sync"
s = sys_usersession.c


@dataclass(frozen=True)
class LiveRow:
    """A mirrored row that says its session is alive."""

    session_id: str
    sub: str
    sid: str
    offline: bool
    created_at: datetime
    client_ids: tuple[str, ...]


async def note_living(db: Db, *, issuer: str, package: str) -> dict[str, LiveRow]:
    """Return the mirrored rows that are alive, by SessionId: only these can turn out to be ended."""
    columns = (s.SessionId, s.Sub, s.Sid, s.Offline, s.CreatedAt, s.ClientsAccessed)
    query = select(*columns).where(
        s.Issuer == issuer,
        s.Package == package,
        s.Origin == Origin.KEYCLOAK,
        s.IsActive == True,  # noqa: E712 - SQL
    )
    living: dict[str, LiveRow] = {}
    async for part in (await db.stream(query)).partitions(IN_A_PART):
        for session_id, sub, sid, offline, created_at, accessed in part:
            client_ids = tuple(client_id for client_id in (accessed or "").split(",") if client_id)
            living[session_id] = LiveRow(session_id, sub, sid, offline, created_at, client_ids)
    return living


async def read_rows(db: Db, session_ids: Iterable[str]) -> dict[str, Columns]:
    """Return rows by SessionId and column name."""
    wanted = sorted(set(session_ids))
    found: dict[str, Columns] = {}
    for first in range(0, len(wanted), IN_A_LIST):
        query = select(sys_usersession).where(s.SessionId.in_(wanted[first : first + IN_A_LIST]))
        found.update({row.SessionId: dict(row._mapping) for row in await db.execute(query)})  # noqa: SLF001 - public
    return found


async def write_sessions(
    db: Db, *, creates: Mapping[str, Columns], changes: Mapping[str, Columns], revived_after: str, now: datetime
) -> None:
    """Insert new rows and change rows that are alive, or that were ended with the reason `revived_after`."""
    if creates:
        rows = [{"SessionId": session_id, **columns, "UpdatedAt": now} for session_id, columns in creates.items()]
        await db.execute(insert(sys_usersession), rows)
    alike: dict[tuple[str, ...], list[dict[str, object]]] = defaultdict(list)
    for session_id, columns in changes.items():
        values = {f"v_{name}": value for name, value in columns.items()}
        alike[tuple(sorted(columns))].append({"b_id": session_id, **values})
    for names, parameters in alike.items():
        values = {name: bindparam(f"v_{name}") for name in names}
        # MariaDB moves LastActivity at every UPDATE that does not name it.
        kept = {} if "LastActivity" in names else {"LastActivity": s.LastActivity}
        statement = (
            update(sys_usersession)
            .where(s.SessionId == bindparam("b_id"), *_ours(), _may_change(revived_after))
            .values(**values, **kept, UpdatedAt=now)
        )
        await db.execute(statement, parameters)


async def end_sessions(db: Db, session_ids: Sequence[str], *, reason: str, now: datetime) -> None:
    """End mirrored rows that are still alive, and note since when they are missing."""
    for first in range(0, len(session_ids), IN_A_LIST):
        part = session_ids[first : first + IN_A_LIST]
        await db.execute(
            update(sys_usersession)
            .where(s.SessionId.in_(part), *_ours(), s.IsActive == True)  # noqa: E712 - SQL
            .values(
                IsActive=False,
                InvalidatedAt=now,
                InvalidatedBy=SYNC,
                InvalidatedReason=reason,
                MissingSince=func.coalesce(s.MissingSince, literal(now, UtcDateTime())),
                UpdatedAt=now,
                LastActivity=s.LastActivity,
            )
        )


def _ours() -> tuple[ColumnElement[bool], ...]:
    return (s.Origin == Origin.KEYCLOAK,)


def _may_change(revived_after: str) -> ColumnElement[bool]:
    alive = s.IsActive == True  # noqa: E712 - SQL
    return or_(alive, and_(s.IsActive == False, s.InvalidatedReason == revived_after))  # noqa: E712 - SQL
