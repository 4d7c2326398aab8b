"""The sealing keys as an operator meets them: refused at start, listed, changed, forgotten."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from typer.testing import CliRunner, Result

from bridge.cli import app
from bridge.cli.outcome import tell
from bridge.errors import ConfigurationError
from bridge.flows.key_rotation import RotationReport, rotate_keys
from bridge.flows.sealing_keys import check_keys, list_keys, report_keys
from bridge.sealing import Sealer, seal_legacy
from bridge.storage import sealing_keys
from bridge.storage.database import Database, open_database
from bridge.storage.sealed_values import SEALED_COLUMNS
from bridge.storage.tables import keycloak_grant, security_event, sys_user
from bridge.storage.tables.columns import metadata
from tests.browser import Browser
from tests.double import KeycloakDouble
from tests.integration.sealed_rows import NEW, NOW, OLD, OTHER, VALUES, change, fill, insert, look
from tests.integration.service import APPLICATION, running

BOTH = Sealer([NEW, OLD])
FIRST, SECOND = BOTH.key_ids
LOST = Sealer([OTHER]).sealing_key_id


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


async def rotate(database: Database, sealer: Sealer = BOTH, **more: Any) -> RotationReport:
    options = {"holder": "test", "rotated_by": "command:root", "now": lambda: NOW, "progress": lambda *_: None, **more}
    return await rotate_keys(database, sealer, **options)


async def in_use(database: Database) -> set[str]:
    async with database.reading() as db:
        return {key.key_id for key in await sealing_keys.list_in_use(db)}


async def test_the_first_key_is_noted_once_and_keeps_its_first_day(database: Database) -> None:
    await check_keys(database, BOTH, now=NOW)
    await check_keys(database, BOTH, now=NOW + timedelta(days=1))
    async with database.reading() as db:
        assert await sealing_keys.list_in_use(db) == [sealing_keys.KeyInUse(FIRST, NOW)]


async def test_a_configuration_without_a_key_that_is_in_use_is_refused(database: Database) -> None:
    """What would be read later cannot be; better to say so before anything is sealed."""
    await check_keys(database, Sealer([OLD]), now=NOW)
    with pytest.raises(ConfigurationError) as refused:
        await check_keys(database, Sealer([NEW]), now=NOW)
    assert refused.value.message == (
        f"The database holds values sealed under the key {SECOND}, which is not among sealing.keys."
    )
    assert "Put the key back into sealing.keys" in str(refused.value.hint)
    assert "keycloak-bridge keys rotate --lost KEY_ID" in str(refused.value.hint)
    assert tell(refused.value) == 2
    assert await in_use(database) == {SECOND}
    async with database.reading() as db:
        finding = await report_keys(db, Sealer([NEW]))
        assert (finding.ok, finding.message, finding.mend) == (False, refused.value.message, refused.value.hint)
        assert (await report_keys(db, BOTH)).ok


async def test_several_missing_keys_are_all_named(database: Database) -> None:
    for key in (OLD, OTHER):
        await check_keys(database, Sealer([key, OLD]), now=NOW)
    with pytest.raises(ConfigurationError, match=f"the keys {', '.join(sorted([SECOND, LOST]))}, which are not"):
        await check_keys(database, Sealer([NEW]), now=NOW)


async def test_values_from_before_keys_were_noted_count_too(database: Database) -> None:
    await fill(database, Sealer([OLD]))
    with pytest.raises(ConfigurationError, match=SECOND):
        await check_keys(database, Sealer([NEW]), now=NOW)
    await check_keys(database, BOTH, now=NOW)
    assert await in_use(database) == {FIRST, SECOND}


async def test_a_key_that_is_lost_is_forgotten_when_asked(database: Database) -> None:
    await check_keys(database, Sealer([OTHER]), now=NOW)
    await fill(database, Sealer([OTHER]))
    with pytest.raises(ConfigurationError, match=f"The key {LOST} is among sealing.keys, so it is not lost."):
        await rotate(database, Sealer([NEW, OTHER]), lost=[LOST])
    report = await rotate(database)
    assert (report.forgotten, report.unopenable) == ((), VALUES)
    assert await in_use(database) == {FIRST, LOST}
    report = await rotate(database, lost=[LOST])
    assert (report.forgotten, report.unopenable) == ((LOST,), VALUES)
    await check_keys(database, BOTH, now=NOW)
    assert {found.key_id for found in (await look(database, BOTH)).values()} == {LOST}


async def test_each_run_is_in_the_audit_trail_with_the_keys_that_it_forgot(database: Database) -> None:
    for key, username in ((OLD, "old"), (OTHER, "lost")):
        await check_keys(database, Sealer([key, OLD]), now=NOW)
        password = seal_legacy(Sealer([key]), "x", column="Password", package="demo", uuid=username)
        await insert(database, sys_user, {"User": username, "Package": "demo", "Uuid": username, "Password": password})
    await rotate(database)
    await rotate(database, lost=[LOST, "0123abcd"])
    async with database.reading() as db:
        events = (await db.execute(sa.select(security_event).order_by(security_event.c.id))).all()
    assert [(event.event, event.at, event.package) for event in events] == [("keys_rotated", NOW, None)] * 2
    by_root = {"key_id": FIRST, "rotated_by": "command:root", "unopenable": 1}
    assert [json.loads(event.evidence) for event in events] == [
        {**by_root, "resealed": 1, "forgotten": [SECOND], "lost": []},
        {**by_root, "resealed": 0, "forgotten": [LOST], "lost": [LOST]},
    ]


async def test_keys_are_listed_with_their_values_by_column(database: Database) -> None:
    await check_keys(database, Sealer([OLD]), now=NOW)
    await fill(database, Sealer([OLD]))
    stray = seal_legacy(Sealer([OTHER]), "x", column="Password", package="demo", uuid="")
    people = [("u1", "~foreign"), ("u2", "~v1.0123ABCD." + "A" * 40), ("u3", stray), ("u4", "plain")]
    await insert(database, sys_user, *({"User": u, "Package": "demo", "Password": value} for u, value in people))
    await change(database, sa.update(keycloak_grant).values(sealed_id_token="eyJh.eyJz.c2ln"))
    uses, counts = await list_keys(database, BOTH)
    assert [(use.key_id, use.seals, use.configured, use.in_use_since) for use in uses] == [
        (FIRST, True, True, None),
        (SECOND, False, True, NOW),
        (LOST, False, False, None),
    ]
    assert [sum(use.values.values()) for use in uses] == [0, VALUES - 2, 1]
    assert uses[1].values["oauth_state.sealed_nonce"] == 2
    assert uses[2].values == {"sys_user.Password": 1}
    assert counts["sys_user.Password"].foreign == 2
    assert counts["keycloak_grant.sealed_id_token"].unreadable == 2
    assert sum(one.foreign + one.unreadable for one in counts.values()) == 4


def test_the_list_of_sealed_columns_is_that_of_the_schema() -> None:
    """What is sealed under a derived key needs none of ours."""
    under_credentials = {"session_credential.sealed_successor", "exchange_code.sealed_answer"}
    columns = [(table.name, column.name) for table in metadata.sorted_tables for column in table.columns]
    named = {f"{table}.{column}" for table, column in columns if column.startswith("sealed_")}
    legacy = {"sys_user.Password", "sys_user.loginpassword"}
    assert {column.name for column in SEALED_COLUMNS} == named - under_credentials | legacy


def text_of(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode()


async def test_logins_and_sign_outs_go_on_while_the_key_changes(
    double: KeycloakDouble, migrated_database_url: str
) -> None:
    """A replica that was started with the old key in front, and knows both, opens what the rotation has sealed."""
    before = {"keys": [text_of(OLD), text_of(NEW)]}
    async with running(double, migrated_database_url, sealing=before) as service, Browser(service.url) as browser:
        await browser.sign_in()
        async with Browser(service.url) as pending:
            callback = await pending.go_to_keycloak()
            report = await rotate(service.database)
            assert sum(one.resealed for one in report.columns) == 4
            assert (await pending.get(callback)).headers["location"] == APPLICATION
        me = await browser.get("/me", headers={"Accept": "application/json"})
        answer = await browser.post("/logout", {"form_token": me.json()["form_token"]})
        assert "id_token_hint=ey" in answer.headers["location"]


@pytest.fixture
def command(sqlite_database_url: str, tmp_path: Path) -> Iterator[Callable[..., Result]]:
    """Give the command with the new key in front of the old one."""
    config = tmp_path / "keycloak-bridge.toml"
    package = '{ issuer = "https://kc.example/realms/demo", client_id = "bridge", client_secret = "x" }'
    config.write_text(
        f'public_url = "http://127.0.0.1:8000"\ndatabase.url = "{sqlite_database_url}"\n'
        f'sealing.keys = ["{text_of(NEW)}", "{text_of(OLD)}"]\npackages.demo = {package}\n',
        encoding="utf-8",
    )
    before = structlog.get_config()
    yield lambda *words: CliRunner().invoke(app, ["--config", str(config), *words])
    # The command has pointed the logs at a stream that ends with the runner.
    structlog.configure(**before)


@pytest.fixture
def keys(command: Callable[..., Result]) -> Callable[..., Result]:
    return lambda *words: command("keys", *words)


@pytest.fixture
async def filled(sqlite_database_url: str) -> None:
    async with open_database(sqlite_database_url) as database:
        await check_keys(database, Sealer([OLD]), now=NOW)
        await fill(database, Sealer([OLD]))


@pytest.mark.usefixtures("filled")
def test_the_command_lists_changes_and_lists_again(keys: Callable[..., Result]) -> None:
    listed = keys("list")
    assert listed.exit_code == 0, listed.output
    first, second = listed.stdout.splitlines()[1:]
    assert re.match(rf"{FIRST} +yes +yes +-", first)
    assert re.match(rf"{SECOND} +no +yes +2026-11-21 10:00:00Z +.*oauth_state.sealed_nonce=2", second)
    assert text_of(OLD)[:8] not in listed.stdout
    planned = keys("rotate", "--dry-run")
    assert planned.exit_code == 0
    assert f"Sealed under the key {FIRST} (nothing was written)" in planned.stdout
    rotated = keys("rotate", "--json")
    assert rotated.exit_code == 0, rotated.output
    report = json.loads(rotated.stdout)
    assert (report["key_id"], report["forgotten"], report["unopenable"]) == (FIRST, [SECOND], 0)
    assert sum(column["resealed"] for column in report["columns"]) == VALUES
    after = json.loads(keys("list", "--json").stdout)
    assert [(key["key_id"], sum(key["values"].values())) for key in after["keys"]] == [(FIRST, VALUES), (SECOND, 0)]
    assert (after["foreign"], after["unreadable"]) == ({}, {})


@pytest.mark.usefixtures("filled")
def test_the_command_says_which_key_can_be_taken_out(keys: Callable[..., Result]) -> None:
    assert f"The key {SECOND} is needed no more: it can be taken out of sealing.keys." in keys("rotate").stdout


async def test_the_command_ends_with_3_while_values_remain_that_no_key_opens(
    keys: Callable[..., Result], sqlite_database_url: str
) -> None:
    async with open_database(sqlite_database_url) as database:
        await check_keys(database, Sealer([OTHER]), now=NOW)
        await fill(database, Sealer([OTHER]))
        await insert(database, sys_user, {"User": "u1", "Package": "demo", "Password": "~foreign"})
        await change(database, sa.update(keycloak_grant).values(sealed_id_token="eyJh.eyJz.c2ln"))
    # The command runs an event loop of its own.
    answers = [await in_thread(keys, *words) for words in (["rotate"], ["list"], ["rotate", "--lost", LOST])]
    assert [answer.exit_code for answer in answers] == [3, 0, 3]
    assert "Values that none of the keys opens were left as they are" in answers[0].stderr
    assert "sys_user.Password: 1 values of other programs begin with ~." in answers[1].stdout
    assert "keycloak_grant.sealed_id_token: 2 values are not sealed as they should be." in answers[1].stdout
    assert f"The key {LOST} is needed no more: it is forgotten." in answers[2].stdout
    again = await in_thread(keys, "rotate", "--lost", LOST)
    assert f"There was no key {LOST} to forget." in again.stderr
    assert (await in_thread(keys, "rotate", "--lost", LOST, "--dry-run")).exit_code == 2
    assert (await in_thread(keys, "rotate", "--lost", FIRST)).exit_code == 2


async def in_thread(command: Callable[..., Result], *words: str) -> Result:
    return await asyncio.to_thread(command, *words)


async def test_the_service_does_not_start_without_a_key_that_values_need(
    command: Callable[..., Result], sqlite_database_url: str
) -> None:
    async with open_database(sqlite_database_url) as database:
        await check_keys(database, Sealer([OTHER]), now=NOW)
    refused = await in_thread(command, "serve", "--port", "1")
    assert refused.exit_code == 2
    assert f"The database holds values sealed under the key {LOST}, which is not among sealing.keys." in refused.stderr
    assert "keycloak-bridge keys rotate --lost KEY_ID" in refused.stderr
