"""People as an operator sees and enters them: found as they are spelt, and refused rather than changed."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from bridge.errors import BridgeError, UserExists, UsergroupRefused, UserRefused, UserUnknown
from bridge.flows import people
from bridge.flows.people import NewUser
from bridge.model import Identity, Profile
from bridge.sealing import Sealer, TooLongToSeal, open_legacy
from bridge.storage import preferences, usergroups, users
from bridge.storage.database import Database, open_database
from bridge.storage.tables import security_event, sys_user, sys_user_history, sys_usersession
from bridge.storage.usergroups import Usergroup

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
SEALER = Sealer([bytes(range(32))])
TILL = NewUser(
    "till 7",
    email="till@example.com",
    first_name="Till",
    last_name="Seven",
    store="12",
    usergroups=("till", "stock", "till"),
)


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    """A database whose packages have the groups of the person."""
    groups = [Usergroup(code, code, active=code != "stock") for code in sorted(set(TILL.usergroups))]
    async with open_database(migrated_database_url) as opened:
        for package in ("demo", "other"):
            await opened.write(partial(usergroups.seed, groups=groups, package=package, now=NOW))
        yield opened


async def create(database: Database, new: NewUser = TILL, *, package: str = "demo", dry_run: bool = False) -> str:
    row = await people.create_user(
        database, new, package=package, sealer=SEALER, created_by="command:root", now=NOW, dry_run=dry_run
    )
    return str(row["Uuid"])


async def found(database: Database, search: str | None = None, *, active: bool | None = None) -> list[str]:
    listed = await people.list_users(database, package="demo", limit=100, active=active, search=search)
    return [user.username for user in listed]


async def count(database: Database) -> int:
    async with database.reading() as db:
        return int((await db.execute(sa.select(sa.func.count()).select_from(sys_user))).scalar_one())


async def test_a_created_person_is_a_local_row_with_history(database: Database) -> None:
    uuid = await create(database)
    assert UUID(uuid).version == 4
    async with database.reading() as db:
        row = (await db.execute(sa.select(sys_user))).one()
        entry = (await db.execute(sa.select(sys_user_history))).one()
    assert (row.User, row.Uuid, row.Package, row.Active, row.Origin) == ("till 7", uuid, "demo", True, "local")
    assert (row.Email, row.DisplayName, row.Store, row.Usergroups) == (
        "till@example.com",
        "Till Seven",
        "12",
        "till,stock",
    )
    assert (row.Issuer, row.Sub, row.Password, row.loginpassword, row.RegisterDate) == (None, None, None, None, NOW)
    assert (entry.change, entry.cause, entry.uuid) == ("created", "command", uuid)


async def test_the_audit_trail_tells_who_created_a_person(database: Database) -> None:
    uuid = await create(database, replace(TILL, legacy_password="correct horse"))
    async with database.reading() as db:
        event = (await db.execute(sa.select(security_event))).one()
    assert (event.event, event.package, event.username, event.at) == ("user_created", "demo", "till 7", NOW)
    assert (event.issuer, event.sub, event.session_id) == (None, None, None)
    assert json.loads(event.evidence) == {"created_by": "command:root", "uuid": uuid}


@pytest.mark.parametrize("code", ["stok", "Stock", "stocks", "guests only"])
async def test_a_group_that_the_package_does_not_have_is_refused_by_its_name(database: Database, code: str) -> None:
    guests_only = [Usergroup("guests only", "Guests")]
    await database.write(partial(usergroups.seed, groups=guests_only, package="guests", now=NOW))
    for dry_run in (True, False):
        with pytest.raises(UsergroupRefused) as refused:
            await create(database, replace(TILL, usergroups=("till", code)), dry_run=dry_run)
        assert refused.value.message == f"The package demo has no group of this code: '{code}'."
        assert "keycloak-bridge usergroups seed" in str(refused.value.hint)
    for table in (sys_user, sys_user_history, security_event):
        async with database.reading() as db:
            assert (await db.execute(sa.select(table))).all() == []


async def test_a_name_is_enough(database: Database) -> None:
    await create(database, NewUser("till"))
    async with database.reading() as db:
        row = (await db.execute(sa.select(sys_user))).one()
    assert (row.Email, row.DisplayName, row.Usergroups) == (None, None, None)


async def test_a_legacy_password_is_sealed_for_its_row_and_shown_by_nothing(database: Database) -> None:
    uuid = await create(database, replace(TILL, legacy_password="correct horse"))
    async with database.reading() as db:
        sealed = (await db.execute(sa.select(sys_user.c.Password))).scalar_one()
        history = (await db.execute(sa.select(sys_user_history.c.after))).scalar_one()
    assert sealed.startswith("~")
    assert open_legacy(SEALER, sealed, column="Password", package="demo", uuid=uuid) == "correct horse"
    details = await people.show_user(database, "till 7", package="demo", now=NOW, history=10)
    for text in (sealed, str(history), str(details), repr(replace(TILL, legacy_password="correct horse"))):
        assert "correct horse" not in text
    assert "Password" not in details.row
    assert "loginpassword" not in details.row
    assert "~" not in str(details)


async def test_a_dry_run_checks_and_writes_nothing(database: Database) -> None:
    await create(database, dry_run=True)
    assert await count(database) == 0
    await create(database)
    with pytest.raises(UserExists):
        await create(database, dry_run=True)


async def test_a_name_is_taken_once_in_a_package_also_by_two_at_once(database: Database) -> None:
    await create(database, package="other")
    ended = await asyncio.gather(*(create(database) for _ in range(4)), return_exceptions=True)
    refused = [one for one in ended if isinstance(one, UserExists)]
    assert len(refused) == 3
    assert refused[0].message == "There is a person 'till 7' in the package demo already."
    assert await count(database) == 2
    with pytest.raises(UserExists):
        await create(database, NewUser("till 7"))


async def test_a_mirrored_person_keeps_the_name(database: Database) -> None:
    identity = Identity("https://kc.example/realms/demo", "1", "demo")
    await database.write(lambda db: users.upsert_signed_in(db, identity, Profile("till 7"), now=NOW))
    with pytest.raises(UserExists):
        await create(database)


async def test_a_created_person_inherits_no_preferences(database: Database) -> None:
    await database.write(
        lambda db: preferences.set_preferences(db, "till 7", {"theme": "dark"}, package="demo", now=NOW)
    )
    await create(database)
    assert await people.get_preferences(database, "till 7", package="demo") == {}


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        ({"username": "x" * 151}, UserRefused, "has 151 characters, and at most 150"),
        ({"username": ""}, UserRefused, "User '' is empty"),
        ({"username": "a\0b"}, UserRefused, "User 'a\\x00b' holds control characters"),
        ({"username": "a\x1b[2Jb"}, UserRefused, "holds control characters"),
        ({"username": "a\ud800"}, UserRefused, "broken Unicode"),
        ({"username": "jose "}, UserRefused, "begins or ends with a blank"),
        ({"email": "nobody"}, UserRefused, "Email 'nobody' is no e-mail address"),
        ({"email": "a@b@c"}, UserRefused, "is no e-mail address"),
        ({"email": "a b@c"}, UserRefused, "is no e-mail address"),
        ({"email": "a@" + "b" * 254}, UserRefused, "has 256 characters, and at most 255"),
        ({"first_name": "x" * 256}, UserRefused, "FirstName"),
        ({"last_name": "\n"}, UserRefused, "LastName"),
        ({"display_name": ""}, UserRefused, "DisplayName '' is empty"),
        ({"store": "s" * 51}, UserRefused, "Store"),
        ({"usergroups": ("ok", "a,b")}, UsergroupRefused, "The group code 'a,b' holds a comma"),
        ({"usergroups": ("",)}, UsergroupRefused, "is empty"),
        ({"legacy_password": ""}, UserRefused, "The password is empty"),
        ({"legacy_password": "a\0b"}, UserRefused, "The password is empty, or holds"),
        ({"legacy_password": "\udcff"}, UserRefused, "broken Unicode"),
        ({"legacy_password": "x" * 400}, TooLongToSeal, "At most"),
    ],
)
async def test_what_cannot_be_stored_is_refused_before_anything_is_written(
    database: Database, wrong: dict[str, Any], kind: type[BridgeError], said: str
) -> None:
    for dry_run in (True, False):
        with pytest.raises(kind) as refused:
            await create(database, replace(TILL, **wrong), dry_run=dry_run)
        assert said in refused.value.message
        assert len(refused.value.message) < 300
    assert await count(database) == 0


async def test_the_longest_name_is_kept_whole(database: Database) -> None:
    await create(database, NewUser("ü" * 150))
    assert await found(database) == ["ü" * 150]


async def test_the_text_to_search_for_is_taken_literally(database: Database) -> None:
    for name in ("ann", "Anna", "a%n", "a_n", "a\\n", "a/n", "bob"):
        await create(database, NewUser(name))
    assert await found(database, "ann") == ["Anna", "ann"]
    assert await found(database, "%") == ["a%n"]
    assert await found(database, "_") == ["a_n"]
    assert await found(database, "\\") == ["a\\n"]
    assert await found(database, "/") == ["a/n"]
    assert await found(database, "a%") == ["a%n"]
    assert await found(database, "nobody") == []
    assert len(await found(database)) == 7


async def test_names_addresses_and_whole_uuids_are_searched(database: Database) -> None:
    uuid = await create(database)
    for search in ("TILL 7", "@EXAMPLE", "sev", "l S", uuid):
        assert await found(database, search) == ["till 7"]
    assert await found(database, uuid[:8]) == []
    with pytest.raises(UserRefused, match="no name can hold"):
        await found(database, "a\0")
    with pytest.raises(UserRefused, match="no name can hold"):
        await found(database, "\udcff")


async def test_a_list_is_of_one_package_and_may_be_of_the_active_ones(database: Database) -> None:
    await create(database)
    await create(database, NewUser("zoe"), package="other")
    await create(database, NewUser("bob"))
    await database.write(
        lambda db: db.execute(sa.update(sys_user).where(sys_user.c.User == "bob").values(Active=False))
    )
    assert await found(database) == ["bob", "till 7"]
    assert await found(database, active=True) == ["till 7"]
    assert await found(database, active=False) == ["bob"]
    first = await people.list_users(database, package="demo", limit=1)
    assert [user.username for user in first] == ["bob"]


async def test_a_person_is_shown_with_groups_living_sessions_and_history(database: Database) -> None:
    await create(database)
    times = {"CreatedAt": NOW, "ExpiresAt": NOW + timedelta(hours=1)}
    rows = [
        {"SessionId": name, "User": "till 7", "Package": "demo", "SessionType": "web", "IsActive": alive, **times}
        for name, alive in (("a", True), ("b", True), ("c", False))
    ]
    await database.write(lambda db: db.execute(sa.insert(sys_usersession), rows))
    details = await people.show_user(database, "till 7", package="demo", now=NOW, history=5)
    assert (details.row["Email"], details.usergroups, details.sessions) == (
        "till@example.com",
        ("till", "stock"),
        2,
    )
    assert [entry.change for entry in details.history] == ["created"]
    assert (await people.show_user(database, "till 7", package="demo", now=NOW)).history == ()
    for username in ("Till 7", "\ud800", "a\0"):
        with pytest.raises(UserUnknown):
            await people.show_user(database, username, package="demo", now=NOW)
