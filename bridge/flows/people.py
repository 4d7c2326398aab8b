"""People as an operator deals with them: list, show, enter by hand, prefer, erase.

    create_user    1 check every value      2 seal the password      3 row, history and audit entry, in one transaction
    erase_user     1 lock the row           2 delete all that is kept of the person      3 note that it was done

The command line and the administrators' pages stand on this; whoever calls says who it is for the audit trail.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from bridge.errors import PreferenceRefused, UserExists, UsergroupRefused, UserRefused, UserUnknown
from bridge.model import Origin, User
from bridge.sealing import Sealer, seal_legacy
from bridge.storage import (
    preferences,
    security_events,
    user_erasure,
    user_history,
    user_records,
    user_sessions,
    usergroups,
    users,
)
from bridge.storage.database import Database, Db
from bridge.storage.people_input import check_code, check_password, check_preference, check_user, is_storable, show
from bridge.storage.security_events import SecurityEvent
from bridge.storage.user_history import Cause, Change, UserChange, describe_change

PASSWORD = "Password"  # noqa: S105 - the name of a column


@dataclass(frozen=True)
class NewUser:
    """A person that an operator enters; the password is one that an application knows, never Keycloak's."""

    username: str
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    display_name: str | None = None
    store: str | None = None
    usergroups: tuple[str, ...] = ()
    legacy_password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class UserDetails:
    """What is shown of one person: the row without passwords, how many sessions are alive, the newest changes."""

    row: Mapping[str, Any]
    usergroups: tuple[str, ...]
    sessions: int
    history: tuple[UserChange, ...]


@dataclass(frozen=True)
class Erased:
    """How many rows of each kind were deleted, or would be; `mirrored` people come back while Keycloak has them."""

    counts: Mapping[str, int]
    mirrored: bool


async def list_users(
    database: Database, *, package: str, limit: int, active: bool | None = None, search: str | None = None
) -> list[User]:
    """Return people of a package by name, at most `limit`; see `user_records.list_users` for `search`.

    Raises:
        UserRefused: the text to search for holds what no name can hold.
    """
    if search is not None and not is_storable(search):
        raise UserRefused("The text to search for holds characters that no name can hold.")
    async with database.reading() as db:
        return await user_records.list_users(db, package=package, limit=limit, active=active, search=search)


async def show_user(database: Database, username: str, *, package: str, now: datetime, history: int = 0) -> UserDetails:
    """Return what is known of a person, with so many of the newest entries of the history.

    Raises:
        UserUnknown: there is nobody of this name.
    """
    async with database.reading() as db:
        record = await _get_record(db, username, package=package)
        alive = await user_sessions.get_user_sessions(db, username, package=package, now=now)
        changes = await user_history.find_history(db, username, package=package, limit=history) if history else []
    codes = tuple(code for code in (record["Usergroups"] or "").split(",") if code)
    return UserDetails(record, codes, len(alive), tuple(changes))


async def create_user(
    database: Database,
    new: NewUser,
    *,
    package: str,
    sealer: Sealer,
    created_by: str,
    now: datetime,
    dry_run: bool = False,
) -> Mapping[str, Any]:
    """Enter a person who is not at Keycloak, and return the row without the password.

    Raises:
        UserExists: the package has somebody of this name.
        UsergroupRefused: a code means no group of the package, or cannot be stored.
        UserRefused, TooLongToSeal: a value cannot be stored; nothing was written.
    """
    columns = _columns(new, package=package, now=now)
    secret = {}
    if new.legacy_password is not None:
        check_password(new.legacy_password)
        place = {"column": PASSWORD, "package": package, "uuid": str(columns["Uuid"])}
        secret = {PASSWORD: seal_legacy(sealer, new.legacy_password, **place)}

    async def step(db: Db) -> None:
        await _check_place(db, new, package=package)
        await user_records.add_record(db, {**columns, **secret})
        await preferences.follow_names(db, {}, package=package, taken=[new.username])
        created = describe_change(Change.CREATED, None, columns)
        await user_history.append(db, [created], cause=Cause.command(), now=now)
        evidence = {"created_by": created_by, "uuid": columns["Uuid"]}
        entry = SecurityEvent("user_created", package, username=new.username, evidence=evidence)
        await security_events.append(db, entry, now=now)

    if dry_run:
        async with database.reading() as db:
            await _check_place(db, new, package=package)
    else:
        await database.write(step)
    return columns


