"""People in `sys_user`, as a sign-in sees and writes them. The mirror's bulk writing is in `mirrored_users`.

Rows are found and changed by identity (Issuer, Sub, Package), never by name: an upsert by name would turn a
hand-written row into somebody else's account.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from bridge.errors import IdentityConflict, UserDisabled, UsernameRefused
from bridge.model import Identity, Origin, Profile, User
from bridge.storage import preferences, user_history
from bridge.storage.database import Db, RowClash
from bridge.storage.tables import sys_user, sys_usersession
from bridge.storage.user_history import Cause, Change, describe_change

LONGEST_USERNAME = 150


class NameHeld(IdentityConflict):
    """This user name already belongs to another account here. Please ask your administrator to resolve it."""

    def __init__(self, holder: User) -> None:
        """Take the row that holds the name."""
        super().__init__(evidence={"username": holder.username, "holder": holder.uuid})
        self.holder = holder


async def find_by_identity(db: Db, identity: Identity, *, lock: bool = False) -> User | None:
    """Return the row of an identity; with `lock` nobody else changes it before this transaction ends."""
    row = await _find_row(db, identity, lock=lock)
    return to_user(row) if row else None


async def find_by_name(db: Db, username: str, *, package: str, lock: bool = False) -> User | None:
    """Return the row that holds a user name in a package; with `lock` nobody else changes it meanwhile."""
    query = select(sys_user).where(sys_user.c.User == username, sys_user.c.Package == package)
    row = (await db.execute(query.with_for_update() if lock else query)).one_or_none()
    return to_user(row) if row else None


async def upsert_signed_in(
    db: Db, identity: Identity, profile: Profile, *, now: datetime, session_id: str | None = None
) -> User:
    """Write what a sign-in knows of a person and return the row: only fields whose claims are present.

    What really changes enters the history, with the session that is being opened; a person about whom nothing is new
    costs one look and one write of the times of use.

    Raises:
        UserDisabled: the row says so.
        NameHeld: another row holds the user name.
        UsernameRefused: the user name is longer than the column.
        RowClash: the same person signs in elsewhere at this moment; the transaction is to be repeated.
    """
    if len(profile.username) > LONGEST_USERNAME:
        raise UsernameRefused(evidence={"length": len(profile.username), "longest": LONGEST_USERNAME})
    # Locked: the sync may disable the person at this moment, and must find the session then, or be seen here.
    row = await _find_row(db, identity, lock=True)
    if row is not None and not row.Active:
        raise UserDisabled(evidence={"username": row.User, "package": identity.package})
    if row is None or row.User != profile.username:
        await _check_name(db, profile.username, identity)
    cause = Cause.sign_in(session_id)
    if row is None:
        await _insert(db, identity, profile, cause=cause, now=now)
    elif not await _update(db, row, identity, _claimed(profile), cause=cause, now=now):
        return replace(to_user(row), row_version=row.RowVersion + 1)
    found = await find_by_identity(db, identity)
    if found is None:
        raise AssertionError("the row was written in this transaction")
    return found


async def _find_row(db: Db, identity: Identity, *, lock: bool) -> Row[Any] | None:
    c = sys_user.c
    query = select(sys_user).where(c.Issuer == identity.issuer, c.Sub == identity.sub, c.Package == identity.package)
    return (await db.execute(query.with_for_update() if lock else query)).one_or_none()


async def _check_name(db: Db, username: str, identity: Identity) -> None:
    """Refuse a name that another row holds."""
    holder = await find_by_name(db, username, package=identity.package)
    if holder is not None and holder.identity == identity:
        raise RowClash  # written by a login of the same person since the look before: look again
    if holder is not None:
        raise NameHeld(holder)


async def _insert(db: Db, identity: Identity, profile: Profile, *, cause: Cause, now: datetime) -> None:
    columns = {
        "Uuid": identity.uuid,
        "Package": identity.package,
        "Active": True,
        "Realm": identity.realm,
        "Issuer": identity.issuer,
        "Sub": identity.sub,
        "Origin": str(Origin.KEYCLOAK),
        "RegisterDate": now,
        "RowVersion": 1,
        **_claimed(profile),
        **_used(now),
    }
    await db.execute(insert(sys_user).values(columns))
    await preferences.follow_names(db, {}, package=identity.package, taken=[profile.username])
    created = describe_change(Change.CREATED, None, columns)
    await user_history.append(db, [created], cause=cause, now=now)


async def _update(
    db: Db, row: Row[Any], identity: Identity, claimed: Mapping[str, object], *, cause: Cause, now: datetime
) -> bool:
    """Write what differs from the row, and the times of use; return whether anything differed."""
    c = sys_user.c
    known = row._mapping  # noqa: SLF001 - public name of SQLAlchemy
    wanted = {**claimed, "MissingSince": None}
    changed = {name: value for name, value in wanted.items() if known[name] != value}
    await db.execute(
        update(sys_user)
        .where(c.Issuer == identity.issuer, c.Sub == identity.sub, c.Package == identity.package)
        .values(RowVersion=c.RowVersion + 1, **changed, **_used(now))
    )
    if "User" in changed:
        s = sys_usersession.c
        await db.execute(
            update(sys_usersession)
            .where(s.Issuer == identity.issuer, s.Sub == identity.sub, s.Package == identity.package)
            .values(User=changed["User"], LastActivity=s.LastActivity)
        )
        await preferences.follow_names(db, {row.User: str(changed["User"])}, package=identity.package)
    described = describe_change(Change.UPDATED, dict(known), changed)
    await user_history.append(db, [described], cause=cause, now=now)
    return bool(changed)


def _claimed(profile: Profile) -> dict[str, object]:
    """Return the columns whose claims are present: an absent claim means unknown, never empty."""
    values = {
        "User": profile.username,
        "Email": profile.email,
        "EmailVerified": profile.email_verified,
        "FirstName": profile.first_name,
        "LastName": profile.last_name,
        "DisplayName": profile.display_name,
    }
    return {name: value for name, value in values.items() if value is not None}


def _used(now: datetime) -> dict[str, datetime]:
    return {"LastLoginDate": now, "LastInteraction": now, "UpdatedAt": now}


def to_user(row: Row[Any]) -> User:
    """Return the model object of a row of `sys_user`."""
    known = row.Issuer is not None and row.Sub is not None
    return User(
        username=row.User,
        uuid=row.Uuid,
        package=row.Package,
        active=row.Active,
        usergroups=tuple(code for code in (row.Usergroups or "").split(",") if code),
        email=row.Email,
        first_name=row.FirstName,
        last_name=row.LastName,
        display_name=row.DisplayName,
        identity=Identity(row.Issuer, row.Sub, row.Package) if known else None,
        row_version=row.RowVersion,
    )
