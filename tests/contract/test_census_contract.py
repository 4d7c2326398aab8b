"""Reading clients, sessions and events, and what an account without roles sees."""

from __future__ import annotations

import time

import pytest

from tests.contract.answers import tokens
from tests.contract.browser import Browser
from tests.contract.servers import BARE, NOBODY, QUERY_ONLY, SERVICE_ACCOUNTS, Keycloak, Person


def client_id(keycloak: Keycloak, name: str) -> str:
    (row,) = keycloak.admin("/clients", clientId=name).json()
    return str(row["id"])


# Clients and sessions


def test_a_client_shows_what_check_reads(keycloak: Keycloak) -> None:
    (row,) = keycloak.admin("/clients", clientId="bridge").json()
    expected = {
        "clientId": "bridge",
        "enabled": True,
        "publicClient": False,
        "standardFlowEnabled": True,
        "implicitFlowEnabled": False,
        "directAccessGrantsEnabled": False,
        "serviceAccountsEnabled": False,
        "frontchannelLogout": False,
        "redirectUris": ["http://127.0.0.1:8000/callback/demo"],
    }
    assert {name: row[name] for name in expected} == expected
    assert row["attributes"]["pkce.code.challenge.method"] == "S256"
    assert row["attributes"]["post.logout.redirect.uris"] == "http://127.0.0.1:8000/logout/done/demo"
    assert keycloak.admin(f"/clients/{row['id']}").json() == row
    assert keycloak.admin("/clients", clientId="nobody").json() == []


def test_service_accounts_are_known_by_their_clients(keycloak: Keycloak) -> None:
    listed = keycloak.admin("/clients", first=0, max=-1).json()
    accounts = [row["id"] for row in listed if row["serviceAccountsEnabled"]]
    users = [keycloak.admin(f"/clients/{identity}/service-account-user").json() for identity in accounts]
    assert {user["username"] for user in users} == SERVICE_ACCOUNTS
    answer = keycloak.admin(f"/clients/{client_id(keycloak, 'bridge')}/service-account-user")
    assert answer.status_code == 400


