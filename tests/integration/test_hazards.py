"""Hazards of tables like these: a handle that can be guessed, a challenge that is missing, a person who is deleted."""

import os
import random
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from itertools import permutations
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from bridge.errors import DatabaseUnavailable
from bridge.flows.session_keys import KeyWanted, create_key
from bridge.model import SessionPolicy, SessionType, digest
from bridge.storage.database import Database, open_database
from bridge.storage.tables import exchange_code, security_event, session_credential, sys_user, sys_usersession
from tests.browser import Browser, query
from tests.double import KeycloakDouble
from tests.integration.replicas import Replica, ask, replica
from tests.integration.service import Service
from tests.integration.stored_sessions import (
    HOURS,
    NOW,
    PACKAGE,
    Row,
    add_person,
    new_session,
    open_one,
    read,
)

COOKIE = "__Host-kb-demo"
LEAST_BYTES = 16
SEPARATORS = ("", ".", ":", "|", " ", "\n")


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What this process takes from the operating system's source of randomness from now on."""
    values: list[bytes] = []

    def draw(number: int) -> bytes:
        values.append(os.urandom(number))
        return values[-1]

    # Where `secrets` takes all its values from.
    monkeypatch.setattr(random, "_urandom", draw)
    return values


def is_drawn(text: str, drawn: list[bytes]) -> bool:
    """Whether a hexadecimal text is one whole random value of at least 128 bits."""
    value = bytes.fromhex(text)
    return len(value) >= LEAST_BYTES and drawn.count(value) == 1


def digests_of(facts: set[str]) -> Iterator[str]:
    """Yield the digests of each fact, and of any two of them, joined in the ways that come to mind."""
    for fact in facts:
        yield digest(fact)
        yield digest(digest(fact))
    for one, other in permutations(facts, 2):
        yield from (digest(f"{one}{separator}{other}") for separator in SEPARATORS)
        yield sha256(sha256(one.encode()).digest() + other.encode()).hexdigest()


async def sign_in(service: Replica, browser: Browser, double: KeycloakDouble) -> tuple[Row, set[str]]:
    """Sign in; return the session's row, and every text of the sign-in that anybody has: Keycloak, browser, tables."""
    asked = len(double.requests)
    callback = await browser.go_to_keycloak()
    await browser.get(callback)
    cookie = browser.cookie(COOKIE)
    assert cookie is not None
    (row,) = await read(service.database, sys_usersession, SessionToken=digest(cookie))
    facts = {cookie, *query(callback).values(), *map(str, row.values()), *map(str, (await read_user(service)).values())}
    for request in double.requests[asked:]:
        facts |= {*request.form.values(), *request.query.values()}
    return row, facts - {row["SessionId"]}


async def read_user(service: Replica) -> Row:
    (row,) = await read(service.database, sys_user)
    return row


async def test_two_sign_ins_that_are_alike_in_everything_get_handles_that_nobody_could_foretell(
    double: KeycloakDouble, sqlite_database_url: str, drawn: list[bytes]
) -> None:
    """S2, ASVS 7.2.3: the same person, browser, session of Keycloak, moment, and state of Python's own generator."""
    async with replica(double, sqlite_database_url) as service, Browser(service.url) as browser:
        service.clock.stop()
        found = []
        for _ in range(2):
            random.seed(1)
            found.append(await sign_in(service, browser, double))
    (one, facts), (other, other_facts) = found
    for name in ("User", "Package", "Issuer", "Sub", "Sid", "IpAddress", "UserAgent", "ClientId", "CreatedAt"):
        assert one[name] == other[name] is not None, name
    assert one["SessionId"] != other["SessionId"]
    for row, known in found:
        assert {row["Sub"], row["Sid"], row["SessionToken"], row["OauthStateId"]} < known
        assert is_drawn(row["SessionId"], drawn)
    derived = {*digests_of(facts), *digests_of(other_facts)}
    assert one["SessionToken"] in derived
    assert not {one["SessionId"], other["SessionId"]} & derived


async def test_two_keys_that_are_alike_in_everything_get_handles_that_nobody_could_foretell(
    database: Database, drawn: list[bytes]
) -> None:
    """S2."""
    await add_person(database)
    wanted = KeyWanted("alice", PACKAGE, SessionType.API, device_name="nightly report")
    policy = SessionPolicy(lifetime=HOURS, idle=None, max_sessions=2)
    made = []
    for _ in range(2):
        random.seed(1)
        made.append(await create_key(database, wanted, policy=policy, created_by="command:root", now=NOW))
    for one in made:
        assert is_drawn(one.session_id, drawn)
        assert one.session_id not in digests_of({one.key, "alice", PACKAGE, "nightly report", str(NOW)})
    assert len({one.session_id for one in made}) == 2


@pytest.mark.parametrize("challenge", [{"code_challenge": None}, {}], ids=["NULL", "left out"])
async def test_no_code_is_stored_without_its_challenge(database: Database, challenge: dict[str, None]) -> None:
    """S6: the check of the verifier could be skipped for such a row."""
    values = {**await code_of_a_session(database), **challenge}
    insert = sa.insert(exchange_code).values(values)
    # The driver of MariaDB takes a column that is left out for trouble with the server.
    with pytest.raises((IntegrityError, DatabaseUnavailable)):
        await database.write(lambda db: db.execute(insert))
    assert await read(database, exchange_code) == []


async def test_no_code_loses_its_challenge(database: Database) -> None:
    """S6."""
    values = {**await code_of_a_session(database), "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}
    await database.write(lambda db: db.execute(sa.insert(exchange_code).values(values)))
    with pytest.raises(IntegrityError):
        await database.write(lambda db: db.execute(sa.update(exchange_code).values(code_challenge=None)))
    (row,) = await read(database, exchange_code)
    assert row["code_challenge"] == values["code_challenge"]


async def code_of_a_session(database: Database) -> dict[str, Any]:
    """Return the columns of a one-time code of a session that there is, but for its challenge."""
    opened = new_session()
    await open_one(database, opened)
    return {
        "digest": digest("code"),
        "session_id": opened.session_id,
        "client_id": "app",
        "redirect_uri": "com.example.app:/callback",
        "created_at": NOW,
        "expires_at": NOW + HOURS,
        "kept_until": NOW + HOURS,
    }


async def test_a_deleted_person_leaves_sessions_and_audit_trail_and_is_signed_out(
    service: Service, browser: Browser
) -> None:
    """S10: whoever deletes the wrong row deletes nothing else, and nobody comes in by what is left."""
    await browser.sign_in()
    cookie = browser.cookie(COOKIE)
    assert (await ask(service, cookie=cookie)).status_code == 200
    before = await left_behind(service)
    assert all(before.values())

    await service.write('DELETE FROM sys_user WHERE "User" = :user', user="alice")

    assert (await ask(service, cookie=cookie)).status_code == 401
    assert await left_behind(service) == before

    await service.write(
        'INSERT INTO sys_user ("User", "Package") VALUES (:user, :package)', user="alice", package="demo"
    )
    assert (await ask(service, cookie=cookie)).status_code == 401


async def left_behind(service: Service) -> dict[str, list[Row]]:
    """Return the rows that tell of a person, without those times of their use that are written a little later."""
    used = {"LastActivity", "UpdatedAt", "IdleExpiresAt", "LastIpAddress", "first_used_at"}
    tables = (sys_usersession, session_credential, security_event)
    rows = {table.name: await read(service.database, table) for table in tables}
    return {name: [{key: row[key] for key in row.keys() - used} for row in found] for name, found in rows.items()}
