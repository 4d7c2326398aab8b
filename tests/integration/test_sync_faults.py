"""A Keycloak that answers badly: what passes is repeated, what does not is named, and nothing is written wrongly."""

from collections.abc import AsyncIterator

import pytest

from bridge.errors import KeycloakAnswerInvalid, KeycloakUnavailable, PermissionMissing
from sync.worker import Status
from tests.double.records import SYNC_ROLES
from tests.integration.mirror import LIST, Mirror, mirroring

JSON = {"content-type": "application/json"}


@pytest.fixture
async def mirror(sqlite_database_url: str) -> AsyncIterator[Mirror]:
    async with mirroring(sqlite_database_url) as one:
        for n in range(30):
            one.double.realm.add_user(f"person{n:02}", created=1_600_000_000_000 + n * 1000)
            one.double.realm.join(f"person{n:02}", "/staff")
        one.double.realm.add_session("person01", "bridge")
        yield one


async def check_run(mirror: Mirror) -> None:
    report = await mirror.run(page_size=10)
    assert (report.status, report.counts.users_created, report.counts.sessions_created) == (Status.COMPLETE, 30, 1)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_status_that_passes_is_repeated(mirror: Mirror, status: int) -> None:
    mirror.double.faults.status(LIST, status, times=2)
    mirror.double.faults.status("groups/*/members", status, times=1)
    await check_run(mirror)


async def test_retry_after_is_obeyed(mirror: Mirror) -> None:
    mirror.double.faults.status("groups", 503, headers={"Retry-After": "1"}, times=1)
    mirror.double.faults.status("clients", 429, headers={"Retry-After": "Sat, 01 Jan 2000 00:00:00 GMT"}, times=1)
    await check_run(mirror)


async def test_cut_json_is_repeated(mirror: Mirror) -> None:
    mirror.double.faults.cut_json(LIST, times=1)
    mirror.double.faults.cut_json("users/count", times=1)
    mirror.double.faults.html("groups", times=1)
    await check_run(mirror)


async def test_cut_connections_are_repeated(mirror: Mirror) -> None:
    mirror.double.faults.reset(LIST, times=1)
    mirror.double.faults.cut_connection("groups", times=1)
    await check_run(mirror)


async def test_a_token_that_dies_early_is_renewed_once(mirror: Mirror) -> None:
    mirror.double.faults.status("users/count", 401, times=1)
    await check_run(mirror)
    assert mirror.double.count("POST", "/token") == 2


async def test_tokens_that_expire_during_the_run(mirror: Mirror) -> None:
    mirror.double.realm.sessions.access_token_seconds = 1
    await check_run(mirror)


async def test_a_refused_token_ends_the_run(mirror: Mirror) -> None:
    mirror.double.faults.status("clients", 401)
    with pytest.raises(PermissionMissing, match="may not call GET /admin/realms/demo/clients"):
        await mirror.run()


async def test_a_failing_token_endpoint_is_repeated(mirror: Mirror) -> None:
    mirror.double.faults.status("token", 503, times=1)
    mirror.double.faults.html("token", times=1)
    await check_run(mirror)


async def test_a_wrong_secret_is_named(mirror: Mirror) -> None:
    client = mirror.double.realm.client("bridge-sync")
    assert client is not None
    client.secret = "another"
    with pytest.raises(PermissionMissing, match="Keycloak refuses the service account bridge-sync") as refused:
        await mirror.run()
    assert "client_secret" in str(refused.value.hint)
    assert await mirror.users() == {}


async def test_keycloak_that_stays_away_is_unavailable(mirror: Mirror) -> None:
    mirror.double.faults.status("groups", 503)
    with pytest.raises(KeycloakUnavailable) as failed:
        await mirror.run()
    assert failed.value.evidence["call"] == "GET /admin/realms/demo/groups"
    (record,) = await mirror.query("SELECT * FROM sync_run")
    assert (record["status"], "keycloak_unavailable" in record["report"]) == ("failed", True)
    mirror.double.faults.clear()
    await check_run(mirror)


async def test_answers_that_never_become_json_are_invalid(mirror: Mirror) -> None:
    mirror.double.faults.html("groups")
    with pytest.raises(KeycloakAnswerInvalid):
        await mirror.run()


async def test_an_answer_of_another_shape_is_invalid(mirror: Mirror) -> None:
    mirror.double.faults.non_object("groups", times=1)
    with pytest.raises(KeycloakAnswerInvalid, match="Keycloak answered with a /groups that is not a list"):
        await mirror.run()


async def test_an_answer_without_end_is_cut_off(mirror: Mirror) -> None:
    mirror.double.faults.huge("groups", times=1)
    with pytest.raises(KeycloakAnswerInvalid) as failed:
        await mirror.run()
    assert failed.value.evidence["body"] == "larger than 16777216 bytes"


@pytest.mark.parametrize(
    ("role", "call"),
    [
        ("view-users", r"GET /users \(people are counted, and none is listed\)"),
        ("view-clients", r"GET /admin/realms/demo/clients \(status 403\)"),
        ("view-realm", r"GET of the realm \(only its name is shown\)"),
    ],
)
async def test_a_missing_permission_is_named_and_changes_nothing(mirror: Mirror, role: str, call: str) -> None:
    await mirror.run()
    users, sessions = await mirror.users(), await mirror.sessions()
    mirror.double.realm.set_roles("bridge-sync", SYNC_ROLES - {role})
    with pytest.raises(PermissionMissing, match=f"may not call {call}: it lacks the role {role}") as refused:
        await mirror.run()
    assert f"--rolename {role}" in str(refused.value.hint)
    assert (await mirror.users(), await mirror.sessions()) == (users, sessions)


async def test_a_window_that_loses_people_makes_the_run_incomplete(mirror: Mirror) -> None:
    await mirror.run()
    mirror.double.realm.delete_user("person05")
    mirror.double.faults.status("users/count", 200, body="77", headers=JSON)
    report = await mirror.run()
    assert (report.status, report.exit_status) == (Status.INCOMPLETE, 3)
    assert "did not hold as many as Keycloak counted" in report.reasons[0]
    assert (await mirror.users())["person05"]["MissingSince"] is None


async def test_an_empty_page_by_error_is_noticed(mirror: Mirror) -> None:
    await mirror.run()
    mirror.double.faults.status(LIST, 200, body='[{"id": "1", "username": "x"}]', headers=JSON, times=1)
    mirror.double.faults.status(LIST, 200, body="[]", headers=JSON, times=1)
    report = await mirror.run()
    assert (report.status, report.changed) == (Status.COMPLETE, 0)


async def test_a_user_of_another_shape_fails_the_run_and_writes_nothing(mirror: Mirror) -> None:
    mirror.double.faults.status(LIST, 200, body='[{"id": "1", "username": "x"}]', headers=JSON, times=1)
    mirror.double.faults.status(LIST, 200, body='[{"id": "1", "username": 7}]', headers=JSON, times=1)
    with pytest.raises(KeycloakAnswerInvalid, match="username that is not a text"):
        await mirror.run()
    assert await mirror.users() == {}


async def test_a_realm_that_is_gone_is_no_empty_realm(mirror: Mirror) -> None:
    await mirror.run()
    before = await mirror.users()
    mirror.double.faults.status("users/count", 404, body='{"error": "Realm not found."}', headers=JSON)
    with pytest.raises(KeycloakAnswerInvalid) as failed:
        await mirror.run()
    assert failed.value.evidence["error"] == "Realm not found."
    assert await mirror.users() == before
