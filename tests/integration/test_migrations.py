"""The Alembic chain on the three databases: empty to head equals the models, down and up again, one at a time."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from bridge.errors import DatabaseUnavailable, DatabaseUnfit, SchemaOutdated
from bridge.storage.database import build_engine, open_database
from bridge.storage.migrate import check_schema, downgrade, newest_revision, upgrade
from bridge.storage.tables import metadata

PUBLIC_INDEXES = {
    "sys_user": {"idx_active_user", "idx_active_uuid", "idx_uuid", "idx_email", "idx_package", "idx_store"},
    "sys_usersession": {
        "idx_user_package",
        "idx_user_active",
        "idx_expires",
        "idx_token",
        "idx_ip",
        "idx_created",
        "idx_package",
        "idx_device",
    },
}


async def _inspect(url: str, read: str) -> object:
    engine = build_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync({"differences": _differences, "indexes": _indexes}[read])
    finally:
        await engine.dispose()


def _differences(connection: sa.Connection) -> list[object]:
    models = sa.MetaData(naming_convention=metadata.naming_convention)
    short_names = {index.name: index.info.get("mariadb") for t in metadata.tables.values() for index in t.indexes}
    for table in metadata.tables.values():
        copy = table.to_metadata(models)
        for index in list(copy.indexes) if connection.dialect.name == "mysql" else ():
            index.name = short_names[index.name] or index.name
            # MariaDB has no partial indexes, and another one serves instead.
            if index.name == "idx_active_expiry":
                copy.indexes.remove(index)
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, models))


def _indexes(connection: sa.Connection) -> dict[str, set[str | None]]:
    inspector = sa.inspect(connection)
    return {name: {index["name"] for index in inspector.get_indexes(name)} for name in PUBLIC_INDEXES}


def test_empty_to_head_equals_the_models(database_url: str) -> None:
    upgrade(database_url)
    assert asyncio.run(_inspect(database_url, "differences")) == []


def test_public_indexes_keep_the_names_of_existing_installations(migrated_database_url: str) -> None:
    found = asyncio.run(_inspect(migrated_database_url, "indexes"))
    assert isinstance(found, dict)
    for table, short in PUBLIC_INDEXES.items():
        on_mariadb = migrated_database_url.startswith("mysql")
        expected = short if on_mariadb else {name.replace("idx_", f"idx_{table}_", 1) for name in short}
        assert expected <= found[table]


def test_head_goes_down_and_up_again(database_url: str) -> None:
    upgrade(database_url)
    downgrade(database_url, revision="base")
    upgrade(database_url)
    assert asyncio.run(_inspect(database_url, "differences")) == []


def test_two_processes_may_migrate_at_once(database_url: str) -> None:
    script = f"from bridge.storage.migrate import upgrade; upgrade({database_url!r})"
    both = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert asyncio.run(_inspect(database_url, "differences")) == []


async def test_a_database_without_tables_is_refused_with_the_command_that_mends_it(database_url: str) -> None:
    async with open_database(database_url) as database, database.reading() as db:
        with pytest.raises(SchemaOutdated) as refused:
            await check_schema(db)
    assert refused.value.hint == "Run: keycloak-bridge migrate"
    assert newest_revision() in refused.value.message


def test_a_database_that_is_not_there_is_named() -> None:
    with pytest.raises(DatabaseUnavailable) as refused:
        upgrade("postgresql://nobody@127.0.0.1:1/nothing")
    assert "cannot be migrated" in refused.value.message


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with pytest.raises(DatabaseUnavailable):
        upgrade(f"sqlite:///{tmp_path}/missing/bridge.db")
    # A thread that is left would report to an event loop that is gone, with a traceback nobody asked for.
    assert {thread.name for thread in set(threading.enumerate()) - before if "worker" in thread.name} == set()


def test_tables_of_another_making_are_left_as_they_are(database_url: str) -> None:
    asyncio.run(_execute(database_url, "CREATE TABLE sys_user (id INTEGER)"))
    with pytest.raises(DatabaseUnfit) as refused:
        upgrade(database_url)
    assert "already has sys_user" in refused.value.message


async def _execute(url: str, statement: str) -> None:
    engine = build_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.text(statement))
    finally:
        await engine.dispose()
