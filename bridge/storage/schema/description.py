"""The tables as plain data, made from their definitions; what a table is for is said beside its definition."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import UnaryExpression

from bridge.storage.schema.figures import retention_words
from bridge.storage.schema.markdown import mark
from bridge.storage.tables import metadata
from bridge.storage.tables.facts import FACTS, MARIADB_DEFAULT, WRITTEN_BY, Facts, Relation, Writer
from bridge.storage.triggers import TRIGGERS, Trigger

MARIADB: Dialect = mysql.dialect()  # SQLAlchemy's dialects carry no types
DIALECTS: Mapping[str, Dialect] = {
    "mariadb": MARIADB,
    "postgresql": postgresql.dialect(),  # type: ignore[no-untyped-call]
    "sqlite": sqlite.dialect(),
}
TITLES = {"mariadb": "MariaDB", "postgresql": "PostgreSQL", "sqlite": "SQLite"}
KINDS = {"TINYINT(1)": "flag", "DATETIME(6)": "time", "MEDIUMTEXT": "long text", "BIGINT": "big integer"}
"""Words for types whose names on MariaDB say too little or too much."""


@dataclass(frozen=True)
class ColumnDescription:
    """A column: `kind` is the word of the pages for its type, `defaults` has only databases that have one."""

    name: str
    kind: str
    types: Mapping[str, str]
    nullable: bool
    defaults: Mapping[str, str]
    meaning: str
    written_by: tuple[Writer, ...]


@dataclass(frozen=True)
class RuleDescription:
    """A constraint that columns obey together: `sql` for a check, `columns` for a unique key."""

    name: str
    columns: tuple[str, ...] = ()
    sql: str | None = None


@dataclass(frozen=True)
class ForeignKeyDescription:
    """Columns whose row the database deletes with the row they mean."""

    name: str
    columns: tuple[str, ...]
    table: str
    referred: tuple[str, ...]


@dataclass(frozen=True)
class RelationDescription:
    """Columns that mean rows of another table, by a foreign key or without."""

    columns: tuple[str, ...]
    table: str
    referred: tuple[str, ...]
    meaning: str
    is_foreign_key: bool
    many_to_many: bool


@dataclass(frozen=True)
class IndexDescription:
    """An index: its name by database (MariaDB may have none), its columns as in SQL, and the rows it is limited to."""

    names: Mapping[str, str]
    columns: tuple[str, ...]
    where: str | None
    mariadb_length: int | None


@dataclass(frozen=True)
class TriggerDescription:
    """What the database does by itself when somebody changes a row: `condition` and `action` are words."""

    name: str
    event: str
    condition: str
    action: str


@dataclass(frozen=True)
class TableDescription:
    """A table with everything that documents say of it."""

    name: str
    title: str
    purpose: str
    kept: str
    public: bool
    notes: tuple[str, ...]
    columns: tuple[ColumnDescription, ...]
    primary_key: tuple[str, ...]
    unique: tuple[RuleDescription, ...]
    checks: tuple[RuleDescription, ...]
    foreign_keys: tuple[ForeignKeyDescription, ...]
    indexes: tuple[IndexDescription, ...]
    triggers: tuple[TriggerDescription, ...]
    relations: tuple[RelationDescription, ...]

    @property
    def written_by(self) -> tuple[Writer, ...]:
        """Whoever writes any column, in the order of `Writer`."""
        found = {writer for column in self.columns for writer in column.written_by}
        return tuple(writer for writer in Writer if writer in found)

    @property
    def nullable(self) -> frozenset[str]:
        """The columns that may be empty."""
        return frozenset(column.name for column in self.columns if column.nullable)


@cache
def describe_tables() -> tuple[TableDescription, ...]:
    """Return all tables, the public ones first, then by name."""
    tables = [_describe(table) for table in metadata.tables.values()]
    return tuple(sorted(tables, key=lambda table: (not table.public, table.name)))


def _describe(table: sa.Table) -> TableDescription:
    facts: Facts = table.info[FACTS]
    return TableDescription(
        name=str(table.name),
        title=f"{table.comment}.",
        purpose=facts.purpose,
        kept=facts.kept.format_map(retention_words()),
        public=facts.public,
        notes=facts.notes,
        columns=tuple(map(_describe_column, table.columns)),
        primary_key=_names(table.primary_key.columns),
        unique=tuple(_by_name(_unique_keys(table))),
        checks=tuple(_by_name(_checks(table))),
        foreign_keys=tuple(_foreign_keys(table)),
        indexes=tuple(map(_describe_index, sorted(table.indexes, key=lambda index: str(index.name)))),
        triggers=tuple(_describe_trigger(one) for one in TRIGGERS if one.table == table.name),
        relations=(*map(_enforced, _foreign_keys(table)), *map(_unenforced, facts.relations)),
    )


def _describe_column(column: sa.Column[Any]) -> ColumnDescription:
    types = {name: column.type.compile(dialect) for name, dialect in DIALECTS.items()}
    default = column.server_default
    defaults = dict.fromkeys(DIALECTS, str(default.arg)) if isinstance(default, sa.DefaultClause) else {}
    if MARIADB_DEFAULT in column.info:
        defaults["mariadb"] = column.info[MARIADB_DEFAULT]
    return ColumnDescription(
        name=str(column.name),
        kind=KINDS.get(types["mariadb"], types["mariadb"].lower()),
        types=types,
        nullable=bool(column.nullable),
        defaults=defaults,
        meaning=str(column.comment),
        written_by=tuple(writer for writer in Writer if writer in column.info.get(WRITTEN_BY, ())),
    )


def _unique_keys(table: sa.Table) -> Iterable[RuleDescription]:
    for constraint in table.constraints:
        if isinstance(constraint, sa.UniqueConstraint):
            yield RuleDescription(str(constraint.name), columns=_names(constraint.columns))


def _checks(table: sa.Table) -> Iterable[RuleDescription]:
    for constraint in table.constraints:
        if isinstance(constraint, sa.CheckConstraint):
            sql = constraint.sqltext.compile(dialect=DIALECTS["postgresql"], compile_kwargs={"literal_binds": True})
            yield RuleDescription(str(constraint.name), sql=re.sub(r"\s+", " ", str(sql)))


def _foreign_keys(table: sa.Table) -> Iterable[ForeignKeyDescription]:
    for constraint in sorted(table.foreign_key_constraints, key=lambda one: str(one.name)):
        elements = constraint.elements
        yield ForeignKeyDescription(
            str(constraint.name),
            _names(constraint.columns),
            str(elements[0].column.table.name),
            _names(element.column for element in elements),
        )


def _enforced(key: ForeignKeyDescription) -> RelationDescription:
    meaning = "what it belongs to; deleted with it"
    return RelationDescription(key.columns, key.table, key.referred, meaning, is_foreign_key=True, many_to_many=False)


def _unenforced(one: Relation) -> RelationDescription:
    return RelationDescription(
        one.columns, one.table, one.referred, one.meaning, is_foreign_key=False, many_to_many=one.many_to_many
    )


def _describe_index(index: sa.Index) -> IndexDescription:
    where = index.dialect_options["postgresql"]["where"]
    names = dict.fromkeys(DIALECTS, str(index.name))
    names["mariadb"] = index.info.get("mariadb", names["mariadb"])
    if index.info.get("not_on_mariadb"):
        del names["mariadb"]
    return IndexDescription(
        names=names,
        columns=tuple(map(_index_column, index.expressions)),
        where=None if where is None else str(where),
        mariadb_length=index.dialect_options["mysql"]["length"],
    )


def _describe_trigger(trigger: Trigger) -> TriggerDescription:
    changed = f"one of {', '.join(map(mark, trigger.changed))} has changed"
    earlier = f"{', '.join(map(mark, trigger.earlier))} has become earlier"
    changes = " or ".join([changed] * bool(trigger.changed) + [earlier] * bool(trigger.earlier))
    parts = [*(["`IsActive` was 1"] * trigger.only_active), *([changes] * bool(changes))]
    return TriggerDescription(
        name=trigger.name,
        event=trigger.event,
        condition=", and ".join(parts) or "always",
        action=f"appends a row of kind `{trigger.kind}` to `session_revocation`",
    )


def _index_column(part: Any) -> str:
    """Return a column of an index; the only expression that ours have is a descending one."""
    return f"{part.element.name} DESC" if isinstance(part, UnaryExpression) else str(part.name)


def _names(columns: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(column.name) for column in columns)


def _by_name(rules: Iterable[RuleDescription]) -> list[RuleDescription]:
    return sorted(rules, key=lambda rule: rule.name)
