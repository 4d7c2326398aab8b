"""A mirror of the Keycloak double in a database, and what a test asks of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bridge.config import HttpSettings, SyncSettings
from bridge.keycloak.admin import open_admin
from bridge.storage.database import Database, Db, open_database
from bridge.storage.tables import sys_user, sys_usersession
from sync.worker import RunReport, run_once
from tests.double import KeycloakDouble

PACKAGE = "demo"
LIST = "/admin/realms/demo/users"
COUNTED = ("sys_user", "sys_usersession")


class Silent:
    """Progress that nobody looks at; it only remembers the stages."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, name: str, total: int | None) -> None:
        """Remember the stage."""
        assert total is None or total >= 0
        self.stages.append(name)

    def advance(self, n: int = 1) -> None:
        """Accept a step."""
        assert n >= 0


@dataclass(frozen=True)
class Mirror:
    """The double, and the database that mirrors it."""

    double: KeycloakDouble
    database: Database
    progress: Silent

    async def run(
        self, *, package: str = PACKAGE, holder: str = "test", page_size: int = 500, heartbeat: float = 10
    ) -> RunReport:
        """Run the sync once, with a connection of its own as a new process has."""
        settings = SyncSettings.model_validate(
            {"client_id": "bridge-sync", "client_secret": "sync-demo-secret", "page_size": page_size}
        )
        http = HttpSettings.model_validate({"connect_timeout": "1s", "read_timeout": "10s", "total_timeout": "20s"})
        async with open_admin(self.double.issuer, settings, http) as admin:
            return await run_once(
                self.database,
                admin,
                package=package,
                issuer=self.double.issuer,
                holder=holder,
                now=lambda: datetime.now(UTC),
                progress=self.progress,
                heartbeat_every=timedelta(seconds=heartbeat),
            )

    async def users(self) -> dict[str, dict[str, Any]]:
        """Return the rows of people by user name."""
        return {row["User"]: row for row in await self._rows(sys_user)}

    async def sessions(self) -> list[dict[str, Any]]:
        """Return the rows of sessions."""
        return await self._rows(sys_usersession)

    async def query(self, statement: str, **parameters: object) -> list[dict[str, Any]]:
        """Read whatever a test wants to see."""
        async with self.database.reading() as db:
            found = await db.execute(sa.text(self._spelt(statement)), parameters)
            return [dict(row._mapping) for row in found]

    async def execute(self, *statements: str, **parameters: object) -> None:
        """Write as somebody else would; names in double quotes work on every database."""

        async def step(db: Db) -> None:
            for statement in statements:
                await db.execute(sa.text(self._spelt(statement)), parameters)

        await self.database.write(step)

    async def edit(self, username: str, **columns: object) -> None:
        """Change a row of people by hand, as an application or an operator would."""
        await self._update(sys_user, sys_user.c.User == username, columns)

    async def edit_session(self, session_id: str, **columns: object) -> None:
        """Change a row of sessions by hand."""
        await self._update(sys_usersession, sys_usersession.c.SessionId == session_id, columns)

    async def insert_user(self, **columns: object) -> None:
        """Insert a row of people."""
        await self.database.write(lambda db: db.execute(sa.insert(sys_user).values(columns)))

    async def insert_session(self, **columns: object) -> None:
        """Insert a row of sessions."""
        now = datetime.now(UTC)
        row = {"Package": PACKAGE, "SessionType": "web", "CreatedAt": now, "ExpiresAt": now + timedelta(hours=1)}
        await self.database.write(lambda db: db.execute(sa.insert(sys_usersession).values(row | columns)))

    async def count_writes(self) -> None:
        """Let the database itself count, from now on, each row of the public tables that is written."""
        await self.execute("CREATE TABLE test_writes (n INTEGER)")
        kind = self.database.dialect.name
        if kind == "postgresql":
            await self.execute(
                "CREATE FUNCTION test_note() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN INSERT INTO test_writes VALUES (1); RETURN NULL; END'"
            )
        does = {
            "sqlite": "BEGIN INSERT INTO test_writes VALUES (1); END",
            "mysql": "FOR EACH ROW INSERT INTO test_writes VALUES (1)",
            "postgresql": "FOR EACH ROW EXECUTE FUNCTION test_note()",
        }[kind]
        for table in COUNTED:
            for event in ("INSERT", "UPDATE", "DELETE"):
                await self.execute(f"CREATE TRIGGER test_{table}_{event} AFTER {event} ON {table} {does}")

    async def written(self) -> int:
        """Return how many rows were written since."""
        return int((await self.query("SELECT COUNT(*) AS n FROM test_writes"))[0]["n"])

    async def _rows(self, table: sa.Table) -> list[dict[str, Any]]:
        async with self.database.reading() as db:
            return [dict(row._mapping) for row in await db.execute(sa.select(table))]

    async def _update(self, table: sa.Table, which: sa.ColumnElement[bool], columns: dict[str, object]) -> None:
        await self.database.write(lambda db: db.execute(sa.update(table).where(which).values(columns)))

    def _spelt(self, statement: str) -> str:
        return statement.replace('"', "`") if self.database.dialect.name == "mysql" else statement


@asynccontextmanager
async def mirroring(database_url: str) -> AsyncIterator[Mirror]:
    """Start a double with nobody in it, and open the database."""
    with KeycloakDouble(realm="demo") as double:
        async with open_database(database_url) as database:
            yield Mirror(double, database, Silent())


@asynccontextmanager
async def while_listing(mirror: Mirror, *, heartbeat: float = 10) -> AsyncIterator["asyncio.Task[RunReport]"]:
    """Give a run that has its list of users from Keycloak on the way: what the block does happens after that read.

    The run goes on when the block ends.
    """
    probe = mirror.double.faults.hold(LIST)
    running = asyncio.create_task(mirror.run(heartbeat=heartbeat))
    await asyncio.to_thread(probe.wait_for_arrival)
    listing = mirror.double.faults.hold(LIST)
    probe.release()
    await asyncio.to_thread(listing.wait_for_arrival)
    try:
        yield running
    finally:
        listing.release()
