"""Group codes of a package: from a file of standard groups, or from Keycloak's group tree.

    1 read everything      2 check everything      3 compare with the rows and write the differences, in one transaction

A file looks like this; `name` is the code when it is left out, and a group is active unless it says otherwise:

    [[usergroup]]
    code = "staff/sales"
    name = "Sales"
    description = "Sells in the shop"
    keycloak_path = "/staff/sales"
    active = true

A row that is not among the groups stays as it is: to retire a group, say `active = false`.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bridge.errors import ConfigurationError, UsergroupRefused
from bridge.keycloak import pages
from bridge.keycloak.admin import Admin
from bridge.keycloak.group_codes import build_group_codes
from bridge.storage import usergroups
from bridge.storage.database import Database, Db
from bridge.storage.usergroups import Seeded, Usergroup

TABLE = "usergroup"
FIELDS: dict[str, type] = {"code": str, "name": str, "description": str, "keycloak_path": str, "active": bool}
EXAMPLE = '[[usergroup]]\ncode = "staff"\nname = "Staff"'


@dataclass(frozen=True)
class FromKeycloak:
    """What seeding from Keycloak did, and which groups, by path, can have no code."""

    seeded: Seeded
    refused: tuple[str, ...]


def read_file(path: Path) -> list[Usergroup]:
    """Read a file of standard groups and check all of it.

    Raises:
        ConfigurationError: the file cannot be read, is no TOML, or holds something else than groups.
        UsergroupRefused: a group cannot be stored; the message names its code.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The file {path} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The file {path} is not valid TOML: {error}.") from None
    entries = document.pop(TABLE, [])
    if document or not isinstance(entries, list) or not entries:
        wrong = f"holds {', '.join(sorted(document))}" if document else "names no group"
        raise ConfigurationError(f"The file {path} {wrong}; it is a list of [[{TABLE}]].", hint=EXAMPLE)
    groups = [_to_group(entry, place=f"{path}, group {number}") for number, entry in enumerate(entries, start=1)]
    usergroups.check_all(groups)
    return groups


async def seed_groups(
    database: Database, groups: Sequence[Usergroup], *, packages: Sequence[str], now: datetime, dry_run: bool = False
) -> dict[str, Seeded]:
    """Write the same groups for each package, all in one transaction; a dry run only compares.

    Raises:
        UsergroupRefused: a group cannot be stored; nothing was written.
    """
    usergroups.check_all(groups)

    async def step(db: Db) -> dict[str, Seeded]:
        return {package: await usergroups.seed(db, groups, package=package, now=now) for package in packages}

    if not dry_run:
        return await database.write(step)
    async with database.reading() as db:
        return {package: await usergroups.compare(db, groups, package=package) for package in packages}


async def seed_from_keycloak(
    database: Database, admin: Admin, *, package: str, now: datetime, dry_run: bool = False
) -> FromKeycloak:
    """Write the groups of a realm: codes and paths; of a known group name, description and `active` stay as they are.

    A group that can have no code is left out and named in what is returned.

    Raises:
        KeycloakError: the tree cannot be read; nothing was written.
    """
    groups, refused = await _fetch(admin)

    async def merged(db: Db) -> list[Usergroup]:
        known = {group.code: group for group in await usergroups.list_groups(db, package=package)}
        return [replace(known.get(group.code, group), keycloak_path=group.keycloak_path) for group in groups]

    async def step(db: Db) -> Seeded:
        return await usergroups.seed(db, await merged(db), package=package, now=now)

    if not dry_run:
        return FromKeycloak(await database.write(step), refused)
    async with database.reading() as db:
        return FromKeycloak(await usergroups.compare(db, await merged(db), package=package), refused)


async def _fetch(admin: Admin) -> tuple[list[Usergroup], tuple[str, ...]]:
    tree = {group.group_id: group for group in await pages.fetch_groups(admin)}
    found = build_group_codes(tree.values())
    groups: list[Usergroup] = []
    refused = list(found.refused)
    for group_id, code in sorted(found.codes.items(), key=lambda item: item[1]):
        group = Usergroup(code, name=tree[group_id].name, keycloak_path=f"/{code}")
        try:
            usergroups.check_all([group])
        except UsergroupRefused:
            refused.append(f"/{code}")
        else:
            groups.append(group)
    return groups, tuple(sorted(refused))


def _to_group(entry: Any, *, place: str) -> Usergroup:
    """Return the group of one entry of a file."""
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{place}: it is no table.", hint=EXAMPLE)
    for name, value in entry.items():
        if name not in FIELDS:
            raise ConfigurationError(f"{place}: there is no field {name}.", hint=f"There are {', '.join(FIELDS)}.")
        if type(value) is not FIELDS[name]:
            kind = "true or false" if FIELDS[name] is bool else "a text"
            raise ConfigurationError(f"{place}: {name} must be {kind}.", hint=EXAMPLE)
    if "code" not in entry:
        raise ConfigurationError(f"{place}: code is missing.", hint=EXAMPLE)
    return Usergroup(**{"name": entry["code"], **entry})
