"""The database page says what is true: it leads to every public table, and its statements work."""

import sqlite3
from contextlib import closing

from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateTable

from bridge.storage.schema.description import describe_tables
from bridge.storage.tables import metadata
from bridge.storage.tables.facts import Writer
from tests.documents import blocks, code, read

SQLITE: Dialect = sqlite.dialect()


def test_the_database_page_leads_to_every_public_table_and_to_the_statements() -> None:
    page = read("database.md")

    wanted = [f"(schema/{table.name}.md)" for table in describe_tables() if table.public]
    assert [link for link in [*wanted, "(schema/README.md)", "(schema/queries.md)"] if link not in page] == []


def test_the_database_page_names_the_columns_that_an_application_may_write_in_mirrored_rows() -> None:
    _, found, rest = read("database.md").partition("Applications may write ")
    sentence = rest.partition(", and whole rows of their own")[0]

    (sys_user,) = (table for table in describe_tables() if table.name == "sys_user")
    named = set(code(sentence))
    assert found
    assert named <= {column.name for column in sys_user.columns if Writer.APPLICATION in column.written_by}
    assert named == set(code(next(note for note in sys_user.notes if "mirrored rows" in note)))


def test_the_statements_for_sqlite_work() -> None:
    (statements,) = blocks(read("database.md"), "sql sqlite")
    values = {"user": "alice", "uuid": "u", "package": "staff", "session_id": "s", "email": "a@example.com"}

    with closing(sqlite3.connect(":memory:")) as db:
        for table in metadata.sorted_tables:
            db.execute(str(CreateTable(table).compile(dialect=SQLITE)))
        found = [db.execute(statement, values).fetchall() for statement in statements.split(";\n") if statement.strip()]
        assert db.execute('SELECT "User", "Active", "LastLoginDate" IS NULL FROM sys_user').fetchall() == [
            ("alice", 1, 0)
        ]
        assert db.execute("SELECT IsActive, InvalidatedReason FROM sys_usersession").fetchall() == [(0, "logout")]
    assert [len(answer) for answer in found if answer] == [1, 1, 1]