async def get_preferences(database: Database, username: str, *, package: str) -> dict[str, str]:
    """Return the preferences of a person by name.

    Raises:
        UserUnknown: there is nobody of this name.
    """
    async with database.reading() as db:
        await _get_record(db, username, package=package)
        return await preferences.get_preferences(db, username, package=package)


async def change_preferences(
    database: Database,
    username: str,
    *,
    package: str,
    values: Mapping[str, str],
    removed: Collection[str],
    now: datetime,
    dry_run: bool = False,
) -> set[str]:
    """Set and remove preferences of a person, all or none, and return the names of those that changed.

    Raises:
        UserUnknown: there is nobody of this name.
        PreferenceRefused: a name or value cannot be stored, or a name is to be set and removed at once.
    """
    for name in (*values, *removed):
        check_preference(name, values.get(name))
        if name in values and name in removed:
            raise PreferenceRefused(f"The preference {show(name)} cannot be set and removed at once.")

    async def step(db: Db) -> set[str]:
        # Locked, so that nobody renames or erases the person meanwhile.
        await _get_record(db, username, package=package, lock=True)
        changed = await preferences.set_preferences(db, username, values, package=package, now=now)
        return changed | await preferences.remove_preferences(db, username, removed, package=package)

    if not dry_run:
        return await database.write(step)
    known = await get_preferences(database, username, package=package)
    return {name for name, value in values.items() if known.get(name) != value} | (known.keys() & set(removed))


async def erase_user(
    database: Database, username: str, *, package: str, erased_by: str, now: datetime, dry_run: bool = False
) -> Erased:
    """Delete a person with everything that is kept: row, sessions, logins, codes, preferences, history, audit entries.

    All in one transaction; what remains is one audit entry with the package, who did it and the numbers. Three things
    are not reached: `session_revocation`, to which the triggers append the name as the rows go, is emptied within the
    hour; reports of the sync and what this person did to others (`InvalidatedBy`) stay as long as their rows are kept.
    The next sync brings the person back as a new row while the person exists at Keycloak: delete there first.

    Raises:
        UserUnknown: there is nobody of this name.
    """

    async def step(db: Db) -> Erased:
        record = await _get_record(db, username, package=package, lock=True)
        counts = await user_erasure.erase_traces(db, record)
        evidence = {"erased_by": erased_by, **counts}
        await security_events.append(db, SecurityEvent("user_erased", package, evidence=evidence), now=now)
        return Erased(counts, mirrored=record["Sub"] is not None)

    if not dry_run:
        return await database.write(step)
    async with database.reading() as db:
        record = await _get_record(db, username, package=package)
        return Erased(await user_erasure.count_traces(db, record), mirrored=record["Sub"] is not None)


async def _check_place(db: Db, new: NewUser, *, package: str) -> None:
    """Refuse a name that is taken, and groups that the package does not have."""
    if await users.find_by_name(db, new.username, package=package) is not None:
        raise UserExists(f"There is a person {show(new.username)} in the package {package} already.")
    unknown = await usergroups.find_unknown(db, new.usergroups, package=package)
    if unknown:
        codes = ", ".join(map(show, unknown))
        raise UsergroupRefused(
            f"The package {package} has no group of this code: {codes}.",
            hint="Make it with keycloak-bridge usergroups seed; keycloak-bridge usergroups list shows those there are.",
        )


async def _get_record(db: Db, username: str, *, package: str, lock: bool = False) -> dict[str, Any]:
    found = None
    if is_storable(username):
        found = await user_records.find_record(db, username, package=package, lock=lock)
    if found is None:
        raise UserUnknown(f"There is no person {show(username)} in the package {package}.")
    return found


def _columns(new: NewUser, *, package: str, now: datetime) -> dict[str, Any]:
    """Check what was entered and return the columns of the row."""
    both = " ".join(filter(None, (new.first_name, new.last_name)))
    texts = {
        "User": new.username,
        "Email": new.email,
        "FirstName": new.first_name,
        "LastName": new.last_name,
        "DisplayName": both or None if new.display_name is None else new.display_name,
        "Store": new.store,
    }
    check_user(texts)
    for code in new.usergroups:
        check_code(code)
    return {
        **texts,
        "Uuid": str(uuid4()),
        "Package": package,
        "Active": True,
        "Usergroups": ",".join(dict.fromkeys(new.usergroups)) or None,
        "RegisterDate": now,
        "UpdatedAt": now,
        "Origin": str(Origin.LOCAL),
        "RowVersion": 1,
    }
