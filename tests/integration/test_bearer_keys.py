"""Keys of programs: they open what a cookie opens, and nothing else passes for one."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from bridge.flows.session_keys import KeyWanted, MadeKey, create_key
from bridge.model import SessionPolicy, SessionType, digest
from bridge.storage import token_families, user_sessions, users
from bridge.storage.database import Database, Db
from bridge.storage.tables import security_event, session_credential
from bridge.storage.token_families import TokenPair
from tests.browser import Browser
from tests.double import KeycloakDouble
from tests.integration.replicas import Replica, ask, replica
from tests.integration.service import APPLICATION
from tests.integration.stored_sessions import (
    HOURS,
    NOW,
    PACKAGE,
    new_session,
    read,
    read_one,
)
from tests.integration.test_logout import form_token

DAYS = timedelta(days=1)
POLICY = SessionPolicy(lifetime=30 * DAYS, idle=None, max_sessions=2)
WANTED = KeyWanted("alice", PACKAGE, SessionType.API, device_name="nightly report")
COOKIE = "__Host-kb-demo"


@pytest.fixture
async def service(double: KeycloakDouble, migrated_database_url: str) -> AsyncIterator[Replica]:
    async with replica(double, migrated_database_url) as one:
        yield one


@pytest.fixture
async def sqlite_service(double: KeycloakDouble, sqlite_database_url: str) -> AsyncIterator[Replica]:
    async with replica(double, sqlite_database_url) as one:
        yield one


async def sign_in(service: Replica, path: str = "/login", *, package: str = PACKAGE) -> str:
    async with Browser(service.url) as browser:
        assert (await browser.sign_in(path)).headers["location"] == APPLICATION
        return str(browser.cookie(f"__Host-kb-{package}"))


async def make(
    database: Database, wanted: KeyWanted = WANTED, *, policy: SessionPolicy = POLICY, now: datetime = NOW
) -> MadeKey:
    return await create_key(database, wanted, policy=policy, created_by="command:root", now=now)


async def make_for(service: Replica, **changes: Any) -> MadeKey:
    """Make a key for alice, who has signed in before."""
    return await make(service.database, replace(WANTED, **changes), now=service.clock())


async def test_a_key_works_wherever_a_cookie_does(service: Replica, double: KeycloakDouble) -> None:
    cookie = await sign_in(service)
    made = await make_for(service)
    by_key, by_cookie = await ask(service, key=made.key), await ask(service, cookie=cookie)
    assert by_key.status_code == by_cookie.status_code == 200
    assert by_key.json()["user"] == by_cookie.json()["user"]
    assert by_key.json()["session"]["id"] == made.session_id
    assert by_key.json()["session"]["login_method"] == "api_key"
    page = await ask(service, key=made.key, accept="text/html")
    assert page.status_code == 200
    assert "set-cookie" not in page.headers
    assert (await ask(service, "/logout", key=made.key, accept="text/html")).status_code == 200
    signed_out = await ask(service, "/logout", method="POST", key=made.key)
    assert (signed_out.status_code, signed_out.content) == (204, b"")
    assert (await ask(service, key=made.key)).status_code == 401
    assert (await ask(service, "/logout", method="POST", key=made.key)).status_code == 401
    row = await read_one(service.database, made.session_id)
    assert (row["IsActive"], row["InvalidatedReason"], row["InvalidatedBy"]) == (False, "logout", "alice")
    assert await read(service.database, session_credential, session_id=made.session_id) == []
    (event,) = await read(service.database, security_event, event="session_ended")
    evidence = '{"reason": "logout", "invalidated_by": "alice"}'
    assert (event["session_id"], event["evidence"]) == (made.session_id, evidence)
    # The person's own browser and Keycloak know nothing of it.
    assert (await ask(service, cookie=cookie)).status_code == 200
    assert not any(event["type"] == "LOGOUT" for event in double.events)


async def test_a_program_signs_out_while_keycloak_is_away(sqlite_service: Replica, double: KeycloakDouble) -> None:
    await sign_in(sqlite_service)
    made = await make_for(sqlite_service)
    double.stop()
    assert (await ask(sqlite_service, "/logout", method="POST", key=made.key)).status_code == 204
    assert (await ask(sqlite_service, key=made.key)).status_code == 401


async def test_use_of_a_key_is_noted_like_that_of_a_cookie(sqlite_service: Replica) -> None:
    await sign_in(sqlite_service)
    made = await make_for(sqlite_service)
    sqlite_service.clock.advance(hours=30)
    assert (await ask(sqlite_service, key=made.key)).status_code == 200
    await sqlite_service.flush()
    row = await read_one(sqlite_service.database, made.session_id)
    assert row["LastActivity"] >= row["CreatedAt"] + 30 * HOURS
    # Where it is used from is known at its first use; the command that made it was none.
    assert (row["IpAddress"], row["LastIpAddress"]) == (None, "127.0.0.1")


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
async def test_the_scheme_is_read_as_its_standard_says(sqlite_service: Replica, scheme: str) -> None:
    """RFC 9110 section 11.1: its case does not matter."""
    await sign_in(sqlite_service)
    made = await make_for(sqlite_service)
    answer = await ask(sqlite_service, Authorization=f"{scheme}{made.key}")
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "value",
    [
        "Bearer",
        "Bearer\t{key}",
        "Bearer,{key}",
        "Bearer {key} {key}",
        "Bearer {key},Bearer {key}",
        "Bearer {key}=",
        'Bearer "{key}"',
        "Bearer {key}x",
        "Bearer ../{key}",
        "Bearer {digest}",
        "Bearer " + "x" * 60_000,
        "Bearer {id_token}",
    ],
)
async def test_what_is_no_key_is_refused_and_never_combined_with_a_cookie(
    sqlite_service: Replica, double: KeycloakDouble, value: str
) -> None:
    """V47, C14: the cookie beside it is a good one, and does not count."""
    cookie = await sign_in(sqlite_service)
    made = await make_for(sqlite_service)
    claims: dict[str, object] = {"sub": "x", "aud": "bridge", "iss": double.issuer}
    sent = value.format(key=made.key, digest=digest(made.key), id_token=double.realm.keys.sign(claims))
    for path, method in (("/me", "GET"), ("/logout", "POST")):
        answer = await ask(sqlite_service, path, method=method, cookie=cookie, Authorization=sent)
        assert answer.status_code == 401
        assert answer.json()["error"] == "not_signed_in"
        assert answer.headers["www-authenticate"] == 'Bearer realm="bridge", error="invalid_token"'
    assert (await ask(sqlite_service, cookie=cookie)).status_code == 200
    assert (await ask(sqlite_service, key=made.key)).status_code == 200


@pytest.mark.parametrize("value", ["", "{key}", "Basic {key}", "Bearer{key}", "Negotiate YII="])
async def test_another_scheme_is_for_somebody_else(sqlite_service: Replica, value: str) -> None:
    """A proxy's own password, for instance: it opens nothing here, is no wrong key, and does not hide the cookie."""
    cookie = await sign_in(sqlite_service)
    made = await make_for(sqlite_service)
    sent = value.format(key=made.key)
    assert (await ask(sqlite_service, cookie=cookie, Authorization=sent)).status_code == 200
    refused = await ask(sqlite_service, Authorization=sent)
    assert (refused.status_code, refused.json()["error"]) == (401, "not_signed_in")
    assert await sqlite_service.count("login_lockout") == 0


