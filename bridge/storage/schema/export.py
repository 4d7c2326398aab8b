"""The definition of all tables as one document, for programs: YAML or JSON, always the same for the same version."""

import json
from collections.abc import Iterable
from typing import Any

import yaml

from bridge.storage.migrate import newest_revision
from bridge.storage.schema.description import (
    ColumnDescription,
    IndexDescription,
    RelationDescription,
    RuleDescription,
    TableDescription,
    describe_tables,
)
from bridge.storage.schema.figures import lockout_figures, retention_figures, session_figures
from bridge.storage.tables.facts import WRITERS

FORMAT = 1
"""Raised when a program that reads the document would have to change."""


def export_yaml() -> str:
    """Return the definition as YAML that any safe loader reads."""
    return yaml.safe_dump(build_document(), sort_keys=False, allow_unicode=True, width=110)


def export_json() -> str:
    """Return the definition as JSON."""
    return json.dumps(build_document(), indent=2, ensure_ascii=False) + "\n"


def build_document() -> dict[str, Any]:
    """Return the definition as plain data."""
    return {
        "format": FORMAT,
        "schema": newest_revision(),
        "policy": {"sessions": session_figures(), "retention": retention_figures(), "lockout": lockout_figures()},
        "writers": {str(writer): when for writer, when in WRITERS.items()},
        "tables": {table.name: _table(table) for table in describe_tables()},
    }


def _table(table: TableDescription) -> dict[str, Any]:
    return {
        "title": table.title,
        "purpose": _plain(table.purpose),
        "public": table.public,
        "kept": _plain(table.kept),
        "written_by": _texts(table.written_by),
        "notes": [_plain(note) for note in table.notes],
        "columns": {column.name: _column(column) for column in table.columns},
        "primary_key": list(table.primary_key),
        "unique": [_rule(rule) for rule in table.unique],
        "checks": [_rule(rule) for rule in table.checks],
        "foreign_keys": [
            {"name": key.name, "columns": list(key.columns), "table": key.table, "referred": list(key.referred)}
            | {"on_delete": "cascade"}
            for key in table.foreign_keys
        ],
        "indexes": [_index(index) for index in table.indexes],
        "triggers": [
            {"name": one.name, "event": one.event, "condition": _plain(one.condition), "action": _plain(one.action)}
            for one in table.triggers
        ],
        "related": [_related(one) for one in table.relations],
    }


def _column(column: ColumnDescription) -> dict[str, Any]:
    return {
        "types": dict(column.types),
        "nullable": column.nullable,
        "default": dict(column.defaults),
        "meaning": column.meaning,
        "written_by": _texts(column.written_by),
    }


def _rule(rule: RuleDescription) -> dict[str, Any]:
    return {"name": rule.name} | ({"columns": list(rule.columns)} if rule.sql is None else {"sql": rule.sql})


def _index(index: IndexDescription) -> dict[str, Any]:
    return {
        "names": dict(index.names),
        "columns": list(index.columns),
        "where": index.where,
        "mariadb_length": index.mariadb_length,
    }


def _related(one: RelationDescription) -> dict[str, Any]:
    return {
        "columns": list(one.columns),
        "table": one.table,
        "referred": list(one.referred),
        "foreign_key": one.is_foreign_key,
        "meaning": _plain(one.meaning),
    }


def _texts(values: Iterable[object]) -> list[str]:
    return [str(value) for value in values]


def _plain(sentence: str) -> str:
    """Return a sentence without the marks that pages have around names."""
    return sentence.replace("`", "")
