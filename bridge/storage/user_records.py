"""People in `sys_user` as an operator sees and enters them: found by name, listed, written by hand.

Passwords never leave the table: no function here returns them.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, or_, select

from bridge.model import User
from bridge.storage.database import Db
from bridge.storage.tables import sys_user
from bridge.storage.users import to_user

PASSWORDS = ("Password", "loginpassword")
SHOWN = tuple(column for column in sys_user.columns if column.name not in PASSWORDS)
c = sys_user.c


async def find_record(db: Db, username: str, *, package: str, lock: bool = False) -> dict[str, Any] | None:
    """Return all columns of a person but the passwords; with `lock` nobody else changes the row meanwhile."""
    query = select(*SHOWN).where(c.User == username, c.Package == package)
    row = (await db.execute(query.with_for_update() if lock else query)).one_or_none()
    return dict(row._mapping) if row else None  # noqa: SLF001 - public name of SQLAlchemy


async def list_users(
    db: Db, *, package: str, limit: int, active: bool | None = None, search: str | None = None
) -> list[User]:
    """Return people of a package by name, at most `limit`.

    `search` is a part of a name or an e-mail address as it stands, whatever the case of ASCII letters; or a whole Uuid.
    """
    query = select(*SHOWN).where(c.Package == package)
    if active is not None:
        query = query.where(c.Active == active)
    if search is not None:
        texts = (c.User, c.Email, c.FirstName, c.LastName, c.DisplayName)
        query = query.where(or_(c.Uuid == search, *(text.icontains(search, autoescape=True) for text in texts)))
    return [to_user(row) for row in await db.execute(query.order_by(c.User).limit(limit))]


async def add_record(db: Db, columns: Mapping[str, object]) -> None:
    """Insert a row that an operator enters.

    Raises:
        RowClash: somebody else wrote a row of this name at this moment.
    """
    await db.execute(insert(sys_user).values(dict(columns)))
