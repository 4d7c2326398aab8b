"""Which schema a database is at: the table that says so, the one that said so earlier, and revisions nobody knows."""

import asyncio
from collections.abc import Callable

import pytest

from bridge.errors import DatabaseUnfit, StorageError
from bridge.storage.migrate import VERSION_TABLE, downgrade, newest_revision, upgrade
from tests.integration.applications import Execute, connected, spelt

ALICE = """INSERT INTO sys_user ("User", "Package") VALUES ('alice', 'demo')"""


async def write_as_an_earlier_state(execute: Execute, *revisions: str) -> None:
    """Note revisions as Alembic does by itself, and none of our own."""
    await execute(f"DROP TABLE {VERSION_TABLE}")
    await execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    for revision in revisions:
        await execute("INSERT INTO alembic_version VALUES (:revision)", revision=revision)


@pytest.mark.parametrize("revision", ["0004_work", "head"])
async def test_the_revision_of_an_earlier_state_is_taken_over(database_url: str, revision: str) -> None:
    await asyncio.to_thread(upgrade, database_url, revision=revision)
    async with connected(database_url) as execute:
        await execute(spelt(database_url, ALICE))
        ((number,),) = await execute(f"SELECT version_num FROM {VERSION_TABLE}")
        await write_as_an_earlier_state(execute, number)
        assert (await asyncio.to_thread(upgrade, database_url)).revision == newest_revision()
        assert await execute(f"SELECT version_num FROM {VERSION_TABLE}") == [(newest_revision(),)]
        assert await execute(spelt(database_url, 'SELECT "User" FROM sys_user')) == [("alice",)]
        # It was ours alone, so that it can be made again.
        await execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")


async def test_the_revision_of_an_application_stays_where_it_stood_beside_ours(migrated_database_url: str) -> None:
    async with connected(migrated_database_url) as execute:
        await write_as_an_earlier_state(execute, newest_revision(), "of an application")
        assert (await asyncio.to_thread(upgrade, migrated_database_url)).revision == newest_revision()
        assert await execute("SELECT version_num FROM alembic_version") == [("of an application",)]


async def test_tables_beside_the_revision_of_an_application_alone_are_not_taken_for_ours(
    migrated_database_url: str,
) -> None:
    async with connected(migrated_database_url) as execute:
        await write_as_an_earlier_state(execute, "of an application")
        with pytest.raises(DatabaseUnfit, match="which this command did not make"):
            await asyncio.to_thread(upgrade, migrated_database_url)
        assert await execute("SELECT version_num FROM alembic_version") == [("of an application",)]


@pytest.mark.parametrize("change", [upgrade, downgrade])
def test_an_unknown_revision_is_named(sqlite_database_url: str, change: Callable[..., object]) -> None:
    with pytest.raises(StorageError) as refused:
        change(sqlite_database_url, revision="0000_nothing")
    assert refused.value.message == (
        "The database cannot be migrated: Can't locate revision identified by '0000_nothing'"
    )
    assert refused.value.hint == f"The newest revision is {newest_revision()}."


async def test_a_schema_that_a_newer_version_made_is_not_taken_back(sqlite_database_url: str) -> None:
    async with connected(sqlite_database_url) as execute:
        await execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999_later'")
        with pytest.raises(DatabaseUnfit) as refused:
            await asyncio.to_thread(downgrade, sqlite_database_url, revision="0004_work")
        assert "9999_later, which a newer version made" in refused.value.message
        assert await execute(f"SELECT version_num FROM {VERSION_TABLE}") == [("9999_later",)]
