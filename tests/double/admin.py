"""The Admin API: realm, users and groups."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeAlias, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.double.openid import bearer
from tests.double.realm import Realm
from tests.double.records import Group, User
from tests.double.serving import House, Refused, fields, guarded
from tests.double.showing import shown_group, shown_realm, shown_user

T = TypeVar("T")
AdminEndpoint: TypeAlias = Callable[["Asked"], Response]

MILLISECONDS_A_DAY = 86_400_000


class Asked:
    """One request to the Admin API: the realm, what was asked, and the roles of who asks."""

    def __init__(self, request: Request, realm: Realm, roles: set[str]) -> None:
        self.realm = realm
        self.params = fields(request) if request.method == "GET" else {}
        self.repeated: list[tuple[str, str]] = request.scope["double.query"]
        self.path: dict[str, str] = request.path_params
        self.roles = roles

    def require(self, *any_of: str) -> None:
        """Refuse whoever has none of these roles."""
        if not self.roles.intersection(any_of):
            raise Refused(admin_error(403, "HTTP 403 Forbidden"))

    def user(self) -> User:
        """Find the user of the path; this 404 alone says that a user is gone."""
        self.require("view-users", "query-users")
        user = self.realm.users.get(self.path["id"])
        if user is None:
            raise Refused(admin_error(404, "User not found"))
        self.require("view-users")
        return user

    def group(self) -> Group:
        """Find the group of the path."""
        self.require("view-users")
        group = self.realm.groups.get(self.path["id"])
        if group is None:
            raise Refused(admin_error(404, "Could not find group by id"))
        return group

    def flag(self, name: str, *, default: bool) -> bool:
        """Read a boolean parameter."""
        return self.params.get(name, str(default)).lower() == "true"

    def page_of(self, rows: Sequence[T]) -> Sequence[T]:
        """Cut `first` and `max` out of the rows: 100 without a `max`, everything with a negative one."""
        try:
            first, limit = int(self.params.get("first", 0)), int(self.params.get("max", 100))
        except ValueError:
            raise Refused(admin_error(404, "HTTP 404 Not Found")) from None
        first = max(first, 0)
        return rows[first:] if limit < 0 else rows[first : first + limit]


class AdminApi:
    """Checks the caller, takes the realm's lock, and hands over to one of the endpoints."""

    def __init__(self, house: House) -> None:
        self._house = house

    def route(self, path: str, endpoint: AdminEndpoint, *, method: str = "GET") -> Route:
        """Make a guarded route below `/admin/realms/{realm}`."""

        async def handle(request: Request) -> Response:
            realm = self._house.realm(request, admin=True)
            with realm.lock:
                return endpoint(Asked(request, realm, caller_roles(realm, request)))

        guard: Callable[[Request], Awaitable[Response]] = guarded(handle)
        return Route(f"/admin/realms/{{realm}}{path}", guard, methods=[method])

    def routes(self) -> list[Route]:
        """List the routes of this part."""
        return [
            self.route("", read_realm),
            self.route("/users", list_users),
            self.route("/users/count", count_users),
            self.route("/users/{id}", read_user),
            self.route("/users/{id}/groups", list_user_groups),
            self.route("/groups", list_groups),
            self.route("/groups/count", count_groups),
            self.route("/groups/{id}", read_group),
            self.route("/groups/{id}/children", list_children),
            self.route("/groups/{id}/members", list_members),
        ]


def admin_error(status: int, error: str) -> Response:
    """Write an error of the Admin API."""
    return JSONResponse({"error": error}, status)


