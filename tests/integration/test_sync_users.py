"""The sweep: every person of the realm, once, truly, and nothing else."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sync.worker import INCOMPLETE, Status
from tests.integration.mirror import PACKAGE, Mirror, mirroring

LONG_AGO = 1_600_000_000_000


@pytest.fixture
async def mirror(migrated_database_url: str) -> AsyncIterator[Mirror]:
    async with mirroring(migrated_database_url) as one:
        yield one


def expected_row(mirror: Mirror, username: str) -> dict[str, Any]:
    """Say what the row of somebody must hold, from the records of the double."""
    realm = mirror.double.realm
    user = realm.user(username)
    assert user is not None
    codes = sorted(realm.group_path(realm.groups[group]).removeprefix("/") for group in user.groups)
    assert user.created is not None
    return {
        "User": user.username,
        "Uuid": user.id,
        "Package": PACKAGE,
        "Active": user.enabled,
        "Store": None,
        "Password": None,
        "loginpassword": None,
        "Email": user.email,
        "Usergroups": ",".join(codes) or None,
        "RegisterDate": datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=user.created),
        "LastLoginDate": None,
        "LastInteraction": None,
        "FirstName": user.first_name,
        "LastName": user.last_name,
        "DisplayName": user.name or None,
        "EmailVerified": user.email_verified,
        "Realm": "demo",
        "Issuer": mirror.double.issuer,
        "Sub": user.id,
        "MirroredUsergroups": ",".join(codes) or None,
        "RowVersion": 1,
        "MissingSince": None,
        "DeactivatedBy": None if user.enabled else "sync",
        "Origin": "keycloak",
    }


def populate(mirror: Mirror, number: int = 45) -> None:
    """Add people of several kinds, some in nested groups."""
    for n in range(number):
        mirror.double.realm.add_user(
            f"person{n:03}",
            created=LONG_AGO + n * 86_400_000,
            email=None if n % 5 == 0 else f"person{n}@example.com",
            first_name="Zoë" if n % 3 else None,
            last_name=f"Number {n}" if n % 4 else None,
            email_verified=n % 2 == 0,
            enabled=n % 10 != 9,
        )
        if n % 3 == 0:
            mirror.double.realm.join(f"person{n:03}", "/staff")
        if n % 7 == 0:
            mirror.double.realm.join(f"person{n:03}", "/staff/sales/north")


async def test_every_user_is_mirrored_row_by_row(mirror: Mirror) -> None:
    populate(mirror)
    report = await mirror.run(page_size=10)
    assert (report.status, report.exit_status) == (Status.COMPLETE, 0)
    assert report.counts.users_created == report.counts.users_read == 45
    rows = await mirror.users()
    names = {user.username for user in mirror.double.realm.users.values() if user.service_account_of is None}
    assert rows.keys() == names
    for username, row in rows.items():
        assert row.pop("UpdatedAt") is not None
        assert row == expected_row(mirror, username)


async def test_a_second_run_writes_no_row(mirror: Mirror) -> None:
    populate(mirror)
    mirror.double.realm.add_session("person001", "bridge")
    mirror.double.realm.add_session("person002", "bridge", offline=True)
    await mirror.run()
    await mirror.count_writes()
    await mirror.edit("person001", LastLoginDate=datetime.now(UTC))
    assert await mirror.written() == 1, "the counter must count"
    report = await mirror.run(page_size=10)
    assert await mirror.written() == 1
    assert (report.status, report.changed) == (Status.COMPLETE, 0)


async def test_one_record_tells_what_a_run_did(mirror: Mirror) -> None:
    populate(mirror, 3)
    mirror.double.realm.add_user("x" * 151)
    report = await mirror.run()
    (record,) = await mirror.query("SELECT * FROM sync_run")
    assert (record["id"], record["package"], record["status"]) == (report.run_id, PACKAGE, "complete")
    assert (record["users_read"], record["users_created"], record["conflicts"]) == (4, 3, 1)
    assert "has 151 characters" in record["report"]
    assert record["finished_at"] is not None


async def test_what_changes_at_keycloak_changes_in_the_row(mirror: Mirror) -> None:
    populate(mirror, 12)
    await mirror.run()
    realm = mirror.double.realm
    realm.change_user("person001", email="new@example.com", first_name="Ana", last_name=None, email_verified=True)
    realm.join("person002", "/staff/sales")
    realm.leave("person003", "/staff")
    report = await mirror.run()
    assert report.counts.users_updated == 3
    rows = await mirror.users()
    for username in ("person001", "person002", "person003"):
        rows[username].pop("UpdatedAt")
        assert rows[username] == expected_row(mirror, username) | {"RowVersion": 2}


async def test_an_edit_by_hand_is_repaired(mirror: Mirror) -> None:
    populate(mirror, 5)
    await mirror.run()
    await mirror.edit("person001", Email="wrong@example.com", Uuid=None, Origin="local", MissingSince=datetime.now(UTC))
    await mirror.edit("person003", MirroredUsergroups=None, Usergroups=None)
    report = await mirror.run()
    assert report.counts.users_updated == 2
    rows = await mirror.users()
    for username in ("person001", "person003"):
        rows[username].pop("UpdatedAt")
        assert rows[username] == expected_row(mirror, username) | {"RowVersion": 2}


async def test_a_row_without_identity_is_never_touched(mirror: Mirror) -> None:
    await mirror.insert_user(User="till", Package=PACKAGE, Email="till@example.com", Usergroups="cash")
    before = (await mirror.users())["till"]
    populate(mirror, 3)
    await mirror.run()
    assert (await mirror.users())["till"] == before


async def test_sixty_users_of_one_millisecond(mirror: Mirror) -> None:
    for n in range(60):
        mirror.double.realm.add_user(f"import{n:02}", created=LONG_AGO)
    populate(mirror, 20)
    report = await mirror.run(page_size=10)
    assert (report.status, report.counts.users_created) == (Status.COMPLETE, 80)


async def test_users_without_a_creation_time(mirror: Mirror) -> None:
    populate(mirror, 5)
    for n in range(70):
        mirror.double.realm.add_user(f"old{n:02}", created=None)
    report = await mirror.run(page_size=10)
    assert (report.status, report.counts.users_created) == (Status.COMPLETE, 75)
    assert (await mirror.users())["old00"]["RegisterDate"] is None
    assert (await mirror.run()).changed == 0


async def test_names_that_do_not_fit_are_reported_and_never_cut(mirror: Mirror) -> None:
    populate(mirror, 2)
    mirror.double.realm.add_user("n" * 255)
    mirror.double.realm.add_user("e" * 150)
    report = await mirror.run()
    assert report.status is Status.COMPLETE
    assert [(one.name, one.reason) for one in report.conflicts] == [
        ("n" * 255, "User has 255 characters, and the column takes 150")
    ]
    assert (await mirror.users()).keys() == {"person000", "person001", "e" * 150}


async def test_a_rename_to_a_name_that_does_not_fit_keeps_the_rest_true(mirror: Mirror) -> None:
    populate(mirror, 2)
    await mirror.run()
    mirror.double.realm.change_user("person001", username="n" * 255, enabled=False)
    report = await mirror.run()
    assert len(report.conflicts) == 1
    assert (await mirror.users())["person001"]["Active"] is False


async def test_disabling_ends_sessions_and_credentials(mirror: Mirror) -> None:
    populate(mirror, 2)
    mirror.double.realm.add_session("person001", "bridge")
    await mirror.run()
    sub = (await mirror.users())["person001"]["Sub"]
    who = {"User": "person001", "Issuer": mirror.double.issuer, "Sub": sub, "Origin": "bridge"}
    await mirror.insert_session(SessionId="s" * 64, **who)
    await mirror.execute(
        "INSERT INTO session_credential (digest, session_id, kind, created_at, expires_at) "
        "VALUES ('d', :id, 'cookie', '2026-01-01 00:00:00+00', '2036-01-01 00:00:00+00')"
        if mirror.database.dialect.name == "postgresql"
        else "INSERT INTO session_credential (digest, session_id, kind, created_at, expires_at) "
        "VALUES ('d', :id, 'cookie', '2026-01-01 00:00:00', '2036-01-01 00:00:00')",
        id="s" * 64,
    )
    mirror.double.realm.change_user("person001", enabled=False)
    await mirror.run()
    row = (await mirror.users())["person001"]
    assert (row["Active"], row["DeactivatedBy"]) == (False, "sync")
    sessions = await mirror.sessions()
    assert [(one["IsActive"], one["InvalidatedReason"]) for one in sessions] == [(False, "user_disabled")] * 2
    assert await mirror.query("SELECT * FROM session_credential") == []
    assert (await mirror.run()).changed == 0


async def test_only_what_the_sync_deactivated_is_reactivated(mirror: Mirror) -> None:
    populate(mirror, 4)
    await mirror.run()
    mirror.double.realm.change_user("person001", enabled=False)
    await mirror.edit("person002", Active=False, DeactivatedBy="admin")
    await mirror.edit("person003", Active=False)
    await mirror.run()
    mirror.double.realm.change_user("person001", enabled=True)
    await mirror.run()
    rows = await mirror.users()
    assert [rows[f"person00{n}"]["Active"] for n in (1, 2, 3)] == [True, False, False]
    assert [rows[f"person00{n}"]["DeactivatedBy"] for n in (1, 2, 3)] == [None, "admin", None]


async def test_who_is_absent_is_marked_and_nothing_more(mirror: Mirror) -> None:
    populate(mirror, 4)
    await mirror.run()
    mirror.double.realm.delete_user("person001")
    report = await mirror.run()
    assert (report.status, report.counts.users_missing) == (Status.COMPLETE, 1)
    row = (await mirror.users())["person001"]
    assert row["MissingSince"] is not None
    assert (row["Active"], row["RowVersion"]) == (True, 2)
    assert (await mirror.run()).changed == 0


async def test_a_realm_that_lists_nobody_is_incomplete(mirror: Mirror) -> None:
    populate(mirror, 4)
    await mirror.run()
    for n in range(4):
        mirror.double.realm.delete_user(f"person{n:03}")
    report = await mirror.run()
    assert (report.status, report.exit_status) == (Status.INCOMPLETE, INCOMPLETE)
    assert all(row["MissingSince"] is None for row in (await mirror.users()).values())


async def test_two_packages_of_one_realm_have_a_row_each(mirror: Mirror) -> None:
    populate(mirror, 3)
    await mirror.run()
    report = await mirror.run(package="second")
    assert report.counts.users_created == 3
    assert len(await mirror.query("SELECT * FROM sys_user")) == 6
