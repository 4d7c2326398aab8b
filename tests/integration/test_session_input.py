"""What no column takes, on each database: a clear error or a rule that is written down, and nothing in part."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.errors import SessionRefused
from bridge.model import Activity, Device, Identity, Place, digest
from bridge.places import LONGEST_CITY
from bridge.storage import user_sessions
from bridge.storage.database import Database, Db, open_database
from tests.integration.stored_sessions import (
    HOURS,
    NOW,
    PACKAGE,
    POLICY,
    UNFIT,
    find_active,
    identity,
    new_session,
    open_one,
    read_everything,
    read_one,
)

NAIVE = NOW.replace(tzinfo=None)
MEGABYTE = 1_000_000
MINUTE = timedelta(minutes=1)
REFUSED: dict[str, dict[str, Any]] = {
    "unknown type": {"session_type": "desktop"},
    "unknown way to sign in": {"login_method": "nonsense, far too long"},
    "naive start": {"created_at": NAIVE, "expires_at": NOW + HOURS},
    "naive end": {"expires_at": NAIVE + HOURS},
    "naive auth_time": {"auth_time": NAIVE},
    "end at the start": {"expires_at": NOW},
    "end before the start": {"expires_at": NOW - HOURS},
    "raw credential": {"credential_digest": "K" * 43},
    "handle of another shape": {"session_id": "11111111-1111-4111-8111-111111111111"},
    "long name": {"device": Device(name="x" * 256)},
    "long device": {"device": Device(device_id="\U0001f511" * 256)},
    "long client": {"client_id": "x" * 256},
    "long sid": {"sid": "x" * 256},
    "long place": {"place": Place("c" * 200, "d" * 100)},
    "NUL": {"device": Device(name="a\0b")},
    "half a pair": {"acr": "\ud800"},
    "control": {"sid": "a\nb"},
    "no address": {"ip_address": "localhost"},
    "address and port": {"ip_address": "192.0.2.1:443"},
    "several addresses": {"ip_address": "192.0.2.1, 10.0.0.1"},
}
NOBODY: dict[str, dict[str, Any]] = {
    "no name": {"username": ""},
    "no package": {"identity": replace(identity("alice"), package="")},
    "no issuer": {"identity": replace(identity("alice"), issuer="")},
    "no subject": {"identity": replace(identity("alice"), sub="")},
}
NO_LIFE: dict[str, dict[str, Any]] = {
    "none may be": {"max_sessions": 0},
    "fewer than none": {"max_sessions": -1},
    "idle at once": {"idle": timedelta()},
    "idle before": {"idle": -MINUTE},
    "idle beyond the calendar": {"idle": timedelta.max},
}
USES: dict[str, dict[str, Any]] = {
    "naive time": {"at": NAIVE},
    "naive idle end": {"idle_expires_at": NAIVE},
    "naive end of the refresh token": {"refresh_expires_at": NAIVE},
    "no address": {"ip_address": "localhost"},
    "long name": {"device_name": "x" * 256},
    "NUL": {"device_name": "a\0b"},
    "raw credential": {"rotated_to": "K" * 43},
    "no credential": {"rotated_to": ""},
    "digest in capitals": {"rotated_to": "A" * 64},
    "raw refresh token": {"refreshed_to": "K" * 43},
    "refresh token with half a pair": {"refreshed_to": "\ud800"},
    "family of another shape": {"token_family_id": "11111111-1111-4111-8111-111111111111"},
    "family and more": {"token_family_id": "a" * 64 + "\n"},
    "fewer findings": {"suspicious": -5},
    "more findings than a column holds": {"suspicious": 2**31},
}


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
async def test_a_session_that_cannot_be_stored_is_refused_and_nothing_of_it_is_left(
    database: Database, changes: dict[str, Any]
) -> None:
    """S1, S9, S12: also where the cap had to end another one first, and for a person who would be new."""
    for number in range(3):
        await open_one(database, new_session(created_at=NOW - number * MINUTE))
    before = await read_everything(database)
    refused = new_session(**changes)
    with pytest.raises(SessionRefused) as told:
        await open_one(database, refused)
    assert told.value.status == 422
    assert await read_everything(database) == before


@pytest.mark.parametrize("changes", NOBODY.values(), ids=NOBODY)
async def test_a_session_of_nobody_is_refused(database: Database, changes: dict[str, Any]) -> None:
    await open_one(database, new_session())
    before = await read_everything(database)
    with pytest.raises(SessionRefused, match="is empty"):
        await database.write(lambda db: user_sessions.create_session(db, new_session(**changes), policy=POLICY))
    assert await read_everything(database) == before


@pytest.mark.parametrize("limits", NO_LIFE.values(), ids=NO_LIFE)
async def test_limits_under_which_no_session_lives_are_refused(database: Database, limits: dict[str, Any]) -> None:
    """None of the others is ended for one that could not live."""
    await open_one(database, new_session())
    before = await read_everything(database)
    with pytest.raises(SessionRefused):
        await open_one(database, new_session(), policy=replace(POLICY, **limits))
    assert await read_everything(database) == before


async def test_the_last_moment_of_the_calendar_is_an_end(database: Database) -> None:
    opened = new_session("key", expires_at=datetime.max.replace(tzinfo=UTC))
    await open_one(database, opened)
    assert (await read_one(database, opened.session_id))["ExpiresAt"] == opened.expires_at
    assert await find_active(database, "key") is not None


async def test_the_longest_values_are_kept_whole(database: Database) -> None:
    """Counted in characters, of which a database may need four bytes each."""
    key = "\U0001f511"
    device = Device(key * 255, key * 255, key * 50, key * 100, key * 50, key * 100, key * 50, "f" * 64)
    opened = new_session(
        username=key * 150,
        client_id=key * 255,
        sid=key * 255,
        acr=key * 255,
        oauth_state_id="0" * 64,
        ip_address="ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        user_agent=key * 3000,
        device=device,
        place=Place(key * LONGEST_CITY, key * 100),
        identity=Identity("https://kc.example/realms/" + "r" * 229, key * 255, "p" * 100),
    )
    await open_one(database, opened)
    row = await read_one(database, opened.session_id)
    assert row["User"] == key * 150
    assert row["Package"] == "p" * 100
    assert (row["DeviceName"], row["DeviceId"], row["DeviceType"]) == (key * 255, key * 255, key * 50)
    assert (row["Sid"], row["Acr"], row["Sub"], row["ClientId"]) == (key * 255,) * 4
    assert row["UserAgent"] == key * 2000
    assert row["UserAgentHash"] == digest(key * 3000)
    assert row["Location"] == f"{key * LONGEST_CITY}, {key * 100}"
    assert row["IpAddress"] == opened.ip_address


@pytest.mark.parametrize(
    ("agent", "kept"),
    [
        ("a" * MEGABYTE, "a" * 2000),
        ("Mozilla\0/5.0", "Mozilla\ufffd/5.0"),
        ("half \ud83d a pair", "half \ufffd a pair"),
        ("\x1b[31mred\x07", "\ufffd[31mred\ufffd"),
        ("'; DROP TABLE sys_usersession; --", "'; DROP TABLE sys_usersession; --"),
        ("%s %(x)s :now {0} \\", "%s %(x)s :now {0} \\"),
    ],
)
async def test_whatever_a_user_agent_holds_the_session_is_stored(database: Database, agent: str, kept: str) -> None:
    """S12: a visitor's header stops nobody; the rule is in bridge.storage.session_input."""
    opened = new_session("key", user_agent=agent)
    await open_one(database, opened)
    row = await read_one(database, opened.session_id)
    assert row["UserAgent"] == kept
    assert len(row["UserAgentHash"]) == 64
    assert await find_active(database, "key") is not None


