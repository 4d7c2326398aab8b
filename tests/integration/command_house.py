"""The command beside a database with four sessions, two of which are alice's on the web."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bridge.model import Device, Identity, NewSession, Profile, SessionPolicy, SessionType, digest
from bridge.storage import user_sessions, users
from bridge.storage.database import Database, Db, open_database
from bridge.storage.tables import sys_usersession
from tests.integration.command_line import CommandLine

HOUR = timedelta(hours=1)
POLICY = SessionPolicy(lifetime=8 * HOUR, idle=HOUR, max_sessions=10)
OLD, NEW, PROGRAM, OTHER = (letter * 64 for letter in "abcd")
"""Two sessions of alice on the web, one of a program of hers, and one of bob."""
s = sys_usersession.c


def named(username: str) -> Identity:
    return Identity("https://kc.example/realms/demo", f"sub-{username}", "demo")


@dataclass(frozen=True)
class House:
    """The command, and the database that it works on."""

    command: CommandLine
    database: Database
    url: str
    now: datetime

    async def write(self, statement: sa.Executable) -> None:
        """Change what is there as somebody else does."""
        await self.database.write(lambda db: db.execute(statement))

    async def row(self, session_id: str) -> Any:
        """Return the row of a session."""
        async with self.database.reading() as db:
            found = await db.execute(sa.select(sys_usersession).where(s.SessionId == session_id))
            return found.one()

    async def active(self) -> set[str]:
        """Return the handles of active sessions."""
        async with self.database.reading() as db:
            query = sa.select(s.SessionId).where(s.IsActive == sa.true())
            return {str(one) for one in (await db.execute(query)).scalars()}


@asynccontextmanager
async def with_sessions(database_url: str, directory: Path) -> AsyncIterator[House]:
    """Write the sessions, and a configuration into the directory."""
    now = datetime.now(tz=UTC)
    command = CommandLine(directory)
    command.configure(database_url)
    sessions = [
        (OLD, "alice", "web", 2),
        (NEW, "alice", "web", 1),
        (PROGRAM, "alice", "api", 3),
        (OTHER, "bob", "web", 4),
    ]
    async with open_database(database_url) as database:

        async def step(db: Db) -> None:
            for username in ("alice", "bob"):
                await users.upsert_signed_in(db, named(username), Profile(username), now=now)
            for session_id, username, kind, minutes in sessions:
                opened = NewSession(
                    session_id=session_id,
                    session_type=SessionType(kind),
                    credential_digest=digest(session_id),
                    identity=named(username),
                    username=username,
                    created_at=now - timedelta(minutes=minutes),
                    expires_at=now + 8 * HOUR,
                    ip_address="192.0.2.7",
                    device=Device(name="Firefox on Linux"),
                )
                await user_sessions.create_session(db, opened, policy=POLICY)

        await database.write(step)
        yield House(command, database, database_url, now)