def caller_roles(realm: Realm, request: Request) -> set[str]:
    """Give the roles of the bearer, read afresh at each call; no or a dead token is a 401."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        return bearer(realm, token if kind.lower() == "bearer" else "")[0].roles
    except Refused:
        raise Refused(admin_error(401, "HTTP 401 Unauthorized")) from None


def read_realm(asked: Asked) -> Response:
    """Show the realm."""
    if not asked.roles:
        asked.require("view-realm")
    return JSONResponse(shown_realm(asked.realm, full="view-realm" in asked.roles))


def list_users(asked: Asked) -> Response:
    """List users by name; who may only query sees an empty list."""
    asked.require("view-users", "query-users")
    rows = asked.page_of(chosen_users(asked))
    if "view-users" not in asked.roles:
        rows = []
    return JSONResponse([shown_user(user, brief=asked.flag("briefRepresentation", default=False)) for user in rows])


def count_users(asked: Asked) -> Response:
    """Count what a list with the same filters holds; who may only query is told the number all the same."""
    asked.require("view-users", "query-users")
    return JSONResponse(len(chosen_users(asked)))


def chosen_users(asked: Asked) -> list[User]:
    """Filter the users. Service accounts are left out of plain lists and searches, and are in filtered ones."""
    exact = asked.flag("exact", default=False)
    after, before = moment(asked, "createdAfter"), moment(asked, "createdBefore", end_of_day=True)
    texts = {name: asked.params[name].lower() for name in ("username", "email") if name in asked.params}
    enabled = asked.params.get("enabled")
    search = asked.params.get("search")
    filtered = bool(texts) or after is not None or before is not None or enabled is not None

    def fits(user: User) -> bool:
        if user.service_account_of is not None and (search is not None or not filtered):
            return False
        if (after is not None or before is not None) and not in_window(user, after, before):
            return False
        held = {"username": user.username, "email": (user.email or "").lower()}
        if any((held[name] != text if exact else text not in held[name]) for name, text in texts.items()):
            return False
        if enabled is not None and user.enabled != (enabled == "true"):
            return False
        return search is None or found(user, search)

    return sorted(filter(fits, asked.realm.users.values()), key=lambda user: user.username)


def found(user: User, search: str) -> bool:
    """Match the search parameter: by prefix, `*infix*`, or `id:`."""
    if search.startswith("id:"):
        return user.id == search[3:]
    texts = [text.lower() for text in (user.username, user.email, user.first_name, user.last_name) if text]
    wanted = search.lower()
    if wanted.startswith("*"):
        return any(wanted.strip("*") in text for text in texts)
    return any(text.startswith(wanted.rstrip("*")) for text in texts)


def in_window(user: User, after: int | None, before: int | None) -> bool:
    """Compare the creation time, both ends included; a user without one is in no window."""
    if user.created is None:
        return False
    return (after is None or user.created >= after) and (before is None or user.created <= before)


def moment(asked: Asked, name: str, *, end_of_day: bool = False) -> int | None:
    """Read milliseconds or a date."""
    value = asked.params.get(name)
    if value is None:
        return None
    try:
        return int(value)
    except ValueError:
        pass
    try:
        day = datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        text = f"Invalid value for '{name}', expected format is yyyy-MM-dd or an Epoch timestamp"
        raise Refused(admin_error(400, text)) from None
    return int(day.timestamp() * 1000) + (MILLISECONDS_A_DAY - 1 if end_of_day else 0)


def read_user(asked: Asked) -> Response:
    """Show one user."""
    return JSONResponse(shown_user(asked.user(), brief=False))


def list_user_groups(asked: Asked) -> Response:
    """List the groups of a user by name."""
    user = asked.user()
    groups = sorted((asked.realm.groups[one] for one in user.groups), key=lambda group: group.name)
    brief = asked.flag("briefRepresentation", default=True)
    shown = [shown_group(asked.realm, one, brief=brief, count=False, access=False) for one in asked.page_of(groups)]
    return JSONResponse(shown)


def list_groups(asked: Asked) -> Response:
    """List the groups at the top, by name."""
    asked.require("view-users", "query-groups")
    tops = sorted((one for one in asked.realm.groups.values() if one.parent_id is None), key=lambda one: one.name)
    brief = asked.flag("briefRepresentation", default=True)
    count = asked.flag("subGroupsCount", default=True)
    return JSONResponse([shown_group(asked.realm, one, brief=brief, count=count) for one in asked.page_of(tops)])


def count_groups(asked: Asked) -> Response:
    """Count all groups, of every level."""
    asked.require("view-users", "query-groups")
    return JSONResponse({"count": len(asked.realm.groups)})


def read_group(asked: Asked) -> Response:
    """Show one group."""
    return JSONResponse(shown_group(asked.realm, asked.group(), brief=False))


def list_children(asked: Asked) -> Response:
    """List the children of a group, by name."""
    parent = asked.group()
    children = sorted((g for g in asked.realm.groups.values() if g.parent_id == parent.id), key=lambda g: g.name)
    brief = asked.flag("briefRepresentation", default=False)
    count = asked.flag("subGroupsCount", default=True)
    return JSONResponse([shown_group(asked.realm, one, brief=brief, count=count) for one in asked.page_of(children)])


def list_members(asked: Asked) -> Response:
    """List the direct members of a group, by username and by offset, which loses people while others leave."""
    group = asked.group()
    members = sorted((u for u in asked.realm.users.values() if group.id in u.groups), key=lambda u: u.username)
    brief = asked.flag("briefRepresentation", default=False)
    return JSONResponse([shown_user(user, brief=brief, access=False) for user in asked.page_of(members)])
