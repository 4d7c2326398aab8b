"""Bulk reading of sessions: per client, since the Admin API has no list of a realm, online and offline apart."""

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass

from bridge.errors import KeycloakAnswerInvalid
from bridge.keycloak.admin import Admin, segment
from bridge.keycloak.mapping import ClientSessionStats, KeycloakSession, to_list, to_session, to_stats
from bridge.keycloak.pages import spread

SESSIONS_A_PAGE = 1000


@dataclass(frozen=True)
class Source:
    """A page of the sessions of one client; `before` are the sids of the page before it."""

    client_uuid: str
    offline: bool
    first: int = 0
    before: tuple[str, ...] = ()


async def fetch_client_session_stats(admin: Admin) -> list[ClientSessionStats]:
    """Read which clients have sessions, and how many."""
    path = "/client-session-stats"
    return [to_stats(found) for found in to_list(await admin.fetch(path), path)]


async def read_sessions(admin: Admin, stats: Iterable[ClientSessionStats]) -> AsyncGenerator[list[KeycloakSession]]:
    """Yield the sessions of each client page by page, online and offline.

    A session of several clients comes several times. A client that is deleted meanwhile has none.
    """

    async def work(source: Source) -> tuple[list[Source], list[KeycloakSession] | None]:
        sessions = await _fetch_page(admin, source)
        if not sessions:
            return [], None
        sids = tuple(one.sid for one in sessions)
        return [Source(source.client_uuid, source.offline, source.first + SESSIONS_A_PAGE, sids)], sessions

    sources = [Source(one.client_uuid, offline=False) for one in stats if one.active]
    sources += [Source(one.client_uuid, offline=True) for one in stats if one.offline]
    async for sessions in spread(sources, work, width=admin.in_flight):
        yield sessions


async def fetch_user_sessions(admin: Admin, sub: str) -> list[KeycloakSession]:
    """Read the online sessions of one user, also those without a client; none when the user is gone."""
    return await _listed(admin, f"/users/{segment(sub)}/sessions", offline=False)


async def fetch_user_offline_sessions(admin: Admin, sub: str, *, client_uuid: str) -> list[KeycloakSession]:
    """Read the offline sessions of one user with one client; none when either is gone."""
    return await _listed(admin, f"/users/{segment(sub)}/offline-sessions/{segment(client_uuid)}", offline=True)


async def _fetch_page(admin: Admin, source: Source) -> list[KeycloakSession]:
    path = f"/clients/{segment(source.client_uuid)}/{'offline' if source.offline else 'user'}-sessions"
    params = {"first": source.first, "max": SESSIONS_A_PAGE, "briefRepresentation": "true"}
    found = await admin.find(path, params)
    sessions = [] if found is None else [to_session(row, offline=source.offline) for row in to_list(found, path)]
    if sessions and source.before == tuple(one.sid for one in sessions):
        raise KeycloakAnswerInvalid(evidence={"call": path, "found": "the same page twice"})
    return sessions


async def _listed(admin: Admin, path: str, *, offline: bool) -> list[KeycloakSession]:
    found = await admin.find(path)
    return [] if found is None else [to_session(row, offline=offline) for row in to_list(found, path)]