async def test_a_person_behind_a_proxy_with_a_password_signs_out_as_everybody_does(sqlite_service: Replica) -> None:
    """H12: the browser adds that password by itself, so it proves no program: form, token and origin count as ever."""
    proxy = {"Authorization": "Basic YWxpY2U6YWxpY2U="}
    async with Browser(sqlite_service.url) as browser:
        await browser.sign_in()
        browser.http.headers.update(proxy)
        forged = await browser.post("/logout", {"form_token": "x" * 43})
        assert forged.status_code == 403
        assert (await browser.get("/me")).status_code == 200
        answer = await browser.post("/logout", {"form_token": await form_token(browser)})
        assert answer.status_code == 303
        assert "/protocol/openid-connect/logout" in answer.headers["location"]
        assert browser.cookie(COOKIE) is None
        assert (await browser.get("/me")).status_code == 401


async def test_several_authorization_headers_are_none(sqlite_service: Replica) -> None:
    """RFC 6750 section 2: one way and one token; two of them are a mistake or an attack."""
    cookie = await sign_in(sqlite_service)
    made = await make_for(sqlite_service)
    headers = [("Authorization", f"Bearer {made.key}")] * 2 + [("Cookie", f"{COOKIE}={cookie}")]
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{sqlite_service.url}/me", headers=headers)
    assert answer.status_code == 401


async def test_a_request_with_both_is_that_of_its_key(sqlite_service: Replica, double: KeycloakDouble) -> None:
    await sign_in(sqlite_service)
    made = await make_for(sqlite_service)
    double.sign_in_as("bob")
    cookie = await sign_in(sqlite_service)
    answer = await ask(sqlite_service, cookie=cookie, key=made.key)
    assert answer.json()["user"]["username"] == "alice"
    assert (await ask(sqlite_service, "/logout", method="POST", cookie=cookie, key=made.key)).status_code == 204
    assert (await ask(sqlite_service, cookie=cookie)).json()["user"]["username"] == "bob"


async def test_who_shows_nothing_is_told_how_to_sign_in_and_of_no_error(sqlite_service: Replica) -> None:
    """RFC 6750 section 3.1; a page has its own way on."""
    answer = await ask(sqlite_service)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="bridge"'
    assert "www-authenticate" not in (await ask(sqlite_service, accept="text/html")).headers


