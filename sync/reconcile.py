"""The rules of the mirror (pure): what Keycloak has, what the row has, and what is to be done about it.

The columns of the row itself are compared, so an edit by hand is seen like a change at Keycloak; equal means no write.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from bridge.keycloak.group_codes import UNFIT, build_group_codes
from bridge.keycloak.mapping import KeycloakGroup, KeycloakSession, KeycloakUser, RealmLimits
from bridge.model import Identity, Origin

Columns = Mapping[str, object]

LONGEST = {"User": 150, "Email": 255, "FirstName": 255, "LastName": 255, "DisplayName": 512, "Sub": 255}
LONGEST_IP_ADDRESS = 45
SYNC = "sync"
SESSION_ENDED = "keycloak_session_ended"
"""The one reason that the census may take back: everybody else's end of a session is final."""


class Kind(Enum):
    """What is to be done with one row."""

    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    REREAD = "reread"
    CONFLICT = "conflict"


@dataclass(frozen=True)
class Person:
    """A user as Keycloak has it, with group codes; `confirmed` when both were read for this user alone.

    `unknown_groups`: the user is in groups that the group tree does not show, so that codes may be missing.
    """

    user: KeycloakUser
    codes: tuple[str, ...]
    confirmed: bool = False
    unknown_groups: bool = False


@dataclass(frozen=True)
class Conflict:
    """Something of Keycloak that cannot be mirrored, and why; `name` is a username or a group path."""

    name: str
    reason: str


@dataclass(frozen=True)
class Decision:
    """What to do: all columns of a new row, or the changed ones; a conflict may stand beside an update of the rest."""

    kind: Kind
    columns: Columns = field(default_factory=dict)
    conflict: Conflict | None = None


def decide_user(person: Person, row: Columns | None, *, identity: Identity, noted: int | None) -> Decision:
    """Compare one user with its row; `noted` is the row's version from before Keycloak was read.

    REREAD: the row is newer than what was read of Keycloak, or a group would be taken away that one member list alone
    does not show (such lists lose people while others leave).
    """
    wanted = wanted_columns(person, identity)
    unfit = _unfit(wanted)
    conflict = Conflict(person.user.username, unfit[0][1]) if unfit else None
    if row is None:
        return Decision(Kind.CONFLICT, conflict=conflict) if conflict else Decision(Kind.CREATE, wanted)
    if row["RowVersion"] != noted:
        return Decision(Kind.REREAD)
    wanted |= _active_columns(row, enabled=person.user.enabled) | _group_columns(row, person)
    if not person.confirmed and set(_codes(row["MirroredUsergroups"])) - set(person.codes):
        return Decision(Kind.REREAD)
    for name, _reason in unfit:
        wanted.pop(name, None)
    changed = {name: value for name, value in wanted.items() if row[name] != value}
    return Decision(Kind.UPDATE if changed else Kind.UNCHANGED, changed, conflict)


def decide_name(decision: Decision, *, username: str, holder: Columns | None, identity: Identity) -> Decision:
    """Judge a user name that the row would take: free, held by a hand-written row, or held by another identity.

    Raises nothing: a conflict takes the name out of the change and leaves the rest of the row true. REREAD means that
    the holder is an identity of the same realm: Keycloak must be asked where it is now.
    """
    if holder is None:
        return decision
    if holder["Issuer"] == identity.issuer and holder["Sub"] is not None:
        return Decision(Kind.REREAD)
    return without_name(decision, Conflict(username, "the name is held by a row that is not mirrored from this realm"))


def without_name(decision: Decision, conflict: Conflict) -> Decision:
    """Return the decision for a row that cannot have its name."""
    if decision.kind is Kind.CREATE:
        return Decision(Kind.CONFLICT, conflict=conflict)
    rest = {name: value for name, value in decision.columns.items() if name != "User"}
    return Decision(Kind.UPDATE if rest else Kind.UNCHANGED, rest, conflict)


def wanted_columns(person: Person, identity: Identity) -> dict[str, object]:
    """Return the columns the mirror owns, as a new row gets them."""
    user, codes = person.user, ",".join(person.codes) or None
    columns: dict[str, object] = {
        "User": user.username,
        "Uuid": identity.uuid,
        "Package": identity.package,
        "Active": user.enabled,
        "DeactivatedBy": None if user.enabled else SYNC,
        "Email": user.email,
        "EmailVerified": user.email_verified,
        "FirstName": user.first_name,
        "LastName": user.last_name,
        "DisplayName": " ".join(part for part in (user.first_name, user.last_name) if part) or None,
        "Usergroups": codes,
        "MirroredUsergroups": codes,
        "Realm": identity.realm,
        "Issuer": identity.issuer,
        "Sub": identity.sub,
        "Origin": str(Origin.KEYCLOAK),
        "MissingSince": None,
    }
    # A user without a creation time keeps the date of the first sign-in.
    return columns if user.created_at is None else columns | {"RegisterDate": user.created_at}


def merge_codes(current: Sequence[str], mirrored: Collection[str], produced: Iterable[str]) -> tuple[str, ...]:
    """Return (current - mirrored) + produced, each once: codes that others put there keep their place in front."""
    mine = dict.fromkeys(produced)
    return tuple(dict.fromkeys([code for code in current if code not in mirrored and code not in mine] + list(mine)))


