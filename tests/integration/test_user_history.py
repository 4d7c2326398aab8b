"""The history of people: an entry for each real change, who made it, and nothing for what is not one."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.errors import UserDisabled
from bridge.model import Identity, Profile
from bridge.storage import mirrored_users, security_events, user_history, users
from bridge.storage.database import Database, Db, open_database
from bridge.storage.mirrored_users import UserBatch
from bridge.storage.tables import security_event, sys_user, sys_user_history
from bridge.storage.user_history import Cause, Change, describe_change
from tests.integration.mirror import PACKAGE, Mirror, mirroring

NOW = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ALICE = Identity("https://kc.example/realms/demo", "11111111-1111-4111-8111-111111111111", "demo")
PROFILE = Profile("alice", email="alice@example.com", email_verified=True, first_name="Alice")


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


@pytest.fixture
async def mirror(migrated_database_url: str) -> AsyncIterator[Mirror]:
    async with mirroring(migrated_database_url) as one:
        for username in ("ann", "ben", "cat"):
            one.double.realm.add_user(username, email=f"{username}@example.com")
        yield one


async def sign_in(database: Database, profile: Profile = PROFILE, *, now: datetime = NOW, session: str = "s1") -> None:
    await database.write(lambda db: users.upsert_signed_in(db, ALICE, profile, now=now, session_id=session))


async def entries(database: Database) -> list[dict[str, Any]]:
    """Return the whole history, oldest first."""
    async with database.reading() as db:
        found = [dict(row._mapping) for row in await db.execute(sa.select(sys_user_history).order_by("id"))]
    return [
        {**row, "before": json.loads(row["before"] or "{}"), "after": json.loads(row["after"] or "{}")} for row in found
    ]


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """Collect the statements that are sent meanwhile, one for each round trip."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    engine = database._engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


async def test_a_first_sign_in_is_written_with_its_session(database: Database) -> None:
    await sign_in(database)
    (entry,) = await entries(database)
    assert (entry["change"], entry["cause"], entry["cause_id"]) == ("created", "sign_in", "s1")
    assert (entry["username"], entry["package"], entry["at"]) == ("alice", "demo", NOW)
    assert (entry["issuer"], entry["sub"], entry["uuid"]) == (ALICE.issuer, ALICE.sub, ALICE.uuid)
    assert entry["before"] == {}
    assert entry["after"] == {
        "User": "alice",
        "Uuid": ALICE.uuid,
        "Active": True,
        "Email": "alice@example.com",
        "EmailVerified": True,
        "FirstName": "Alice",
        "RegisterDate": NOW.isoformat(),
        "Origin": "keycloak",
    }


async def test_a_sign_in_that_brings_nothing_new_writes_the_times_of_use_alone(database: Database) -> None:
    await sign_in(database)
    with counted(database) as sent:
        await sign_in(database, now=LATER, session="s2")
    assert [statement.split()[0] for statement in sent if not statement.startswith("BEGIN")] == ["SELECT", "UPDATE"]
    assert len(await entries(database)) == 1
    async with database.reading() as db:
        row = (await db.execute(sa.select(sys_user))).one()
    assert (row.LastLoginDate, row.LastInteraction, row.UpdatedAt, row.RowVersion) == (LATER, LATER, LATER, 2)


async def test_a_sign_in_that_brings_nothing_new_returns_the_row_as_it_is_then(database: Database) -> None:
    await sign_in(database)
    returned = await database.write(lambda db: users.upsert_signed_in(db, ALICE, PROFILE, now=LATER))
    async with database.reading() as db:
        assert await users.find_by_identity(db, ALICE) == returned
    assert returned.row_version == 2


async def test_a_changed_claim_is_written_before_and_after_and_nothing_else_is(database: Database) -> None:
    await sign_in(database)
    await sign_in(database, replace(PROFILE, email="new@example.com", email_verified=False), now=LATER, session="s2")
    entry = (await entries(database))[-1]
    assert (entry["change"], entry["cause_id"]) == ("updated", "s2")
    assert entry["before"] == {"Email": "alice@example.com", "EmailVerified": True}
    assert entry["after"] == {"Email": "new@example.com", "EmailVerified": False}


async def test_an_absent_claim_is_no_change(database: Database) -> None:
    await sign_in(database)
    await sign_in(database, Profile("alice"), now=LATER)
    assert len(await entries(database)) == 1


