"""Preferences: kept whole or refused, with their person under every name, and never somebody else's."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from bridge.errors import PreferenceRefused, UserUnknown
from bridge.flows import people
from bridge.model import Identity, Profile
from bridge.storage import mirrored_users, preferences, users
from bridge.storage.database import Database, Db, open_database
from bridge.storage.tables import sys_user_preferences
from tests.integration.mirror import Mirror, mirroring

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
ALICE = Identity("https://kc.example/realms/demo", "11111111-1111-4111-8111-111111111111", "demo")
LARGEST = 64 * 1024


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


@pytest.fixture
async def mirror(migrated_database_url: str) -> AsyncIterator[Mirror]:
    async with mirroring(migrated_database_url) as one:
        for username in ("ann", "ben", "cat"):
            one.double.realm.add_user(username)
        await one.run()
        for username in ("ann", "ben", "cat"):
            await put(one.database, username, who=username)
        yield one


async def put(database: Database, username: str, *, package: str = "demo", **values: str) -> set[str]:
    return await database.write(lambda db: preferences.set_preferences(db, username, values, package=package, now=NOW))


async def get(database: Database, username: str, *, package: str = "demo") -> dict[str, str]:
    async with database.reading() as db:
        return await preferences.get_preferences(db, username, package=package)


async def sign_in(database: Database, username: str = "alice", *, identity: Identity = ALICE) -> None:
    await database.write(lambda db: users.upsert_signed_in(db, identity, Profile(username), now=NOW))


async def test_preferences_are_set_changed_and_removed(database: Database) -> None:
    assert await put(database, "alice", theme="dark", language="de") == {"theme", "language"}
    assert await put(database, "alice", theme="light", size="") == {"theme", "size"}
    assert await get(database, "alice") == {"theme": "light", "language": "de", "size": ""}
    removed = await database.write(
        lambda db: preferences.remove_preferences(db, "alice", ["theme", "unknown"], package="demo")
    )
    assert removed == {"theme"}
    assert await get(database, "alice") == {"language": "de", "size": ""}


async def test_a_preference_belongs_to_one_name_in_one_package(database: Database) -> None:
    await put(database, "alice", theme="dark")
    await put(database, "Alice", theme="light")
    await put(database, "alice", package="other", theme="blue", Theme="red")
    assert await get(database, "alice") == {"theme": "dark"}
    assert await get(database, "Alice") == {"theme": "light"}
    assert await get(database, "alice", package="other") == {"theme": "blue", "Theme": "red"}


async def test_an_equal_value_is_not_written(database: Database) -> None:
    await put(database, "alice", theme="dark")
    again = await database.write(
        lambda db: preferences.set_preferences(db, "alice", {"theme": "dark"}, package="demo", now=LATER)
    )
    assert again == set()
    async with database.reading() as db:
        assert (await db.execute(sa.select(sys_user_preferences.c.UpdatedAt))).scalar_one() == NOW


async def test_the_largest_name_and_value_are_kept_whole(database: Database) -> None:
    name, value = "ä" * 150, "ä" * (LARGEST // 2)
    await put(database, "alice", **{name: value, "lines": "one\n\ttwo 🎉"})
    assert await get(database, "alice") == {name: value, "lines": "one\n\ttwo 🎉"}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("n" * 151, "x", "has 151 characters, and at most 150"),
        ("", "x", "is empty"),
        ("a\nb", "x", "holds control characters"),
        ("a\0", "x", "holds control characters"),
        ("\ud800", "x", "broken Unicode"),
        (" a", "x", "begins or ends with a blank"),
        ("big", "x" * (LARGEST + 1), f"'big' has {LARGEST + 1} bytes, and at most {LARGEST}"),
        ("big", "ä" * (LARGEST // 2) + "x", f"has {LARGEST + 1} bytes"),
        ("nul", "a\0b", "holds characters that cannot be stored"),
        ("half", "\udc00", "holds characters that cannot be stored"),
    ],
)
async def test_what_cannot_be_stored_is_refused_whole(database: Database, name: str, value: str, said: str) -> None:
    await put(database, "alice", theme="dark")
    with pytest.raises(PreferenceRefused) as refused:
        await put(database, "alice", **{"a": "first", "theme": "light", name: value})
    assert said in refused.value.message
    assert len(refused.value.message) < 250
    assert await get(database, "alice") == {"theme": "dark"}


async def test_preferences_follow_a_rename_at_a_sign_in(database: Database) -> None:
    await sign_in(database)
    await put(database, "alice", theme="dark")
    await put(database, "alicia", theme="left behind by somebody who is gone")
    await sign_in(database, "alicia")
    assert await get(database, "alice") == {}
    assert await get(database, "alicia") == {"theme": "dark"}


async def test_a_first_sign_in_inherits_nothing(database: Database) -> None:
    await put(database, "alice", theme="left behind by somebody who is gone")
    await put(database, "alice", package="other", theme="dark")
    await sign_in(database)
    assert await get(database, "alice") == {}
    assert await get(database, "alice", package="other") == {"theme": "dark"}


async def test_a_holder_who_is_retired_takes_the_preferences_along(database: Database) -> None:
    await sign_in(database)
    await put(database, "alice", theme="dark")

    async def step(db: Db) -> None:
        who = {"issuer": ALICE.issuer, "sub": ALICE.sub, "package": "demo"}
        await mirrored_users.retire_user(db, **who, now=LATER)
        await users.upsert_signed_in(db, Identity(ALICE.issuer, "2", "demo"), Profile("alice"), now=LATER)

    await database.write(step)
    assert await get(database, "alice") == {}
    assert await get(database, f"alice~{ALICE.uuid}") == {"theme": "dark"}


async def test_preferences_follow_swaps_and_chains_of_the_mirror(mirror: Mirror) -> None:
    names = await mirror.users()
    for old, new in (("ann", "ben"), ("ben", "ann"), ("cat", "dan")):
        mirror.double.realm.users[names[old]["Sub"]].username = new
    await put(mirror.database, "dan", who="somebody who is gone", more="x")
    await mirror.run()
    assert await get(mirror.database, "ann") == {"who": "ben"}
    assert await get(mirror.database, "ben") == {"who": "ann"}
    assert await get(mirror.database, "dan") == {"who": "cat"}
    assert await get(mirror.database, "cat") == {}
    rows = await mirror.query("SELECT COUNT(*) AS n FROM sys_user_preferences")
    assert rows[0]["n"] == 3


async def test_a_person_created_again_under_an_old_name_inherits_nothing_in_the_mirror(mirror: Mirror) -> None:
    old = (await mirror.users())["ann"]
    mirror.double.realm.delete_user("ann")
    mirror.double.realm.add_user("ann")
    await put(mirror.database, "dan", who="somebody who is gone")
    mirror.double.realm.add_user("dan")
    await mirror.run()
    assert await get(mirror.database, "ann") == {}
    assert await get(mirror.database, "dan") == {}
    assert await get(mirror.database, f"ann~{old['Uuid']}") == {"who": "ann"}


async def change(
    database: Database, username: str, *removed: str, values: dict[str, str], dry_run: bool = False
) -> set[str]:
    return await people.change_preferences(
        database, username, package="demo", values=values, removed=removed, now=LATER, dry_run=dry_run
    )


async def test_an_operator_changes_all_or_none(database: Database) -> None:
    await sign_in(database)
    await put(database, "alice", theme="dark", size="1")
    values = {"theme": "light", "language": "de"}
    planned = await change(database, "alice", "size", "unknown", values=values, dry_run=True)
    assert await get(database, "alice") == {"theme": "dark", "size": "1"}
    changed = await change(database, "alice", "size", "unknown", values=values)
    assert changed == planned == {"theme", "language", "size"}
    assert await get(database, "alice") == {"theme": "light", "language": "de"}
    with pytest.raises(PreferenceRefused, match="'a' cannot be set and removed at once"):
        await change(database, "alice", "a", values={"b": "1", "a": "1"})
    with pytest.raises(PreferenceRefused):
        await change(database, "alice", "\0", values={"b": "1"})
    with pytest.raises(UserUnknown, match="no person 'bob' in the package demo"):
        await change(database, "bob", values={"b": "1"})
    assert await get(database, "alice") == {"theme": "light", "language": "de"}
    assert await get(database, "bob") == {}
