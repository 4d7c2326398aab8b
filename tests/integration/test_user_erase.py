"""Erasing a person: nothing that is kept names them afterwards, and nothing of anybody else is touched."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.errors import UserUnknown
from bridge.flows import people
from bridge.flows.people import Erased
from bridge.model import Identity, Profile
from bridge.storage import preferences, security_events, user_erasure, users
from bridge.storage.database import Database, Db, open_database
from bridge.storage.security_events import SecurityEvent
from bridge.storage.tables import (
    exchange_code,
    keycloak_grant,
    metadata,
    oauth_state,
    security_event,
    session_credential,
    sync_run,
    sync_stage,
    sys_user,
    sys_usersession,
)
from tests.integration.mirror import PACKAGE, mirroring

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ISSUER = "https://kc.example/realms/demo"
EXCEPT = {"session_revocation"}
"""Emptied within the hour; see the docstring of `erase_user`."""


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    async with open_database(migrated_database_url) as opened:
        yield opened


async def fill(database: Database, username: str, *, sub: str | None, package: str = PACKAGE, mark: str) -> None:
    """Write a row of every kind about a person; `mark` stands in the texts that only this person's rows hold."""
    identity = Identity(ISSUER, sub, package) if sub else None

    async def step(db: Db) -> None:
        if identity is None:
            await db.execute(sa.insert(sys_user).values(User=username, Package=package, FirstName=mark))
        else:
            profile = Profile(username, email=f"{mark}@example.com", first_name=mark)
            await users.upsert_signed_in(db, identity, profile, now=NOW)
        await preferences.set_preferences(db, username, {"theme": mark}, package=package, now=NOW)
        await fill_session(db, username, identity, package=package, mark=mark)
        await fill_events(db, username, identity, package=package, mark=mark)
        await db.execute(
            sa.insert(sync_run).values(id=f"run-{mark}", package=package, started_at=NOW, status="complete")
        )
        if sub is not None:
            await db.execute(
                sa.insert(sync_stage).values(
                    run_id=f"run-{mark}", sub=sub, change="update", row_version=1, columns=mark
                )
            )

    await database.write(step)


async def fill_session(db: Db, username: str, identity: Identity | None, *, package: str, mark: str) -> None:
    session_id = mark.ljust(64, "0")
    times = {"created_at": NOW, "expires_at": LATER}
    await db.execute(
        sa.insert(sys_usersession).values(
            SessionId=session_id,
            User=username,
            Package=package,
            SessionType="web",
            CreatedAt=NOW,
            ExpiresAt=LATER,
            Issuer=identity.issuer if identity else None,
            Sub=identity.sub if identity else None,
        )
    )
    credential = {"digest": session_id, "session_id": session_id, "kind": "cookie", **times}
    await db.execute(sa.insert(session_credential).values(credential))
    grant = {"session_id": session_id, "sealed_id_token": mark, "updated_at": NOW}
    await db.execute(sa.insert(keycloak_grant).values(grant))
    await db.execute(
        sa.insert(oauth_state).values(
            state_digest=session_id,
            package=package,
            client_kind="web",
            binding_digest="b",
            sealed_nonce="",
            sealed_code_verifier="",
            return_to=f"/{mark}",
            login_hint=mark,
            session_id=session_id,
            **times,
        )
    )
    await db.execute(
        sa.insert(exchange_code).values(
            digest=session_id,
            session_id=session_id,
            client_id=mark,
            redirect_uri="app:/",
            code_challenge="c",
            kept_until=LATER,
            **times,
        )
    )


async def fill_events(db: Db, username: str, identity: Identity | None, *, package: str, mark: str) -> None:
    """Write an entry that names the identity, one that names nobody but the name, and one that names the session."""
    evidence = {"found": mark}
    session_id = mark.ljust(64, "0")
    for entry in (
        SecurityEvent("signed_in", package, identity=identity, username=username, evidence=evidence),
        SecurityEvent("sign_in_refused", package, username=username, evidence=evidence),
        SecurityEvent("session_ended", package, session_id=session_id, evidence=evidence),
    ):
        await security_events.append(db, entry, now=NOW)


async def erase(database: Database, username: str, *, dry_run: bool = False) -> Erased:
    return await people.erase_user(
        database, username, package=PACKAGE, erased_by="command line, root", now=LATER, dry_run=dry_run
    )


