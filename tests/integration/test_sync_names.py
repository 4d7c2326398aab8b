"""Names that move between people: nobody ever becomes somebody else."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from bridge.storage import mirrored_users
from sync.worker import Status
from tests.integration.mirror import PACKAGE, Mirror, mirroring


@pytest.fixture
async def mirror(migrated_database_url: str) -> AsyncIterator[Mirror]:
    async with mirroring(migrated_database_url) as one:
        for username in ("ann", "ben", "cat"):
            one.double.realm.add_user(username, email=f"{username}@example.com")
        await one.run()
        yield one


def rename(mirror: Mirror, **names: str) -> dict[str, str]:
    """Rename people at Keycloak, all at once; return their ids by new name."""
    subs = {}
    for old in names:
        user = mirror.double.realm.user(old)
        assert user is not None
        subs[old] = user.id
    for old, new in names.items():
        mirror.double.realm.users[subs[old]].username = new
    return {names[old]: sub for old, sub in subs.items()}


async def names_by_sub(mirror: Mirror) -> dict[str, str]:
    return {row["Sub"]: name for name, row in (await mirror.users()).items()}


async def test_a_rename_moves_the_row_and_its_sessions(mirror: Mirror) -> None:
    mirror.double.realm.add_session("ann", "bridge")
    await mirror.run()
    await mirror.edit("ann", Store="12", LastLoginDate=datetime(2026, 1, 1, tzinfo=UTC))
    (before,) = await mirror.sessions()
    rename(mirror, ann="zoe")
    report = await mirror.run()
    assert report.counts.users_updated == 1
    rows = await mirror.users()
    assert rows.keys() == {"ben", "cat", "zoe"}
    assert (rows["zoe"]["Store"], rows["zoe"]["Email"]) == ("12", "ann@example.com")
    (session,) = await mirror.sessions()
    assert (session["User"], session["LastActivity"]) == ("zoe", before["LastActivity"])


async def test_a_rename_of_case_alone(mirror: Mirror) -> None:
    rename(mirror, ann="Ann")
    await mirror.run()
    assert (await mirror.users()).keys() == {"Ann", "ben", "cat"}


async def test_swapped_names(mirror: Mirror) -> None:
    subs = rename(mirror, ann="ben", ben="ann")
    report = await mirror.run()
    assert (report.status, report.counts.users_updated) == (Status.COMPLETE, 2)
    found = await names_by_sub(mirror)
    assert {found[sub]: sub for sub in subs.values()} == subs
    assert (await mirror.users())["ben"]["Email"] == "ann@example.com"
    assert (await mirror.run()).changed == 0


async def test_a_chain_and_a_ring_of_names(mirror: Mirror) -> None:
    subs = rename(mirror, ann="ben", ben="cat", cat="dan")
    await mirror.run()
    assert {name: sub for sub, name in (await names_by_sub(mirror)).items()} == subs
    subs = rename(mirror, ben="cat", cat="dan", dan="ben")
    await mirror.run()
    assert {name: sub for sub, name in (await names_by_sub(mirror)).items()} == subs
    assert (await mirror.run()).changed == 0


async def test_a_name_held_by_a_hand_written_row_is_a_conflict(mirror: Mirror) -> None:
    await mirror.insert_user(User="till", Package=PACKAGE, Email="till@example.com")
    before = (await mirror.users())["till"]
    mirror.double.realm.add_user("till")
    rename(mirror, ann="dan")
    report = await mirror.run()
    assert report.status is Status.COMPLETE
    assert [one.name for one in report.conflicts] == ["till"]
    assert (await mirror.users())["till"] == before
    assert (await mirror.users()).keys() == {"till", "dan", "ben", "cat"}


async def test_a_rename_to_a_held_name_keeps_the_old_one_and_the_rest_true(mirror: Mirror) -> None:
    await mirror.insert_user(User="till", Package=PACKAGE)
    rename(mirror, ann="till", ben="ann")
    mirror.double.realm.users[(await mirror.users())["ann"]["Sub"]].email = "new@example.com"
    report = await mirror.run()
    assert sorted(one.name for one in report.conflicts) == ["ann", "till"]
    rows = await mirror.users()
    assert rows.keys() == {"till", "ann", "ben", "cat"}
    assert rows["ann"]["Email"] == "new@example.com"
    assert report.status is Status.COMPLETE


async def test_a_name_held_by_an_identity_of_another_realm_is_a_conflict(mirror: Mirror) -> None:
    await mirror.insert_user(User="till", Package=PACKAGE, Issuer="https://other.example.com/realms/x", Sub="1")
    mirror.double.realm.add_user("till")
    report = await mirror.run()
    assert [one.name for one in report.conflicts] == ["till"]
    assert (await mirror.users())["till"]["Sub"] == "1"


async def test_a_person_created_again_under_the_old_name_is_a_new_person(mirror: Mirror) -> None:
    old = (await mirror.users())["ann"]
    mirror.double.realm.add_session("ann", "bridge")
    await mirror.run()
    await mirror.edit("ann", Usergroups="vip", Store="12")
    mirror.double.realm.delete_user("ann")
    new_sub = mirror.double.realm.add_user("ann")
    report = await mirror.run()
    assert (report.status, report.counts.users_created) == (Status.COMPLETE, 1)
    rows = await mirror.users()
    retired = rows[f"ann~{old['Uuid']}"]
    assert (retired["Sub"], retired["Active"], retired["DeactivatedBy"]) == (old["Sub"], False, "sync")
    assert retired["MissingSince"] is not None
    assert (rows["ann"]["Sub"], rows["ann"]["Usergroups"], rows["ann"]["Store"]) == (new_sub, None, None)
    (session,) = await mirror.sessions()
    assert (session["User"], session["IsActive"]) == (f"ann~{old['Uuid']}", False)
    assert session["InvalidatedReason"] == "user_gone"
    assert (await mirror.run()).changed == 0


async def sign_in(mirror: Mirror, username: str) -> None:
    """Write a session of the bridge with what opens it and with Keycloak's tokens."""
    row = (await mirror.users())[username]
    who = {"User": username, "Issuer": row["Issuer"], "Sub": row["Sub"], "Origin": "bridge"}
    await mirror.insert_session(SessionId="s" * 64, **who)
    zone = "+00" if mirror.database.dialect.name == "postgresql" else ""
    await mirror.execute(
        "INSERT INTO session_credential (digest, session_id, kind, created_at, expires_at) "
        f"VALUES ('d', '{'s' * 64}', 'cookie', '2026-01-01 00:00:00{zone}', '2036-01-01 00:00:00{zone}')",
        "INSERT INTO keycloak_grant (session_id, sealed_id_token, updated_at) "
        f"VALUES ('{'s' * 64}', 'sealed', '2026-01-01 00:00:00{zone}')",
    )


