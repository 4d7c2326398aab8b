"""No secret that ever passed over the wire is found in a table or in the log, in whatever spelling."""

import base64
import re
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import httpx
import pytest
import sqlalchemy as sa

from bridge.flows.session_keys import KeyWanted, create_key
from bridge.model import SessionPolicy, SessionType, digest
from bridge.sealing import seal_under
from bridge.storage import token_families, user_sessions, users
from bridge.storage.database import Database, Db
from bridge.storage.tables import metadata
from bridge.storage.token_families import Outcome, TokenPair
from bridge.telemetry import configure_logging
from tests.browser import Browser, query
from tests.double import KeycloakDouble
from tests.integration.replicas import Replica, ask, replica
from tests.integration.service import APPLICATION, KEY
from tests.integration.stored_sessions import PACKAGE, new_session
from tests.integration.wire_secrets import WireSecrets, read_texts

POLICY = SessionPolicy(lifetime=timedelta(days=1), idle=None, max_sessions=5)
TOKEN = "openid-connect/token"
PAGE = "text/html"
pytestmark = pytest.mark.usefixtures("logging_as_it_was")


@dataclass
class Searched:
    """What was found where; `cells` says that there was something to find."""

    found: set[tuple[str, str, str]] = field(default_factory=set)
    cells: int = 0
    tables: set[str] = field(default_factory=set)

    async def look(self, database: Database, secrets: WireSecrets) -> None:
        """Search every column of every table as it is now."""
        async with database.reading() as db:
            for table in metadata.sorted_tables:
                # As applications read it: no type of ours turns a value into something else.
                quoted = database.dialect.identifier_preparer.quote(table.name)
                for row in (await db.execute(sa.text(f"SELECT * FROM {quoted}"))).mappings():
                    for column, text in read_texts(dict(row)):
                        self.cells += 1
                        self.tables.add(table.name)
                        self.found |= {(table.name, column, name) for name in secrets.find_in(text)}


def note_cookies(secrets: WireSecrets, answer: httpx.Response) -> None:
    """Remember the values of cookies that an answer sets."""
    for header in answer.headers.get_list("set-cookie"):
        name, _, rest = header.partition("=")
        value = rest.partition(";")[0]
        if value and not name.startswith("__Host-kb_logout_"):  # that one holds an address
            secrets.note("binding" if name.startswith("__Host-kb_login_") else "cookie", value.rpartition(".")[2])


def note_address(secrets: WireSecrets, url: str) -> None:
    """Remember the secrets of an address that a browser was sent to."""
    sent = query(url)
    for name in ("state", "nonce", "code", "id_token_hint"):
        if name in sent:
            secrets.note(name, sent[name])


async def sign_in(browser: Browser, secrets: WireSecrets, searched: Searched, database: Database) -> None:
    """Sign in, looking at every step."""
    begun = await browser.get("/login")
    note_cookies(secrets, begun)
    note_address(secrets, begun.headers["location"])
    await searched.look(database, secrets)
    answered = await browser.follow(begun, until=f"{browser.base}/callback/")
    callback = str(answered.headers["location"])
    note_address(secrets, callback)
    for _ in range(2):  # the second one is a duplicate, with a credential of its own
        answer = await browser.get(callback)
        assert answer.headers["location"] == APPLICATION
        note_cookies(secrets, answer)
    secrets.note_requests()
    await searched.look(database, secrets)


async def open_family(service: Replica, secrets: WireSecrets) -> None:
    """Give tokens to an app and renew them twice, as its flow does."""
    now = service.clock()
    tokens = [f"{kind}{number}".ljust(43, "_") for number in range(3) for kind in ("access", "refresh")]
    for token in tokens:
        secrets.note(f"app's {token[:-1].rstrip('_')}", token)
    pairs = [
        TokenPair(
            digest(access),
            digest(refresh),
            now + timedelta(minutes=15),
            seal_under(before, f"{access} {refresh}", table="session_credential", column="sealed_successor", row="x"),
        )
        for access, refresh, before in zip(tokens[::2], tokens[1::2], ["none", *tokens[1::2]], strict=False)
    ]

    async def begin(db: Db) -> None:
        user = await users.find_by_name(db, "alice", package=PACKAGE)
        assert user is not None
        assert user.identity is not None
        opened = new_session(
            session_type=SessionType.MOBILE, identity=user.identity, created_at=now, expires_at=now + POLICY.lifetime
        )
        await user_sessions.create_session(db, opened, policy=POLICY)
        (session,) = await user_sessions.get_user_sessions(
            db, "alice", package=PACKAGE, now=now, session_id=opened.session_id
        )
        await token_families.open_family(db, session, pairs[0], policy=POLICY, now=now)

    await service.database.write(begin)
    for old, pair in zip(tokens[1::2], pairs[1:], strict=False):
        renew = partial(token_families.rotate, refresh_digest=digest(old), pair=pair, policy=POLICY, now=now)
        done = await service.database.write(renew)
        assert done.outcome is Outcome.ROTATED
    assert (await ask(service, key=tokens[-2])).status_code == 200