async def snapshot(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table."""
    async with database.reading() as db:
        return {
            table.name: [dict(row._mapping) for row in await db.execute(sa.select(table))]
            for table in metadata.sorted_tables
            if table.name not in EXCEPT
        }


def tables_with(rows: dict[str, list[dict[str, Any]]], text: str) -> dict[str, int]:
    """Return how many rows of each table hold a text anywhere."""
    found = {name: sum(text in str(row) for row in of_table) for name, of_table in rows.items()}
    return {name: number for name, number in found.items() if number}


async def test_everything_that_is_kept_of_a_person_goes(database: Database) -> None:
    await fill(database, "alice", sub="sub-alice", mark="aaa")
    before = await snapshot(database)
    assert set(tables_with(before, "aaa")) == {
        "sys_user",
        "sys_user_history",
        "sys_user_preferences",
        "sys_usersession",
        "session_credential",
        "keycloak_grant",
        "oauth_state",
        "exchange_code",
        "security_event",
        "sync_run",
        "sync_stage",
    }
    erased = await erase(database, "alice")
    assert erased.mirrored
    assert erased.counts == {
        "exchange_codes": 1,
        "pending_logins": 1,
        "security_events": 3,
        "history": 1,
        "preferences": 1,
        "staged_changes": 1,
        "sessions": 1,
        "user": 1,
    }
    after = await snapshot(database)
    assert tables_with(after, "aaa") == {"sync_run": 1}
    assert tables_with(after, "alice") == {}


async def test_one_entry_says_that_it_was_done_and_names_nobody(database: Database) -> None:
    await fill(database, "alice", sub="sub-alice", mark="aaa")
    await erase(database, "alice")
    async with database.reading() as db:
        entry = (await db.execute(sa.select(security_event))).one()
    assert (entry.event, entry.package, entry.at) == ("user_erased", PACKAGE, LATER)
    assert (entry.username, entry.issuer, entry.sub, entry.session_id, entry.ip_address) == (None,) * 5
    assert '"erased_by": "command line, root"' in entry.evidence
    assert '"sessions": 1' in entry.evidence


async def test_nothing_of_anybody_else_is_touched(database: Database) -> None:
    await fill(database, "bob", sub="sub-bob", mark="bbb")
    await fill(database, "alice", sub="sub-alice", package="other", mark="ccc")
    await fill(database, "Alice", sub="sub-other", mark="ddd")
    await fill(database, "alice~old", sub="sub-old", mark="eee")
    await fill(database, "till", sub=None, mark="fff")
    before = await snapshot(database)
    await fill(database, "alice", sub="sub-alice", mark="aaa")
    await erase(database, "alice")
    after = await snapshot(database)
    after["security_event"] = [row for row in after["security_event"] if row["event"] != "user_erased"]
    after["sync_run"] = [row for row in after["sync_run"] if row["id"] != "run-aaa"]
    assert after == before


async def test_a_row_without_identity_goes_with_what_carries_its_name_alone(database: Database) -> None:
    """A namesake's rows, which carry an identity, stay."""
    await fill(database, "till", sub="sub-old", mark="ooo")
    await database.write(lambda db: db.execute(sa.delete(sys_user)))
    await database.write(lambda db: preferences.remove_preferences(db, "till", ["theme"], package=PACKAGE))
    await fill(database, "till", sub=None, mark="fff")
    erased = await erase(database, "till")
    assert not erased.mirrored
    assert (erased.counts["sessions"], erased.counts["user"], erased.counts["history"]) == (1, 1, 0)
    after = await snapshot(database)
    assert tables_with(after, "fff") == {"sync_run": 1}
    assert {"sys_usersession", "session_credential", "sys_user_history"} <= set(tables_with(after, "ooo"))


async def test_a_dry_run_counts_and_changes_nothing(database: Database) -> None:
    await fill(database, "alice", sub="sub-alice", mark="aaa")
    before = await snapshot(database)
    planned = await erase(database, "alice", dry_run=True)
    assert await snapshot(database) == before
    assert planned == await erase(database, "alice")


async def test_a_transaction_that_fails_erases_nothing(database: Database) -> None:
    await fill(database, "alice", sub="sub-alice", mark="aaa")
    before = await snapshot(database)

    async def step(db: Db) -> None:
        row = (await db.execute(sa.select(sys_user))).one()
        await user_erasure.erase_traces(db, dict(row._mapping))
        raise UserUnknown

    with pytest.raises(UserUnknown):
        await database.write(step)
    assert await snapshot(database) == before


@pytest.mark.parametrize("username", ["nobody", "ALICE", "alice ", "a\0b", "\ud800"])
async def test_a_name_that_nobody_has_is_said(database: Database, username: str) -> None:
    await fill(database, "alice", sub="sub-alice", mark="aaa")
    with pytest.raises(UserUnknown, match=r"There is no person '.*' in the package demo"):
        await erase(database, username)
    with pytest.raises(UserUnknown):
        await erase(database, username, dry_run=True)


async def test_the_next_sync_brings_a_person_back_as_a_new_row_while_keycloak_has_them(
    migrated_database_url: str,
) -> None:
    async with mirroring(migrated_database_url) as mirror:
        sub = mirror.double.realm.add_user("ann")
        mirror.double.realm.add_session("ann", "bridge")
        await mirror.run()
        await mirror.edit("ann", Store="12")
        assert (await erase(mirror.database, "ann")).mirrored
        assert (await mirror.users(), await mirror.sessions()) == ({}, [])
        report = await mirror.run()
        row = (await mirror.users())["ann"]
        assert (row["Sub"], row["Store"], report.counts.users_created) == (sub, None, 1)
        assert len(await mirror.sessions()) == 1
        mirror.double.realm.delete_user("ann")
        await erase(mirror.database, "ann")
        await mirror.run()
        assert (await mirror.users(), await mirror.sessions()) == ({}, [])
