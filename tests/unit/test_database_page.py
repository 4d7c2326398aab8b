"""The database page says what is true: tables, types, who writes what, and statements that work."""

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateTable

from bridge.keycloak.mapping import KeycloakSession, KeycloakUser, RealmLimits, SessionLimits
from bridge.model import Identity
from bridge.storage.tables import metadata
from sync import reconcile
from tests.documents import blocks, code, read, section

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MARIADB: Dialect = mysql.dialect()  # SQLAlchemy's dialects carry no types
DIALECTS: tuple[Dialect, ...] = (MARIADB, postgresql.dialect(), sqlite.dialect())  # type: ignore[no-untyped-call]


def kind_of(column: sa.Column[Any]) -> str:
    """Return the word of the page for a column's type."""
    name = column.type.compile(MARIADB)
    words = {"TINYINT(1)": "flag", "DATETIME(6)": "time", "MEDIUMTEXT": "long text", "BIGINT": "big integer"}
    return words.get(name, name.lower())


def describe_types() -> list[str]:
    """Return the table that says what each type is on each database; one length stands for all."""
    found: dict[str, list[set[str]]] = {}
    for column in (column for table in metadata.sorted_tables for column in table.columns):
        kind = re.sub(r"\d+(?=\))", "n", kind_of(column))
        for known, dialect in zip(found.setdefault(kind, [set(), set(), set()]), DIALECTS, strict=True):
            known.add(column.type.compile(dialect) if kind == "time" else length_free(column.type.compile(dialect)))
    lines = ["| here | MariaDB | PostgreSQL | SQLite |", "| --- | --- | --- | --- |"]
    for kind, types in sorted(found.items()):
        lines.append(f"| {kind} | " + " | ".join(f"`{'` or `'.join(sorted(names))}`" for names in types) + " |")
    return lines


def length_free(name: str) -> str:
    return name if name == "TINYINT(1)" else re.sub(r"\(\d+\)", "(n)", name)


def describe_table(table: sa.Table) -> list[str]:
    """Return what the page says of one table."""
    lines = [
        f"{table.comment}.",
        "",
        "| column | type | empty | default | meaning |",
        "| --- | --- | --- | --- | --- |",
    ]
    for column in table.columns:
        default = f"`{column.server_default.arg}`" if isinstance(column.server_default, sa.DefaultClause) else ""
        empty = "yes" if column.nullable else "no"
        lines.append(f"| `{column.name}` | {kind_of(column)} | {empty} | {default} | {column.comment} |")
    lines += ["", f"* Primary key: {names_of(table.primary_key.columns)}"]
    for constraint in sorted(table.constraints, key=lambda one: str(one.name)):
        if isinstance(constraint, sa.UniqueConstraint):
            lines.append(f"* Unique: {names_of(constraint.columns)} (`{constraint.name}`)")
        if isinstance(constraint, sa.CheckConstraint) and not str(constraint.name).endswith("_flag"):
            lines.append(f"* Rule: `{constraint.sqltext.compile(compile_kwargs={'literal_binds': True})}`")
        if isinstance(constraint, sa.ForeignKeyConstraint):
            target = constraint.elements[0].target_fullname
            lines.append(f"* {names_of(constraint.columns)} refers to `{target}`; deleted with it")
            assert constraint.ondelete == "CASCADE"
    for index in sorted(table.indexes, key=lambda one: str(one.name)):
        lines.append(f"* Index `{index.name}`: {', '.join(map(index_part, index.expressions))}{index_note(index)}")
    return lines


def names_of(columns: Any) -> str:
    return ", ".join(f"`{column.name}`" for column in columns)


def index_part(part: Any) -> str:
    return f"`{part.name}`" if isinstance(part, sa.Column) else f"`{part.element.name}` descending"


def index_note(index: sa.Index) -> str:
    where = index.dialect_options["postgresql"]["where"]
    length = index.dialect_options["mysql"]["length"]
    if where is not None:
        return f", where `{where}`; not on MariaDB"
    note = f", there the first {length} characters" if length else ""
    return f"; on MariaDB `{index.info['mariadb']}`{note}" if "mariadb" in index.info else ""


@pytest.mark.parametrize("table", [pytest.param(table, id=table.name) for table in metadata.sorted_tables])
def test_the_database_page_describes_a_table_as_it_is(table: sa.Table) -> None:
    page = section(read("database.md"), f"### `{table.name}`")

    assert "\n".join(describe_table(table)) in page


def test_the_database_page_describes_no_other_table_and_all_types() -> None:
    page = read("database.md")

    assert set(re.findall(r"^### `(\w+)`$", page, re.MULTILINE)) == set(metadata.tables)
    assert "\n".join(describe_types()) in page


def mirrored() -> tuple[set[str], set[str]]:
    """Return the columns that the mirror gives to a new row of a person and of a session."""
    identity = Identity("https://keycloak.example.com/realms/staff", "1", "staff")
    user = KeycloakUser("1", "alice", True, None, True, None, None, NOW)  # noqa: FBT003 - a representation
    online = SessionLimits(timedelta(hours=1), None)
    session = KeycloakSession("s", "1", False, None, NOW, NOW, False, frozenset(), False)  # noqa: FBT003 - as above
    person = reconcile.wanted_columns(reconcile.Person(user, ()), identity)
    decided = reconcile.decide_session(
        session, None, owner=person, identity=identity, limits=RealmLimits(online, online, online)
    )
    return set(person), set(decided.columns)


def test_the_database_page_names_the_columns_that_the_mirror_owns() -> None:
    page = read("database.md")

    users, sessions = mirrored()
    assert listed(page, "The mirror writes in `sys_user`:") == users | {"RowVersion", "UpdatedAt"}
    assert listed(page, "The mirror writes in `sys_usersession`, in rows of its own:") == sessions | {
        "SessionId",
        "UpdatedAt",
    }


def listed(page: str, opening: str) -> set[str]:
    """Return what stands in code marks after the opening words, up to the end of the sentence."""
    _, found, rest = page.partition(opening)
    assert found
    return set(code(rest.partition(".\n")[0]))


def test_the_statements_for_sqlite_work() -> None:
    (statements,) = blocks(read("database.md"), "sql sqlite")
    values = {"user": "alice", "uuid": "u", "package": "staff", "session_id": "s", "email": "a@example.com"}

    with closing(sqlite3.connect(":memory:")) as db:
        for table in metadata.sorted_tables:
            db.execute(str(CreateTable(table).compile(dialect=DIALECTS[-1])))
        found = [db.execute(statement, values).fetchall() for statement in statements.split(";\n") if statement.strip()]
        assert db.execute('SELECT "User", "Active", "LastLoginDate" IS NULL FROM sys_user').fetchall() == [
            ("alice", 1, 0)
        ]
        assert db.execute("SELECT IsActive, InvalidatedReason FROM sys_usersession").fetchall() == [(0, "logout")]
    assert [len(answer) for answer in found if answer] == [1, 1, 1]
