"""Tables of work and audit: who holds a job, what a run did, what matters to security. Private."""

import sqlalchemy as sa
from sqlalchemy import Column

from bridge.storage.tables.columns import MARIADB_TABLE, UtcDateTime, big_number, char, long_text, metadata, varchar

lease = sa.Table(
    "lease",
    metadata,
    Column("name", varchar(255), nullable=False, comment="The job"),
    Column("holder", varchar(255), comment="Who does it; absent: nobody"),
    Column("fencing_number", sa.BigInteger, nullable=False, comment="Raised by every taking"),
    Column("expires_at", UtcDateTime, nullable=False, comment="End, by the database's clock"),
    Column("heartbeat_at", UtcDateTime, nullable=False, comment="Last sign of life, by the database's clock"),
    sa.PrimaryKeyConstraint("name"),
    comment="One row a job: who may do it now",
    **MARIADB_TABLE,
)

sync_run = sa.Table(
    "sync_run",
    metadata,
    Column("id", char(36), nullable=False, comment="UUID of the run"),
    Column("package", varchar(100), nullable=False, comment="Package (tenant)"),
    Column("started_at", UtcDateTime, nullable=False, comment="Start, UTC"),
    Column("finished_at", UtcDateTime, comment="End, UTC; absent: running or killed"),
    Column("status", varchar(20), nullable=False, comment="running, complete, incomplete or failed"),
    Column("users_read", sa.Integer, nullable=False, server_default="0", comment="People read at Keycloak"),
    Column("users_created", sa.Integer, nullable=False, server_default="0", comment="Rows made"),
    Column("users_updated", sa.Integer, nullable=False, server_default="0", comment="Rows changed"),
    Column("users_missing", sa.Integer, nullable=False, server_default="0", comment="Rows newly marked MissingSince"),
    Column("sessions_read", sa.Integer, nullable=False, server_default="0", comment="Sessions read at Keycloak"),
    Column("sessions_created", sa.Integer, nullable=False, server_default="0", comment="Session rows made"),
    Column("sessions_updated", sa.Integer, nullable=False, server_default="0", comment="Session rows changed"),
    Column("sessions_ended", sa.Integer, nullable=False, server_default="0", comment="Session rows ended"),
    Column("conflicts", sa.Integer, nullable=False, server_default="0", comment="People who could not be mirrored"),
    Column("report", long_text(), comment="JSON: the first conflicts, and why a run is not complete"),
    sa.PrimaryKeyConstraint("id"),
    sa.Index("idx_sync_run_started", "package", "started_at"),
    comment="One row a run of the sync",
    **MARIADB_TABLE,
)

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
