"""Two workers, a lost lease, a row that moves meanwhile, people who leave while lists are read."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bridge.errors import LeaseHeld, LeaseLost
from bridge.storage import leases
from sync.apply import ROUNDS
from sync.worker import Status
from tests.integration.mirror import PACKAGE, Mirror, mirroring, while_listing


@pytest.fixture
async def mirror(migrated_database_url: str) -> AsyncIterator[Mirror]:
    async with mirroring(migrated_database_url) as one:
        for username in ("ann", "ben", "cat"):
            one.double.realm.add_user(username, email=f"{username}@example.com")
            one.double.realm.join(username, "/staff")
        yield one


async def test_one_of_two_workers_gets_the_lease(mirror: Mirror) -> None:
    async with while_listing(mirror) as first:
        with pytest.raises(LeaseHeld, match=r"Another worker \(test\) is doing this job") as refused:
            await mirror.run(holder="second")
    assert refused.value.code == "lease_held"
    assert (await first).counts.users_created == 3
    assert (await mirror.run(holder="second")).changed == 0, "the lease was given back"


async def test_a_worker_that_lost_its_lease_writes_nothing(mirror: Mirror) -> None:
    async with while_listing(mirror) as running:
        await mirror.execute("UPDATE lease SET holder = 'other', fencing_number = fencing_number + 1")
    with pytest.raises(LeaseLost, match="Another worker has taken this job over"):
        await running
    assert await mirror.users() == {}
    (lease,) = await mirror.query("SELECT * FROM lease")
    assert (lease["holder"], lease["fencing_number"]) == ("other", 2)
    (record,) = await mirror.query("SELECT * FROM sync_run")
    assert (record["status"], record["users_created"]) == ("failed", 0)


async def test_a_heartbeat_notices_the_loss_while_keycloak_is_slow(mirror: Mirror) -> None:
    async with while_listing(mirror, heartbeat=0.05) as running:
        (before,) = await mirror.query("SELECT * FROM lease")
        async with asyncio.timeout(10):
            # The event is in the database, where only asking shows it.
            while (await mirror.query("SELECT * FROM lease"))[0]["heartbeat_at"] == before["heartbeat_at"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await mirror.execute("UPDATE lease SET holder = 'other', fencing_number = fencing_number + 1")
        with pytest.raises(LeaseLost):
            await running
    assert await mirror.users() == {}


async def test_a_run_that_is_interrupted_gives_the_lease_back(mirror: Mirror) -> None:
    async with while_listing(mirror) as running:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    (record,) = await mirror.query("SELECT * FROM sync_run")
    assert record["status"] == "failed"
    mirror.double.faults.clear()
    assert (await mirror.run(holder="second")).status is Status.COMPLETE


async def test_a_dead_workers_lease_ends_by_itself(mirror: Mirror) -> None:
    async def take(holder: str, seconds: float) -> leases.Lease:
        lasting = timedelta(seconds=seconds)
        return await mirror.database.write(lambda db: leases.acquire(db, "job", holder=holder, lasting=lasting))

    first = await take("first", -1)
    second = await take("second", 60)
    assert (first.fencing_number, second.fencing_number) == (1, 2)
    with pytest.raises(LeaseHeld, match=r"\(second\)"):
        await take("third", 60)
    with pytest.raises(LeaseLost):
        await mirror.database.write(lambda db: leases.heartbeat(db, first, lasting=timedelta(seconds=60)))
    await mirror.database.write(lambda db: leases.heartbeat(db, second, lasting=timedelta(seconds=60)))
    await mirror.database.write(lambda db: leases.release(db, first))
    with pytest.raises(LeaseHeld):
        await take("third", 60)
    await mirror.database.write(lambda db: leases.release(db, second))
    assert (await take("third", 60)).fencing_number == 3


async def test_leases_taken_at_the_same_moment(mirror: Mirror) -> None:
    lasting = timedelta(seconds=60)

    async def take(n: int) -> leases.Lease | None:
        try:
            return await mirror.database.write(
                lambda db: leases.acquire(db, "job", holder=f"worker {n}", lasting=lasting)
            )
        except LeaseHeld:
            return None

    taken = await asyncio.gather(*(take(n) for n in range(8)))
    assert len([lease for lease in taken if lease is not None]) == 1


async def test_an_older_read_never_overwrites_a_newer_row(mirror: Mirror) -> None:
    await mirror.run()
    async with while_listing(mirror) as running:
        # A sign-in learns of the new address after the list was read, and before the sweep writes.
        mirror.double.realm.change_user("ann", email="new@example.com")
        await mirror.edit("ann", Email="new@example.com", LastLoginDate=datetime.now(UTC), RowVersion=2)
        mirror.double.realm.change_user("ben", email="old@example.com")
    report = await running
    assert (report.status, report.changed) == (Status.COMPLETE, 0)
    rows = await mirror.users()
    assert (rows["ann"]["Email"], rows["ann"]["RowVersion"]) == ("new@example.com", 2)
    assert mirror.double.count("GET", f"/users/{rows['ann']['Sub']}") == 1, "read again, alone"


async def test_a_row_that_moved_is_read_again_and_repaired(mirror: Mirror) -> None:
    await mirror.run()
    async with while_listing(mirror) as running:
        await mirror.edit("ann", Email="wrong@example.com", RowVersion=7)
    assert (await running).counts.users_updated == 1
    row = (await mirror.users())["ann"]
    assert (row["Email"], row["RowVersion"]) == ("ann@example.com", 8)


async def test_somebody_whom_a_sign_in_adds_meanwhile_is_one_row(mirror: Mirror) -> None:
    user = mirror.double.realm.user("ann")
    assert user is not None
    async with while_listing(mirror) as running:
        await mirror.insert_user(
            User="ann",
            Uuid=user.id,
            Package=PACKAGE,
            Issuer=mirror.double.issuer,
            Sub=user.id,
            Origin="keycloak",
            RowVersion=1,
            LastLoginDate=datetime.now(UTC),
        )
    report = await running
    assert (report.counts.users_created, report.counts.users_updated) == (2, 1)
    row = (await mirror.users())["ann"]
    assert (row["Email"], row["Usergroups"]) == ("ann@example.com", "staff")
    assert row["LastLoginDate"] is not None


async def test_somebody_deleted_meanwhile_is_no_conflict(mirror: Mirror) -> None:
    await mirror.run()
    async with while_listing(mirror) as running:
        mirror.double.realm.delete_user("ann")
        await mirror.edit("ann", RowVersion=2)
    assert (await running).status is Status.COMPLETE
    assert (await mirror.run()).counts.users_missing == 1


async def test_a_group_is_taken_away_only_when_the_user_confirms_it(mirror: Mirror) -> None:
    await mirror.run()
    empty = "[]"
    # A member list that lost everybody, as offset pages do while others leave.
    mirror.double.faults.status(
        "groups/*/members", 200, body=empty, headers={"content-type": "application/json"}, times=1
    )
    report = await mirror.run()
    assert report.changed == 0
    assert {row["Usergroups"] for row in (await mirror.users()).values()} == {"staff"}
    mirror.double.realm.leave("ben", "/staff")
    assert (await mirror.run()).counts.users_updated == 1
    rows = await mirror.users()
    assert [rows[name]["Usergroups"] for name in ("ann", "ben", "cat")] == ["staff", None, "staff"]


async def test_people_deleted_while_windows_are_read(mirror: Mirror) -> None:
    for n in range(120):
        mirror.double.realm.add_user(f"many{n:03}", created=1_600_000_000_000 + n * 1000)
    await mirror.run()
    async with while_listing(mirror) as running:
        for n in range(0, 120, 3):
            mirror.double.realm.delete_user(f"many{n:03}")
    assert (await running).status is Status.COMPLETE
    report = await mirror.run(page_size=20)
    assert (report.status, report.counts.users_read) == (Status.COMPLETE, 83)
    missing = {name for name, row in (await mirror.users()).items() if row["MissingSince"] is not None}
    assert missing == {f"many{n:03}" for n in range(0, 120, 3)}


async def test_a_row_that_never_rests_makes_the_run_incomplete(mirror: Mirror) -> None:
    await mirror.run()
    sub = (await mirror.users())["ann"]["Sub"]
    alone = f"/admin/realms/demo/users/{sub}"
    mirror.double.realm.change_user("ann", email="new@example.com")
    async with while_listing(mirror) as running:
        await mirror.edit("ann", RowVersion=50)
        reading = mirror.double.faults.hold(alone)
    for version in range(ROUNDS):
        await asyncio.to_thread(reading.wait_for_arrival)
        await mirror.edit("ann", RowVersion=60 + version)
        held, reading = reading, mirror.double.faults.hold(alone)
        held.release()
    report = await running
    assert (report.status, report.reasons) == (Status.INCOMPLETE, ("1 users changed faster than they could be read",))
    assert (await mirror.users())["ann"]["Email"] == "ann@example.com"
