"""Group codes: seeded from a file or from Keycloak, all or none, and nothing is written where nothing differs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from bridge.config import HttpSettings, SyncSettings
from bridge.errors import PermissionMissing, UsergroupRefused
from bridge.flows.usergroups import FromKeycloak, seed_from_keycloak, seed_groups
from bridge.keycloak.admin import open_admin
from bridge.storage import usergroups
from bridge.storage.database import Database, open_database
from bridge.storage.tables import def_usergroup
from bridge.storage.usergroups import Seeded, Usergroup
from tests.double import KeycloakDouble

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
STAFF = Usergroup("staff", "Staff", description="All who work here", keycloak_path="/staff")
SALES = Usergroup("staff/sales", "Sales")
LONGEST = Usergroup("ä" * 255, "n" * 255, description="d" * 2000, keycloak_path="/" + "p" * 999, active=False)


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


async def seed(database: Database, *groups: Usergroup, now: datetime = NOW, package: str = "demo") -> Seeded:
    return await database.write(lambda db: usergroups.seed(db, groups, package=package, now=now))


async def listed(database: Database, *, package: str = "demo") -> list[Usergroup]:
    async with database.reading() as db:
        return await usergroups.list_groups(db, package=package)


async def times(database: Database) -> dict[str, datetime]:
    async with database.reading() as db:
        return {row.Code: row.UpdatedAt for row in await db.execute(sa.select(def_usergroup))}


async def seed_realm(database: Database, double: KeycloakDouble, *, dry_run: bool = False) -> FromKeycloak:
    settings = SyncSettings.model_validate({"client_id": "bridge-sync", "client_secret": "sync-demo-secret"})
    async with open_admin(double.issuer, settings, HttpSettings()) as admin:
        return await seed_from_keycloak(database, admin, package="demo", now=NOW, dry_run=dry_run)


async def test_missing_groups_are_inserted_whole(database: Database) -> None:
    done = await seed(database, STAFF, SALES, LONGEST)
    assert done == Seeded(("staff", "staff/sales", LONGEST.code), (), ())
    assert await listed(database) == [STAFF, SALES, LONGEST]
    assert await listed(database, package="other") == []


async def test_groups_that_differ_are_changed_and_the_others_are_left_alone(database: Database) -> None:
    await seed(database, STAFF, SALES, LONGEST)
    later = NOW + timedelta(days=1)
    done = await seed(
        database, STAFF, replace(SALES, active=False, description="Sells"), Usergroup("new", "N"), now=later
    )
    assert done == Seeded(("new",), ("staff/sales",), ("staff",))
    assert await listed(database) == [
        Usergroup("new", "N"),
        STAFF,
        replace(SALES, active=False, description="Sells"),
        LONGEST,
    ]
    assert await times(database) == {"new": later, "staff": NOW, "staff/sales": later, LONGEST.code: NOW}


async def test_codes_are_told_apart_by_every_character(database: Database) -> None:
    groups = [Usergroup(code, "n") for code in ("Staff", "staff", "stäff", "sta ff")]
    await seed(database, *groups)
    assert {group.code for group in await listed(database)} == {"Staff", "staff", "stäff", "sta ff"}
    assert (await seed(database, *groups)).unchanged == ("Staff", "staff", "stäff", "sta ff")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (Usergroup("a,b", "n"), "The group code 'a,b' holds a comma"),
        (Usergroup("", "n"), "The group code '' is empty"),
        (Usergroup("a\0b", "n"), "The group code 'a\\x00b' holds control characters"),
        (Usergroup("a\nb", "n"), "The group code 'a\\nb' holds control characters"),
        (Usergroup("a\ud800", "n"), "The group code 'a\\ud800' holds control characters or broken Unicode"),
        (Usergroup(" a", "n"), "The group code ' a' begins or ends with a blank"),
        (Usergroup("a\u00a0", "n"), "begins or ends with a blank"),
        (Usergroup("x" * 256, "n"), "has 256 characters, and at most 255 can be stored"),
        (Usergroup("staff", "again"), "The group code 'staff' is there twice"),
        (Usergroup("ok", ""), "The name of the group 'ok' is empty"),
        (Usergroup("ok", "n" * 256), "The name of the group 'ok' has 256 characters"),
        (Usergroup("ok", "n", description="d" * 2001), "The description of the group 'ok' has 2001 characters"),
        (Usergroup("ok", "n", description="\0"), "The description of the group 'ok' holds characters"),
        (Usergroup("ok", "n", keycloak_path="staff"), "The keycloak_path of the group 'ok' must begin with a slash"),
        (Usergroup("ok", "n", keycloak_path="/" + "p" * 1000), "The keycloak_path of the group 'ok' has 1001"),
    ],
)
async def test_one_bad_group_refuses_all_of_them_by_its_code(database: Database, bad: Usergroup, said: str) -> None:
    with pytest.raises(UsergroupRefused) as refused:
        await seed_groups(database, [STAFF, SALES, bad], packages=["demo", "other"], now=NOW)
    assert said in refused.value.message
    assert len(refused.value.message) < 250
    assert await listed(database) == await listed(database, package="other") == []


async def test_two_who_seed_at_once_make_one_row_each(database: Database) -> None:
    groups = [Usergroup(f"code{n}", "n") for n in range(50)]
    done = await asyncio.gather(*(seed(database, *groups) for _ in range(4)))
    assert await listed(database) == sorted(groups, key=lambda group: group.code)
    assert max(len(one.created) for one in done) == 50


async def test_the_same_groups_are_written_for_several_packages(database: Database) -> None:
    await seed(database, STAFF)
    planned = await seed_groups(database, [STAFF, SALES], packages=["demo", "other"], now=NOW, dry_run=True)
    assert await listed(database, package="other") == []
    done = await seed_groups(database, [STAFF, SALES], packages=["demo", "other"], now=NOW)
    assert done == planned
    assert done["demo"] == Seeded(("staff/sales",), (), ("staff",))
    assert done["other"].created == ("staff", "staff/sales")
    assert await listed(database, package="other") == [STAFF, SALES]


async def test_groups_of_keycloak_become_codes_by_their_path(database: Database, double: KeycloakDouble) -> None:
    for path in ("/staff", "/staff/sales", "/night shift"):
        double.realm.add_group(path)
    planned = await seed_realm(database, double, dry_run=True)
    assert await listed(database) == []
    done = await seed_realm(database, double)
    assert done == planned
    assert done.refused == ()
    assert await listed(database) == [
        Usergroup("night shift", "night shift", keycloak_path="/night shift"),
        Usergroup("staff", "staff", keycloak_path="/staff"),
        Usergroup("staff/sales", "sales", keycloak_path="/staff/sales"),
    ]
    assert (await seed_realm(database, double)).seeded.unchanged == ("night shift", "staff", "staff/sales")


async def test_keycloak_does_not_take_away_what_somebody_said_of_a_group(
    database: Database, double: KeycloakDouble
) -> None:
    double.realm.add_group("/staff")
    mine = replace(STAFF, keycloak_path=None, active=False)
    await seed(database, mine, SALES)
    assert (await seed_realm(database, double)).seeded.updated == ("staff",)
    assert await listed(database) == [replace(mine, keycloak_path="/staff"), SALES]


async def test_groups_of_keycloak_that_can_be_no_code_are_named_and_the_others_written(
    database: Database, double: KeycloakDouble
) -> None:
    double.realm.add_group("/staff")
    double.realm.add_group_named("child", parent_id=double.realm.add_group_named("a,b"))
    for name in ("x/y", " blank", "n" * 256):
        double.realm.add_group_named(name)
    done = await seed_realm(database, double)
    assert done.seeded.created == ("staff",)
    assert sorted(done.refused) == sorted(["/a,b", "/a,b/child", "/x/y", "/ blank", "/" + "n" * 256])
    assert [group.code for group in await listed(database)] == ["staff"]


async def test_nothing_is_written_when_the_groups_cannot_be_read(database: Database, double: KeycloakDouble) -> None:
    double.realm.add_group("/staff")
    double.realm.set_roles("bridge-sync", frozenset())
    with pytest.raises(PermissionMissing):
        await seed_realm(database, double)
    assert await listed(database) == []
