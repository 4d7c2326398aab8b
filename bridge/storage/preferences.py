"""What people prefer, by name, in `sys_user_preferences`.

Preferences belong to a user name of a package. They follow the person when it gets another name, and nobody inherits
those of somebody who had the name before.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import uuid4

from sqlalchemy import bindparam, delete, insert, select, update

from bridge.storage.database import Db
from bridge.storage.people_input import check_preference
from bridge.storage.tables import sys_user_preferences

IN_A_LIST = 500
p = sys_user_preferences.c


async def get_preferences(db: Db, username: str, *, package: str) -> dict[str, str]:
    """Return all preferences of a person by name."""
    query = select(p.Name, p.Value).where(p.User == username, p.Package == package).order_by(p.Name)
    return {row.Name: row.Value or "" for row in await db.execute(query)}


async def set_preferences(db: Db, username: str, values: Mapping[str, str], *, package: str, now: datetime) -> set[str]:
    """Set preferences of a person and return the names of those that were not so before; equal means no write.

    Raises:
        PreferenceRefused: a name is longer than 150 characters or holds control characters, or a value is larger than
            64 KB in UTF-8; nothing was written.
    """
    for name, value in values.items():
        check_preference(name, value)
    known = await get_preferences(db, username, package=package)
    for name in sorted(values.keys() & known.keys()):
        if known[name] != values[name]:
            of_name = (p.User == username, p.Package == package, p.Name == name)
            await db.execute(update(sys_user_preferences).where(*of_name).values(Value=values[name], UpdatedAt=now))
    new = [
        {"User": username, "Package": package, "Name": name, "Value": values[name], "UpdatedAt": now}
        for name in sorted(values.keys() - known.keys())
    ]
    if new:
        await db.execute(insert(sys_user_preferences), new)
    return {name for name, value in values.items() if known.get(name) != value}


async def remove_preferences(db: Db, username: str, names: Collection[str], *, package: str) -> set[str]:
    """Remove preferences of a person and return the names of those that were there."""
    known = await get_preferences(db, username, package=package)
    there = known.keys() & set(names)
    if there:
        which = (p.User == username, p.Package == package, p.Name.in_(sorted(there)))
        await db.execute(delete(sys_user_preferences).where(*which))
    return there


async def follow_names(db: Db, moves: Mapping[str, str], *, package: str, taken: Collection[str] = ()) -> None:
    """Let preferences follow their people from old names to new ones; swaps and chains may be among them.

    What is left under the new names and under those newly `taken` is deleted: it was of somebody who is gone.
    """
    temporary = {old: f"~{uuid4()}" for old in moves}
    statement = (
        update(sys_user_preferences)
        .where(p.Package == package, p.User == bindparam("b_from"))
        .values(User=bindparam("v_to"))
    )
    if moves:
        await db.execute(statement, [{"b_from": old, "v_to": temporary[old]} for old in moves])
    names = sorted({*taken, *moves.values()})
    for first in range(0, len(names), IN_A_LIST):
        which = (p.Package == package, p.User.in_(names[first : first + IN_A_LIST]))
        await db.execute(delete(sys_user_preferences).where(*which))
    if moves:
        await db.execute(statement, [{"b_from": temporary[old], "v_to": new} for old, new in moves.items()])