def test_a_session_is_listed_under_its_user_and_its_client(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    held = tokens(keycloak, browser, person)
    client = client_id(keycloak, "bridge")
    (session,) = keycloak.admin(f"/users/{person.id}/sessions").json()
    assert session == {
        "id": held["session_state"],
        "username": person.username,
        "userId": person.id,
        "ipAddress": "127.0.0.1",
        "start": session["start"],
        "lastAccess": session["lastAccess"],
        "rememberMe": False,
        "clients": {client: "bridge"},
        "transientUser": False,
    }
    assert session in keycloak.admin(f"/clients/{client}/user-sessions", first=0, max=1000).json()


def test_session_times_are_whole_seconds_written_in_milliseconds(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    tokens(keycloak, browser, person)
    (session,) = keycloak.admin(f"/users/{person.id}/sessions").json()
    for name in ("start", "lastAccess"):
        assert session[name] % 1000 == 0
        assert abs(session[name] / 1000 - time.time()) < 60


def test_session_stats_count_in_strings(keycloak: Keycloak, browser: Browser, person: Person) -> None:
    tokens(keycloak, browser, person)
    client = client_id(keycloak, "bridge")
    (row,) = (row for row in keycloak.admin("/client-session-stats").json() if row["clientId"] == "bridge")
    assert set(row) == {"id", "clientId", "active", "offline"}
    assert (row["id"], row["active"].isdigit(), row["offline"].isdigit()) == (client, True, True)
    listed = keycloak.admin(f"/clients/{client}/user-sessions", max=1000).json()
    assert int(row["active"]) == len(listed)


def test_a_session_that_lost_its_client_is_listed_without_clients(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    visit = browser.log_in(person)
    keycloak.token(visit.form)
    keycloak.token(visit.form)
    (session,) = keycloak.admin(f"/users/{person.id}/sessions").json()
    assert session["clients"] == {}


# Events


def test_a_login_is_recorded_as_events_of_this_shape(keycloak: Keycloak, browser: Browser, person: Person) -> None:
    visit = browser.log_in(person)
    keycloak.token(visit.form)
    rows = keycloak.admin("/events", user=person.id, direction="asc").json()
    assert [row["type"] for row in rows] == ["LOGIN", "CODE_TO_TOKEN"]
    for row in rows:
        assert {"id", "time", "realmId", "ipAddress", "details"} <= set(row)
        assert (row["clientId"], row["userId"]) == ("bridge", person.id)
        assert row["sessionId"] == visit.params["session_state"]
        assert abs(row["time"] / 1000 - time.time()) < 60
    assert rows[0]["details"]["username"] == person.username
    assert keycloak.admin("/events", user=person.id).json() == rows[::-1]
    assert keycloak.admin("/events", user=person.id, type="CODE_TO_TOKEN").json() == rows[1:]
    assert keycloak.admin("/events", user=person.id, dateFrom=rows[1]["time"] + 1).json() == []
    assert keycloak.admin("/events", user=person.id, direction="asc", first=1, max=1).json() == rows[1:]


def test_a_second_exchange_is_recorded_as_an_error_of_the_session(
    keycloak: Keycloak, browser: Browser, person: Person
) -> None:
    visit = browser.log_in(person)
    keycloak.token(visit.form)
    keycloak.token(visit.form)
    rows = keycloak.admin("/events", type="CODE_TO_TOKEN_ERROR", max=1000).json()
    (row,) = (row for row in rows if row.get("sessionId") == visit.params["session_state"])
    assert (row["error"], row["clientId"], "userId" in row) == ("invalid_code", "bridge", False)


def test_the_events_config_says_whether_events_are_kept(keycloak: Keycloak) -> None:
    config = keycloak.admin("/events/config").json()
    assert (config["eventsEnabled"], isinstance(config["adminEventsEnabled"], bool)) == (True, True)
    assert {"LOGIN", "LOGOUT", "CODE_TO_TOKEN"} <= set(config["enabledEventTypes"])


# Permissions


PATHS = ["/users", "/users/count", "/groups", "/clients", "/client-session-stats", "/events", "/events/config", ""]


@pytest.mark.parametrize("path", PATHS)
def test_an_account_without_roles_is_forbidden_everything(keycloak: Keycloak, path: str) -> None:
    answer = keycloak.admin_as(BARE, path)
    assert (answer.status_code, answer.json()) == (403, {"error": "HTTP 403 Forbidden"})


@pytest.mark.parametrize("filters", [{}, {"createdAfter": 0}])
def test_an_account_that_may_only_query_lists_nobody_and_counts_everybody(
    keycloak: Keycloak, person: Person, filters: dict[str, int]
) -> None:
    """A narrowed permission looks exactly like a mass deletion: 200 and an empty list."""
    answer = keycloak.admin_as(QUERY_ONLY, "/users", **filters)
    assert (answer.status_code, answer.json()) == (200, [])
    count = keycloak.admin_as(QUERY_ONLY, "/users/count", **filters).json()
    assert count == keycloak.admin("/users/count", **filters).json()
    assert keycloak.admin_as(QUERY_ONLY, f"/users/{person.id}").status_code == 403
    assert keycloak.admin_as(QUERY_ONLY, f"/users/{NOBODY}").status_code == 404


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}])
def test_without_a_token_of_the_realm_the_answer_is_401(keycloak: Keycloak, headers: dict[str, str]) -> None:
    answer = keycloak.http.get(f"{keycloak.url}/admin/realms/{keycloak.realm}/users", headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"error": "HTTP 401 Unauthorized"})


def test_a_persons_token_is_forbidden(keycloak: Keycloak, browser: Browser, person: Person) -> None:
    held = tokens(keycloak, browser, person)
    headers = {"Authorization": f"Bearer {held['access_token']}"}
    answer = keycloak.http.get(f"{keycloak.url}/admin/realms/{keycloak.realm}/users", headers=headers)
    assert answer.status_code == 403
