"""Group paths as group codes, each in its place and none by accident."""

from collections.abc import AsyncIterator

import pytest

from sync.worker import Status
from tests.integration.mirror import Mirror, mirroring

LONG_AGO = 1_600_000_000_000


@pytest.fixture
async def mirror(migrated_database_url: str) -> AsyncIterator[Mirror]:
    async with mirroring(migrated_database_url) as one:
        for username in ("ann", "ben"):
            one.double.realm.add_user(username)
            one.double.realm.join(username, "/staff")
        yield one


async def test_group_codes_of_others_stay(mirror: Mirror) -> None:
    await mirror.run()
    await mirror.edit("ann", Usergroups="till,staff,vip")
    mirror.double.realm.join("ann", "/night")
    await mirror.run()
    row = (await mirror.users())["ann"]
    assert (row["Usergroups"], row["MirroredUsergroups"]) == ("till,vip,night,staff", "night,staff")
    mirror.double.realm.leave("ann", "/staff")
    await mirror.run()
    row = (await mirror.users())["ann"]
    assert (row["Usergroups"], row["MirroredUsergroups"]) == ("till,vip,night", "night")


async def test_a_group_of_more_than_a_hundred_members(mirror: Mirror) -> None:
    for n in range(230):
        mirror.double.realm.add_user(f"member{n:03}", created=LONG_AGO + n)
        mirror.double.realm.join(f"member{n:03}", "/everybody")
    await mirror.run()
    codes = [row["Usergroups"] for row in (await mirror.users()).values()]
    assert (codes.count("everybody"), len(codes)) == (230, 232)


async def test_more_groups_than_people_are_read_by_user(mirror: Mirror) -> None:
    for n in range(9):
        mirror.double.realm.add_group(f"/empty{n}")
    await mirror.run()
    assert mirror.double.count("GET", "/members") == 0
    assert (await mirror.users())["ann"]["Usergroups"] == "staff"
    assert (await mirror.run()).changed == 0


async def test_group_names_with_comma_or_slash_are_reported(mirror: Mirror) -> None:
    realm = mirror.double.realm
    realm.join("ben", "/x/y")
    for name in ("x/y", "a,b"):
        group = realm.add_group_named(name)
        realm.join("ann", group)
        realm.join("ann", realm.add_group_named("child", parent_id=group))
    report = await mirror.run()
    assert report.status is Status.COMPLETE
    assert {one.name for one in report.conflicts} == {
        "group /x/y",
        "group /x/y/child",
        "group /a,b",
        "group /a,b/child",
    }
    rows = await mirror.users()
    assert rows["ann"]["Usergroups"] == "staff"
    assert rows["ben"]["Usergroups"] == "staff,x/y"


async def test_one_name_at_two_places_is_two_codes(mirror: Mirror) -> None:
    mirror.double.realm.join("ben", "/north/sales")
    mirror.double.realm.join("ben", "/south/sales")
    await mirror.run()
    assert (await mirror.users())["ben"]["Usergroups"] == "north/sales,south/sales,staff"