async def test_a_sign_in_of_somebody_who_was_missed_says_that_the_person_is_back(database: Database) -> None:
    await sign_in(database)
    await database.write(lambda db: db.execute(sa.update(sys_user).values(MissingSince=NOW)))
    await sign_in(database, now=LATER)
    entry = (await entries(database))[-1]
    assert (entry["before"], entry["after"]) == ({"MissingSince": NOW.isoformat()}, {"MissingSince": None})


async def test_a_refused_sign_in_leaves_no_entry(database: Database) -> None:
    await sign_in(database)
    await database.write(lambda db: db.execute(sa.update(sys_user).values(Active=False)))
    with pytest.raises(UserDisabled):
        await sign_in(database, replace(PROFILE, email="new@example.com"))
    assert len(await entries(database)) == 1


async def test_the_history_of_a_person_goes_on_under_a_new_name(database: Database) -> None:
    await sign_in(database)
    await sign_in(database, replace(PROFILE, username="alicia"), now=LATER)
    async with database.reading() as db:
        found = await user_history.find_history(db, "alicia", package="demo", limit=10)
        newest = await user_history.find_history(db, "alicia", package="demo", limit=1)
        elsewhere = await user_history.find_history(db, "alicia", package="other", limit=10)
    assert [(one.change, one.username) for one in found] == [("updated", "alicia"), ("created", "alice")]
    assert (found[0].before, found[0].after) == ({"User": "alice"}, {"User": "alicia"})
    assert newest == found[:1]
    assert elsewhere == []


async def test_a_namesake_is_not_shown_the_history_of_who_had_the_name_before(database: Database) -> None:
    await sign_in(database)
    await sign_in(database, replace(PROFILE, username="alicia"))
    other = replace(ALICE, sub="somebody-else")
    await database.write(lambda db: users.upsert_signed_in(db, other, PROFILE, now=LATER))
    async with database.reading() as db:
        (found,) = await user_history.find_history(db, "alice", package="demo", limit=10)
    assert (found.change, found.at) == ("created", LATER)


async def test_the_history_of_a_name_that_nobody_has_is_what_was_written_under_it(database: Database) -> None:
    await sign_in(database)
    await database.write(lambda db: db.execute(sa.delete(sys_user)))
    async with database.reading() as db:
        (found,) = await user_history.find_history(db, "alice", package="demo", limit=10)
    assert found.change == "created"


async def test_a_run_of_the_sync_writes_created_people_with_its_id(mirror: Mirror) -> None:
    report = await mirror.run()
    found = await entries(mirror.database)
    assert {one["username"] for one in found} == {"ann", "ben", "cat"}
    assert {(one["change"], one["cause"], one["cause_id"]) for one in found} == {("created", "sync", report.run_id)}
    assert all(one["after"]["Email"] == f"{one['username']}@example.com" for one in found)
    assert all("RowVersion" not in one["after"] for one in found)


async def test_a_batch_costs_one_statement_of_history(mirror: Mirror) -> None:
    for n in range(60):
        mirror.double.realm.add_user(f"person{n}")
    with counted(mirror.database) as sent:
        await mirror.run()
    assert len([one for one in sent if one.startswith("INSERT INTO sys_user_history")]) == 1
    assert len(await entries(mirror.database)) == 63


async def test_a_run_that_finds_nothing_new_writes_no_history(mirror: Mirror) -> None:
    await mirror.run()
    with counted(mirror.database) as sent:
        await mirror.run()
    assert [one for one in sent if "sys_user_history" in one or "sys_user_preferences" in one] == []


async def test_a_run_writes_what_differs_from_the_row_and_nothing_else(mirror: Mirror) -> None:
    await mirror.run()
    await mirror.edit("ann", FirstName="By hand", Store="12")
    mirror.double.realm.join("ann", "/staff")
    await mirror.run()
    entry = (await entries(mirror.database))[-1]
    assert entry["change"] == "updated"
    assert entry["before"] == {"FirstName": "By hand", "Usergroups": None, "MirroredUsergroups": None}
    assert entry["after"] == {"FirstName": None, "Usergroups": "staff", "MirroredUsergroups": "staff"}


