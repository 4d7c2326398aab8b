"""What a check finds, and the `kcadm.sh` lines that mend it (pure).

Every line can be pasted into a shell as it stands, after `kcadm.sh config credentials`: values are quoted, and where
the `client_uuid` is not known the line asks Keycloak for it itself. No line ever holds a secret.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from bridge.errors import BridgeError


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: in order or not, in plain words, and what mends it."""

    subject: str
    ok: bool
    message: str
    mend: str | None = None
    """A line for the shell or what to set; None when it is in order or only another finding can be mended."""


def report_failure(subject: str, error: BridgeError, *, mend: str | None = None) -> Finding:
    """Return the finding for a check that an error ended: the hint rather than the sentence for visitors."""
    said = "; ".join(f"{name}: {value}" for name, value in error.evidence.items())
    text = error.hint or error.message
    return Finding(subject, ok=False, message=f"{text} ({said})" if said else text, mend=mend)


def find_realm(issuer: str) -> str:
    """Return the name of an issuer's realm, as `kcadm.sh -r` wants it."""
    return unquote(issuer.rpartition("/realms/")[2])


def service_account(client_id: str) -> str:
    """Return the username that Keycloak gives to a client's service account."""
    return f"service-account-{client_id.lower()}"


def look_up(realm: str, client_id: str) -> str:
    """Return shell text that becomes the `client_uuid`, for lines written before it is known."""
    query = ["kcadm.sh", "get", "clients", "-r", realm, "-q", f"clientId={client_id}"]
    return f"$({shlex.join([*query, '--fields', 'id', '--format', 'csv', '--noquotes'])})"


def update_client(realm: str, client: str, *changes: str) -> str:
    """Return the line that changes a client; `client` is its `client_uuid`, or what `look_up` gave."""
    place = f"clients/{client}" if client.startswith("$(") else shlex.quote(f"clients/{client}")
    return " ".join(["kcadm.sh update", place, shlex.join(["-r", realm, *_settings(changes)])])


def show_secret(realm: str, client_id: str) -> str:
    """Return the line that shows which secret Keycloak holds for a client."""
    return f"kcadm.sh get clients/{look_up(realm, client_id)}/client-secret -r {shlex.quote(realm)}"


def show_client(realm: str, client_id: str) -> str:
    """Return the line that shows whether a client is there and enabled (an empty list: it is not there)."""
    query = ["kcadm.sh", "get", "clients", "-r", realm, "-q", f"clientId={client_id}"]
    return shlex.join([*query, "--fields", "clientId,enabled"])


def create_client(realm: str, client_id: str, *changes: str) -> str:
    """Return the line that registers a confidential client; Keycloak makes up its secret."""
    given = (f"clientId={client_id}", "enabled=true", "publicClient=false", *changes)
    return shlex.join(["kcadm.sh", "create", "clients", "-r", realm, *_settings(given)])


def add_role(realm: str, client_id: str, role: str) -> str:
    """Return the line that gives a role of realm-management to a service account."""
    return _change_role("add-roles", realm, client_id=client_id, role=role)


def remove_role(realm: str, client_id: str, role: str) -> str:
    """Return the line that takes a role of realm-management from a service account."""
    return _change_role("remove-roles", realm, client_id=client_id, role=role)


def list_value(name: str, values: Sequence[str]) -> str:
    """Return the change that sets a list, such as `redirectUris=["https://..."]`."""
    return f"{name}={json.dumps(list(values), separators=(',', ':'))}"


def attribute_value(name: str, value: str) -> str:
    """Return the change that sets one attribute; its name holds dots, so it is quoted for kcadm too."""
    return f'attributes."{name}"={value}'


def _change_role(verb: str, realm: str, *, client_id: str, role: str) -> str:
    words = ["kcadm.sh", verb, "-r", realm, "--uusername", service_account(client_id)]
    return shlex.join([*words, "--cclientid", "realm-management", "--rolename", role])


def _settings(changes: Sequence[str]) -> list[str]:
    return [word for change in changes for word in ("-s", change)]