async def test_a_refresh_token_opens_nothing_and_its_access_token_does(service: Replica) -> None:
    """C14: it only fetches others."""
    await sign_in(service)
    now = service.clock()
    policy = SessionPolicy(lifetime=DAYS, idle=None, max_sessions=5)
    pair = TokenPair(digest("A" * 43), digest("R" * 43), now + timedelta(minutes=15))

    async def step(db: Db) -> None:
        user = await users.find_by_name(db, "alice", package=PACKAGE)
        assert user is not None
        assert user.identity is not None
        opened = new_session(
            "C" * 43,
            session_type=SessionType.MOBILE,
            identity=user.identity,
            created_at=now,
            expires_at=now + policy.lifetime,
        )
        await user_sessions.create_session(db, opened, policy=policy)
        (session,) = await user_sessions.get_user_sessions(
            db, "alice", package=PACKAGE, now=now, session_id=opened.session_id
        )
        await token_families.open_family(db, session, pair, policy=policy, now=now)

    await service.database.write(step)
    assert (await ask(service, key="A" * 43)).status_code == 200
    assert (await ask(service, key="R" * 43)).status_code == 401
    assert (await ask(service, cookie="R" * 43)).status_code == 401
    service.clock.advance(minutes=16)
    assert (await ask(service, key="A" * 43)).status_code == 401


async def test_what_opens_one_package_opens_no_other(double: KeycloakDouble, sqlite_database_url: str) -> None:
    """E9, V60: neither as a cookie nor as a key."""
    double.realm.add_client("bridge-two", secret="bridge-demo-secret", redirect_uris=[])
    packages = {
        name: {"issuer": double.issuer, "client_id": client_id, "client_secret": "bridge-demo-secret"}
        | {"return_to": [APPLICATION]}
        for name, client_id in (("demo", "bridge"), ("other", "bridge-two"))
    }
    async with replica(double, sqlite_database_url, packages=packages) as service:
        cookie = await sign_in(service, "/login?package=demo")
        await sign_in(service, "/login?package=other", package="other")
        made = await make_for(service)
        for credential in (cookie, made.key):
            assert (await ask(service, "/me?package=demo", key=credential)).status_code == 200
            assert (await ask(service, "/me?package=other", key=credential)).status_code == 401
            assert (await ask(service, "/me?package=other", cookie=credential, package="other")).status_code == 401
            assert (await ask(service, "/me?package=other", cookie=credential, package="demo")).status_code == 401
        for path, status in (("/logout?package=other", 401), ("/logout", 404), ("/logout?package=demo", 204)):
            assert (await ask(service, path, method="POST", key=made.key)).status_code == status


async def test_a_key_dies_with_its_session_its_person_and_its_time(service: Replica) -> None:
    """E7, V38: at the next request, whoever ended it and by whatever statement."""
    await sign_in(service)
    made = [await make(service.database, policy=replace(POLICY, max_sessions=9), now=service.clock()) for _ in range(3)]

    async def statuses() -> list[int]:
        return [(await ask(service, key=one.key)).status_code for one in made]

    assert await statuses() == [200, 200, 200]
    await service.write('UPDATE sys_usersession SET "IsActive" = 0 WHERE "SessionId" = :one', one=made[0].session_id)
    await service.write('DELETE FROM sys_usersession WHERE "SessionId" = :one', one=made[1].session_id)
    assert await statuses() == [401, 401, 200]
    for change, undo in (('"Active" = 0', '"Active" = 1'), ("\"Sub\" = 'somebody-else'", None)):
        await service.write(f"UPDATE sys_user SET {change} WHERE \"User\" = 'alice'")
        assert (await ask(service, key=made[2].key)).status_code == 401
        if undo is not None:
            await service.write(f"UPDATE sys_user SET {undo} WHERE \"User\" = 'alice'")
            assert (await ask(service, key=made[2].key)).status_code == 200


async def test_a_key_ends_when_its_lifetime_does(sqlite_service: Replica) -> None:
    await sign_in(sqlite_service)
    made = await make_for(sqlite_service, lifetime=7 * DAYS)
    sqlite_service.clock.advance(days=6, hours=23)
    assert (await ask(sqlite_service, key=made.key)).status_code == 200
    sqlite_service.clock.advance(hours=1)
    assert (await ask(sqlite_service, key=made.key)).status_code == 401


async def test_the_person_behind_a_key_is_read_anew_at_each_request(service: Replica) -> None:
    await sign_in(service)
    made = await make_for(service)
    await service.write("UPDATE sys_user SET \"Usergroups\" = 'ADMIN', \"Email\" = 'new@example.com'")
    me = (await ask(service, key=made.key)).json()["user"]
    assert (me["groups"], me["email"]) == (["ADMIN"], "new@example.com")
