"""What a sign-in learns of a person beside the name: how they authenticated, from what device, through which proxy."""

import json
from collections.abc import AsyncIterator

import pytest

from bridge.storage.tables import security_event, sys_usersession
from tests.browser import Browser
from tests.double import KeycloakDouble
from tests.integration.replicas import Replica, ask, replica
from tests.integration.service import APPLICATION
from tests.integration.stored_sessions import read

LAPTOP = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.0 Mobile/15E148 Safari/604.1"
)
BEHIND_A_PROXY = {"X-Forwarded-For": "203.0.113.7"}


@pytest.fixture
async def service(double: KeycloakDouble, sqlite_database_url: str) -> AsyncIterator[Replica]:
    async with replica(double, sqlite_database_url) as one:
        yield one


@pytest.mark.parametrize(
    ("amr", "expected"),
    [(["pwd"], "password"), (["pwd", "otp"], "otp"), (["mfa"], "otp"), (["hwk"], None), ("pwd", None)],
)
async def test_the_way_somebody_signed_in_is_what_keycloak_says(
    service: Replica, double: KeycloakDouble, amr: object, expected: str | None
) -> None:
    """RFC 8176; what is not known stays empty."""
    double.sign_in_as("alice", types_password=True)
    double.faults.id_token({"amr": amr})
    async with Browser(service.url) as browser:
        await browser.sign_in()
    (row,) = await read(service.database, sys_usersession)
    assert row["LoginMethod"] == expected


async def test_a_device_that_the_person_never_used_is_marked(service: Replica) -> None:
    for agent in (LAPTOP, LAPTOP, PHONE):
        async with Browser(service.url) as browser:
            browser.http.headers["User-Agent"] = agent
            await browser.sign_in()
    rows = await read(service.database, sys_usersession)
    assert {row["UserAgent"]: row["SuspiciousActivityCount"] for row in rows} == {LAPTOP: 0, PHONE: 1}
    (event,) = await read(service.database, security_event, event="new_device")
    (phone,) = [row for row in rows if row["UserAgent"] == PHONE]
    assert (event["session_id"], event["username"]) == (phone["SessionId"], "alice")
    assert json.loads(event["evidence"]) == {"device": phone["DeviceName"]}


async def test_behind_a_proxy_that_nobody_named_people_sign_in_and_nothing_is_counted(service: Replica) -> None:
    """Its address stands for everybody: neither is a wrong key counted for it, nor a good sign-in to its credit."""
    wrong = await ask(service, key="x" * 43, **BEHIND_A_PROXY)
    assert wrong.status_code == 401
    async with Browser(service.url) as browser:
        browser.http.headers.update(BEHIND_A_PROXY)
        assert (await browser.sign_in()).headers["location"] == APPLICATION
    assert await service.count("login_lockout") == 0