async def fail_in_many_ways(service: Replica, double: KeycloakDouble, secrets: WireSecrets) -> None:
    """Send secrets where they are refused: each refusal is logged with its evidence."""
    async with Browser(service.url) as browser, Browser(service.url) as other:
        callbacks = []
        for number in range(6):
            callbacks.append(await browser.go_to_keycloak(f"/login?login_hint=person{number}"))
            note_address(secrets, callbacks[-1])
        for cookie in browser.names("__Host-kb_login_"):
            secrets.note("binding", str(browser.cookie(cookie)).rpartition(".")[2])
        await other.get(callbacks[1])
        await browser.get(f"{callbacks[2]}&{callbacks[2].partition('?')[2]}")
        await browser.get(callbacks[3].replace("iss=", "iss=https%3A%2F%2Fevil.example%2F"))
        double.faults.status(TOKEN, 500, body="no", times=1)
        await browser.get(callbacks[4])
        double.faults.id_token({"nonce": "another"}, times=1)
        await browser.get(callbacks[5])
        for callback in callbacks:
            await browser.get(callback, headers={"Accept": "application/json"})
        for path in ("/me", "/logout", "/callback/demo", "/callback/none"):
            await ask(service, f"{path}?{callbacks[0].partition('?')[2]}", cookie="C" * 43, key="K" * 43)
    secrets.note("wrong cookie", "C" * 43)
    secrets.note("wrong key", "K" * 43)
    secrets.note_requests()


async def sign_out(browser: Browser, secrets: WireSecrets) -> None:
    page = await browser.get("/me")
    (token,) = re.findall(r'name="form_token" value="([0-9a-f]+)"', page.text)
    secrets.note("form token", token)
    answer = await browser.post("/logout", {"form_token": token, "return_to": APPLICATION})
    note_address(secrets, answer.headers["location"])
    await browser.follow(answer, until=APPLICATION)
    secrets.note_requests()


async def test_no_secret_of_the_wire_is_in_a_table_or_in_the_log(
    double: KeycloakDouble, migrated_database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """E1, K1, V56, ASVS 7.2.1, 14.2: a dump of the database, or the log, lets nobody in."""
    configure_logging(level="debug")
    secrets, searched = WireSecrets(double), Searched()
    secrets.note("sealing key", base64.urlsafe_b64decode(KEY).decode("latin-1"))
    async with replica(double, migrated_database_url) as service, Browser(service.url) as browser:
        await sign_in(browser, secrets, searched, service.database)
        service.clock.advance(minutes=50)
        await browser.get("/me")
        await service.flush()
        service.clock.advance(minutes=50)
        rotated = await browser.get("/me")
        note_cookies(secrets, rotated)
        assert "set-cookie" in rotated.headers
        await browser.get("/me")
        await service.flush()
        wanted = KeyWanted("alice", PACKAGE, SessionType.API)
        made = await create_key(service.database, wanted, policy=POLICY, created_by="root", now=service.clock())
        secrets.note("key", made.key)
        assert (await ask(service, key=made.key, address="127.0.0.2")).status_code == 200
        await open_family(service, secrets)
        await service.flush()
        await searched.look(service.database, secrets)
        service.clock.jump(minutes=-100)
        await fail_in_many_ways(service, double, secrets)
        await searched.look(service.database, secrets)
        service.clock.jump(minutes=100)
        await sign_out(browser, secrets)
        await searched.look(service.database, secrets)
    assert searched.found == set()
    assert searched.cells > 500
    assert {
        "sys_usersession",
        "session_credential",
        "oauth_state",
        "keycloak_grant",
        "security_event",
    } <= searched.tables
    assert {
        *("state", "nonce", "code", "code_verifier", "client_secret", "access_token", "refresh_token", "id_token"),
        *("id_token_hint", "cookie", "binding", "key", "form token", "app's access2", "app's refresh2"),
    } <= secrets.names
    out, err = capfd.readouterr()
    assert "refused" in err
    assert secrets.find_in(out + err) == set()


@pytest.mark.parametrize(
    "spell",
    [
        lambda value: value,
        lambda value: value.encode().hex(),
        lambda value: value.encode().hex().upper(),
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: base64.urlsafe_b64encode(b"x" + value.encode() + b"y").decode(),
        lambda value: base64.b64encode(b"xy" + value.encode()).decode(),
        lambda value: f'{{"code": "{value}"}}',
        lambda value: "".join(f"%{byte:02X}" if chr(byte) in "+/=" else chr(byte) for byte in value.encode()),
    ],
)
def test_the_search_finds_a_secret_in_each_spelling(double: KeycloakDouble, spell: object) -> None:
    assert callable(spell)
    secrets = WireSecrets(double)
    secrets.note("secret", "a+secret/with=every~sign-and_more")
    assert secrets.find_in(f"before {spell('a+secret/with=every~sign-and_more')} after") == {"secret"}
    assert secrets.find_in("nothing of the kind") == set()
