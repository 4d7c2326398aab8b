"""Bulk reading of sessions: per client, since the Admin API has no list of a realm, online and offline apart."""

from collections.abc import AsyncGenerator, Iterable

from bridge.keycloak.admin import Admin, segment
from bridge.keycloak.mapping import ClientSessionStats, KeycloakSession, to_list, to_session, to_stats
from bridge.keycloak.pages import read_pages, spread

SESSIONS_A_PAGE = 1000
Source = tuple[str, bool]
"""A client_uuid, and whether its offline sessions are meant."""


async def fetch_client_session_stats(admin: Admin) -> list[ClientSessionStats]:
    """Read which clients have sessions, and how many."""
    path = "/client-session-stats"
    return [to_stats(found) for found in to_list(await admin.fetch(path), path)]


async def read_sessions(admin: Admin, stats: Iterable[ClientSessionStats]) -> AsyncGenerator[list[KeycloakSession]]:
    """Yield the sessions of each client, online and offline; one under several clients comes several times."""

    async def work(source: Source) -> tuple[list[Source], list[KeycloakSession]]:
        client_uuid, offline = source
        path = f"/clients/{segment(client_uuid)}/{'offline' if offline else 'user'}-sessions"
        rows = read_pages(admin, path, size=SESSIONS_A_PAGE)
        return [], [to_session(row, offline=offline) async for row in rows]

    sources = [(one.client_uuid, False) for one in stats if one.active]
    sources += [(one.client_uuid, True) for one in stats if one.offline]
    async for sessions in spread(sources, work, width=admin.in_flight):
        yield sessions


async def fetch_user_sessions(admin: Admin, sub: str) -> list[KeycloakSession]:
    """Read the online sessions of one user, also those without a client; none when the user is gone."""
    return await _listed(admin, f"/users/{segment(sub)}/sessions", offline=False)


async def fetch_user_offline_sessions(admin: Admin, sub: str, *, client_uuid: str) -> list[KeycloakSession]:
    """Read the offline sessions of one user with one client; none when the user is gone."""
    return await _listed(admin, f"/users/{segment(sub)}/offline-sessions/{segment(client_uuid)}", offline=True)


async def _listed(admin: Admin, path: str, *, offline: bool) -> list[KeycloakSession]:
    found = await admin.find(path)
    return [] if found is None else [to_session(row, offline=offline) for row in to_list(found, path)]
