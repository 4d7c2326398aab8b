"""Tables of security: what happened, who fails too often, whom replicas must forget. Private."""

import sqlalchemy as sa
from sqlalchemy import Column

from bridge.storage.tables.columns import MARIADB_TABLE, UtcDateTime, big_number, char, long_text, metadata, varchar
from bridge.storage.tables.facts import ALL, Relation, Writer, describe

security_event = sa.Table(
    "security_event",
    metadata,
    Column("id", big_number(), primary_key=True, autoincrement=True, comment="Number"),
    Column("at", UtcDateTime, nullable=False, comment="When, UTC"),
    Column("event", varchar(50), nullable=False, comment="What happened"),
    Column("package", varchar(100), comment="Package (tenant)"),
    Column("issuer", varchar(255), comment="Issuer of the identity"),
    Column("sub", varchar(255), comment="Subject of the identity"),
    Column("username", varchar(150), comment="User name"),
    Column("session_id", char(64), comment="Session handle"),
    Column("ip_address", varchar(45), comment="From where"),
    Column("request_id", varchar(64), comment="Request in the log"),
    Column("evidence", long_text(), comment="JSON: what was expected and found, never a secret"),
    sa.Index("idx_security_event_at", "at"),
    sa.Index("idx_security_event_sub", "issuer", "sub"),
    comment="Audit trail",
    **MARIADB_TABLE,
)

session_revocation = sa.Table(
    "session_revocation",
    metadata,
    Column("id", big_number(), primary_key=True, autoincrement=True, comment="Number; not in the order of commits"),
    Column("at", UtcDateTime, nullable=False, comment="When, by the database's clock, UTC"),
    Column("kind", varchar(20), nullable=False, comment="session or user"),
    Column("session_id", char(64), comment="The session, if kind is session"),
    Column("username", varchar(150), nullable=False, comment="User name before the change"),
    Column("package", varchar(100), nullable=False, comment="Package (tenant)"),
    Column("issuer", varchar(255), comment="Issuer of the identity"),
    Column("sub", varchar(255), comment="Subject of the identity"),
    sa.Index("idx_session_revocation_at", "at"),
    comment="What every replica must forget; written by triggers",
    **MARIADB_TABLE,
)

login_lockout = sa.Table(
    "login_lockout",
    metadata,
    Column("client", varchar(255), nullable=False, comment="What was tried: the package, or the client of an app"),
    Column("address", varchar(64), nullable=False, comment="From where; of IPv6 the /64"),
    Column("failures", sa.Integer, nullable=False, comment="Failures since the last success; outlive a lock"),
    Column("first_failed_at", UtcDateTime, nullable=False, comment="First of them, UTC"),
    Column("last_failed_at", UtcDateTime, nullable=False, comment="Last of them, UTC"),
    Column("locked_until", UtcDateTime, comment="End of the lock, UTC"),
    sa.PrimaryKeyConstraint("client", "address"),
    sa.Index("idx_login_lockout_last", "last_failed_at"),
    comment="Who fails too often",
    **MARIADB_TABLE,
)

describe(
    security_event,
    purpose="The audit trail: who did what, when and from where. It holds no secret.",
    kept="{security_events}.",
    written_by={
        Writer.SIGN_IN: ALL,
        Writer.SIGN_OUT: ALL,
        Writer.ACTIVITY: ALL,
        Writer.CODE_EXCHANGE: ALL,
        Writer.TOKEN_REFRESH: ALL,
        Writer.PERSON: ALL,
        Writer.SESSION_COMMAND: ALL,
        Writer.USER_COMMAND: ALL,
        Writer.KEYS_COMMAND: ALL,
        Writer.SYNC: ALL,
    },
    relations=(
        Relation(("session_id",), "sys_usersession", ("SessionId",), "the session; its row may be gone"),
        Relation(("issuer", "sub", "package"), "sys_user", ("Issuer", "Sub", "Package"), "the person"),
    ),
)
describe(
    session_revocation,
    purpose="Tells every replica of the bridge, within a second, whose session or person it must forget.",
    kept="1 hour.",
    written_by={Writer.DATABASE: ALL},
    relations=(
        Relation(("session_id",), "sys_usersession", ("SessionId",), "the session; its row may be gone"),
        Relation(("issuer", "sub", "package"), "sys_user", ("Issuer", "Sub", "Package"), "the person"),
    ),
)
describe(
    login_lockout,
    purpose="Counts failures by client and address together, so that nobody can lock somebody else out.",
    kept="24 hours after the last failure.",
    written_by={Writer.SIGN_IN: ALL, Writer.CODE_EXCHANGE: ALL, Writer.TOKEN_REFRESH: ALL},
)
