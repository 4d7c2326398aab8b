"""The Alembic chain on the three databases: empty to head equals the models, down and up again, one at a time.

Applications go on meanwhile: their statements work at each revision, and no migration waits long for a lock of theirs.
"""

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from bridge.errors import DatabaseUnavailable, DatabaseUnfit, SchemaOutdated
from bridge.storage.database import build_engine, open_database
from bridge.storage.installed_triggers import find_missing_triggers
from bridge.storage.migrate import VERSION_TABLE, Migrated, check_schema, downgrade, newest_revision, upgrade
from bridge.storage.tables import metadata
from tests.documents import ROOT
from tests.integration.applications import connected, kind_of, spelt, statements_of

CAROL = {"user": "carol", "package": "demo", "email": "carol@example.com", "uuid": "u", "session_id": "s"}
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
            return await connection.run_sync(READS[read])
    finally:
        await engine.dispose()


async def _find_missing_triggers(url: str) -> tuple[str, ...]:
    async with open_database(url) as database, database.reading() as db:
        return await find_missing_triggers(db)


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
    context = MigrationContext.configure(connection, opts={"compare_type": True, "version_table": VERSION_TABLE})
    return list(compare_metadata(context, models))


def _indexes(connection: sa.Connection) -> dict[str, set[str | None]]:
    inspector = sa.inspect(connection)
    return {name: {index["name"] for index in inspector.get_indexes(name)} for name in PUBLIC_INDEXES}


def _comments(connection: sa.Connection) -> dict[str, object]:
    inspector = sa.inspect(connection)
    tables = {name: inspector.get_table_comment(name)["text"] for name in metadata.tables}
    columns = {(name, one["name"]): one["comment"] for name in tables for one in inspector.get_columns(name)}
    return {"tables": tables, "columns": columns}


def _collations(connection: sa.Connection) -> set[tuple[str, str | None]]:
    """Return type and collation of all text columns; Alembic's own table is not ours."""
    here = "current_schema()" if connection.dialect.name == "postgresql" else "DATABASE()"
    query = (
        "SELECT data_type, collation_name FROM information_schema.columns "
        f"WHERE table_schema = {here} AND table_name <> '{VERSION_TABLE}' AND character_maximum_length IS NOT NULL"
    )
    texts = f"{query} OR table_schema = {here} AND data_type = 'text'"
    return {(str(kind), collation) for kind, collation in connection.execute(sa.text(texts))}


READS = {"differences": _differences, "indexes": _indexes, "comments": _comments, "collations": _collations}


def test_empty_to_head_equals_the_models(database_url: str) -> None:
    upgrade(database_url)
    assert asyncio.run(_inspect(database_url, "differences")) == []
    assert asyncio.run(_find_missing_triggers(database_url)) == ()


@pytest.mark.parametrize("migrated_database_url", ["postgresql", "mariadb"], indirect=True)
def test_tables_and_columns_are_explained_in_the_database_itself(migrated_database_url: str) -> None:
    """SQLite has no place for comments."""
    tables = metadata.tables.values()
    assert asyncio.run(_inspect(migrated_database_url, "comments")) == {
        "tables": {table.name: table.comment for table in tables},
        "columns": {(table.name, column.name): column.comment for table in tables for column in table.columns},
    }
    assert all(table.comment and all(column.comment for column in table.columns) for table in tables)


@pytest.mark.parametrize(
    ("migrated_database_url", "collations"),
    [
        ("mariadb", {(kind, "utf8mb4_nopad_bin") for kind in ("char", "varchar", "text", "mediumtext")}),
        # Long texts are compared by nobody; the database's own collation is exact about equality.
        ("postgresql", {("character varying", "C"), ("text", None)}),
    ],
    indirect=["migrated_database_url"],
)
def test_all_texts_compare_binary(migrated_database_url: str, collations: set[tuple[str, str | None]]) -> None:
    """S4: José is not jose is not jose with a blank; SQLite compares so where nothing else is said."""
    assert asyncio.run(_inspect(migrated_database_url, "collations")) == collations


def test_public_indexes_keep_the_names_of_existing_installations(migrated_database_url: str) -> None:
    found = asyncio.run(_inspect(migrated_database_url, "indexes"))
    assert isinstance(found, dict)
    for table, short in PUBLIC_INDEXES.items():
        on_mariadb = migrated_database_url.startswith("mysql")
        expected = short if on_mariadb else {name.replace("idx_", f"idx_{table}_", 1) for name in short}
        assert expected <= found[table]


