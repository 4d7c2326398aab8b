"""The history of people: one row in `sys_user_history` for each real change of a row in `sys_user`.

    describe_change     pure: which mapped fields differ, before and after; None when none does
    append              any number of changes in one statement, in the transaction that makes them

A sign-in that changes the time of the last sign-in alone, and a run of the sync that finds nothing, leave no entry.
Passwords, versions and times of use are never part of one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

import orjson
from sqlalchemy import ColumnElement, Row, insert, select

from bridge.storage.database import Db
from bridge.storage.retention import count_older, delete_older
from bridge.storage.tables import sys_user, sys_user_history

Columns = Mapping[str, object]

FIELDS = (
    "User",
    "Uuid",
    "Active",
    "DeactivatedBy",
    "Store",
    "Email",
    "EmailVerified",
    "FirstName",
    "LastName",
    "DisplayName",
    "Usergroups",
    "MirroredUsergroups",
    "RegisterDate",
    "Origin",
    "MissingSince",
)
"""Columns of `sys_user` whose change is one of the person; issuer and sub have columns of their own in the history."""

h = sys_user_history.c


class Change(StrEnum):
    """What happened to a person's row."""

    CREATED = "created"
    UPDATED = "updated"
    RETIRED = "retired"


@dataclass(frozen=True)
class Cause:
    """Who changed rows: a sign-in (of which session), the sync (in which run), or a command."""

    kind: str
    cause_id: str | None = None

    @classmethod
    def sign_in(cls, session_id: str | None) -> Self:
        """Return the cause of what a sign-in writes."""
        return cls("sign_in", session_id)

    @classmethod
    def sync(cls, run_id: str | None) -> Self:
        """Return the cause of what a run of the sync writes."""
        return cls("sync", run_id)

    @classmethod
    def command(cls) -> Self:
        """Return the cause of what an operator writes."""
        return cls("command")


@dataclass(frozen=True)
class Described:
    """A change that is to be written, with the changed fields as they were and as they are."""

    change: Change
    row: Columns
    before: Columns
    after: Columns


@dataclass(frozen=True)
class UserChange:
    """One row of `sys_user_history`."""

    at: datetime
    username: str
    change: str
    cause: str
    cause_id: str | None
    before: Columns
    after: Columns


def describe_change(change: Change, row: Columns | None, columns: Columns) -> Described | None:
    """Compare the columns to write with the row (None: a new one), and return what really changes."""
    names = [name for name in FIELDS if name in columns]
    old = row or {}
    changed = [name for name in names if old.get(name) != columns[name]]
    if not changed:
        return None
    before = {name: old.get(name) for name in changed} if row is not None else {}
    return Described(change, {**old, **columns}, before, {name: columns[name] for name in changed})


async def append(db: Db, changes: Sequence[Described | None], *, cause: Cause, now: datetime) -> None:
    """Write changes, all in one statement; nothing for None, which is no change."""
    rows = [
        {
            "at": now,
            "package": one.row["Package"],
            "username": one.row["User"],
            "uuid": one.row.get("Uuid"),
            "issuer": one.row.get("Issuer"),
            "sub": one.row.get("Sub"),
            "change": one.change.value,
            "cause": cause.kind,
            "cause_id": cause.cause_id,
            "before": _to_json(one.before),
            "after": _to_json(one.after),
        }
        for one in changes
        if one is not None
    ]
    if rows:
        await db.execute(insert(sys_user_history), rows)


async def find_history(db: Db, username: str, *, package: str, limit: int) -> list[UserChange]:
    """Return the changes of a person, newest first; also those from before the person was renamed.

    Of a name that nobody has any more, the entries that were written under it.
    """
    query = select(sys_user).where(sys_user.c.User == username, sys_user.c.Package == package)
    row = (await db.execute(query)).one_or_none()
    named = (h.package == package, h.username == username)
    which = named if row is None else of_person(row._mapping)  # noqa: SLF001 - public name of SQLAlchemy
    found = await db.execute(select(sys_user_history).where(*which).order_by(h.id.desc()).limit(limit))
    return [_to_model(entry) for entry in found]


def of_person(row: Mapping[Any, Any]) -> tuple[ColumnElement[bool], ...]:
    """Return which entries are those of a row in `sys_user`: by identity, and never those of a namesake."""
    if row["Issuer"] is not None and row["Sub"] is not None:
        return (h.package == row["Package"], h.issuer == row["Issuer"], h.sub == row["Sub"])
    return (h.package == row["Package"], h.username == row["User"], h.sub.is_(None), h.uuid == row["Uuid"])


async def delete_old(db: Db, *, before: datetime, limit: int) -> int:
    """Delete the oldest entries from before a moment, at most `limit`; return how many are gone."""
    return await delete_older(db, sys_user_history, before=before, limit=limit)


async def count_old(db: Db, *, before: datetime) -> int:
    """Return how many entries there are from before a moment."""
    return await count_older(db, sys_user_history, before=before)


def _to_json(fields: Columns) -> str | None:
    return orjson.dumps(fields).decode() if fields else None


def _to_model(row: Row[Any]) -> UserChange:
    return UserChange(
        at=row.at,
        username=row.username,
        change=row.change,
        cause=row.cause,
        cause_id=row.cause_id,
        before=orjson.loads(row.before or "{}"),
        after=orjson.loads(row.after or "{}"),
    )
