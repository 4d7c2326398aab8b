"""Rows with sealed values in every column that holds any, as service and commands write them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bridge.sealing import LEGACY_PREFIX, SealBroken, Sealer, legacy_row, seal_legacy
from bridge.storage import sealed_values
from bridge.storage.database import Database, Db
from bridge.storage.sealed_values import SEALED_COLUMNS
from bridge.storage.tables import keycloak_grant, oauth_state, signing_key, sys_user, sys_usersession
from bridge.storage.tables.columns import metadata

NOW = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
UUID = "11111111-1111-4111-8111-111111111111"
SESSIONS = ("a" * 64, "b" * 64)
VALUES = 2 * 2 + 2 * 2 + 1 + 2
"""Values that `fill` seals."""


@dataclass(frozen=True)
class Found:
    """What became of a value: the key that its beginning names, and the text when it opens."""

    key_id: str
    text: str | None


async def insert(database: Database, table: sa.Table, *rows: Mapping[str, Any]) -> None:
    """Insert rows, many at once."""
    await database.write(lambda db: db.execute(sa.insert(table), [dict(row) for row in rows]))


async def fill(database: Database, sealer: Sealer) -> None:
    """Write two logins and two sessions with grants, a signing key and a person, all sealed."""
    await insert(database, oauth_state, *(login(sealer, state) for state in ("1" * 64, "2" * 64)))
    await insert(database, sys_usersession, *(session(handle) for handle in SESSIONS))
    await insert(database, keycloak_grant, *(grant(sealer, handle) for handle in SESSIONS))
    sealed = sealer.seal("private", table="signing_key", column="sealed_private_key", row="kid|1")
    times = dict.fromkeys(("created_at", "signs_from", "signs_until", "published_until"), NOW)
    key = {"key_id": "kid|1", "algorithm": "ES256", "public_jwk": "{}", "sealed_private_key": sealed, **times}
    await insert(database, signing_key, key)
    passwords = {
        column: seal_legacy(sealer, f"{column} of alice", column=column, package="demo", uuid=UUID)
        for column in ("Password", "loginpassword")
    }
    await insert(database, sys_user, {"User": "alice", "Package": "demo", "Uuid": UUID, "RowVersion": 7, **passwords})


def login(sealer: Sealer, state: str) -> dict[str, Any]:
    """Return a pending login."""
    return {
        "state_digest": state,
        "package": "demo",
        "client_kind": "web",
        "binding_digest": "0" * 64,
        "sealed_nonce": sealer.seal("nonce", table="oauth_state", column="sealed_nonce", row=state),
        "sealed_code_verifier": sealer.seal("verifier", table="oauth_state", column="sealed_code_verifier", row=state),
        "return_to": "/",
        "created_at": NOW,
        "expires_at": LATER,
    }


def session(handle: str) -> dict[str, Any]:
    """Return the session that a grant belongs to."""
    times = {"CreatedAt": NOW, "LastActivity": NOW, "ExpiresAt": LATER}
    return {"SessionId": handle, "User": "alice", "Package": "demo", "SessionType": "web", **times}


def grant(sealer: Sealer, handle: str, *, text: str = "token") -> dict[str, Any]:
    """Return Keycloak's tokens of a session, sealed."""
    columns = ("sealed_id_token", "sealed_refresh_token")
    sealed = {
        column: sealer.seal(f"{text} {column}", table="keycloak_grant", column=column, row=handle) for column in columns
    }
    return {"session_id": handle, "updated_at": NOW, **sealed}


async def look(database: Database, sealer: Sealer) -> dict[tuple[str, ...], Found]:
    """Open every sealed value there is, by table, column and primary key."""
    found: dict[tuple[str, ...], Found] = {}
    async with database.reading() as db:
        for column in SEALED_COLUMNS:
            # No key has this id, so every value is read.
            for value in await sealed_values.read_batch(db, column, key_id="-", after=None, limit=10_000):
                sealed = value.sealed.removeprefix(LEGACY_PREFIX)
                row = legacy_row(*value.row) if column.is_legacy else value.row[0]
                key_id = sealed.split(".")[1] if "." in sealed else ""
                opened = _open(sealer, sealed, table=column.table, column=column.column, row=row)
                found[column.table, column.column, *value.key] = Found(key_id, opened)
    return found


def _open(sealer: Sealer, sealed: str, *, table: str, column: str, row: str) -> str | None:
    try:
        return sealer.open(sealed, table=table, column=column, row=row)
    except SealBroken:
        return None


async def count(database: Database, table: str) -> int:
    """Count the rows of a table."""
    query = sa.select(sa.func.count()).select_from(metadata.tables[table])
    async with database.reading() as db:
        return int((await db.execute(query)).scalar_one())


async def change(database: Database, statement: sa.Update) -> None:
    """Change rows as somebody else does."""

    async def step(db: Db) -> None:
        await db.execute(statement)

    await database.write(step)
