"""Codes of groups (pure): where a group stands in Keycloak's tree, as one text without a comma.

A code is the path without its first slash, made from the parent chain: a name with a slash would forge another group's
path, one with a comma another group. What is below such a group has no code either.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.keycloak.mapping import KeycloakGroup

UNFIT = "a group name with a slash or a comma cannot be a group code"


@dataclass(frozen=True)
class GroupCodes:
    """The codes of groups by group id, and the paths of groups that can have none."""

    codes: Mapping[str, str]
    refused: tuple[str, ...]


def build_group_codes(groups: Iterable[KeycloakGroup]) -> GroupCodes:
    """Return the code of each group of a tree; parents may stand behind their children."""
    known = {group.group_id: group for group in groups}
    codes: dict[str, str] = {}
    refused: list[str] = []
    for group in known.values():
        chain = _chain(group, known)
        path = "/".join(one.name for one in chain)
        if any("/" in one.name or "," in one.name or "\0" in one.name for one in chain):
            refused.append(f"/{path}")
        else:
            codes[group.group_id] = path
    return GroupCodes(codes, tuple(refused))


def _chain(group: KeycloakGroup, known: Mapping[str, KeycloakGroup]) -> list[KeycloakGroup]:
    chain = [group]
    while chain[0].parent_id is not None and len(chain) <= len(known):
        chain.insert(0, known[chain[0].parent_id])
    return chain
