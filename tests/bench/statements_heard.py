"""What the product sends to a database: how many statements an operation is, and whether one reads a whole table."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bridge.storage.database import Database, Db

EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN ", "mysql": "EXPLAIN "}
LARGE = ("sys_user", "sys_usersession", "session_credential", "keycloak_grant")
_SCANS = {
    "sqlite": re.compile(rf"\bSCAN ({'|'.join(LARGE)})\b"),
    "postgresql": re.compile(rf"\bSeq Scan on ({'|'.join(LARGE)})\b"),
}


@dataclass(frozen=True)
class Heard:
    """A statement with the parameters that the driver got; of many sets of them the first."""

    statement: str
    parameters: Any

    @property
    def begin(self) -> str:
        """The first words, to tell it by."""
        return " ".join(self.statement.split())[:60]


@contextmanager
def hearing(database: Database) -> Iterator[list[Heard]]:
    """Give the list that fills with the statements of a database; those of many rows count once."""
    heard: list[Heard] = []
    engine = database._engine.sync_engine

    def hear(*call: Any) -> None:
        _connection, _cursor, statement, parameters, _context, many = call
        if not statement.startswith("BEGIN"):  # SQLite: ours to say
            heard.append(Heard(statement, parameters[0] if many else parameters))

    sa.event.listen(engine, "before_cursor_execute", hear)
    try:
        yield heard
    finally:
        sa.event.remove(engine, "before_cursor_execute", hear)


async def find_full_reads(db: Db, heard: list[Heard]) -> list[str]:
    """Return the beginnings of the statements whose plan reads one of the large tables from end to end."""
    dialect = db.dialect.name
    found = []
    for one in heard:
        if one.statement.split(maxsplit=1)[0] not in ("SELECT", "UPDATE", "DELETE"):
            continue
        plan = (await db.exec_driver_sql(EXPLAIN[dialect] + one.statement, one.parameters)).mappings().all()
        if any(_reads_all(dialect, step) for step in plan):
            found.append(one.begin)
    return sorted(set(found))


def _reads_all(dialect: str, step: Any) -> bool:
    if dialect == "mysql":
        return step["table"] in LARGE and step["type"] in ("ALL", "index")
    return bool(_SCANS[dialect].search(" ".join(map(str, step.values()))))
