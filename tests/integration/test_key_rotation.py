"""Changing the sealing key: everything is sealed anew, whatever happens meanwhile, and nothing is lost."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.errors import LeaseHeld, LeaseLost
from bridge.flows.key_rotation import BATCH, ColumnReport, RotationReport, plan_rotation, rotate_keys
from bridge.flows.sealing_keys import check_keys
from bridge.sealing import Sealer, seal_legacy
from bridge.storage import sealed_values, sealing_keys
from bridge.storage.database import Database, open_database
from bridge.storage.sealed_values import SEALED_COLUMNS
from bridge.storage.tables import keycloak_grant, lease, oauth_state, sys_user, sys_usersession
from tests.integration import sealed_rows
from tests.integration.sealed_rows import NEW, NOW, OLD, OTHER, SESSIONS, UUID, VALUES, change, fill, insert, look

BOTH = Sealer([NEW, OLD])
FIRST, SECOND = BOTH.key_ids
REFRESH_TOKENS = SEALED_COLUMNS[3]


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


def silent(_column: str, done: int, total: int) -> None:
    assert 0 < done <= total


async def rotate(database: Database, sealer: Sealer = BOTH, **more: Any) -> RotationReport:
    options = {"holder": "test", "now": lambda: NOW + timedelta(hours=1), "progress": silent, **more}
    return await rotate_keys(database, sealer, rotated_by="root", **options)


def of_column(report: RotationReport, name: str) -> ColumnReport:
    return next(one for one in report.columns if one.column == name)


async def in_use(database: Database) -> set[str]:
    async with database.reading() as db:
        return {key.key_id for key in await sealing_keys.list_in_use(db)}


async def test_every_column_is_sealed_under_the_first_key_and_the_old_one_can_go(database: Database) -> None:
    """S1: after a rotation the old key opens nothing, and nothing needs it."""
    await check_keys(database, Sealer([OLD]), now=NOW)
    await fill(database, Sealer([OLD]))
    before = await look(database, BOTH)
    assert len(before) == VALUES
    report = await rotate(database)
    assert sum(one.resealed for one in report.columns) == VALUES
    assert (report.key_id, report.forgotten, report.unopenable) == (FIRST, (SECOND,), 0)
    after = await look(database, Sealer([NEW]))
    assert {place: found.text for place, found in after.items()} == {
        place: found.text for place, found in before.items()
    }
    assert {found.key_id for found in after.values()} == {FIRST}
    assert await in_use(database) == {FIRST}
    await check_keys(database, Sealer([NEW]), now=NOW)


async def test_a_second_run_finds_nothing_to_do(database: Database) -> None:
    await fill(database, Sealer([OLD]))
    await rotate(database)
    before = await look(database, BOTH)
    report = await rotate(database)
    assert (sum(one.resealed for one in report.columns), sum(one.already for one in report.columns)) == (0, VALUES)
    assert await look(database, BOTH) == before


async def test_a_person_moves_on_by_one_version_a_column_and_nobody_is_signed_out(database: Database) -> None:
    await fill(database, Sealer([OLD]))
    before = await sealed_rows.count(database, "session_revocation")
    await rotate(database)
    async with database.reading() as db:
        row = (await db.execute(sa.select(sys_user))).one()
        seen = (await db.execute(sa.select(sys_usersession.c.LastActivity, sys_usersession.c.IsActive))).all()
    assert (row.User, row.RowVersion, row.UpdatedAt) == ("alice", 9, NOW + timedelta(hours=1))
    assert {tuple(one) for one in seen} == {(NOW, True)}
    assert await sealed_rows.count(database, "session_revocation") == before


async def test_a_login_that_is_over_and_plain_passwords_are_left_alone(database: Database) -> None:
    over = {**sealed_rows.login(BOTH, "3" * 64), "sealed_nonce": "", "sealed_code_verifier": ""}
    await insert(database, oauth_state, over)
    await insert(database, sys_user, {"User": "bob", "Package": "demo", "Password": "plain", "loginpassword": ""})
    report = await rotate(database)
    assert {(one.already, one.resealed, one.foreign, one.unopenable) for one in report.columns} == {(0, 0, 0, 0)}


async def test_values_of_other_programs_are_counted_and_stay_as_they_are(database: Database) -> None:
    foreign = ["~secret", "~$2b$12$" + "x" * 53, "~v1.short.x", "~v1.0123ABCD." + "A" * 40]
    people = [{"User": f"u{n}", "Package": "demo", "Password": value} for n, value in enumerate(foreign)]
    await insert(database, sys_user, *people)
    await fill(database, Sealer([OLD]))
    report = await rotate(database)
    of_passwords = of_column(report, "sys_user.Password")
    assert (of_passwords.resealed, of_passwords.foreign, of_passwords.unopenable) == (1, 4, 0)
    async with database.reading() as db:
        query = sa.select(sys_user.c.Password, sys_user.c.RowVersion).where(sys_user.c.User != "alice")
        kept = (await db.execute(query.order_by(sys_user.c.User))).all()
    assert [tuple(row) for row in kept] == [(value, 0) for value in foreign]


async def test_values_of_an_unknown_key_and_damaged_ones_are_counted_by_column_and_stay(database: Database) -> None:
    """S1: moved to another column, another session or another person, a value opens nowhere."""
    await fill(database, Sealer([OLD]))
    lost = Sealer([OTHER])
    g = keycloak_grant.c
    one, two = (sealed_rows.grant(Sealer([OLD]), handle) for handle in SESSIONS)
    await change(database, sa.update(keycloak_grant).where(g.session_id == SESSIONS[0]).values(sealed_id_token="v1.x"))
    swapped = {"sealed_refresh_token": two["sealed_refresh_token"]}
    await change(database, sa.update(keycloak_grant).where(g.session_id == SESSIONS[0]).values(swapped))
    moved = {"sealed_id_token": one["sealed_refresh_token"]}
    await change(database, sa.update(keycloak_grant).where(g.session_id == SESSIONS[1]).values(moved))
    stolen = seal_legacy(Sealer([OLD]), "geheim", column="Password", package="demo", uuid=UUID)
    unknown = seal_legacy(lost, "geheim", column="loginpassword", package="demo", uuid="2" * 36)
    mallory = {"User": "mallory", "Package": "demo", "Uuid": "2" * 36, "Password": stolen, "loginpassword": unknown}
    await insert(database, sys_user, mallory)
    await insert(database, sys_user, {"User": "nobody", "Package": "demo", "Password": stolen})
    before = await look(database, BOTH)
    report = await rotate(database)
    counts = {one.column: (one.resealed, one.unopenable) for one in report.columns if one.unopenable}
    assert counts == {
        "keycloak_grant.sealed_id_token": (0, 2),
        "keycloak_grant.sealed_refresh_token": (1, 1),
        "sys_user.Password": (1, 2),
        "sys_user.loginpassword": (1, 1),
    }
    assert report.unopenable == 6
    unopened = {place for place, found in before.items() if found.text is None}
    after = await look(database, BOTH)
    assert {place: after[place] for place in unopened} == {place: before[place] for place in unopened}


async def test_a_dry_run_opens_everything_and_writes_nothing(database: Database) -> None:
    await fill(database, Sealer([OLD]))
    before = await look(database, BOTH)
    report = await plan_rotation(database, BOTH, now=lambda: NOW, progress=silent)
    assert sum(one.resealed for one in report.columns) == VALUES
    assert await look(database, BOTH) == before
    assert await in_use(database) == set()
    assert await sealed_rows.count(database, "lease") == 0


async def test_a_run_that_was_stopped_in_the_middle_goes_on_when_begun_again(database: Database) -> None:
    handles = [f"{number:064}" for number in range(BATCH + 5)]
    await insert(database, sys_usersession, *(sealed_rows.session(handle) for handle in handles))
    await insert(database, keycloak_grant, *(sealed_rows.grant(Sealer([OLD]), handle) for handle in handles))

    def stop(column: str, done: int, total: int) -> None:
        silent(column, done, total)
        if column == REFRESH_TOKENS.name:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rotate(database, progress=stop)
    found = await look(database, BOTH)
    assert sum(one.key_id == FIRST for one in found.values()) == len(handles) + BATCH
    report = await rotate(database)
    ids, refreshes = (of_column(report, f"keycloak_grant.sealed_{kind}_token") for kind in ("id", "refresh"))
    assert (ids.already, ids.resealed) == (len(handles), 0)
    assert (refreshes.already, refreshes.resealed) == (BATCH, 5)
    assert {(one.key_id, one.text is None) for one in (await look(database, BOTH)).values()} == {(FIRST, False)}


class Killed(BaseException):
    """The process is gone: from some statement on, none reaches the database."""


async def test_killed_at_any_statement_nothing_is_lost_and_the_next_run_ends_it(migrated_database_url: str) -> None:
    """F: SIGKILL between any two statements; each value opens before, between and after."""
    async with open_database(migrated_database_url) as database:
        await check_keys(database, Sealer([OLD]), now=NOW)
        await fill(database, Sealer([OLD]))
        texts = {place: found.text for place, found in (await look(database, BOTH)).items()}
        statement = 0
        while not await finishes(migrated_database_url, dying_at=statement):
            found = await look(database, BOTH)
            assert {place: one.text for place, one in found.items()} == texts
            # The dead one's lease ends by itself; here time passes at once.
            await change(database, sa.update(lease).values(expires_at=NOW))
            statement += 3
        assert statement > 20
        assert {place: one.text for place, one in (await look(database, Sealer([NEW]))).items()} == texts
        assert await in_use(database) == {FIRST}


async def finishes(url: str, *, dying_at: int) -> bool:
    """Rotate in a process that dies before a statement of this number."""
    left = dying_at

    def count_down(*_arguments: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    async with open_database(url) as database:
        sa.event.listen(database._engine.sync_engine, "before_cursor_execute", count_down)
        try:
            await rotate(database)
        except Killed:
            return False
        return True


async def test_one_run_at_a_time(database: Database) -> None:
    await fill(database, Sealer([OLD]))
    outcomes = await asyncio.gather(
        *(rotate(database, holder=f"process {number}") for number in range(3)), return_exceptions=True
    )
    assert {type(one) for one in outcomes} <= {RotationReport, LeaseHeld}
    assert {found.key_id for found in (await look(database, BOTH)).values()} == {FIRST}


async def test_a_run_whose_lease_was_taken_over_writes_nothing_more(sqlite_database_url: str) -> None:
    async with open_database(sqlite_database_url) as database:
        await fill(database, Sealer([OLD]))
        path = sqlite_database_url.removeprefix("sqlite:///")

        def take_over(_column: str, _done: int, _total: int) -> None:
            with sqlite3.connect(path) as other:
                other.execute("UPDATE lease SET holder = 'another', fencing_number = fencing_number + 1")
            other.close()

        with pytest.raises(LeaseLost):
            await rotate(database, progress=take_over)
        found = (await look(database, BOTH)).values()
        assert sum(one.key_id == FIRST for one in found) == len(SESSIONS)


async def test_an_interruption_is_told_also_when_the_lease_cannot_be_given_back(sqlite_database_url: str) -> None:
    other = sqlite3.connect(sqlite_database_url.removeprefix("sqlite:///"), isolation_level=None)

    def stop(_column: str, _done: int, _total: int) -> None:
        other.execute("BEGIN IMMEDIATE")
        raise KeyboardInterrupt

    async with open_database(sqlite_database_url) as database:
        await fill(database, Sealer([OLD]))
    try:
        async with open_database(sqlite_database_url, longest=timedelta(seconds=2)) as database:
            with pytest.raises(KeyboardInterrupt):
                await rotate(database, progress=stop)
    finally:
        other.close()


async def test_a_change_since_the_reading_wins(database: Database) -> None:
    await fill(database, Sealer([OLD]))
    async with database.reading() as db:
        (first, second) = await sealed_values.read_batch(db, REFRESH_TOKENS, key_id=FIRST, after=None, limit=10)
    refreshed = sealed_rows.grant(Sealer([OLD]), SESSIONS[0], text="refreshed")
    await change(
        database, sa.update(keycloak_grant).where(keycloak_grant.c.session_id == SESSIONS[0]).values(refreshed)
    )

    async def write(*values: sealed_values.SealedValue) -> int:
        changes = dict.fromkeys(values, "v1.new")
        return await database.write(lambda db: sealed_values.write_back(db, REFRESH_TOKENS, changes, now=NOW))

    assert [await write(first), await write(first, second), await write(first, second)] == [0, 1, 0]
    assert (await look(database, BOTH))["keycloak_grant", "sealed_refresh_token", SESSIONS[0]].text == (
        "refreshed sealed_refresh_token"
    )


async def test_tokens_refreshed_all_the_while_are_never_set_back(database: Database) -> None:
    """A replica of before still seals with the old key; its newest token stays, and the next run takes it along."""
    await fill(database, Sealer([OLD]))
    newest = 0

    async def refresh() -> None:
        nonlocal newest
        for newest in range(1, 30):
            sealed = sealed_rows.grant(Sealer([OLD]), SESSIONS[0], text=str(newest))
            await change(
                database, sa.update(keycloak_grant).where(keycloak_grant.c.session_id == SESSIONS[0]).values(sealed)
            )

    refreshing = asyncio.create_task(refresh())
    while not refreshing.done():
        await rotate(database)
    await refreshing
    await rotate(database)
    found = (await look(database, BOTH))["keycloak_grant", "sealed_refresh_token", SESSIONS[0]]
    assert (found.key_id, found.text) == (FIRST, "29 sealed_refresh_token")
