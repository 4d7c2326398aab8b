"""Triggers: whatever ends or changes a session or a person leaves a row in `session_revocation`, whoever wrote it.

    UPDATE, DELETE of an application, the sync or the bridge  ->  trigger  ->  session_revocation  ->  every replica

One set of rules, rendered for each database. Uses of a session or an account (LastActivity, LastLoginDate) append
nothing. The triggers act with the rights of whoever ran `keycloak-bridge migrate`, so an application needs none on
`session_revocation`. On PostgreSQL they also wake the replicas, by NOTIFY on the channel `session_revocation`.
"""

import hashlib
from dataclasses import dataclass

CHANNEL = "session_revocation"
"""Where PostgreSQL notifies; the payload is empty, the rows say it all."""
SESSION, USER = "session", "user"
"""Kinds of rows."""
_NOW = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
    "postgresql": "pg_catalog.clock_timestamp()",
    # Other functions give the time when the statement began, and it may have waited for a lock since.
    "mysql": "TIMESTAMPADD(MICROSECOND, TIMESTAMPDIFF(MICROSECOND, NOW(6), SYSDATE(6)), UTC_TIMESTAMP(6))",
}
_DISTINCT = {
    "sqlite": "NEW.{0} IS NOT OLD.{0}",
    "postgresql": "NEW.{0} IS DISTINCT FROM OLD.{0}",
    "mysql": "NOT (NEW.{0} <=> OLD.{0})",
}


@dataclass(frozen=True)
class Trigger:
    """A rule: which event of which table appends a row, and of which kind. A DELETE has no columns to compare."""

    table: str
    event: str
    kind: str
    changed: tuple[str, ...] = ()
    """Columns of which one must differ; NULL is a value like others."""
    earlier: tuple[str, ...] = ()
    """Or one of these, a time, must have become an earlier one."""
    only_active: bool = False
    """Only rows whose IsActive was 1: the others were revoked when they ended."""

    @property
    def name(self) -> str:
        """The name of the trigger."""
        return f"tr_{self.table}_{self.event.lower()}"


TRIGGERS = (
    Trigger(
        "sys_usersession",
        "UPDATE",
        SESSION,
        changed=("IsActive", "User", "Package", "Issuer", "Sub", "SessionType"),
        earlier=("ExpiresAt",),
        only_active=True,
    ),
    Trigger("sys_usersession", "DELETE", SESSION, only_active=True),
    Trigger(
        "sys_user",
        "UPDATE",
        USER,
        changed=("User", "Package", "Uuid", "Email", "Active", "Usergroups", "Issuer", "Sub"),
    ),
    Trigger("sys_user", "DELETE", USER),
)


@dataclass(frozen=True)
class Definition:
    """A trigger as one database makes it: the statements, and what its catalogue says when it is as it should be."""

    name: str
    statements: tuple[str, ...]
    mark: str


def render(trigger: Trigger, dialect: str, *, schema: str | None = None) -> Definition:
    """Return the definition for `sqlite`, `postgresql` (in this schema) or `mysql` (MariaDB)."""
    match dialect:
        case "postgresql":
            return _render_postgresql(trigger, schema or "public")
        case "mysql":
            return _render_mariadb(trigger)
        case _:
            return _render_sqlite(trigger)


def function_name(table: str) -> str:
    """Return the name of the function that PostgreSQL's triggers on a table call."""
    return f"{table}_revoke"


def quote(name: str, dialect: str) -> str:
    """Return a name in the quotes of a database."""
    mark = "`" if dialect == "mysql" else '"'
    return mark + name.replace(mark, mark * 2) + mark


def _render_sqlite(trigger: Trigger) -> Definition:
    condition = _condition(trigger, "sqlite")
    when = f"WHEN {condition} " if condition else ""
    create = (
        f"CREATE TRIGGER {trigger.name} AFTER {trigger.event} ON {trigger.table} "
        f"{when}BEGIN {_insert(trigger, 'sqlite')}; END"
    )
    return Definition(trigger.name, (f"DROP TRIGGER IF EXISTS {trigger.name}", create), create)


def _render_mariadb(trigger: Trigger) -> Definition:
    condition, insert = _condition(trigger, "mysql"), _insert(trigger, "mysql")
    body = f"IF {condition} THEN {insert}; END IF" if condition else insert
    head = f"AFTER {trigger.event} ON {trigger.table}"
    create = f"CREATE OR REPLACE TRIGGER {trigger.name} {head} FOR EACH ROW {body}"
    return Definition(trigger.name, (create,), f"{head} {body}")


def _render_postgresql(trigger: Trigger, schema: str) -> Definition:
    place = quote(schema, "postgresql")
    function = f"{place}.{function_name(trigger.table)}()"
    body = f"BEGIN {_insert(trigger, 'postgresql')}; PERFORM pg_catalog.pg_notify('{CHANNEL}', ''); RETURN NULL; END"
    condition = _condition(trigger, "postgresql")
    create = (
        f"CREATE OR REPLACE TRIGGER {trigger.name} AFTER {trigger.event} ON {place}.{trigger.table} FOR EACH ROW "
        f"{f'WHEN ({condition}) ' if condition else ''}EXECUTE FUNCTION {function}"
    )
    # PostgreSQL shows a condition in words of its own: the comment says which definition it was made from.
    comment = f"Appends to session_revocation ({hashlib.sha256(create.encode()).hexdigest()[:16]})"
    make_function = (
        f"CREATE OR REPLACE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql "
        f"SECURITY DEFINER SET search_path = {place}, pg_temp AS $body${body}$body$"
    )
    statements = (
        make_function,
        # Else anybody could let a table of his own write here.
        f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC",
        create,
        f"COMMENT ON TRIGGER {trigger.name} ON {place}.{trigger.table} IS '{comment}'",
    )
    return Definition(trigger.name, statements, f"{comment} {body}")


def _condition(trigger: Trigger, dialect: str) -> str:
    """Return when a row is appended; empty for always."""
    names = {name: quote(name, dialect) for name in (*trigger.changed, *trigger.earlier, "IsActive")}
    parts = [_DISTINCT[dialect].format(names[name]) for name in trigger.changed]
    parts += [f"NEW.{names[name]} < OLD.{names[name]}" for name in trigger.earlier]
    any_of = " OR ".join(parts)
    if not trigger.only_active:
        return any_of
    return f"OLD.{names['IsActive']} = 1" + (f" AND ({any_of})" if any_of else "")


def _insert(trigger: Trigger, dialect: str) -> str:
    """Return the statement that appends; the row tells of what was, since that is what replicas may hold."""
    columns = ("User", "Package", "Issuer", "Sub")
    session_id = f"OLD.{quote('SessionId', dialect)}" if trigger.kind == SESSION else "NULL"
    old = ", ".join(f"OLD.{quote(name, dialect)}" for name in columns)
    return (
        "INSERT INTO session_revocation (at, kind, session_id, username, package, issuer, sub) "  # noqa: S608 - all ours
        f"VALUES ({_NOW[dialect]}, '{trigger.kind}', {session_id}, {old})"
    )
