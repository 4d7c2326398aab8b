"""A window is complete only when count, ids and count again agree; and sessions come page by page."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from bridge.config import HttpSettings, SyncSettings
from bridge.keycloak import session_pages
from bridge.keycloak.admin import open_admin
from sync.worker import Status
from tests.integration.mirror import Mirror, mirroring

JSON = {"content-type": "application/json"}
LONG_AGO = 1_600_000_000_000
SPREAD = 86_400_000


@pytest.fixture
async def mirror(migrated_database_url: str) -> AsyncIterator[Mirror]:
    async with mirroring(migrated_database_url) as one:
        yield one


def count_wrongly(mirror: Mirror, *numbers: int) -> None:
    """Let Keycloak give these numbers to the next countings: first of all users, then of the whole range, and so on."""
    for number in numbers:
        mirror.double.faults.status("users/count", 200, body=str(number), headers=JSON, times=1)


async def missing(mirror: Mirror) -> list[str]:
    return [name for name, row in (await mirror.users()).items() if row["MissingSince"] is not None]


async def test_a_window_that_holds_more_than_was_counted_is_read_whole(mirror: Mirror) -> None:
    for n in range(11):
        mirror.double.realm.add_user(f"user{n:02}", created=LONG_AGO)
    await mirror.run()
    count_wrongly(mirror, 11, 10)
    report = await mirror.run(page_size=10)
    assert (report.status, report.counts.users_read, report.changed) == (Status.COMPLETE, 11, 0)
    assert await missing(mirror) == []


async def test_a_cut_page_is_no_proof_even_if_its_number_agrees(mirror: Mirror) -> None:
    for n in range(15):
        mirror.double.realm.add_user(f"user{n:02}", created=LONG_AGO)
    await mirror.run()
    count_wrongly(mirror, 15, 10, 11)
    report = await mirror.run(page_size=10)
    assert (report.status, report.counts.users_read, report.changed) == (Status.COMPLETE, 15, 0)


async def test_a_derived_nought_is_read_all_the_same(mirror: Mirror) -> None:
    for n in range(40):
        mirror.double.realm.add_user(f"user{n:02}", created=LONG_AGO + n * SPREAD)
    await mirror.run()
    plain = mirror.double.count("GET", "/demo/users")
    # All 41, cut at the clock: 41 below it; then the lower half of these is said to hold them all.
    count_wrongly(mirror, 40, 41, 41, 41)
    report = await mirror.run(page_size=10)
    assert (report.status, report.counts.users_read, report.changed) == (Status.COMPLETE, 40, 0)
    assert await missing(mirror) == []
    assert mirror.double.count("GET", "/demo/users") > plain


async def test_somebody_whom_no_window_listed_is_found_in_the_plain_list(mirror: Mirror) -> None:
    for n in range(40):
        mirror.double.realm.add_user(f"user{n:02}", created=LONG_AGO + n * SPREAD)
    await mirror.run()
    # The lower half, where everybody but the service account is, is said to be empty.
    count_wrongly(mirror, 40, 41, 0)
    report = await mirror.run(page_size=10)
    assert (report.status, report.counts.users_read, report.changed) == (Status.COMPLETE, 40, 0)
    assert await missing(mirror) == []


async def test_sessions_of_a_client_come_page_by_page(mirror: Mirror) -> None:
    mirror.double.realm.add_user("ann")
    for _ in range(session_pages.SESSIONS_A_PAGE + 100):
        mirror.double.realm.add_session("ann", "bridge")
    settings = SyncSettings.model_validate({"client_id": "bridge-sync", "client_secret": "sync-demo-secret"})
    async with open_admin(mirror.double.issuer, settings, HttpSettings()) as admin:
        stats = await session_pages.fetch_client_session_stats(admin)
        async with aclosing(session_pages.read_sessions(admin, stats)) as pages:
            sizes = [len(sessions) async for sessions in pages]
    assert sizes == [session_pages.SESSIONS_A_PAGE, 100]