async def ends_in_the_audit_trail(mirror: Mirror) -> list[tuple[object, ...]]:
    """Return what the audit trail holds of ended sessions, in the order of their handles."""
    rows = await mirror.query("SELECT * FROM security_event WHERE event = 'session_ended' ORDER BY session_id")
    assert {(row["ip_address"], row["request_id"]) for row in rows} <= {(None, None)}
    return [(row["session_id"], row["username"], row["sub"], json.loads(row["evidence"])) for row in rows]


async def test_each_session_that_ends_with_its_person_is_in_the_audit_trail(mirror: Mirror) -> None:
    """Those that had ended before are not, nor those of others, and a second run tells nothing again."""
    await sign_in(mirror, "ann")
    people = await mirror.users()
    for handle, username, alive in (("t" * 64, "ann", True), ("u" * 64, "ann", False), ("v" * 64, "ben", True)):
        who = {name: people[username][name] for name in ("User", "Issuer", "Sub")}
        await mirror.insert_session(SessionId=handle, Origin="bridge", IsActive=alive, **who)
    mirror.double.realm.change_user("ann", enabled=False)
    await mirror.run()
    disabled = {"reason": "user_disabled", "invalidated_by": "sync"}
    ann = [(handle * 64, "ann", people["ann"]["Sub"], disabled) for handle in "st"]
    assert await ends_in_the_audit_trail(mirror) == ann
    mirror.double.realm.delete_user("ben")
    mirror.double.realm.add_user("ben")
    await mirror.run()
    gone = {"reason": "user_gone", "invalidated_by": "sync"}
    assert await ends_in_the_audit_trail(mirror) == [*ann, ("v" * 64, "ben", people["ben"]["Sub"], gone)]
    await mirror.run()
    assert len(await ends_in_the_audit_trail(mirror)) == 3


async def test_retiring_deletes_credentials_and_grants(mirror: Mirror) -> None:
    await sign_in(mirror, "ann")
    row, now = (await mirror.users())["ann"], datetime.now(UTC)
    where = {"issuer": str(row["Issuer"]), "sub": str(row["Sub"]), "package": PACKAGE}
    assert await mirror.database.write(lambda db: mirrored_users.retire_user(db, **where, now=now))
    assert await mirror.query("SELECT * FROM session_credential") == []
    assert await mirror.query("SELECT * FROM keycloak_grant") == []
    assert f"ann~{row['Uuid']}" in await mirror.users()
    assert not await mirror.database.write(
        lambda db: mirrored_users.retire_user(db, issuer="x", sub="y", package=PACKAGE, now=now)
    )


async def test_who_is_disabled_keeps_nothing_that_opens_a_session(mirror: Mirror) -> None:
    await sign_in(mirror, "ann")
    mirror.double.realm.change_user("ann", enabled=False)
    await mirror.run()
    (session,) = await mirror.sessions()
    assert (session["IsActive"], session["InvalidatedReason"]) == (False, "user_disabled")
    assert await mirror.query("SELECT * FROM session_credential") == []
    assert await mirror.query("SELECT * FROM keycloak_grant") == []
