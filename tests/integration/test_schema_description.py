"""What the pages say of tables is what a migrated database has; the alembic comparison covers columns and types."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.storage.database import build_engine
from bridge.storage.schema.description import TableDescription, describe_tables

NAMES = {"mysql": "mariadb"}
Look = Callable[[sa.Inspector, TableDescription, str], Any]


@pytest.fixture
async def inspect(migrated_database_url: str) -> Callable[[Look], Any]:
    """Give the function that looks at every table and returns what was found, by table."""

    async def look(read: Look) -> dict[str, Any]:
        engine = build_engine(migrated_database_url)
        name = NAMES.get(engine.dialect.name, engine.dialect.name)
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(
                    lambda found: {table.name: read(sa.inspect(found), table, name) for table in describe_tables()}
                )
        finally:
            await engine.dispose()

    return look


async def test_every_index_is_there_under_its_name_and_no_other(inspect: Callable[[Look], Any]) -> None:
    def difference(found: sa.Inspector, table: TableDescription, database: str) -> set[str | None]:
        described = {index.names[database] for index in table.indexes if database in index.names}
        there = {index["name"] for index in found.get_indexes(table.name) if not index["unique"]}
        return described ^ there

    differences = await inspect(difference)
    assert {table: names for table, names in differences.items() if names} == {}


async def test_columns_keys_and_rules_are_those_of_the_database(inspect: Callable[[Look], Any]) -> None:
    def facts(found: sa.Inspector, table: TableDescription, _database: str) -> list[tuple[object, object]]:
        columns = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
        keys = {tuple(key["constrained_columns"]): key["referred_table"] for key in found.get_foreign_keys(table.name)}
        return [
            ({column.name: column.nullable for column in table.columns}, columns),
            (table.primary_key, tuple(found.get_pk_constraint(table.name)["constrained_columns"])),
            ({rule.name for rule in table.unique}, {one["name"] for one in found.get_unique_constraints(table.name)}),
            ({rule.name for rule in table.checks}, {one["name"] for one in found.get_check_constraints(table.name)}),
            ({key.columns: key.table for key in table.foreign_keys}, keys),
        ]

    for described_and_found in (await inspect(facts)).values():
        for described, found in described_and_found:
            assert described == found


async def test_defaults_are_those_of_the_database(inspect: Callable[[Look], Any]) -> None:
    def difference(found: sa.Inspector, table: TableDescription, database: str) -> dict[str, tuple[str, str]]:
        there = {column["name"]: _bare(column["default"]) for column in found.get_columns(table.name)}
        described = {column.name: column.defaults.get(database, "").lower() for column in table.columns}
        counting = {
            column.name
            for column in table.columns
            if table.primary_key == (column.name,) and "nextval" in there[column.name]
        }
        return {
            name: (described[name], there[name])
            for name in there
            if described[name] != there[name] and name not in counting
        }

    differences = await inspect(difference)
    assert {table: found for table, found in differences.items() if found} == {}


def _bare(default: str | None) -> str:
    """Return a default without what each database puts around it."""
    text = (default or "").lower().split("::")[0].strip("'")
    return "" if text == "null" else text
