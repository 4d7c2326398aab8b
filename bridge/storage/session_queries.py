"""The eight session operations as plain SQL, for applications that are not written in Python.

The same definitions that `user_sessions` runs, with the database's own clock in the place of `now` and its default
retentions. What such an application writes is a row of its own (Origin `local`): it signs nobody in here, and
`get_active_session` finds it only for a person of the application's own, whom Keycloak does not know.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, bindparam, delete, select, union
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.dialects.postgresql import psycopg2
from sqlalchemy.engine import Dialect

from bridge.config.policy import RetentionSettings
from bridge.model import Origin
from bridge.storage import session_statements as statements
from bridge.storage.session_statements import OF_PACKAGE, OF_USER, k, s, u
from bridge.storage.tables import sys_user, sys_usersession
from bridge.storage.tables.columns import database_ago, statement_now

NOW: ColumnElement[Any] = statement_now()
OF_SESSION = s.SessionId == bindparam("session_id")
OWN_ROWS = s.Origin == Origin.LOCAL
PARAMETERS: Mapping[str, str] = {
    "session_id": "handle of the session, 64 characters at most; make it of 128 random bits or more",
    "user": "user name, as in sys_user",
    "package": "package (tenant)",
    "session_token_sha256": "SHA-256 of the session's token as 64 hexadecimal characters; never the token",
    "session_type": "web, api, mobile or console, and no other",
    "ip_address": "address of the client",
    "user_agent": "user agent of the client",
    "expires_at": "absolute end, UTC",
    "login_method": "password, otp, sso, api_key, or NULL",
    "idle_expires_at": "end if unused, UTC; a session without an idle limit has NULL",
    "invalidated_by": "who ends it",
    "reason": "why it ends",
}
"""Every parameter of the statements, and what it means."""


def _select_active() -> sa.Select[Any]:
    """Find a session by its token: one of the bridge by its credential, one of the application by its own row."""
    token: ColumnElement[Any] = bindparam("session_token_sha256")
    opened = union(
        select(k.session_id.label("session_id")).where(k.digest == token, statements.opens(NOW)),
        select(s.SessionId).where(s.SessionToken == token, s.Origin == Origin.LOCAL),
    ).subquery("opened")
    person = sa.and_(
        u.User == s.User,
        u.Package == s.Package,
        sa.or_(
            # Whoever can merely write a row must not sign in as somebody whom Keycloak knows.
            sa.and_(s.Origin == Origin.LOCAL, u.Issuer.is_(None)),
            sa.and_(s.Origin != Origin.LOCAL, u.Issuer == s.Issuer, u.Sub == s.Sub),
        ),
    )
    return (
        select(s.SessionId, s.User, s.Package, s.SessionType, s.CreatedAt, s.ExpiresAt, u.Uuid, u.Email, u.Usergroups)
        .select_from(sa.join(opened, sys_usersession, opened.c.session_id == s.SessionId).join(sys_user, person))
        .where(OF_PACKAGE, statements.is_alive(NOW), u.Active == sa.literal_column("1"))
    )


def _definitions() -> dict[str, list[Any]]:
    retention = RetentionSettings()
    over = (OWN_ROWS, s.ExpiresAt <= NOW)
    long_over = s.ExpiresAt < database_ago(retention.expired_sessions.days)
    long_ended = s.InvalidatedAt < database_ago(retention.inactive_sessions.days)
    return {
        "create_session": [statements.insert_session(NOW)],
        "get_active_session": [_select_active()],
        "get_user_sessions": [statements.select_living(NOW).where(s.User == bindparam("user"))],
        "update_activity": [statements.update_use(NOW, further=("idle", "ip_address"))],
        "invalidate_session": [statements.update_end(NOW, OF_SESSION, statements.ACTIVE)],
        "invalidate_user_sessions": [statements.update_end(NOW, OF_USER, statements.ACTIVE)],
        "cleanup_expired": [
            statements.update_end(NOW, *over, statements.ACTIVE),
            delete(sys_usersession).where(statements.INACTIVE, long_over, OWN_ROWS),
            delete(sys_usersession).where(statements.INACTIVE, long_ended, OWN_ROWS),
        ],
        "count_concurrent": [statements.count_living(NOW, s.Origin != Origin.KEYCLOAK)],
    }


def _dialect(name: str) -> Dialect:
    # psycopg2's spelling of PostgreSQL puts no casts behind parameters.
    kinds: Mapping[str, Callable[..., Dialect]] = {
        "sqlite": sqlite.dialect,
        "postgresql": psycopg2.dialect,
        "mariadb": mysql.dialect,
    }
    return kinds[name](paramstyle="named")


DIALECTS = ("sqlite", "postgresql", "mariadb")


def published(dialect: str) -> dict[str, list[str]]:
    """Return the SQL of each operation for `sqlite`, `postgresql` or `mariadb`, with parameters as `:name`.

    Raises:
        KeyError: there is no such dialect.
    """
    found = _dialect(dialect)
    return {name: [_render(one, found) for one in ones] for name, ones in _definitions().items()}


def _render(statement: Any, dialect: Dialect) -> str:
    compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    text = str(compiled)
    for name, value in compiled.params.items():
        if name not in PARAMETERS:
            # Constants of ours: they are part of the statement.
            text = re.sub(rf":{name}\b", _literal(value), text)
    return text


def _literal(value: object) -> str:
    if isinstance(value, int):
        return str(int(value))
    text = str(value)
    if not text.isidentifier():
        raise AssertionError("only plain words are constants of these statements")
    return f"'{text}'"