async def test_swapped_names_are_one_entry_each_without_the_names_between(mirror: Mirror) -> None:
    await mirror.run()
    realm = mirror.double.realm
    subs = {name: (await mirror.users())[name]["Sub"] for name in ("ann", "ben")}
    realm.users[subs["ann"]].username, realm.users[subs["ben"]].username = "ben", "ann"
    await mirror.run()
    found = {one["sub"]: one for one in (await entries(mirror.database))[3:]}
    assert len(found) == 2
    assert found[subs["ann"]]["before"] == {"User": "ann"}
    assert found[subs["ann"]]["after"] == {"User": "ben"}
    assert found[subs["ben"]]["after"] == {"User": "ann"}


async def test_a_missing_person_is_an_update_and_a_holder_who_is_gone_is_retired(mirror: Mirror) -> None:
    await mirror.run()
    mirror.double.realm.delete_user("ann")
    await mirror.run()
    missing = (await entries(mirror.database))[-1]
    assert (missing["change"], missing["username"], list(missing["after"])) == ("updated", "ann", ["MissingSince"])
    mirror.double.realm.add_user("ann")
    report = await mirror.run()
    retired, created = (await entries(mirror.database))[-2:]
    assert (retired["change"], retired["sub"], retired["cause_id"]) == ("retired", missing["sub"], report.run_id)
    assert retired["before"] == {"User": "ann", "Active": True, "DeactivatedBy": None}
    assert retired["after"] == {"User": retired["username"], "Active": False, "DeactivatedBy": "sync"}
    assert retired["username"] == f"ann~{missing['uuid']}"
    assert (created["change"], created["username"]) == ("created", "ann")


async def test_a_holder_that_a_sign_in_retires_is_written_with_the_session(database: Database) -> None:
    await sign_in(database)

    async def step(db: Db) -> None:
        who = {"issuer": ALICE.issuer, "sub": ALICE.sub, "package": "demo"}
        assert await mirrored_users.retire_user(db, **who, now=LATER, session_id="s9")

    await database.write(step)
    entry = (await entries(database))[-1]
    assert (entry["change"], entry["cause"], entry["cause_id"]) == ("retired", "sign_in", "s9")


async def test_a_row_that_moved_meanwhile_leaves_no_entry(database: Database) -> None:
    await sign_in(database)
    batch = UserBatch(changes={ALICE.sub: {"Email": "late@example.com"}}, noted={ALICE.sub: 7})
    lost = await database.write(
        lambda db: mirrored_users.write_batch(db, batch, issuer=ALICE.issuer, package="demo", now=LATER)
    )
    assert lost == {ALICE.sub}
    assert len(await entries(database)) == 1


async def test_no_password_enters_the_history(database: Database) -> None:
    columns = {"User": "till", "Package": PACKAGE, "Password": "secret", "loginpassword": "secret", "Store": "1"}
    described = describe_change(Change.CREATED, None, columns)
    await database.write(lambda db: user_history.append(db, [described], cause=Cause.command(), now=NOW))
    (entry,) = await entries(database)
    assert (entry["cause"], entry["cause_id"], entry["after"]) == ("command", None, {"User": "till", "Store": "1"})


async def test_old_entries_are_deleted_oldest_first_and_some_at_a_time(database: Database) -> None:
    for n in range(5):
        await sign_in(database, replace(PROFILE, email=f"{n}@example.com"), now=NOW + timedelta(days=n))
    before = NOW + timedelta(days=3)
    for expected, left in ((2, 3), (1, 2), (0, 2)):
        deleted = await database.write(lambda db: user_history.delete_old(db, before=before, limit=2))
        assert (deleted, len(await entries(database))) == (expected, left)
    assert [one["at"] for one in await entries(database)] == [before, before + timedelta(days=1)]


async def test_old_audit_entries_are_deleted_some_at_a_time(database: Database) -> None:
    rows = [{"at": NOW + timedelta(seconds=n), "event": "signed_in", "package": "demo"} for n in range(600)]
    await database.write(lambda db: db.execute(sa.insert(security_event), rows))
    before = NOW + timedelta(seconds=590)
    assert await database.write(lambda db: security_events.delete_old(db, before=before, limit=550)) == 550
    assert await database.write(lambda db: security_events.delete_old(db, before=before, limit=550)) == 40
    async with database.reading() as db:
        assert (await db.execute(sa.select(sa.func.count()).select_from(security_event))).scalar() == 10