def group_codes(groups: Iterable[KeycloakGroup]) -> tuple[dict[str, str], list[Conflict]]:
    """Return the code of each group by its id, and the groups that can have none."""
    found = build_group_codes(groups)
    return dict(found.codes), [Conflict(f"group {path}", UNFIT) for path in found.refused]


def decide_session(
    session: KeycloakSession,
    row: Columns | None,
    *,
    owner: Columns,
    identity: Identity,
    limits: RealmLimits,
) -> Decision:
    """Compare one session of Keycloak with its row; `owner` is the user's row."""
    if row is not None and not row["IsActive"] and row["InvalidatedReason"] != SESSION_ENDED:
        return Decision(Kind.UNCHANGED)
    wanted: dict[str, object] = {
        "User": owner["User"],
        "Package": identity.package,
        "SessionType": "mobile" if session.offline else "web",
        "IpAddress": session.ip_address if len(session.ip_address or "") <= LONGEST_IP_ADDRESS else None,
        "CreatedAt": session.started_at,
        "LastActivity": session.last_access_at,
        "ExpiresAt": session_end(session, limits),
        "IsActive": True,
        "InvalidatedAt": None,
        "InvalidatedBy": None,
        "InvalidatedReason": None,
        "MissingSince": None,
        "Issuer": identity.issuer,
        "Realm": identity.realm,
        "Sub": identity.sub,
        "Sid": session.sid,
        "Offline": session.offline,
        "Origin": str(Origin.KEYCLOAK),
        "RememberMe": session.remember_me,
        "ClientsAccessed": ",".join(sorted(session.client_ids)) or None,
        **_last_client(session, row),
    }
    if row is None:
        # An account that may not sign in gets no new row that says it is signed in.
        return Decision(Kind.CREATE, wanted) if owner["Active"] else Decision(Kind.UNCHANGED)
    changed = {name: value for name, value in wanted.items() if row[name] != value}
    if "IsActive" in changed and not owner["Active"]:
        return Decision(Kind.UNCHANGED)
    return Decision(Kind.UPDATE if changed else Kind.UNCHANGED, changed)


def _last_client(session: KeycloakSession, row: Columns | None) -> dict[str, object]:
    """Return the client that was used last, as far as it is known: Keycloak tells which there are, not when.

    One that was not there at the last census was used since; with several at once nobody knows.
    """
    known = set(_codes(row["ClientsAccessed"])) if row is not None else set()
    new = session.client_ids - known
    if len(new) == 1:
        return {"LastClientAccessed": min(new), "LastClientAccessedAt": session.last_access_at}
    if row is None:
        return {"LastClientAccessed": None, "LastClientAccessedAt": None}
    return {name: row[name] for name in ("LastClientAccessed", "LastClientAccessedAt")}


def session_end(session: KeycloakSession, limits: RealmLimits) -> datetime:
    """Return when a session ends if nobody uses it again: the earlier of its idle and its absolute limit."""
    kind = limits.offline if session.offline else limits.remembered if session.remember_me else limits.online
    ends = session.last_access_at + kind.idle
    if kind.longest is not None:
        ends = min(ends, session.started_at + kind.longest)
    # The table demands an end behind the beginning, whatever the clocks of several servers say.
    return max(ends, session.started_at + timedelta(seconds=1))


def mirrored_session_id(sid: str, *, offline: bool, issuer: str, package: str) -> str:
    """Return the SessionId of a mirrored session: the same on every database and in every run."""
    # JSON, because texts merely put in a row could be cut at another place and mean another session.
    exact = json.dumps([issuer, sid, offline, package], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(exact.encode()).hexdigest()


def _active_columns(row: Columns, *, enabled: bool) -> dict[str, object]:
    """Return Active and who is to blame: the sync takes back only what the sync did."""
    if enabled:
        returns = bool(row["Active"]) or row["DeactivatedBy"] == SYNC
        keeps = row["DeactivatedBy"] if row["DeactivatedBy"] != SYNC else None
        return {"Active": returns, "DeactivatedBy": keeps}
    return {"Active": False, "DeactivatedBy": SYNC if row["Active"] else row["DeactivatedBy"]}


def _group_columns(row: Columns, person: Person) -> dict[str, object]:
    if person.unknown_groups:
        return {name: row[name] for name in ("Usergroups", "MirroredUsergroups")}
    produced = person.codes
    current, mirrored = _codes(row["Usergroups"]), _codes(row["MirroredUsergroups"])
    merged = merge_codes(current, mirrored, produced)
    # A column that means the same is left as it is, so that its spelling alone makes no write.
    return {
        "Usergroups": row["Usergroups"] if merged == current else ",".join(merged) or None,
        "MirroredUsergroups": row["MirroredUsergroups"] if mirrored == produced else ",".join(produced) or None,
    }


def _codes(column: object) -> tuple[str, ...]:
    return tuple(code for code in str(column or "").split(",") if code)


def _unfit(wanted: Columns) -> list[tuple[str, str]]:
    """Return the columns that cannot take their value, and why; nothing is ever cut to fit."""
    found: list[tuple[str, str]] = []
    for name, longest in LONGEST.items():
        value = str(wanted[name] or "")
        if len(value) > longest:
            found.append((name, f"{name} has {len(value)} characters, and the column takes {longest}"))
        elif "\0" in value:
            found.append((name, f"{name} holds a character that databases refuse"))
    return found
