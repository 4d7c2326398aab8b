"""What must be true of the tables at any moment, whoever was killed at what. Each check names what is wrong."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bridge.model import SessionPolicy, digest
from bridge.sealing import SealBroken, Sealer, open_under
from bridge.storage.database import Database
from bridge.storage.tables import keycloak_grant, oauth_state, session_credential, sys_user, sys_usersession
from tests.integration import sealed_rows
from tests.integration.killed import SUCCESSOR

STATES_KEPT = timedelta(hours=24)
"""Logins that are over are deleted some time after that."""
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Tables:
    """All rows, at one moment."""

    users: list[Row]
    sessions: dict[str, Row]
    credentials: dict[str, Row]
    grants: list[Row]
    states: dict[str, Row]

    def is_alive(self, session_id: str, now: datetime) -> bool:
        """Whether a session is there, and neither anybody nor time has ended it."""
        one = self.sessions.get(session_id)
        return (
            one is not None
            and one["IsActive"]
            and min(one["ExpiresAt"], one["IdleExpiresAt"] or one["ExpiresAt"]) > now
        )


async def read_tables(database: Database) -> Tables:
    """Read all rows as they are at one moment: the jobs of a bridge may write meanwhile."""
    async with database.reading() as opened:
        one_moment = {"isolation_level": "REPEATABLE READ"} if database.dialect.name != "sqlite" else {}
        db = await opened.execution_options(**one_moment)

        async def read(table: sa.Table) -> list[Row]:
            return [dict(row._mapping) for row in await db.execute(sa.select(table))]

        return Tables(
            users=await read(sys_user),
            sessions={row["SessionId"]: row for row in await read(sys_usersession)},
            credentials={row["digest"]: row for row in await read(session_credential)},
            grants=await read(keycloak_grant),
            states={row["state_digest"]: row for row in await read(oauth_state)},
        )


def find_wrong(
    tables: Tables, *, now: datetime, policies: Mapping[str, SessionPolicy], tokens: Mapping[str, str]
) -> list[str]:
    """Return what is wrong; `tokens` are refresh tokens by their digests, as apps have them."""
    return [
        *_find_without_owner(tables, now),
        *_find_wrong_outcomes(tables, now),
        *_find_over_cap(tables, now, policies),
        *_find_lost_successors(tables, now, tokens),
        *_find_wrong_families(tables, now),
    ]


async def find_unopenable(database: Database, sealer: Sealer, *, under: str | None = None) -> list[str]:
    """Return the sealed values that the ring does not open; with `under` also those that another key sealed."""
    found = await sealed_rows.look(database, sealer)
    return [
        f"{place} under {value.key_id} (opens: {value.text is not None})"
        for place, value in found.items()
        if value.text is None or under not in (None, value.key_id)
    ]


def _find_without_owner(tables: Tables, now: datetime) -> Iterator[str]:
    owners = {(row["User"], row["Package"], row["Issuer"], row["Sub"]) for row in tables.users}
    for session_id, row in tables.sessions.items():
        if (row["User"], row["Package"], row["Issuer"], row["Sub"]) not in owners:
            yield f"session {session_id} has no owner"
    for row in (*tables.credentials.values(), *tables.grants):
        if row["session_id"] not in tables.sessions:
            yield f"a credential or grant has no session {row['session_id']}"
    for row in tables.grants:
        if not tables.sessions.get(row["session_id"], {}).get("IsActive"):
            yield f"the session {row['session_id']} has ended, and its grant is there"
    opened = {row["session_id"] for row in tables.credentials.values() if row["kind"] != "refresh"}
    for session_id, row in tables.sessions.items():
        if tables.is_alive(session_id, now) and session_id not in opened and row["SessionType"] != "mobile":
            yield f"session {session_id} is alive, and nothing opens it"
        if not row["IsActive"] and session_id in opened:
            yield f"session {session_id} has ended, and its credentials are there"


def _find_wrong_outcomes(tables: Tables, now: datetime) -> Iterator[str]:
    of_state = Counter(row["OauthStateId"] for row in tables.sessions.values() if row["OauthStateId"])
    for state, number in of_state.items():
        if number > 1:
            yield f"the state {state} has {number} sessions"
    for session_id, session in tables.sessions.items():
        known = tables.states.get(session["OauthStateId"])
        if known is not None and known["session_id"] != session_id:
            yield f"session {session_id} is not the outcome of its state, which is {known['session_id']}"
    for digest_, state in tables.states.items():
        outcomes = [name for name in ("session_id", "error_code") if state[name] is not None]
        if len(outcomes) != (state["consumed_at"] is not None):
            yield f"the state {digest_} has the outcomes {outcomes}, consumed at {state['consumed_at']}"
        if (state["claim_id"] is None) != (state["claim_deadline"] is None):
            yield f"the state {digest_} is claimed without a deadline"
        kept = state["session_id"] is not None and state["consumed_at"] > now - STATES_KEPT
        if kept and tables.sessions.get(state["session_id"], {}).get("OauthStateId") != digest_:
            yield f"the session {state['session_id']}, outcome of {digest_}, is not there"


def _find_over_cap(tables: Tables, now: datetime, policies: Mapping[str, SessionPolicy]) -> Iterator[str]:
    living = Counter(
        (row["User"], row["Package"], row["SessionType"])
        for session_id, row in tables.sessions.items()
        if row["Origin"] == "bridge" and tables.is_alive(session_id, now)
    )
    for of_type, number in living.items():
        if number > policies[of_type[2]].max_sessions:
            yield f"{of_type} has {number} sessions"


def _find_lost_successors(tables: Tables, now: datetime, tokens: Mapping[str, str]) -> Iterator[str]:
    for old, row in tables.credentials.items():
        if (
            row["superseded_by"] is not None
            and row["expires_at"] > now
            and row["superseded_by"] not in tables.credentials
        ):
            yield f"the successor of {old} is not stored"
        if row["sealed_successor"] is None:
            continue
        try:
            _, refresh = open_pair(tokens[old], row["sealed_successor"])
        except SealBroken:
            yield f"the sealed successor of {old} does not open"
            continue
        if digest(refresh) != row["superseded_by"]:
            yield f"what is sealed for {old} is not its successor"


def open_pair(token: str, sealed: str) -> tuple[str, str]:
    """Return the access and refresh token that were sealed under the one before."""
    access, refresh = open_under(token, sealed, row=digest(token), **SUCCESSOR).split(" ")
    return access, refresh


def _find_wrong_families(tables: Tables, now: datetime) -> Iterator[str]:
    newest = defaultdict(list)
    for token, row in tables.credentials.items():
        if row["kind"] == "refresh" and row["superseded_by"] is None:
            newest[row["session_id"]].append(token)
    for session_id, row in tables.sessions.items():
        is_app = row["SessionType"] == "mobile" and tables.is_alive(session_id, now)
        if is_app and newest[session_id] != [row["RefreshToken"]]:
            yield f"the family of {session_id} ends in {newest[session_id]}, and its row says {row['RefreshToken']}"
