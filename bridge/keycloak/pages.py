"""Bulk reading: users by windows of creation time, groups and their members, clients, several calls in flight.

    count(all) -> halve until a window fits a page -> read it -> its ids are as many as were counted, or count again

A window costs the same at any depth, and a deletion shifts nothing outside its own window. Offset pages do shift: they
are used where there is nothing better, overlapping, and what they seem to miss is never believed without a second read.
Nothing is collected here: each function yields or returns one piece, so memory does not grow with the realm.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import TypeVar

from bridge.errors import KeycloakAnswerInvalid
from bridge.keycloak.admin import Admin, segment
from bridge.keycloak.mapping import (
    KeycloakClient,
    KeycloakGroup,
    KeycloakUser,
    RealmLimits,
    to_client,
    to_count,
    to_group,
    to_list,
    to_realm_limits,
    to_user,
)

T = TypeVar("T")
R = TypeVar("R")

MEMBERS_A_PAGE = 1000
GROUPS_A_PAGE = 500
CLIENTS_A_PAGE = 200
OVERLAP = 25
"""Rows that two neighbouring offset pages share: as many people may be deleted between them unnoticed."""
LAST_CUT = 2**61
"""Behind this moment a range without an end is not halved again, whatever number Keycloak gives."""
READINGS = 4
"""How often a window whose number does not agree is read before it counts as incomplete."""


@dataclass(frozen=True)
class Window:
    """The users of one range of creation time; `complete` when as many were listed as were counted."""

    users: Sequence[KeycloakUser]
    complete: bool


@dataclass(frozen=True)
class Range:
    """A range of creation times in milliseconds, both ends included, and how many users it holds."""

    after: int
    before: int | None
    counted: int


class Vanished(Exception):
    """Whatever a list belongs to was deleted while the list was read."""


async def spread(
    items: Iterable[T], work: Callable[[T], Awaitable[tuple[list[T], R | None]]], *, width: int
) -> AsyncGenerator[R]:
    """Do `work` on all items and on those that it gives back, `width` at a time; yield results as they come.

    Last in, first out: halving then keeps few ranges open. What runs goes on while the consumer writes.
    """
    waiting, ready = list(items), list[R]()
    running: set[asyncio.Task[tuple[list[T], R | None]]] = set()
    done: set[asyncio.Task[tuple[list[T], R | None]]] = set()
    try:
        while waiting or running or ready:
            while waiting and len(running) < width:
                running.add(asyncio.ensure_future(work(waiting.pop())))
            if ready:
                yield ready.pop()
                continue
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                more, result = task.result()
                waiting.extend(more)
                if result is not None:
                    ready.append(result)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, *done, return_exceptions=True)


async def fetch_realm_limits(admin: Admin) -> RealmLimits:
    """Read the session settings of the realm.

    Raises:
        PermissionMissing: the realm shows its name only, which is how Keycloak hides the rest.
    """
    realm = await admin.fetch("")
    if isinstance(realm, dict) and "realm" in realm and "ssoSessionIdleTimeout" not in realm:
        raise admin.permission_missing("view-realm", call="GET of the realm (only its name is shown)")
    return to_realm_limits(realm)


async def count_users(admin: Admin, *, after: int | None = None, before: int | None = None) -> int:
    """Count users; with a range service accounts are among them, without they are not."""
    path = "/users/count"
    return to_count(await admin.fetch(path, {"createdAfter": after, "createdBefore": before}), path)


async def check_users_visible(admin: Admin) -> None:
    """Refuse to read with an account that may count people and not see them: all of them would seem to be gone.

    Raises:
        PermissionMissing: Keycloak counts people and lists nobody.
    """
    if not await _user_page(admin, first=0, size=1) and await count_users(admin):
        raise admin.permission_missing("view-users", call="GET /users (people are counted, and none is listed)")


async def read_windows(admin: Admin, *, now: datetime) -> AsyncGenerator[Window]:
    """Yield all users that have a creation time, service accounts among them, window by window."""
    clock = int(now.timestamp() * 1000)

    async def work(part: Range) -> tuple[list[Range], Window | None]:
        if part.counted <= admin.page_size or part.after == part.before or part.after > LAST_CUT:
            return [], await _read_window(admin, part)
        # Nobody knows Keycloak's clock: the newest range has no end, and is cut at ours first.
        middle = (part.after + part.before) // 2 if part.before is not None else max(clock, part.after * 2 + 1)
        left = await count_users(admin, after=part.after, before=middle)
        right = max(part.counted - left, 0)
        # Only the left number was counted: the right one is derived, and proves nothing before its range is read.
        halves = [Range(part.after, middle, left)] if left else []
        return [*halves, Range(middle + 1, part.before, right)], None

    whole = Range(0, None, await count_users(admin, after=0))
    async for window in spread([whole], work, width=admin.in_flight):
        yield window


async def read_plain_list(admin: Admin) -> AsyncGenerator[Window]:
    """Yield all users but service accounts by overlapping offset pages: also those without a creation time."""
    async for page in _overlapping(admin, Range(0, None, 0), plain=True):
        yield Window(page, complete=True)


async def _read_window(admin: Admin, part: Range) -> Window:
    counted = part.counted
    users: dict[str, KeycloakUser] = {}
    for _ in range(READINGS):
        paged = counted > admin.page_size
        users = await (_read_paged(admin, part) if paged else _read_at_once(admin, part))
        if len(users) == counted < admin.page_size:
            return Window(tuple(users.values()), complete=True)
        # People come and go, and a number as large as a page may have been cut: the number of before is no proof.
        counted = await count_users(admin, after=part.after, before=part.before)
        if len(users) == counted and (paged or counted <= admin.page_size):
            return Window(tuple(users.values()), complete=True)
    return Window(tuple(users.values()), complete=False)


async def _read_at_once(admin: Admin, part: Range) -> dict[str, KeycloakUser]:
    # One more than a window may hold, so that a window which holds more shows it.
    return {user.sub: user for user in await _user_page(admin, first=0, size=admin.page_size + 1, part=part)}


async def _read_paged(admin: Admin, part: Range) -> dict[str, KeycloakUser]:
    return {user.sub: user async for page in _overlapping(admin, part) for user in page}


async def _overlapping(admin: Admin, part: Range, *, plain: bool = False) -> AsyncGenerator[list[KeycloakUser]]:
    """Yield offset pages that overlap, until an empty one; where the overlap is gone, go back and read again."""
    first, last, back = 0, None, 0
    size = max(admin.page_size, 2 * OVERLAP)
    while page := await _user_page(admin, first=first, size=size, part=None if plain else part):
        yield page
        subs = [user.sub for user in page]
        if last is not None and last not in subs and back < READINGS:
            # More people left before this page than it overlaps (or its boundary did): read from further back.
            first, last, back = max(first - size, 0), None, back + 1
            continue
        if len(page) <= OVERLAP and last is not None:
            # Only the overlap is left, and filtering may have shortened it: look behind it before believing the end.
            first, last = first + size, None
            continue
        first, last = first + size - OVERLAP, subs[-1]


async def _user_page(admin: Admin, *, first: int, size: int, part: Range | None = None) -> list[KeycloakUser]:
    params: dict[str, object] = {"first": first, "max": size, "briefRepresentation": "true"}
    if part is not None:
        params |= {"createdAfter": part.after, "createdBefore": part.before}
    return [to_user(found) for found in to_list(await admin.fetch("/users", params), "/users")]


async def fetch_user(admin: Admin, sub: str) -> KeycloakUser | None:
    """Read one user; None when Keycloak says that this id is gone."""
    found = await admin.find(f"/users/{segment(sub)}")
    return None if found is None else to_user(found)


async def fetch_user_groups(admin: Admin, sub: str) -> list[str] | None:
    """Read the ids of the groups of one user; None when the user is gone."""
    path = f"/users/{segment(sub)}/groups"
    ids: list[str] = []
    for first in count(step=GROUPS_A_PAGE):
        page = await admin.find(path, {"first": first, "max": GROUPS_A_PAGE, "briefRepresentation": "true"})
        if page is None:
            return None
        if not (groups := to_list(page, path)):
            break
        ids.extend(to_group(found, parent_id=None).group_id for found in groups)
    return ids


async def fetch_groups(admin: Admin) -> list[KeycloakGroup]:
    """Read the whole group tree, parents before or after their children; the parent is the group it is listed below."""

    async def work(parent: KeycloakGroup | None) -> tuple[list[KeycloakGroup | None], list[KeycloakGroup] | None]:
        path = "/groups" if parent is None else f"/groups/{segment(parent.group_id)}/children"
        parent_id = None if parent is None else parent.group_id
        rows = read_pages(admin, path, size=admin.page_size, may_vanish=parent is not None)
        try:
            found = [to_group(one, parent_id=parent_id) async for one in rows]
        except Vanished:
            return [], None
        return [group for group in found if group.may_have_children], found

    top: list[KeycloakGroup | None] = [None]
    groups: dict[str, KeycloakGroup] = {}
    async for listed in spread(top, work, width=admin.in_flight):
        groups.update((group.group_id, group) for group in listed)
    return list(groups.values())


async def read_members(admin: Admin, group_ids: Iterable[str]) -> AsyncGenerator[tuple[str, list[str]]]:
    """Yield (group id, ids of its direct members); members that leave meanwhile may hide others.

    A group that is deleted meanwhile has no members.
    """

    async def work(group_id: str) -> tuple[list[str], tuple[str, list[str]]]:
        path = f"/groups/{segment(group_id)}/members"
        rows = read_pages(admin, path, size=MEMBERS_A_PAGE, may_vanish=True)
        try:
            return [], (group_id, [to_user(one).sub async for one in rows])
        except Vanished:
            return [], (group_id, [])

    async for members in spread(group_ids, work, width=admin.in_flight):
        yield members


async def fetch_clients(admin: Admin) -> list[KeycloakClient]:
    """Read all clients of the realm.

    Raises:
        PermissionMissing: none is shown, and every realm has some.
    """
    clients = [to_client(found) async for found in read_pages(admin, "/clients", size=CLIENTS_A_PAGE)]
    if not clients:
        raise admin.permission_missing("view-clients", call="GET /clients (none is listed)")
    return clients


async def fetch_service_accounts(admin: Admin, clients: Iterable[KeycloakClient]) -> frozenset[str]:
    """Read the ids of the users behind service accounts; no field of a user says that it is one.

    A client that is deleted meanwhile has none.
    """

    async def work(client: KeycloakClient) -> tuple[list[KeycloakClient], str | None]:
        found = await admin.find(f"/clients/{segment(client.client_uuid)}/service-account-user")
        return [], None if found is None else to_user(found).sub

    with_account = [client for client in clients if client.has_service_account]
    return frozenset([sub async for sub in spread(with_account, work, width=admin.in_flight)])


async def read_pages(admin: Admin, path: str, *, size: int, may_vanish: bool = False) -> AsyncGenerator[object]:
    """Yield the rows of a paged list up to its first empty page: a short page is not the end of a list.

    Raises:
        KeycloakAnswerInvalid: the list does not end, because `first` is ignored.
        Vanished: what the list belongs to is gone; only with `may_vanish`.
    """
    previous: list[object] = []
    for first in count(step=size):
        params = {"first": first, "max": size, "briefRepresentation": "true"}
        if (found := await (admin.find if may_vanish else admin.fetch)(path, params)) is None:
            raise Vanished(path)
        if not (rows := to_list(found, path)):
            return
        if rows == previous:
            raise KeycloakAnswerInvalid(evidence={"call": path, "found": "the same page twice"})
        for row in (previous := rows):
            yield row
