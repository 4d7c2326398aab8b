"""Groups that the codes in `sys_user.Usergroups` mean, in `def_usergroup`: one row for each code of a package."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from bridge.errors import UsergroupRefused
from bridge.storage.database import Db
from bridge.storage.people_input import check_usergroup, show
from bridge.storage.tables import def_usergroup

g = def_usergroup.c


@dataclass(frozen=True)
class Usergroup:
    """One group: the code that applications read, and what it means."""

    code: str
    name: str
    description: str | None = None
    keycloak_path: str | None = None
    active: bool = True


@dataclass(frozen=True)
class Seeded:
    """What seeding did, or would do: codes by what became of their rows."""

    created: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]


def check_all(groups: Sequence[Usergroup]) -> None:
    """Refuse groups of which one cannot be stored, or two have the same code.

    Raises:
        UsergroupRefused: naming the code and what is wrong.
    """
    seen: set[str] = set()
    for group in groups:
        check_usergroup(group.code, name=group.name, description=group.description, keycloak_path=group.keycloak_path)
        if group.code in seen:
            raise UsergroupRefused(f"The group code {show(group.code)} is there twice.")
        seen.add(group.code)


async def compare(db: Db, groups: Sequence[Usergroup], *, package: str) -> Seeded:
    """Return what `seed` would do; a group that is not among `groups` stays as it is.

    Raises:
        UsergroupRefused: as `check_all` does.
    """
    check_all(groups)
    known = {group.code: group for group in await list_groups(db, package=package)}
    return Seeded(
        created=tuple(group.code for group in groups if group.code not in known),
        updated=tuple(group.code for group in groups if group.code in known and known[group.code] != group),
        unchanged=tuple(group.code for group in groups if known.get(group.code) == group),
    )


async def seed(db: Db, groups: Sequence[Usergroup], *, package: str, now: datetime) -> Seeded:
    """Insert the groups that are missing and change those that differ; nothing is written where all are equal.

    Raises:
        UsergroupRefused: as `check_all` does; nothing was written.
    """
    done = await compare(db, groups, package=package)
    by_code = {group.code: group for group in groups}
    if done.created:
        rows = [{"Code": code, "Package": package, **_columns(by_code[code], now)} for code in done.created]
        await db.execute(insert(def_usergroup), rows)
    for code in done.updated:
        of_code = (g.Package == package, g.Code == code)
        await db.execute(update(def_usergroup).where(*of_code).values(_columns(by_code[code], now)))
    return done


async def list_groups(db: Db, *, package: str) -> list[Usergroup]:
    """Return the groups of a package by code."""
    found = await db.execute(select(def_usergroup).where(g.Package == package).order_by(g.Code))
    return [_to_model(row) for row in found]


async def find_unknown(db: Db, codes: Collection[str], *, package: str) -> list[str]:
    """Return those of the codes that mean no group of the package, active or not."""
    found = await db.execute(select(g.Code).where(g.Package == package, g.Code.in_(codes)))
    known = set(found.scalars())
    return [code for code in codes if code not in known]


def _columns(group: Usergroup, now: datetime) -> dict[str, Any]:
    return {
        "Name": group.name,
        "Description": group.description,
        "Active": group.active,
        "KeycloakPath": group.keycloak_path,
        "UpdatedAt": now,
    }


def _to_model(row: Row[Any]) -> Usergroup:
    return Usergroup(
        code=row.Code,
        name=row.Name,
        description=row.Description,
        keycloak_path=row.KeycloakPath,
        active=row.Active,
    )