@pytest.mark.parametrize(
    ("address", "kept"), [("fe80::1%eth0", "fe80::1"), ("2001:DB8::0:1", "2001:db8::1"), (None, None)]
)
async def test_an_address_is_stored_without_its_zone(database: Database, address: str | None, kept: str | None) -> None:
    opened = new_session(ip_address=address)
    await open_one(database, opened)
    row = await read_one(database, opened.session_id)
    assert (row["IpAddress"], row["LastIpAddress"]) == (kept, kept)


@pytest.mark.parametrize("changes", USES.values(), ids=USES)
async def test_a_use_that_cannot_be_stored_is_refused_with_all_that_came_beside_it(
    database: Database, changes: dict[str, Any]
) -> None:
    opened, other = new_session(), new_session(username="bob")
    for one in (opened, other):
        await open_one(database, one)
    before = await read_everything(database)
    uses = [Activity(other.session_id, NOW + MINUTE), replace(Activity(opened.session_id, NOW + MINUTE), **changes)]
    with pytest.raises(SessionRefused):
        await database.write(lambda db: user_sessions.update_activity(db, uses))
    assert await read_everything(database) == before


@pytest.mark.parametrize("field", ["reason", "invalidated_by"])
@pytest.mark.parametrize("value", UNFIT.values(), ids=UNFIT)
async def test_an_end_that_cannot_be_written_down_is_refused_and_ends_nothing(
    database: Database, field: str, value: str
) -> None:
    """SQLite would keep it, and the next database would not."""
    opened = new_session("key")
    await open_one(database, opened)
    told: dict[str, Any] = {"reason": "admin", "invalidated_by": "root", field: value}
    ways: list[Callable[[Db], Awaitable[object]]] = [
        lambda db: user_sessions.invalidate_session(db, opened.session_id, now=NOW, **told),
        lambda db: user_sessions.invalidate_user_sessions(db, "alice", package=PACKAGE, now=NOW, **told),
    ]
    for way in ways:
        with pytest.raises(SessionRefused):
            await database.write(way)
    assert await find_active(database, "key") is not None
