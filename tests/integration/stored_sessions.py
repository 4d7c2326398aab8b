"""Sessions written straight into a database, and what its tables say of them then."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import sqlalchemy as sa

from bridge.model import AtCap, Identity, NewSession, Origin, Profile, SessionPolicy, SessionType, digest
from bridge.storage import user_sessions, users
from bridge.storage.database import Database, Db
from bridge.storage.session_rows import ActiveSession
from bridge.storage.tables import metadata, security_event, session_credential, sys_usersession
from bridge.storage.user_sessions import CreatedSession

NOW = datetime(2024, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
"""Long ago: the clean-up of a service believes no clock that is ahead of the database's."""
ISSUER = "https://kc.example/realms/demo"
PACKAGE = "demo"
HOURS = timedelta(hours=1)
POLICY = SessionPolicy(lifetime=8 * HOURS, idle=HOURS, max_sessions=3)
REFUSING = replace(POLICY, at_cap=AtCap.REFUSE)
Row = dict[str, Any]
UNFIT = {"NUL": "a\0b", "half a pair": "a\ud800b", "long": "x" * 1000}
"""Texts that no column of a session takes."""


def identity(username: str, *, package: str = PACKAGE) -> Identity:
    """Return who a person of these tests is."""
    return Identity(ISSUER, str(uuid5(NAMESPACE_DNS, username)), package)


def new_session(credential: str | None = None, *, username: str = "alice", **changes: Any) -> NewSession:
    """Return what a sign-in now would open; `credential` is what then opens it."""
    created_at = changes.pop("created_at", NOW)
    opened = NewSession(
        session_id=secrets.token_hex(32),
        session_type=SessionType.WEB,
        credential_digest=digest(credential or secrets.token_urlsafe(32)),
        identity=identity(username, package=changes.pop("package", PACKAGE)),
        username=username,
        created_at=created_at,
        expires_at=created_at + POLICY.lifetime,
    )
    return replace(opened, **changes)


async def add_person(database: Database, username: str = "alice", *, package: str = PACKAGE) -> None:
    """Write a person that Keycloak knows."""
    who = identity(username, package=package)
    await database.write(lambda db: users.upsert_signed_in(db, who, Profile(username), now=NOW))


async def open_one(database: Database, opened: NewSession, *, policy: SessionPolicy = POLICY) -> CreatedSession:
    """Open a session of a person, who is written first."""

    async def step(db: Db) -> CreatedSession:
        await users.upsert_signed_in(db, opened.identity, Profile(opened.username), now=NOW)
        return await user_sessions.create_session(db, opened, policy=policy)

    return await database.write(step)


async def find_active(
    database: Database, credential: str, *, now: datetime = NOW, package: str = PACKAGE
) -> ActiveSession | None:
    """Return what a credential opens."""
    async with database.reading() as db:
        return await user_sessions.get_active_session(db, digest(credential), package=package, now=now)


async def write_row(database: Database, **columns: Any) -> str:
    """Write a row of `sys_usersession` as somebody else than the bridge would, and return its SessionId."""
    row: Row = {
        "SessionId": secrets.token_hex(32),
        "User": "alice",
        "Package": PACKAGE,
        "SessionType": "web",
        "CreatedAt": NOW - HOURS,
        "ExpiresAt": NOW + HOURS,
        "Origin": Origin.LOCAL,
        **columns,
    }
    await database.write(lambda db: db.execute(sa.insert(sys_usersession).values(row)))
    return str(row["SessionId"])


async def read(database: Database, table: sa.Table = sys_usersession, **where: Any) -> list[Row]:
    """Return rows, sessions in the order of their start."""
    query = sa.select(table).where(*(table.c[name] == value for name, value in where.items()))
    order = {sys_usersession: "CreatedAt", session_credential: "created_at", security_event: "id"}.get(table)
    async with database.reading() as db:
        return [dict(row._mapping) for row in await db.execute(query.order_by(table.c[order]) if order else query)]


async def read_one(database: Database, session_id: str) -> Row:
    """Return the row of a session."""
    (row,) = await read(database, SessionId=session_id)
    return row


@contextmanager
def statements_of(database: Database) -> Iterator[list[str]]:
    """Collect the statements that are sent meanwhile, one for each round trip."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    engine = database._engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


async def read_everything(database: Database) -> dict[str, list[Row]]:
    """Return every row of every table."""
    return {table.name: await read(database, table) for table in metadata.sorted_tables}
