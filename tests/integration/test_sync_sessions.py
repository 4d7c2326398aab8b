"""The census: the realm's sessions as rows, moved on, ended when they are gone, and never revived against anybody."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.mirror import PACKAGE, Mirror, mirroring

HOUR = 3600


@pytest.fixture
async def mirror(migrated_database_url: str) -> AsyncIterator[Mirror]:
    async with mirroring(migrated_database_url) as one:
        for username in ("ann", "ben"):
            one.double.realm.add_user(username)
        yield one


def open_session(mirror: Mirror, username: str = "ann", client_id: str = "bridge", *, offline: bool = False) -> str:
    """Open a session that began a quarter of an hour ago and was used ten minutes ago."""
    now = int(time.time())
    times = {"started": now - 900, "last_access": now - 600}
    return mirror.double.realm.add_session(username, client_id, offline=offline, **times)


def as_time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


async def test_a_session_is_mirrored_with_all_its_columns(mirror: Mirror) -> None:
    sid = open_session(mirror)
    report = await mirror.run()
    assert (report.counts.sessions_read, report.counts.sessions_created) == (1, 1)
    (row,) = await mirror.sessions()
    session = mirror.double.realm.sessions.online[sid]
    expected = {
        "User": "ann",
        "Package": PACKAGE,
        "SessionType": "web",
        "IpAddress": "127.0.0.1",
        "UserAgent": None,
        "CreatedAt": as_time(session.started),
        "LastActivity": as_time(session.last_access),
        "ExpiresAt": as_time(session.last_access + 1800),
        "IsActive": True,
        "LoginMethod": None,
        "Issuer": mirror.double.issuer,
        "Realm": "demo",
        "Sub": session.user_id,
        "Sid": sid,
        "Offline": False,
        "Origin": "keycloak",
        "RememberMe": False,
        "ClientsAccessed": "bridge",
        "LastClientAccessed": "bridge",
        "LastClientAccessedAt": as_time(session.last_access),
        "SessionToken": None,
        "InvalidatedReason": None,
    }
    assert {name: row[name] for name in expected} == expected
    assert len(row["SessionId"]) == 64


async def test_a_session_moves_on(mirror: Mirror) -> None:
    sid = open_session(mirror)
    await mirror.run()
    session = mirror.double.realm.sessions.online[sid]
    session.last_access += 300
    session.ip_address = "192.0.2.7"
    report = await mirror.run()
    assert report.counts.sessions_updated == 1
    (row,) = await mirror.sessions()
    assert (row["LastActivity"], row["IpAddress"]) == (as_time(session.last_access), "192.0.2.7")
    assert row["ExpiresAt"] == as_time(session.last_access + 1800)
    assert (await mirror.run()).changed == 0


async def test_the_absolute_limit_of_the_realm_ends_a_session_that_is_used(mirror: Mirror) -> None:
    sid = open_session(mirror)
    session = mirror.double.realm.sessions.online[sid]
    session.started = session.last_access - 10 * HOUR + 1200
    await mirror.run()
    (row,) = await mirror.sessions()
    assert row["ExpiresAt"] == as_time(session.started + 10 * HOUR)


async def test_a_session_under_several_clients_is_one_row(mirror: Mirror) -> None:
    sid = open_session(mirror)
    realm = mirror.double.realm
    app = realm.client("demo-app")
    assert app is not None
    session = realm.sessions.online[sid]
    session.clients[app.uuid] = next(iter(session.clients.values()))
    report = await mirror.run()
    assert report.counts.sessions_created == 1
    (row,) = await mirror.sessions()
    assert (row["ClientsAccessed"], row["LastClientAccessed"]) == ("bridge,demo-app", None)


async def test_the_client_that_joins_a_session_was_used_last(mirror: Mirror) -> None:
    sid = open_session(mirror)
    await mirror.run()
    app = mirror.double.realm.client("demo-app")
    assert app is not None
    session = mirror.double.realm.sessions.online[sid]
    session.clients[app.uuid] = next(iter(session.clients.values()))
    session.last_access += 60
    for changed in (1, 0):
        assert (await mirror.run()).counts.sessions_updated == changed
        (row,) = await mirror.sessions()
        last = (row["LastClientAccessed"], row["LastClientAccessedAt"])
        assert last == ("demo-app", as_time(session.last_access))


async def test_online_and_offline_sessions_of_one_id_are_two_rows(mirror: Mirror) -> None:
    sid = open_session(mirror)
    realm = mirror.double.realm
    other = open_session(mirror, offline=True)
    away = realm.sessions.offline.pop(other)
    away.id = sid
    realm.sessions.offline[sid] = away
    report = await mirror.run()
    assert report.counts.sessions_created == 2
    rows = {row["Offline"]: row for row in await mirror.sessions()}
    assert (rows[False]["SessionType"], rows[True]["SessionType"]) == ("web", "mobile")
    assert rows[True]["ExpiresAt"] == as_time(away.last_access + 2592000)
    del realm.sessions.online[sid]
    report = await mirror.run()
    assert report.counts.sessions_ended == 1
    assert {row["Offline"]: row["IsActive"] for row in await mirror.sessions()} == {False: False, True: True}


@pytest.mark.parametrize("offline", [False, True])
async def test_a_session_that_is_gone_ends(mirror: Mirror, offline: bool) -> None:  # noqa: FBT001 - a parameter
    sid = open_session(mirror, offline=offline)
    open_session(mirror, "ben", offline=offline)
    await mirror.run()
    sessions = mirror.double.realm.sessions
    del (sessions.offline if offline else sessions.online)[sid]
    report = await mirror.run()
    assert report.counts.sessions_ended == 1
    ended = {row["User"]: row for row in await mirror.sessions()}
    assert (ended["ann"]["IsActive"], ended["ann"]["InvalidatedReason"]) == (False, "keycloak_session_ended")
    assert await mirror.query("SELECT * FROM security_event") == [], "the row alone tells of it"
    assert (ended["ann"]["InvalidatedBy"], ended["ben"]["IsActive"]) == ("sync", True)
    assert ended["ann"]["InvalidatedAt"] is not None
    assert (ended["ann"]["MissingSince"], ended["ben"]["MissingSince"]) == (ended["ann"]["InvalidatedAt"], None)
    assert (await mirror.run()).changed == 0


async def test_a_session_of_a_deleted_user_ends(mirror: Mirror) -> None:
    open_session(mirror)
    await mirror.run()
    mirror.double.realm.delete_user("ann")
    assert (await mirror.run()).counts.sessions_ended == 1


async def test_a_session_that_the_client_lists_miss_is_asked_for_before_it_ends(mirror: Mirror) -> None:
    sid = open_session(mirror)
    await mirror.run()
    mirror.double.realm.sessions.online[sid].clients.clear()
    report = await mirror.run()
    assert report.counts.sessions_ended == 0
    (row,) = await mirror.sessions()
    assert (row["IsActive"], row["ClientsAccessed"]) == (True, None)
    assert (await mirror.run()).changed == 0


async def test_an_end_by_an_application_is_final(mirror: Mirror) -> None:
    sid = open_session(mirror)
    await mirror.run()
    (row,) = await mirror.sessions()
    await mirror.execute(
        'UPDATE sys_usersession SET "IsActive" = 0, "InvalidatedReason" = \'till closed\' WHERE "SessionId" = :id',
        id=row["SessionId"],
    )
    (ended,) = await mirror.sessions()
    mirror.double.realm.sessions.online[sid].last_access += 60
    report = await mirror.run()
    assert report.changed == 0
    assert await mirror.sessions() == [ended]


async def test_what_only_the_census_ended_can_come_back(mirror: Mirror) -> None:
    sid = open_session(mirror)
    await mirror.run()
    sessions = mirror.double.realm.sessions
    held = sessions.online.pop(sid)
    await mirror.run()
    sessions.online[sid] = held
    await mirror.run()
    (row,) = await mirror.sessions()
    assert (row["IsActive"], row["InvalidatedAt"], row["InvalidatedReason"]) == (True, None, None)
    assert row["MissingSince"] is None


async def test_sessions_of_unknown_and_disabled_people_are_not_added(mirror: Mirror) -> None:
    mirror.double.realm.add_user("x" * 200)
    open_session(mirror, "x" * 200)
    mirror.double.realm.change_user("ben", enabled=False)
    open_session(mirror, "ben")
    report = await mirror.run()
    assert (report.counts.sessions_read, report.counts.sessions_skipped) == (2, 1)
    assert await mirror.sessions() == []


async def test_rows_of_others_are_never_ended(mirror: Mirror) -> None:
    await mirror.run()
    sub = (await mirror.users())["ann"]["Sub"]
    await mirror.insert_session(SessionId="1" * 64, User="till")
    await mirror.insert_session(
        SessionId="2" * 64, User="ann", Issuer=mirror.double.issuer, Sub=sub, Sid="gone", Origin="bridge"
    )
    before = await mirror.sessions()
    await mirror.run()
    assert await mirror.sessions() == before


async def test_an_edit_of_a_session_row_by_hand_is_repaired(mirror: Mirror) -> None:
    open_session(mirror)
    await mirror.run()
    (before,) = await mirror.sessions()
    await mirror.edit_session(
        before["SessionId"], User="nobody", ExpiresAt=datetime.now(UTC) + timedelta(days=99), ClientsAccessed="x"
    )
    assert (await mirror.run()).counts.sessions_updated == 1
    (row,) = await mirror.sessions()
    before.pop("UpdatedAt"), row.pop("UpdatedAt")
    assert row == before


async def test_hundreds_of_sessions(mirror: Mirror) -> None:
    for n in range(620):
        mirror.double.realm.add_user(f"many{n:03}")
        open_session(mirror, f"many{n:03}", "demo-app" if n % 2 else "bridge")
    assert (await mirror.run()).counts.sessions_created == 620
    assert (await mirror.run()).changed == 0
    mirror.double.realm.sessions.online.clear()
    assert (await mirror.run()).counts.sessions_ended == 620
