"""Entity-relationship diagrams in Mermaid, which GitHub and many other viewers draw.

Only the columns that identify a row or relate to another one are shown. A solid line is a foreign key, a dotted one a
relation that the bridge keeps by itself: the public tables must take the statements of applications, so they have no
foreign keys.
"""

from collections.abc import Collection, Iterable

from bridge.storage.schema.description import RelationDescription, TableDescription

SUBJECTS = {
    "Sessions": ("sys_user", "sys_usersession", "session_credential", "keycloak_grant", "oauth_state", "exchange_code"),
    "People": ("sys_user", "def_usergroup", "sys_user_preferences", "sys_user_history"),
    "Sign-outs and audit": ("sys_user", "sys_usersession", "session_revocation", "security_event", "logout_tombstone"),
    "The sync": ("sys_user", "sync_run", "sync_shard", "sync_stage", "sync_plan", "sync_dirty", "sys_user_history"),
}
"""One diagram a subject: all tables in one are too many to read."""


def draw(tables: Collection[TableDescription], names: Collection[str]) -> list[str]:
    """Return the diagram of some tables, with those relations of theirs that stay among them."""
    chosen = [table for table in tables if table.name in names]
    relations = [(table, one) for table in chosen for one in table.relations if one.table in names]
    entities = (line for table in chosen for line in _entity(table, relations))
    return ["erDiagram", *entities, *(_link(table, one) for table, one in relations)]


def _entity(table: TableDescription, relations: Iterable[tuple[TableDescription, RelationDescription]]) -> list[str]:
    foreign = {name for owner, one in relations if owner is table for name in one.columns}
    referred = {name for _, one in relations if one.table == table.name for name in one.referred}
    shown = [column for column in table.columns if column.name in {*table.primary_key, *foreign, *referred}]
    lines = [
        f"        {column.kind.replace(' ', '_')} {column.name}{_keys(column.name, table.primary_key, foreign)}"
        for column in shown
    ]
    return [f"    {table.name} {{", *lines, "    }"]


def _keys(name: str, primary: Collection[str], foreign: Collection[str]) -> str:
    keys = [key for key, names in (("PK", primary), ("FK", foreign)) if name in names]
    return f" {', '.join(keys)}" if keys else ""


def _link(table: TableDescription, one: RelationDescription) -> str:
    """Return a line of the diagram: its ends say how many rows there may be on each side."""
    optional = not table.nullable.isdisjoint(one.columns)
    there = "}o" if one.many_to_many else "|o" if optional else "||"
    here = "o|" if set(one.columns) == set(table.primary_key) else "o{"
    dots = "--" if one.is_foreign_key else ".."
    return f'    {one.table} {there}{dots}{here} {table.name} : "{", ".join(one.columns)}"'
