"""Reading people and groups."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.contract.servers import NOBODY, SERVICE_ACCOUNTS, SYNC, Keycloak, Person


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["username"] for row in answer.json()]


def group_id(keycloak: Keycloak, name: str) -> str:
    (identity,) = (row["id"] for row in keycloak.admin("/groups").json() if row["name"] == name)
    return str(identity)


# People


def test_a_brief_row_has_these_members(keycloak: Keycloak, person: Person) -> None:
    (row,) = keycloak.admin("/users", username=person.username, exact="true", briefRepresentation="true").json()
    assert row == {
        "id": person.id,
        "username": person.username,
        "firstName": "Alice",
        "lastName": "Example",
        "email": f"{person.username}@example.com",
        "emailVerified": True,
        "enabled": True,
        "createdTimestamp": row["createdTimestamp"],
        "access": {"manage": False},
    }
    assert abs(row["createdTimestamp"] / 1000 - time.time()) < 60


def test_a_user_read_by_id_has_no_groups_and_no_roles(keycloak: Keycloak, person: Person) -> None:
    row = keycloak.admin(f"/users/{person.id}").json()
    assert row["username"] == person.username
    assert not {"groups", "realmRoles", "clientRoles", "serviceAccountClientId"} & set(row)


def test_plain_lists_are_ordered_by_username_and_hold_no_service_account(keycloak: Keycloak, person: Person) -> None:
    listed = names(keycloak.admin("/users", max=-1))
    assert person.username in listed
    assert listed == sorted(listed)
    assert not SERVICE_ACCOUNTS & set(listed)


def test_windows_hold_service_accounts_and_so_do_their_counts(keycloak: Keycloak, person: Person) -> None:
    """The sum of the windows is more than the plain count by exactly the service accounts."""
    plain, window = keycloak.admin("/users/count").json(), keycloak.admin("/users/count", createdAfter=0).json()
    assert window - plain == len(SERVICE_ACCOUNTS)
    listed = names(keycloak.admin("/users", createdAfter=0, max=-1))
    assert {*SERVICE_ACCOUNTS, person.username} <= set(listed)
    assert listed == sorted(listed)
    assert len(listed) == window


def test_a_window_includes_both_its_ends(keycloak: Keycloak, person: Person) -> None:
    created = keycloak.admin(f"/users/{person.id}").json()["createdTimestamp"]

    def inside(after: int, before: int) -> bool:
        bounds = {"createdAfter": after, "createdBefore": before}
        listed = person.username in names(keycloak.admin("/users", **bounds))
        assert (keycloak.admin("/users/count", **bounds).json() > 0) or not listed
        return listed

    assert inside(created, created)
    assert not inside(created + 1, created + 1000)
    assert not inside(created - 1000, created - 1)


def test_lists_are_paged_by_first_and_max(keycloak: Keycloak) -> None:
    keycloak.person()
    keycloak.person()
    whole = names(keycloak.admin("/users", createdAfter=0, max=-1))
    assert names(keycloak.admin("/users", createdAfter=0, first=1, max=2)) == whole[1:3]
    assert names(keycloak.admin("/users", createdAfter=0, first=len(whole), max=2)) == []
    assert names(keycloak.admin("/users", max=0)) == []


def test_names_are_found_whatever_their_case(keycloak: Keycloak, person: Person) -> None:
    found = keycloak.admin("/users", username=person.username.upper(), exact="true")
    assert names(found) == [person.username]
    assert names(keycloak.admin("/users", search=person.username[:12])) == [person.username]
    assert names(keycloak.admin("/users", search="service-account")) == []


def test_a_bad_bound_is_a_400(keycloak: Keycloak) -> None:
    answer = keycloak.admin("/users", createdAfter="tomorrow")
    text = "Invalid value for 'createdAfter', expected format is yyyy-MM-dd or an Epoch timestamp"
    assert (answer.status_code, answer.json()) == (400, {"error": text})


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (f"/users/{NOBODY}", "User not found"),
        (f"/users/{NOBODY}/groups", "User not found"),
        (f"/users/{NOBODY}/sessions", "User not found"),
        (f"/groups/{NOBODY}/members", "Could not find group by id"),
        (f"/groups/{NOBODY}/children", "Could not find group by id"),
        (f"/clients/{NOBODY}/user-sessions", "Could not find client"),
        ("/nonsense", "HTTP 404 Not Found"),
    ],
)
def test_each_404_says_what_is_missing(keycloak: Keycloak, path: str, error: str) -> None:
    """Only `User not found` says that a user is gone; a wrong realm or path is a 404 too."""
    answer = keycloak.admin(path)
    assert (answer.status_code, answer.json()) == (404, {"error": error})


def test_an_unknown_realm_is_a_404_of_its_own(keycloak: Keycloak) -> None:
    granted = keycloak.token({"grant_type": "client_credentials"}, SYNC).json()
    headers = {"Authorization": f"Bearer {granted['access_token']}"}
    answer = keycloak.http.get(f"{keycloak.url}/admin/realms/nowhere/users", headers=headers)
    assert (answer.status_code, answer.json()) == (404, {"error": "Realm not found."})


# Groups


def test_the_list_of_groups_shows_the_top_and_how_many_are_below(keycloak: Keycloak) -> None:
    rows = keycloak.admin("/groups").json()
    shown = [(row["name"], row["path"], row["subGroupCount"], row["subGroups"]) for row in rows]
    assert shown == [("guests", "/guests", 0, []), ("staff", "/staff", 2, [])]
    assert keycloak.admin("/groups", first=1, max=1).json() == rows[1:]


def test_children_are_listed_with_path_and_parent(keycloak: Keycloak) -> None:
    staff = group_id(keycloak, "staff")
    rows = keycloak.admin(f"/groups/{staff}/children").json()
    shown = [(row["name"], row["path"], row["parentId"], row["subGroupCount"]) for row in rows]
    assert shown == [("sales", "/staff/sales", staff, 0), ("support", "/staff/support", staff, 0)]
    assert keycloak.admin(f"/groups/{staff}/children", first=1, max=1).json() == rows[1:]
    bare = keycloak.admin(f"/groups/{staff}/children", subGroupsCount="false").json()
    assert all("subGroupCount" not in row for row in bare)


def test_members_are_the_direct_ones_by_username(keycloak: Keycloak, person: Person) -> None:
    staff = group_id(keycloak, "staff")
    rows = keycloak.admin(f"/groups/{staff}/members", briefRepresentation="true", max=-1).json()
    listed = [row["username"] for row in rows]
    assert person.username in listed
    assert listed == sorted(listed)
    assert all("access" not in row for row in rows)
    assert keycloak.admin(f"/groups/{group_id(keycloak, 'guests')}/members").json() == []


def test_the_groups_of_a_user_come_with_their_paths(keycloak: Keycloak, person: Person) -> None:
    rows = keycloak.admin(f"/users/{person.id}/groups").json()
    assert [(row["name"], row["path"]) for row in rows] == [("sales", "/staff/sales"), ("staff", "/staff")]
    assert rows[0]["parentId"] == rows[1]["id"]
    assert keycloak.admin(f"/users/{person.id}/groups", first=1, max=1).json() == rows[1:]