@pytest.mark.parametrize("revision", ["-1", "base"])
def test_head_goes_down_and_up_again(database_url: str, revision: str) -> None:
    upgrade(database_url)
    downgrade(database_url, revision=revision)
    upgrade(database_url)
    assert asyncio.run(_inspect(database_url, "differences")) == []
    assert asyncio.run(_find_missing_triggers(database_url)) == ()


async def test_the_statements_of_applications_work_at_each_revision(database_url: str) -> None:
    revisions = [one.revision for one in ScriptDirectory(str(ROOT / "migrations")).walk_revisions()][::-1]
    statements = statements_of("database.md", f"sql {kind_of(database_url)}")
    for revision in revisions[1:]:  # the first one has one of the two tables
        await asyncio.to_thread(upgrade, database_url, revision=revision)
        async with connected(database_url) as execute:
            answers = [await execute(statement, **CAROL) for statement in statements]
            assert [len(answer) for answer in answers if answer] == [1, 1, 1], revision
            for table in ("sys_usersession", "sys_user"):
                await execute(f"DELETE FROM {table}")
    assert revisions[-1] == newest_revision()


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
@pytest.mark.parametrize("revision", ["0007_sync", "head"])
async def test_migrate_gives_up_when_an_application_holds_a_lock_and_nothing_is_lost(
    database_url: str, revision: str
) -> None:
    """At the older revision an index is in the way, at the newest one a trigger that was dropped."""
    await asyncio.to_thread(upgrade, database_url, revision=revision)
    async with connected(database_url) as application, connected(database_url) as owner:
        if revision == "head":
            table = " ON sys_user" if kind_of(database_url) == "postgresql" else ""
            await owner(f"DROP TRIGGER tr_sys_user_update{table}")
        await application("BEGIN")
        for statement in statements_of("database.md", f"sql {kind_of(database_url)}")[:4]:
            await application(statement, **CAROL)
        begun = time.monotonic()
        with pytest.raises(DatabaseUnavailable) as refused:
            await asyncio.to_thread(upgrade, database_url)
        assert time.monotonic() - begun < 30
        assert "another transaction holds a lock on a table" in refused.value.message
        assert "keycloak-bridge migrate" in (refused.value.hint or "")
        await application("COMMIT")
        await asyncio.to_thread(upgrade, database_url)
        names = spelt(database_url, 'SELECT u."User", s."User" FROM sys_user u, sys_usersession s')
        assert await owner(names) == [("carol", "carol")]
    assert await _inspect(database_url, "differences") == []
    assert await _find_missing_triggers(database_url) == ()


@pytest.mark.parametrize("migrated_database_url", ["postgresql", "mariadb"], indirect=True)
async def test_migrate_with_nothing_to_do_waits_for_nobody(migrated_database_url: str) -> None:
    async with connected(migrated_database_url) as application:
        await application("BEGIN")
        for statement in statements_of("database.md", f"sql {kind_of(migrated_database_url)}")[:4]:
            await application(statement, **CAROL)
        assert await asyncio.to_thread(upgrade, migrated_database_url) == Migrated(newest_revision())
        await application("ROLLBACK")


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


async def test_a_schema_that_a_newer_version_made_is_used_and_left_as_it_is(migrated_database_url: str) -> None:
    """Replicas are replaced one after the other, and the older ones may start again meanwhile."""
    async with connected(migrated_database_url) as execute:
        await execute("UPDATE keycloak_bridge_schema SET version_num = '9999_later'")
        async with open_database(migrated_database_url) as database, database.reading() as db:
            await check_schema(db)
        done = await asyncio.to_thread(upgrade, migrated_database_url)
        assert done == Migrated("9999_later", is_newer=True)
        assert await execute("SELECT version_num FROM keycloak_bridge_schema") == [("9999_later",)]


async def test_applications_that_use_alembic_in_the_same_database_are_left_alone(database_url: str) -> None:
    async with connected(database_url) as execute:
        await execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        await execute("INSERT INTO alembic_version VALUES ('of an application')")
        await asyncio.to_thread(upgrade, database_url)
        assert await execute("SELECT version_num FROM alembic_version") == [("of an application",)]


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
