"""Realms to measure with: the demo realm's clients, and as many people as it takes."""

import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deploy.demo.keycloak_server import KeycloakServer
from deploy.demo.realm import load_realm
from tests.bench.figures import BenchmarkFailed
from tests.bench.service import PACKAGE

DEPARTMENTS, TEAMS = 8, 4
"""Groups: departments, and so many teams in each; 40 together."""
IMPORTED_AT_ONCE = 500
EVERY_SECOND_GROUP = 5
"""Every fifth person is in a second group."""
_FIRST_DAY, _LAST_DAY = 1_577_836_800_000, 1_767_225_600_000
"""Accounts were made in the years 2020 to 2025, in milliseconds."""


@contextmanager
def open_realm(keycloak: KeycloakServer, *, name: str, signing_in: int, bridge_url: str) -> Iterator[str]:
    """Give the issuer of a realm in which so many people have a password, their user name; it is deleted at the end."""
    realm = load_realm(name=name, bridge_url=bridge_url, package=PACKAGE)
    accounts = [person for person in realm["users"] if "serviceAccountClientId" in person]
    people = [_person(name, number) for number in range(signing_in)]
    for person in people:
        person["credentials"] = [{"type": "password", "value": person["username"]}]
    realm["users"] = [*people, *accounts]
    realm["groups"] = [
        {"name": f"department-{one}", "subGroups": [{"name": f"team-{two}"} for two in range(TEAMS)]}
        for one in range(DEPARTMENTS)
    ]
    keycloak.create_realm(realm)
    try:
        yield f"{keycloak.url}/realms/{name}"
    finally:
        keycloak.admin("DELETE", f"/realms/{name}")


def import_people(keycloak: KeycloakServer, *, realm: str, first: int, number: int) -> None:
    """Add people without a password until there are `number`; the first of them has the number `first`.

    Raises:
        BenchmarkFailed: Keycloak refused some.
    """
    for begin in range(first, number, IMPORTED_AT_ONCE):
        people = [_person(realm, one) for one in range(begin, min(begin + IMPORTED_AT_ONCE, number))]
        answer = keycloak.admin(
            "POST", f"/realms/{realm}/partialImport", json={"ifResourceExists": "FAIL", "users": people}
        )
        if not answer.is_success or answer.json()["added"] != len(people):
            raise BenchmarkFailed(f"Keycloak did not import people: {answer.status_code} {answer.text[:300]}")


def username(number: int) -> str:
    """Return the user name of a person, which is the password too where there is one."""
    return f"person-{number:06}"


def read_version(keycloak: KeycloakServer) -> str:
    """Return the version of the server."""
    return f"Keycloak {keycloak.admin('GET', '/serverinfo').json()['systemInfo']['version']}"


def _person(realm: str, number: int) -> dict[str, Any]:
    """Return a person who is the same in every run."""
    chance = random.Random(number)  # noqa: S311 - made-up people, no secret
    name = username(number)
    paths = [_group_path(number)]
    if number % EVERY_SECOND_GROUP == 0:
        paths.append(_group_path(number + 7))
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{realm}/{name}")),
        "username": name,
        "email": f"{name}@example.com",
        "emailVerified": True,
        "firstName": f"Given {number}",
        "lastName": f"Family {number}",
        "enabled": True,
        "createdTimestamp": chance.randrange(_FIRST_DAY, _LAST_DAY),
        "groups": paths,
        "realmRoles": [f"default-roles-{realm}"],
    }


def _group_path(number: int) -> str:
    """Deal people out to departments and teams evenly."""
    department, place = number % DEPARTMENTS, number // DEPARTMENTS % (TEAMS + 1)
    return f"/department-{department}" + (f"/team-{place - 1}" if place else "")
