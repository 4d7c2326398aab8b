"""The census: all live sessions of a realm into `sys_usersession`, and the end of those that Keycloak has ended.

1 note which rows are alive       3 compare and write, one page at a time
2 read sessions by client         4 ask for each row that was not listed, and end what is really gone
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta

from bridge.keycloak import pages, session_pages
from bridge.keycloak.mapping import ClientSessionStats, KeycloakClient, KeycloakSession, RealmLimits
from bridge.storage import leases, mirrored_sessions, mirrored_users
from bridge.storage.database import Db
from bridge.storage.mirrored_sessions import LiveRow
from sync.apply import BATCH
from sync.job import Job
from sync.reconcile import SESSION_ENDED, Kind, decide_session, mirrored_session_id

MARGIN = timedelta(seconds=5)
"""Keycloak's session times are whole seconds of its own clock."""


async def census(job: Job, clients: Sequence[KeycloakClient], limits: RealmLimits) -> None:
    """Run one census."""
    began = job.now()
    async with job.database.reading(patient=True) as db:
        living = await mirrored_sessions.note_living(db, issuer=job.issuer, package=job.package)
    stats = await session_pages.fetch_client_session_stats(job.admin)
    job.progress.stage("sessions", sum(one.active + one.offline for one in stats))
    seen: set[str] = set()
    async with aclosing(session_pages.read_sessions(job.admin, stats)) as pages_of_sessions:
        async for sessions in pages_of_sessions:
            by_id = {_id(job, one.sid, offline=one.offline): one for one in sessions if not one.transient}
            new = {session_id: one for session_id, one in by_id.items() if session_id not in seen}
            seen |= new.keys()
            await _write(job, new, limits)
            job.progress.advance(len(sessions))
    job.counts.sessions_read = len(seen)
    missing = [row for session_id, row in living.items() if session_id not in seen and _could_miss(row, began)]
    await _end_missing(job, missing, clients, stats, limits)


async def _end_missing(
    job: Job,
    missing: Iterable[LiveRow],
    clients: Sequence[KeycloakClient],
    stats: Sequence[ClientSessionStats],
    limits: RealmLimits,
) -> None:
    """End the rows whose session its user's own list does not show; what it shows is compared like the others."""
    by_user: dict[str, list[LiveRow]] = defaultdict(list)
    for row in missing:
        by_user[row.sub].append(row)
    uuids = {client.client_id: client.client_uuid for client in clients}
    away = [one.client_uuid for one in stats if one.offline]
    job.progress.stage("ended sessions", len(by_user))

    async def work(sub: str) -> tuple[list[str], tuple[list[LiveRow], list[KeycloakSession]]]:
        return [], (by_user[sub], await _own_sessions(job, sub, by_user[sub], uuids, away))

    ended: list[str] = []
    alive: dict[str, KeycloakSession] = {}
    async with aclosing(pages.spread(list(by_user), work, width=job.admin.in_flight)) as confirmed:
        async for rows, sessions in confirmed:
            wanted = {row.session_id for row in rows}
            shown = {_id(job, one.sid, offline=one.offline): one for one in sessions}
            alive |= {session_id: one for session_id, one in shown.items() if session_id in wanted}
            ended += sorted(wanted - shown.keys())
            job.progress.advance()
    await _write(job, alive, limits)
    await _end(job, ended)


async def _own_sessions(
    job: Job, sub: str, rows: Sequence[LiveRow], uuids: Mapping[str, str], away: Sequence[str]
) -> list[KeycloakSession]:
    found: list[KeycloakSession] = []
    if any(not row.offline for row in rows):
        found += await session_pages.fetch_user_sessions(job.admin, sub)
    offline = [row for row in rows if row.offline]
    if offline:
        # The clients it had, and any that has offline sessions now: a session is asked for wherever it could be.
        had = {uuids[client_id] for row in offline for client_id in row.client_ids if client_id in uuids}
        for client_uuid in sorted(had | set(away)):
            found += await session_pages.fetch_user_offline_sessions(job.admin, sub, client_uuid=client_uuid)
    return found


async def _write(job: Job, sessions: Mapping[str, KeycloakSession], limits: RealmLimits) -> None:
    session_ids = list(sessions)
    for first in range(0, len(session_ids), BATCH):
        part = session_ids[first : first + BATCH]
        await _write_part(job, {session_id: sessions[session_id] for session_id in part}, limits)


async def _write_part(job: Job, sessions: Mapping[str, KeycloakSession], limits: RealmLimits) -> None:
    subs = {session.sub for session in sessions.values()}

    async def compare(db: Db) -> tuple[dict[str, Mapping[str, object]], dict[str, Mapping[str, object]], int]:
        owners = await mirrored_users.read_rows(db, subs, issuer=job.issuer, package=job.package)
        rows = await mirrored_sessions.read_rows(db, sessions)
        known = {session_id: one for session_id, one in sessions.items() if one.sub in owners}
        decisions = {
            session_id: decide_session(
                one, rows.get(session_id), owner=owners[one.sub], identity=job.identity(one.sub), limits=limits
            )
            for session_id, one in known.items()
        }
        creates = {key: one.columns for key, one in decisions.items() if one.kind is Kind.CREATE}
        changes = {key: one.columns for key, one in decisions.items() if one.kind is Kind.UPDATE}
        return creates, changes, len(sessions) - len(known)

    async def step(db: Db) -> tuple[int, int]:
        await leases.guard(db, job.lease)
        creates, changes, _ = await compare(db)
        await mirrored_sessions.write_sessions(
            db, creates=creates, changes=changes, revived_after=SESSION_ENDED, now=job.now()
        )
        return len(creates), len(changes)

    async with job.database.reading() as db:
        creates, changes, skipped = await compare(db)
    job.counts.sessions_skipped += skipped
    if creates or changes:
        created, updated = await job.database.write(step)
        job.counts.sessions_created += created
        job.counts.sessions_updated += updated


async def _end(job: Job, session_ids: Sequence[str]) -> None:
    for first in range(0, len(session_ids), BATCH):
        await _end_part(job, session_ids[first : first + BATCH])


async def _end_part(job: Job, session_ids: Sequence[str]) -> None:
    async def step(db: Db) -> None:
        await leases.guard(db, job.lease)
        await mirrored_sessions.end_sessions(db, session_ids, reason=SESSION_ENDED, now=job.now())

    await job.database.write(step)
    job.counts.sessions_ended += len(session_ids)


def _could_miss(row: LiveRow, began: datetime) -> bool:
    return row.created_at <= began - MARGIN


def _id(job: Job, sid: str, *, offline: bool) -> str:
    return mirrored_session_id(sid, offline=offline, issuer=job.issuer, package=job.package)
