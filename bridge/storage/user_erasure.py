"""Everything that is kept of one person, counted or deleted.

What belongs to the identity is found by issuer and sub, what only carries the name by name and without an identity:
nothing of a namesake is touched. Deleting a session deletes its credentials and Keycloak's tokens.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, delete, func, or_, select

from bridge.storage.database import Db
from bridge.storage.tables import (
    exchange_code,
    oauth_state,
    security_event,
    sync_run,
    sync_stage,
    sys_user,
    sys_user_history,
    sys_user_preferences,
    sys_usersession,
)

Record = Mapping[str, Any]
Counts = dict[str, int]

IN_A_LIST = 500


async def count_traces(db: Db, record: Record) -> Counts:
    """Return how many rows of each kind there are of a person; `record` is the row of `sys_user`."""
    counts: Counts = {}
    for name, table, which in await _traces(db, record):
        number = (await db.execute(select(func.count()).select_from(table).where(which))).scalar_one()
        counts[name] = counts.get(name, 0) + number
    return counts


async def erase_traces(db: Db, record: Record) -> Counts:
    """Delete all rows of a person and return how many of each kind there were; the row must be locked."""
    counts: Counts = {}
    for name, table, which in await _traces(db, record):
        result = await db.execute(delete(table).where(which))
        counts[name] = counts.get(name, 0) + result.rowcount
    return counts


async def _traces(db: Db, record: Record) -> list[tuple[str, Table, ColumnElement[bool]]]:
    """Return what to delete, in this order: whatever is found by a session goes before the sessions."""
    u, p = sys_user.c, sys_user_preferences.c
    username, package = record["User"], record["Package"]
    sessions = select(sys_usersession.c.SessionId).where(_sessions(record))
    return [
        ("exchange_codes", exchange_code, exchange_code.c.session_id.in_(sessions)),
        *[("pending_logins", oauth_state, part) for part in await _logins(db, sessions)],
        # One after the other: a database that is asked for both at once reads the whole trail.
        *[("security_events", security_event, which) for which in _events(record, sessions)],
        ("history", sys_user_history, _history(record)),
        ("preferences", sys_user_preferences, and_(p.User == username, p.Package == package)),
        *([("staged_changes", sync_stage, _staged(record))] if record["Sub"] is not None else []),
        ("sessions", sys_usersession, _sessions(record)),
        ("user", sys_user, and_(u.User == username, u.Package == package)),
    ]


async def _logins(db: Db, sessions: Select[Any]) -> list[ColumnElement[bool]]:
    """Return which logins led to the sessions; they are looked up first, since no index helps and a scan would lock."""
    of_sessions = select(oauth_state.c.state_digest).where(oauth_state.c.session_id.in_(sessions))
    digests = list((await db.execute(of_sessions)).scalars())
    parts = [digests[first : first + IN_A_LIST] for first in range(0, len(digests), IN_A_LIST)]
    return [oauth_state.c.state_digest.in_(part) for part in parts or [[]]]


def _sessions(record: Record) -> ColumnElement[bool]:
    s = sys_usersession.c
    return _of(record, issuer=s.Issuer, sub=s.Sub, package=s.Package, username=s.User)


def _history(record: Record) -> ColumnElement[bool]:
    h = sys_user_history.c
    return _of(record, issuer=h.issuer, sub=h.sub, package=h.package, username=h.username)


def _events(record: Record, sessions: Select[Any]) -> list[ColumnElement[bool]]:
    e = security_event.c
    unnamed = (e.issuer.is_(None), e.sub.is_(None))
    named = and_(e.package == record["Package"], e.username == record["User"], *unnamed)
    of_identity = and_(e.package == record["Package"], e.issuer == record["Issuer"], e.sub == record["Sub"])
    # A row that has been found counts once: each rule leaves out what the others find.
    of_session = and_(*unnamed, or_(e.username.is_(None), e.username != record["User"]), e.session_id.in_(sessions))
    return [named, of_session] if record["Sub"] is None else [of_identity, named, of_session]


def _staged(record: Record) -> ColumnElement[bool]:
    runs = select(sync_run.c.id).where(sync_run.c.package == record["Package"])
    return and_(sync_stage.c.sub == record["Sub"], sync_stage.c.run_id.in_(runs))


def _of(record: Record, *, issuer: Any, sub: Any, package: Any, username: Any) -> ColumnElement[bool]:
    """Return the rule: rows of the identity, and rows of the name that have no identity."""
    of_package = package == record["Package"]
    named = and_(of_package, username == record["User"], issuer.is_(None), sub.is_(None))
    if record["Issuer"] is None or record["Sub"] is None:
        return named
    return or_(and_(of_package, issuer == record["Issuer"], sub == record["Sub"]), named)
