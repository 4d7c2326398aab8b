"""The demo realm: 200 people, nested groups and three clients, under any realm name and for any addresses."""

import json
import uuid
from pathlib import Path
from typing import Any

REALM_FILE = Path(__file__).with_name("realm.json")
BRIDGE_SECRET = "bridge-demo-secret"  # noqa: S105  known to everybody, for a server on the loopback address
SYNC_SECRET = "sync-demo-secret"  # noqa: S105  as above
_IDENTITIES = uuid.UUID("5f0d4a52-6f0e-4d0c-9a43-0b6f7f6f5a11")


def load_realm(
    *,
    name: str = "demo",
    bridge_url: str = "http://127.0.0.1:8000",
    app_url: str = "http://127.0.0.1:8001",
    package: str = "demo",
) -> dict[str, Any]:
    """Return the representation to create the realm with, its name and addresses filled in.

    Everybody gets the default roles (Keycloak gives none to imported people) and a verified address. All ids derive
    from the realm's name: a realm that is created again holds the same people for a mirror that knew the old one,
    and two realms on one server do not collide.
    """
    places = {"@REALM@": name, "@BRIDGE@": bridge_url, "@APP@": app_url, "@PACKAGE@": package}
    realm: dict[str, Any] = _fill(json.loads(REALM_FILE.read_text(encoding="utf-8")), places)
    for person in realm["users"]:
        _complete(person, realm=name)
    for group in realm["groups"]:
        _identify(group, realm=name, parent="")
    for registration in realm["clients"]:
        registration["id"] = _identity(name, "client", registration["clientId"])
    return realm


def _fill(node: Any, places: dict[str, str]) -> Any:
    """Return the JSON value with every placeholder in its strings replaced."""
    if isinstance(node, dict):
        return {key: _fill(value, places) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, places) for value in node]
    if isinstance(node, str):
        for placeholder, value in places.items():
            node = node.replace(placeholder, value)
    return node


def _complete(person: dict[str, Any], *, realm: str) -> None:
    """Add what is the same for everybody, so that a person stays one line in the file."""
    person["id"] = _identity(realm, "user", person["username"])
    person.setdefault("enabled", True)
    if "serviceAccountClientId" not in person:
        person["emailVerified"] = "email" in person
        person["realmRoles"] = [f"default-roles-{realm}"]


def _identify(group: dict[str, Any], *, realm: str, parent: str) -> None:
    """Give a group and all groups below it an id of their path."""
    path = f"{parent}/{group['name']}"
    group["id"] = _identity(realm, "group", path)
    for child in group.get("subGroups", []):
        _identify(child, realm=realm, parent=path)


def _identity(realm: str, kind: str, name: str) -> str:
    return str(uuid.uuid5(_IDENTITIES, f"{realm}/{kind}/{name}"))
