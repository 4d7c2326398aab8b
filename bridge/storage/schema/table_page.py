"""The page of one table: what it is for, its columns and who writes them, keys, indexes, triggers, relations."""

import re
from collections.abc import Collection, Iterable

from bridge.storage.schema.description import (
    TITLES,
    ColumnDescription,
    IndexDescription,
    TableDescription,
    TriggerDescription,
)
from bridge.storage.schema.markdown import build_table, mark, marks

NOBODY = "nobody yet"
LENGTH = re.compile(r"\(\d+\)")


def build_page(table: TableDescription, tables: Collection[TableDescription]) -> list[str]:
    """Return the lines of a table's page; `tables` are all there are."""
    for_whom = "Applications may read it, and write what is theirs." if table.public else "For the bridge alone."
    writers = f"Written by ([when](README.md#who-writes)): {', '.join(table.written_by)}."
    notes = [for_whom, writers, f"Kept: {_lower(table.kept)}", *table.notes]
    return [
        f"# {mark(table.name)}",
        "",
        table.title,
        "",
        table.purpose,
        "",
        *(f"* {note}" for note in notes),
        *_section("Columns", _columns(table)),
        *_section("Types", _types(table.columns)),
        *_section("Keys and rules", _rules(table)),
        *_section("Indexes", _indexes(table.indexes)),
        *_section("Triggers", _triggers(table.triggers)),
        *_section("Related tables", _relations(table, tables)),
    ]


def _section(heading: str, lines: list[str]) -> list[str]:
    return ["", f"## {heading}", "", *lines] if lines else []


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _columns(table: TableDescription) -> list[str]:
    """Return the table of columns; who writes them only where they differ in it."""
    differ = len({column.written_by for column in table.columns}) > 1
    head = ["column", "type", "empty", "default", "meaning", *(["written by"] * differ)]
    rows = [
        [
            mark(column.name),
            column.kind,
            "yes" if column.nullable else "no",
            _default(column),
            column.meaning,
            *([", ".join(column.written_by) or NOBODY] * differ),
        ]
        for column in table.columns
    ]
    return build_table(head, rows)


def _default(column: ColumnDescription) -> str:
    if len(column.defaults) == len(TITLES):
        return mark(column.defaults["sqlite"])
    # What MariaDB does at an UPDATE is among the notes.
    return ", ".join(f"{TITLES[name]}: {mark(text.split(' ON ')[0])}" for name, text in column.defaults.items())


def _types(columns: Iterable[ColumnDescription]) -> list[str]:
    found = {LENGTH.sub("(n)", column.kind): column for column in columns}
    rows = [
        [
            kind,
            *(
                mark(column.types[name] if kind == column.kind else LENGTH.sub("(n)", column.types[name]))
                for name in TITLES
            ),
        ]
        for kind, column in sorted(found.items())
    ]
    return build_table(["type", *TITLES.values()], rows)


def _rules(table: TableDescription) -> list[str]:
    return [
        f"* Primary key: {marks(table.primary_key)}",
        *(f"* Unique: {marks(rule.columns)} ({mark(rule.name)})" for rule in table.unique),
        *(f"* Rule: {mark(rule.sql)} ({mark(rule.name)})" for rule in table.checks),
        *(
            f"* Foreign key: {marks(key.columns)} refers to {mark(key.table)} ({marks(key.referred)}), and the row is "
            f"deleted with that one ({mark(key.name)})"
            for key in table.foreign_keys
        ),
    ]


def _indexes(indexes: Collection[IndexDescription]) -> list[str]:
    """Return the table of indexes; what MariaDB has differently, and conditions, only where there are any."""
    if not indexes:
        return []
    on_mariadb = [index.names.get("mariadb") for index in indexes] != [index.names["sqlite"] for index in indexes]
    partial = any(index.where for index in indexes)
    head = ["index", *(["on MariaDB"] * on_mariadb), *(["only rows where"] * partial), "columns"]
    rows = [
        [
            mark(index.names["sqlite"]),
            *([mark(index.names["mariadb"]) if "mariadb" in index.names else "none"] * on_mariadb),
            *([_where(index)] * partial),
            _indexed(index),
        ]
        for index in indexes
    ]
    return build_table(head, rows)


def _where(index: IndexDescription) -> str:
    if index.where is None:
        return ""
    return mark(index.where) + ("; on MariaDB all" if "mariadb" in index.names else "")


def _indexed(index: IndexDescription) -> str:
    part = f" (on MariaDB the first {index.mariadb_length} characters)" if index.mariadb_length else ""
    return marks(index.columns) + part


def _triggers(triggers: Collection[TriggerDescription]) -> list[str]:
    rows = [(mark(one.name), one.event, one.action, one.condition) for one in triggers]
    return build_table(("trigger", "at", "what it does", "only when"), rows) if rows else []


def _relations(table: TableDescription, tables: Collection[TableDescription]) -> list[str]:
    rows = [
        (
            marks(one.columns),
            f"{_link(one.table)} ({marks(one.referred)})",
            "the database" if one.is_foreign_key else "the bridge",
            one.meaning,
        )
        for one in table.relations
    ]
    coming = sorted(
        {one.name for one in tables if one is not table for line in one.relations if line.table == table.name}
    )
    leaving = build_table(("columns", "refer to", "kept true by", "meaning"), rows) if rows else []
    arriving = [f"Referred to by {', '.join(map(_link, coming))}."] if coming else []
    return [*leaving, *([""] if leaving and arriving else []), *arriving]


def _link(name: str) -> str:
    return f"[{mark(name)}]({name}.md)"
