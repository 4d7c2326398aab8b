"""Groups and clients that are deleted, moved or created while they are read: neither a failed run nor a false row."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from bridge.errors import KeycloakAnswerInvalid
from sync.worker import RunReport, Status
from tests.integration.mirror import Mirror, mirroring

JSON = {"content-type": "application/json"}
LONG_AGO = 1_600_000_000_000
GROUP_GONE = '{"error": "Could not find group by id"}'
CLIENT_GONE = '{"error": "Could not find client"}'


@pytest.fixture
async def mirror(migrated_database_url: str) -> AsyncIterator[Mirror]:
    async with mirroring(migrated_database_url) as one:
        for username in ("ann", "ben"):
            one.double.realm.add_user(username)
            one.double.realm.join(username, "/staff")
        yield one


async def run_while_held(mirror: Mirror, pattern: str, change: Callable[[], object], *, page_size: int) -> RunReport:
    """Run, and change something at Keycloak while its first answer to such a call is on the way."""
    held = mirror.double.faults.hold(pattern)
    running = asyncio.create_task(mirror.run(page_size=page_size))
    await asyncio.to_thread(held.wait_for_arrival)
    change()
    held.release()
    return await running


async def test_an_empty_list_of_groups_takes_no_code_away(mirror: Mirror) -> None:
    await mirror.run()
    mirror.double.faults.status("demo/groups", 200, body="[]", headers=JSON, times=1)
    report = await mirror.run()
    assert (report.status, report.changed) == (Status.COMPLETE, 0)
    assert {row["Usergroups"] for row in (await mirror.users()).values()} == {"staff"}


async def test_a_list_of_groups_that_stays_empty_leaves_the_codes_and_says_so(mirror: Mirror) -> None:
    await mirror.run()
    mirror.double.realm.change_user("ann", email="new@example.com")
    mirror.double.faults.status("demo/groups", 200, body="[]", headers=JSON)
    report = await mirror.run()
    assert report.status is Status.INCOMPLETE
    (reason,) = report.reasons
    assert reason.startswith("users are in groups that the list of groups does not show")
    rows = await mirror.users()
    assert {(row["Usergroups"], row["MirroredUsergroups"]) for row in rows.values()} == {("staff", "staff")}
    assert rows["ann"]["Email"] == "new@example.com"
    assert mirror.double.count("GET", "/demo/groups") == 2 + 2, "the tree is read again once, not by each user"


async def test_a_group_that_moves_between_two_pages_takes_no_code_away(mirror: Mirror) -> None:
    realm = mirror.double.realm
    for n in range(25):
        realm.add_user(f"member{n:02}", created=LONG_AGO + n)
        realm.join(f"member{n:02}", f"/g{n:02}")
    await mirror.run(page_size=10)

    def move() -> None:
        realm.groups[realm.add_group("/g03")].parent_id = realm.add_group("/g24")

    report = await run_while_held(mirror, "demo/groups", move, page_size=10)
    assert report.status is Status.COMPLETE
    codes = {name: row["Usergroups"] for name, row in (await mirror.users()).items()}
    assert [name for name, code in codes.items() if code is None] == []
    assert (codes["member09"], codes["member10"]) == ("g09", "g10")


async def test_a_group_without_a_code_is_known_and_leaves_the_others_true(mirror: Mirror) -> None:
    realm = mirror.double.realm
    refused = realm.add_group_named("a,b")
    realm.join("ann", refused)
    realm.join("ann", "/night")
    await mirror.run()
    realm.leave("ann", "/night")
    report = await mirror.run()
    assert (report.status, report.counts.users_updated) == (Status.COMPLETE, 1)
    assert (await mirror.users())["ann"]["Usergroups"] == "staff"


async def test_a_group_deleted_before_its_members_are_read_has_none(mirror: Mirror) -> None:
    mirror.double.realm.join("ann", "/night")
    await mirror.run()
    report = await run_while_held(
        mirror, "demo/groups", lambda: mirror.double.realm.delete_group("/night"), page_size=10
    )
    assert report.status is Status.COMPLETE
    assert (await mirror.users())["ann"]["Usergroups"] == "staff"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("groups/*/members", GROUP_GONE),
        ("groups/*/children", GROUP_GONE),
        ("clients/*/user-sessions", CLIENT_GONE),
        ("clients/*/offline-sessions", CLIENT_GONE),
        ("users/*/offline-sessions/*", '{"error": "Client not found"}'),
    ],
)
async def test_what_is_deleted_meanwhile_does_not_fail_the_run(mirror: Mirror, pattern: str, text: str) -> None:
    realm = mirror.double.realm
    realm.join("ann", "/staff/sales")
    realm.add_session("ann", "bridge")
    sid = realm.add_session("ben", "bridge", offline=True, started=LONG_AGO // 1000)
    realm.add_session("ann", "bridge", offline=True)
    await mirror.run()
    del realm.sessions.offline[sid]
    mirror.double.faults.status(pattern, 404, body=text, headers=JSON, times=1)
    report = await mirror.run()
    assert report.status is Status.COMPLETE
    assert mirror.double.faults.take("GET", f"/{pattern}") is None, "the 404 was given"
    assert {row["Usergroups"] for row in (await mirror.users()).values()} == {"staff", "staff,staff/sales"}


async def test_a_client_deleted_before_its_service_account_is_read_has_none(mirror: Mirror) -> None:
    realm = mirror.double.realm
    client = realm.add_client("job", service_account=True)

    def delete() -> None:
        realm.delete_user("service-account-job")
        del realm.clients[client.uuid]

    report = await run_while_held(mirror, "demo/groups", delete, page_size=500)
    assert report.status is Status.COMPLETE
    assert (await mirror.users()).keys() == {"ann", "ben"}


async def test_another_404_still_fails_the_run(mirror: Mirror) -> None:
    mirror.double.faults.status("groups/*/members", 404, body='{"error": "HTTP 404 Not Found"}', headers=JSON)
    with pytest.raises(KeycloakAnswerInvalid):
        await mirror.run()


async def test_a_service_account_created_meanwhile_is_no_person(mirror: Mirror) -> None:
    mirror.double.realm.add_user("service-account-human")
    report = await run_while_held(
        mirror,
        "users/count",
        lambda: mirror.double.realm.add_client("late", service_account=True),
        page_size=500,
    )
    assert report.status is Status.COMPLETE
    assert (await mirror.users()).keys() == {"ann", "ben", "service-account-human"}
    assert mirror.double.count("GET", "/demo/clients") == 2 * 2, "read again once"
