"""What the sync's service account may do, role by role: too little stops the sync, too much is a danger.

A role is there when a harmless read that needs it works. The token is no proof: a client with lightweight access
tokens, or without the client scope `roles`, may read although its token names no role. Which roles can write, only the
token tells without writing.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from bridge.errors import KeycloakError, PermissionMissing
from bridge.keycloak.admin import Admin
from bridge.keycloak.credentials import Credentials
from bridge.keycloak.findings import (
    Finding,
    add_role,
    look_up,
    remove_role,
    report_failure,
    service_account,
    update_client,
)

EVERYTHING = "realm-admin"
"""Contains all other roles of realm-management."""
WRITING = frozenset({EVERYTHING, "create-client", "impersonation"})
WRITING_PREFIX = "manage-"


@dataclass(frozen=True)
class Read:
    """A call that works with a role and fails without; `shows` when without it an empty list comes, not a refusal."""

    role: str
    path: str
    params: Mapping[str, object]
    loss: str
    shows: bool = False


def build_reads(client_id: str) -> tuple[Read, ...]:
    """Return the reads; the lists ask for the account and its client, which are surely there."""
    name = {"username": service_account(client_id), "exact": "true", "briefRepresentation": "true", "max": 1}
    client = {"clientId": client_id, "max": 1}
    return (
        Read("view-users", "/users", name, "users, their groups and sessions cannot be read", shows=True),
        Read("query-users", "/users/count", {}, "users cannot be counted"),
        Read("query-groups", "/groups/count", {}, "groups cannot be counted"),
        Read("view-events", "/events", {"max": 1}, "changes are found by full sweeps only"),
        Read("view-clients", "/clients", client, "sessions and the bridge's own client cannot be read", shows=True),
        Read("query-clients", "/clients", client, "clients cannot be found by client_id"),
        Read("view-realm", "/client-session-stats", {}, "live sessions cannot be counted"),
    )


async def check_permissions(admin: Admin, credentials: Credentials) -> dict[str, Finding]:
    """Try every read and return a finding for each role."""
    reads = build_reads(credentials.client_id)
    return {read.role: await _check_read(admin, credentials, read) for read in reads}


def check_scope(findings: Mapping[str, Finding], credentials: Credentials) -> list[Finding]:
    """When no role works, name the other reason: the client's scope may keep them from its token."""
    if any(finding.ok for finding in findings.values()):
        return []
    message = "No role works. If the service account has them, the scope of its client keeps them from the token:"
    line = update_client(credentials.realm, look_up(credentials.realm, credentials.client_id), "fullScopeAllowed=true")
    return [Finding(f"{credentials.section} scope", ok=False, message=message, mend=line)]


def check_surplus(access_token: str, credentials: Credentials) -> list[Finding]:
    """Report every role that can write; the sync only reads (least privilege)."""
    subject = f"{credentials.section} least privilege"
    roles = read_roles(access_token)
    if not roles:
        return [Finding(subject, ok=True, message="Its token names no roles, so roles that can write are not seen.")]
    writing = sorted(role for role in roles if role in WRITING or role.startswith(WRITING_PREFIX))
    if EVERYTHING in writing:
        writing = [EVERYTHING]
    if not writing:
        return [Finding(subject, ok=True, message="No role of realm-management that it has can write.")]
    return [
        Finding(
            subject,
            ok=False,
            message=f"{credentials.client_id} has the role {role}, which can write; the sync only reads.",
            mend=remove_role(credentials.realm, credentials.client_id, role),
        )
        for role in writing
    ]


def read_roles(access_token: str) -> frozenset[str]:
    """Return the roles of realm-management that a token names; composite roles are resolved in it.

    It came from the token endpoint itself and nothing is decided by it, so its signature is not looked at.
    """
    part = access_token.split(".")[1] if access_token.count(".") == 2 else ""  # noqa: PLR2004 - RFC 7515 section 3.1
    try:
        claims: object = orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, orjson.JSONDecodeError):
        return frozenset()
    for name in ("resource_access", "realm-management", "roles"):
        claims = claims.get(name) if isinstance(claims, dict) else None
    return frozenset(role for role in claims if isinstance(role, str)) if isinstance(claims, list) else frozenset()


async def _check_read(admin: Admin, credentials: Credentials, read: Read) -> Finding:
    subject = f"{credentials.section} role {read.role}"
    try:
        found = await admin.fetch(read.path, read.params)
    except PermissionMissing:
        found = None
    except KeycloakError as error:
        return report_failure(subject, error)
    if found is not None and (found or not read.shows):
        return Finding(subject, ok=True, message=f"{credentials.client_id} has the role {read.role}.")
    return Finding(
        subject,
        ok=False,
        message=f"{credentials.client_id} lacks the role {read.role} of realm-management: {read.loss}.",
        mend=add_role(credentials.realm, credentials.client_id, read.role),
    )
