"""People in `sys_user`, as a sign-in sees and writes them. The mirror's bulk writing is in `mirrored_users`.

Rows are found and changed by identity (Issuer, Sub, Package), never by name: an upsert by name would turn a
hand-written row into somebody else's account.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from bridge.errors import IdentityConflict, UserDisabled, UsernameRefused
from bridge.model import Identity, Origin, Profile, User
from bridge.storage.database import Db, RowClash
from bridge.storage.tables import sys_user, sys_usersession

LONGEST_USERNAME = 150


class NameHeld(IdentityConflict):
    """This user name already belongs to another account here. Please ask your administrator to resolve it."""

    def __init__(self, holder: User) -> None:
        """Take the row that holds the name."""
        super().__init__(evidence={"username": holder.username, "holder": holder.uuid})
        self.holder = holder


async def find_by_identity(db: Db, identity: Identity, *, lock: bool = False) -> User | None:
    """Return the row of an identity; with `lock` nobody else changes it before this transaction ends."""
    c = sys_user.c
    query = select(sys_user).where(c.Issuer == identity.issuer, c.Sub == identity.sub, c.Package == identity.package)
    row = (await db.execute(query.with_for_update() if lock else query)).one_or_none()
    return to_user(row) if row else None


async def find_by_name(db: Db, username: str, *, package: str) -> User | None:
    """Return the row that holds a user name in a package."""
    query = select(sys_user).where(sys_user.c.User == username, sys_user.c.Package == package)
    row = (await db.execute(query)).one_or_none()
    return to_user(row) if row else None


async def upsert_signed_in(db: Db, identity: Identity, profile: Profile, *, now: datetime) -> User:
    """Write what a sign-in knows of a person and return the row: only fields whose claims are present.

    Raises:
        UserDisabled: the row says so.
        NameHeld: another row holds the user name.
        UsernameRefused: the user name is longer than the column.
        RowClash: the same person signs in elsewhere at this moment; the transaction is to be repeated.
    """
    if len(profile.username) > LONGEST_USERNAME:
        raise UsernameRefused(evidence={"length": len(profile.username), "longest": LONGEST_USERNAME})
    # Locked: the sync may disable the person at this moment, and must find the session then, or be seen here.
    known = await find_by_identity(db, identity, lock=True)
    if known is not None and not known.active:
        raise UserDisabled(evidence={"username": known.username, "package": identity.package})
    if known is None or known.username != profile.username:
        holder = await find_by_name(db, profile.username, package=identity.package)
        if holder is not None and holder.identity == identity:
            raise RowClash  # written by a login of the same person since the look above: look again
        if holder is not None:
            raise NameHeld(holder)
    if known is None:
        await _insert(db, identity, profile, now)
    else:
        await _update(db, known, identity, profile, now)
    found = await find_by_identity(db, identity)
    if found is None:
        raise AssertionError("the row was written in this transaction")
    return found


async def _insert(db: Db, identity: Identity, profile: Profile, now: datetime) -> None:
    await db.execute(
        insert(sys_user).values(
            User=profile.username,
            Uuid=identity.uuid,
            Package=identity.package,
            Active=True,
            Realm=identity.realm,
            Issuer=identity.issuer,
            Sub=identity.sub,
            Origin=Origin.KEYCLOAK,
            RegisterDate=now,
            RowVersion=1,
            **_claimed(profile, now),
        )
    )


async def _update(db: Db, known: User, identity: Identity, profile: Profile, now: datetime) -> None:
    c = sys_user.c
    by_identity = (c.Issuer == identity.issuer, c.Sub == identity.sub, c.Package == identity.package)
    await db.execute(
        update(sys_user)
        .where(*by_identity)
        .values(User=profile.username, MissingSince=None, RowVersion=c.RowVersion + 1, **_claimed(profile, now))
    )
    if known.username != profile.username:
        s = sys_usersession.c
        await db.execute(
            update(sys_usersession)
            .where(s.Issuer == identity.issuer, s.Sub == identity.sub, s.Package == identity.package)
            .values(User=profile.username, LastActivity=s.LastActivity)
        )


def _claimed(profile: Profile, now: datetime) -> dict[str, Any]:
    """Return the columns whose claims are present: an absent claim means unknown, never empty."""
    values = {
        "Email": profile.email,
        "EmailVerified": profile.email_verified,
        "FirstName": profile.first_name,
        "LastName": profile.last_name,
        "DisplayName": profile.display_name,
    }
    present = {name: value for name, value in values.items() if value is not None}
    return {**present, "LastLoginDate": now, "LastInteraction": now, "UpdatedAt": now}


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
