"""The Admin API: clients, sessions and events."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.double.admin import AdminApi, Asked, admin_error, moment
from tests.double.openid import log_out
from tests.double.records import Client, Json, Session
from tests.double.serving import Refused
from tests.double.showing import shown_client, shown_session, shown_user

EVENT_TYPES = ["LOGIN", "LOGIN_ERROR", "LOGOUT", "CODE_TO_TOKEN", "CODE_TO_TOKEN_ERROR", "CLIENT_LOGIN"]


def routes(api: AdminApi) -> list[Route]:
    """List the routes of this part."""
    return [
        api.route("/clients", list_clients),
        api.route("/clients/{id}", read_client),
        api.route("/clients/{id}/service-account-user", read_service_account),
        api.route("/clients/{id}/user-sessions", list_client_sessions),
        api.route("/clients/{id}/offline-sessions", list_client_offline_sessions),
        api.route("/client-session-stats", session_stats),
        api.route("/users/{id}/sessions", list_user_sessions),
        api.route("/users/{id}/offline-sessions/{client}", list_user_offline_sessions),
        api.route("/sessions/{id}", delete_session, method="DELETE"),
        api.route("/events", list_events),
        api.route("/events/config", read_events_config),
        api.route("/admin-events", list_admin_events),
    ]


def _client(asked: Asked, *, name: str = "id", missing: str = "Could not find client") -> Client:
    client = asked.realm.clients.get(asked.path[name])
    if client is None:
        raise Refused(admin_error(404, missing))
    return client


def list_clients(asked: Asked) -> Response:
    """List clients, by clientId; the filter is exact."""
    asked.require("view-clients")
    wanted = asked.params.get("clientId")
    clients = [one for one in asked.realm.clients.values() if wanted in {None, one.client_id}]
    clients.sort(key=lambda one: one.client_id)
    return JSONResponse([shown_client(one) for one in asked.page_of(clients)])


def read_client(asked: Asked) -> Response:
    """Show one client."""
    asked.require("view-clients")
    return JSONResponse(shown_client(_client(asked)))


def read_service_account(asked: Asked) -> Response:
    """Show the user of a service account: the only way to know which users are none."""
    asked.require("view-clients")
    client = _client(asked)
    user = asked.realm.service_account(client.client_id)
    if user is None:
        return admin_error(400, f"Service account not enabled for the client '{client.client_id}'")
    return JSONResponse(shown_user(user, brief=False, access=False))


def _of_client(asked: Asked, *, offline: bool) -> Response:
    asked.require("view-clients")
    client = _client(asked)
    sessions = [one for one in asked.realm.sessions.living(offline=offline) if client.uuid in one.clients]
    return _sessions(asked, list(asked.page_of(sessions)))


def _sessions(asked: Asked, sessions: list[Session]) -> Response:
    return JSONResponse([shown_session(asked.realm, one) for one in sessions])


def list_client_sessions(asked: Asked) -> Response:
    """List the online sessions of a client."""
    return _of_client(asked, offline=False)


def list_client_offline_sessions(asked: Asked) -> Response:
    """List the offline sessions of a client."""
    return _of_client(asked, offline=True)


def session_stats(asked: Asked) -> Response:
    """Count the sessions of each client that has any; the numbers are strings."""
    asked.require("view-realm")
    online, offline = asked.realm.sessions.living(), asked.realm.sessions.living(offline=True)
    stats: list[Json] = []
    for client in asked.realm.clients.values():
        active = sum(client.uuid in one.clients for one in online)
        away = sum(client.uuid in one.clients for one in offline)
        if active or away:
            row: Json = {"offline": str(away), "clientId": client.client_id, "active": str(active), "id": client.uuid}
            stats.append(row)
    return JSONResponse(stats)


def list_user_sessions(asked: Asked) -> Response:
    """List the online sessions of a user, also one that has lost its clients."""
    user = asked.user()
    return _sessions(asked, [one for one in asked.realm.sessions.living() if one.user_id == user.id])


def list_user_offline_sessions(asked: Asked) -> Response:
    """List the offline sessions of a user with one client."""
    user = asked.user()
    client = _client(asked, name="client", missing="Client not found")
    living = asked.realm.sessions.living(offline=True)
    return _sessions(asked, [one for one in living if one.user_id == user.id and client.uuid in one.clients])


def delete_session(asked: Asked) -> Response:
    """End a session; an offline one only with `isOffline=true`."""
    asked.require("manage-users")
    offline = dict(asked.repeated).get("isOffline") == "true"
    session = asked.realm.sessions.find(asked.path["id"], offline=offline)
    if session is None:
        return admin_error(404, "Sesssion not found")
    log_out(asked.realm, session, None)
    return Response(status_code=204)


def list_events(asked: Asked) -> Response:
    """List user events, newest first unless `direction=asc`."""
    asked.require("view-events")
    types = {value for name, value in asked.repeated if name == "type"}
    named = {"clientId": asked.params.get("client"), "userId": asked.params.get("user")}
    wanted = {name: value for name, value in named.items() if value is not None}
    events = [one for one in asked.realm.events if not types or one["type"] in types]
    return _event_page(asked, [one for one in events if wanted.items() <= one.items()])


def list_admin_events(asked: Asked) -> Response:
    """List admin events, newest first unless `direction=asc`."""
    asked.require("view-events")
    types = {value for name, value in asked.repeated if name == "resourceTypes"}
    return _event_page(asked, [one for one in asked.realm.admin_events if not types or one["resourceType"] in types])


def _event_page(asked: Asked, events: list[Json]) -> Response:
    after, before = moment(asked, "dateFrom"), moment(asked, "dateTo", end_of_day=True)
    direction = asked.params.get("direction", "desc")
    if direction not in {"asc", "desc"}:
        return admin_error(400, "Invalid value for sortDirection, expected one of [asc, desc]")
    rows = [
        one
        for one in events
        if (after is None or int(str(one["time"])) >= after) and (before is None or int(str(one["time"])) <= before)
    ]
    rows.sort(key=lambda one: int(str(one["time"])), reverse=direction == "desc")
    return JSONResponse(asked.page_of(rows))


def read_events_config(asked: Asked) -> Response:
    """Show what is recorded and for how long."""
    asked.require("view-events")
    realm = asked.realm
    return JSONResponse(
        {
            "eventsEnabled": realm.events_enabled,
            "eventsExpiration": realm.events_expiration,
            "eventsListeners": ["jboss-logging"],
            "enabledEventTypes": EVENT_TYPES,
            "adminEventsEnabled": realm.admin_events_enabled,
            "adminEventsDetailsEnabled": False,
        }
    )
