"""People in `sys_user` as the mirror reads and writes them: many at once, by identity, and only where nothing moved.

    note_versions      before Keycloak is read
    read_rows          what the rows say now
    write_batch        one transaction: rows that are still at their noted version; the others are given back
    retire_user        a name's holder whose Keycloak user is gone: ended, and the name free again

Whatever writes here raises RowVersion, so that a writer who read Keycloak before can see it, and leaves an entry in
the history of the person.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, insert, select, update

from bridge.model import Identity
from bridge.storage import preferences, security_events, user_history
from bridge.storage.database import Db
from bridge.storage.tables import keycloak_grant, session_credential, sys_user, sys_usersession
from bridge.storage.user_history import Cause, Change, Described, describe_change

Columns = Mapping[str, object]

IN_A_LIST = 500
"""Parameters of one IN list."""
IN_A_PART = 5000
"""Rows of a long answer that are fetched together."""
SYNC = "sync"
USER_DISABLED = "user_disabled"
USER_GONE = "user_gone"
KEPT_OF_NAME = 40

u = sys_user.c
s = sys_usersession.c


@dataclass(frozen=True)
class UserBatch:
    """Rows to write in one transaction, by sub; `noted` are the versions they must still have."""

    creates: Mapping[str, Columns] = field(default_factory=dict)
    changes: Mapping[str, Columns] = field(default_factory=dict)
    retired: frozenset[str] = frozenset()
    noted: Mapping[str, int] = field(default_factory=dict)


async def note_versions(db: Db, *, issuer: str, package: str) -> dict[str, int]:
    """Return sub -> RowVersion of all mirrored rows."""
    query = select(u.Sub, u.RowVersion).where(u.Issuer == issuer, u.Package == package, u.Sub.is_not(None))
    versions: dict[str, int] = {}
    # In parts: memory stays bounded, and a row by itself costs a switch of greenlets.
    async for part in (await db.stream(query)).partitions(IN_A_PART):
        versions.update({row.Sub: row.RowVersion for row in part})
    return versions


async def read_rows(db: Db, subs: Iterable[str], *, issuer: str, package: str) -> dict[str, Columns]:
    """Return the rows of these identities, by sub and column name."""
    return {str(row["Sub"]): row for row in await _read(db, u.Sub, subs, issuer, package, lock=False)}


async def find_holders(db: Db, usernames: Iterable[str], *, package: str) -> dict[str, Columns]:
    """Return who holds these user names: User, Uuid, Issuer, Sub and RowVersion of the rows there are."""
    found: dict[str, Columns] = {}
    for part in _parts(sorted(set(usernames))):
        query = select(u.User, u.Uuid, u.Issuer, u.Sub, u.RowVersion).where(u.Package == package, u.User.in_(part))
        found.update({row.User: dict(row._mapping) for row in await db.execute(query)})  # noqa: SLF001 - public name
    return found


async def write_batch(
    db: Db, batch: UserBatch, *, issuer: str, package: str, now: datetime, run_id: str | None = None
) -> set[str]:
    """Write what is still as it was noted, and return the subs that are not: they are to be read again.

    Names are taken over within the batch: a name is free when nobody holds it, or its holder leaves it here. What
    really changes enters the history, with the run.
    """
    subs = sorted({*batch.creates, *batch.changes, *batch.retired})
    rows = {str(row["Sub"]): row for row in await _read(db, u.Sub, subs, issuer, package, lock=True)}
    known = (*batch.changes, *batch.retired)
    moved = {sub for sub in known if sub not in rows or rows[sub]["RowVersion"] != batch.noted.get(sub)}
    moved |= batch.creates.keys() & rows.keys()
    names = {sub: str(columns["User"]) for sub, columns in _named(batch).items()}
    holders = await find_holders(db, names.values(), package=package)
    lost = _lost(names, holders, moved, leaving=batch.retired, issuer=issuer)
    retired = [await _retire(db, rows[sub], now=now) for sub in sorted(batch.retired - lost)]
    changes = {sub: columns for sub, columns in batch.changes.items() if sub not in lost}
    await _free_names(db, changes, rows, issuer=issuer, package=package)
    await _update(db, changes, issuer=issuer, package=package, now=now)
    creates = [dict(columns) for sub, columns in batch.creates.items() if sub not in lost]
    if creates:
        await db.execute(insert(sys_user), [{**columns, "RowVersion": 1, "UpdatedAt": now} for columns in creates])
    await _follow_names(db, changes, issuer=issuer, package=package)
    moves = {str(rows[sub]["User"]): str(columns["User"]) for sub, columns in changes.items() if "User" in columns}
    await preferences.follow_names(db, moves, package=package, taken=[str(columns["User"]) for columns in creates])
    created = [describe_change(Change.CREATED, None, columns) for columns in creates]
    updated = [describe_change(Change.UPDATED, rows[sub], columns) for sub, columns in changes.items()]
    await user_history.append(db, [*retired, *updated, *created], cause=Cause.sync(run_id), now=now)
    disabled = [sub for sub, columns in changes.items() if columns.get("Active") is False]
    await _end_sessions(db, disabled, issuer=issuer, package=package, reason=USER_DISABLED, now=now)
    return lost


async def retire_user(
    db: Db, *, issuer: str, sub: str, package: str, now: datetime, session_id: str | None = None
) -> bool:
    """End a user who is gone at Keycloak and rename the row, so that the name is free; False when there is no row.

    Sessions end, credentials and grants are deleted, preferences follow, in the caller's transaction. Nothing is ever
    inherited: a person re-created under an old name is a new person. `session_id` is that of the sign-in that needs the
    name, for the history.
    """
    rows = await _read(db, u.Sub, [sub], issuer, package, lock=True)
    retired = [await _retire(db, row, now=now) for row in rows]
    await user_history.append(db, retired, cause=Cause.sign_in(session_id), now=now)
    return bool(rows)


async def _retire(db: Db, row: Columns, *, now: datetime) -> Described | None:
    identity = Identity(str(row["Issuer"]), str(row["Sub"]), str(row["Package"]))
    name = f"{str(row['User'])[:KEPT_OF_NAME]}~{row['Uuid'] or identity.uuid}"
    values = {"User": name, "Active": False, "DeactivatedBy": row["DeactivatedBy"] or SYNC}
    values |= {"MissingSince": row["MissingSince"] or now}
    where = {"issuer": identity.issuer, "package": identity.package}
    await _update(db, {identity.sub: values}, now=now, **where)
    await _end_sessions(db, [identity.sub], reason=USER_GONE, now=now, **where)
    await _follow_names(db, {identity.sub: values}, **where)
    await preferences.follow_names(db, {str(row["User"]): name}, package=identity.package)
    return describe_change(Change.RETIRED, row, values)


async def _free_names(
    db: Db, changes: Mapping[str, Columns], rows: Mapping[str, Columns], *, issuer: str, package: str
) -> None:
    """Move to temporary names who holds a name that another of the batch takes: swaps and chains need it."""
    taken = {columns["User"] for columns in changes.values() if "User" in columns}
    leaving = [sub for sub, columns in changes.items() if "User" in columns and rows[sub]["User"] in taken]
    if leaving:
        statement = update(sys_user).where(*_bound(issuer, package)).values(User=bindparam("v_User"))
        names = [{"b_Sub": sub, "v_User": f"~{Identity(issuer, sub, package).uuid}~moving"} for sub in leaving]
        await db.execute(statement, names)


async def _update(db: Db, changes: Mapping[str, Columns], *, issuer: str, package: str, now: datetime) -> None:
    """Change rows that are locked and at their version; one executemany for each set of changed columns."""
    alike: dict[tuple[str, ...], list[dict[str, object]]] = defaultdict(list)
    for sub, columns in changes.items():
        values = {f"v_{name}": value for name, value in columns.items()}
        alike[tuple(sorted(columns))].append({"b_Sub": sub, **values})
    for names, parameters in alike.items():
        statement = (
            update(sys_user)
            .where(*_bound(issuer, package))
            .values(RowVersion=u.RowVersion + 1, UpdatedAt=now, **{name: bindparam(f"v_{name}") for name in names})
        )
        await db.execute(statement, parameters)


async def _follow_names(db: Db, changes: Mapping[str, Columns], *, issuer: str, package: str) -> None:
    """Let the sessions of an identity follow its new name."""
    names = [{"b_Sub": sub, "v_User": columns["User"]} for sub, columns in changes.items() if "User" in columns]
    if names:
        await db.execute(
            update(sys_usersession)
            .where(s.Issuer == issuer, s.Package == package, s.Sub == bindparam("b_Sub"))
            .values(User=bindparam("v_User"), LastActivity=s.LastActivity),
            names,
        )


async def _end_sessions(db: Db, subs: Sequence[str], *, issuer: str, package: str, reason: str, now: datetime) -> None:
    """End the living sessions of these identities, say so in the audit trail, and delete what opens them."""
    for part in _parts(subs):
        of_users = (s.Issuer == issuer, s.Package == package, s.Sub.in_(part))
        active = (*of_users, s.IsActive == True)  # noqa: E712 - SQL
        # Held first, so that nobody ends one of them between its entry and its end.
        await db.execute(select(s.SessionId).where(*active).order_by(s.SessionId).with_for_update())
        await security_events.append_ended(db, *active, reason=reason, invalidated_by=SYNC, now=now)
        await db.execute(
            update(sys_usersession)
            .where(*active)
            .values(
                IsActive=False,
                InvalidatedAt=now,
                InvalidatedBy=SYNC,
                InvalidatedReason=reason,
                UpdatedAt=now,
                LastActivity=s.LastActivity,
            )
        )
        # By their keys: of a subquery MariaDB makes a walk through the whole table.
        session_ids = list((await db.execute(select(s.SessionId).where(*of_users))).scalars())
        for ids in _parts(session_ids):
            for table in (session_credential, keycloak_grant):
                await db.execute(delete(table).where(table.c.session_id.in_(ids)))


def _lost(
    names: Mapping[str, str],
    holders: Mapping[str, Columns],
    moved: set[str],
    *,
    leaving: frozenset[str],
    issuer: str,
) -> set[str]:
    """Return who cannot be written: whose row moved, whose name is held, and whoever waits for one of these."""
    by_name = {name: sub for sub, name in names.items()}
    # Two of one name were read at two moments; the one that is left out is read again.
    lost = moved | {sub for sub, name in names.items() if by_name[name] != sub}
    while True:
        free = (leaving | names.keys()) - lost
        stuck = {
            sub
            for sub, name in names.items()
            if sub not in lost
            and (holder := holders.get(name)) is not None
            and (holder["Issuer"] != issuer or (holder["Sub"] not in free and holder["Sub"] != sub))
        }
        if not stuck:
            return lost
        lost |= stuck


def _named(batch: UserBatch) -> dict[str, Columns]:
    """Return the rows of a batch that take a name."""
    return {sub: columns for sub, columns in (*batch.creates.items(), *batch.changes.items()) if "User" in columns}


def _bound(issuer: str, package: str) -> tuple[ColumnElement[bool], ...]:
    return (u.Issuer == issuer, u.Package == package, u.Sub == bindparam("b_Sub"))


async def _read(db: Db, column: Any, values: Iterable[str], issuer: str, package: str, *, lock: bool) -> list[Columns]:
    rows: list[Columns] = []
    for part in _parts(list(values)):
        query = select(sys_user).where(u.Issuer == issuer, u.Package == package, column.in_(part)).order_by(u.Sub)
        found = await db.execute(query.with_for_update() if lock else query)
        rows.extend(dict(row._mapping) for row in found)  # noqa: SLF001 - public name of SQLAlchemy
    return rows


def _parts(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[first : first + IN_A_LIST] for first in range(0, len(values), IN_A_LIST)]
