"""Tables of work: who holds a job, what a run of the sync did, and where it goes on. Private."""

import sqlalchemy as sa
from sqlalchemy import Column

from bridge.storage.tables.columns import MARIADB_TABLE, UtcDateTime, char, long_text, metadata, varchar
from bridge.storage.tables.facts import ALL, Relation, Writer, describe

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

sync_shard = sa.Table(
    "sync_shard",
    metadata,
    Column("run_id", char(36), nullable=False, comment="The run"),
    Column("number", sa.Integer, nullable=False, comment="Place in the run"),
    Column("created_from", UtcDateTime, comment="People made from here, UTC; absent: without a lower bound"),
    Column("created_until", UtcDateTime, comment="People made before, UTC; absent: without an upper bound"),
    Column("status", varchar(20), nullable=False, comment="waiting, complete or failed"),
    Column("expected", sa.Integer, nullable=False, server_default="0", comment="People that Keycloak counted"),
    Column("found", sa.Integer, nullable=False, server_default="0", comment="People that were read"),
    Column("attempts", sa.Integer, nullable=False, server_default="0", comment="How often it was begun"),
    Column("updated_at", UtcDateTime, nullable=False, comment="Last write, UTC"),
    sa.PrimaryKeyConstraint("run_id", "number"),
    comment="Parts of a full reading, each read and proved by itself",
    **MARIADB_TABLE,
)

sync_cursor = sa.Table(
    "sync_cursor",
    metadata,
    Column("issuer", varchar(255), nullable=False, comment="Issuer of the realm"),
    Column("stream", varchar(20), nullable=False, comment="events or admin_events"),
    Column("position_at", UtcDateTime, nullable=False, comment="Everything before was seen, UTC"),
    Column("seen", long_text(), comment="JSON: ids near the position that were seen"),
    Column("updated_at", UtcDateTime, nullable=False, comment="Last write, UTC"),
    sa.PrimaryKeyConstraint("issuer", "stream"),
    comment="How far the events of a realm were read",
    **MARIADB_TABLE,
)

sync_dirty = sa.Table(
    "sync_dirty",
    metadata,
    Column("issuer", varchar(255), nullable=False, comment="Issuer of the realm"),
    Column("kind", varchar(20), nullable=False, comment="user or group"),
    Column("id", varchar(255), nullable=False, comment="Its id at Keycloak"),
    Column("reason", varchar(50), nullable=False, comment="Which event, or what else"),
    Column("marked_at", UtcDateTime, nullable=False, comment="Last mark, UTC"),
    Column("not_before", UtcDateTime, nullable=False, comment="Next attempt, UTC"),
    Column("attempts", sa.Integer, nullable=False, server_default="0", comment="Attempts that failed"),
    Column("last_error", varchar(255), comment="Why the last one failed"),
    sa.PrimaryKeyConstraint("issuer", "kind", "id"),
    sa.Index("idx_sync_dirty_next", "issuer", "not_before"),
    comment="Who must be read again",
    **MARIADB_TABLE,
)

sync_stage = sa.Table(
    "sync_stage",
    metadata,
    Column("run_id", char(36), nullable=False, comment="The run"),
    Column("sub", varchar(255), nullable=False, comment="Subject of the identity"),
    Column("change", varchar(20), nullable=False, comment="update, absence, disable or removal"),
    Column("row_version", sa.Integer, nullable=False, comment="RowVersion that the change was decided on"),
    Column("columns", long_text(), nullable=False, comment="JSON: the columns to write"),
    sa.PrimaryKeyConstraint("run_id", "sub"),
    comment="Differences that a run has found and not yet written",
    **MARIADB_TABLE,
)

sync_plan = sa.Table(
    "sync_plan",
    metadata,
    Column("id", char(36), nullable=False, comment="UUID of the plan"),
    Column("package", varchar(100), nullable=False, comment="Package (tenant)"),
    Column("run_id", char(36), nullable=False, comment="The run whose changes are held"),
    Column("status", varchar(20), nullable=False, comment="open, approved, rejected, replaced or expired"),
    Column("reason", varchar(255), nullable=False, comment="Which limit was reached"),
    Column("changes", long_text(), nullable=False, comment="JSON: the exact changes of rows"),
    Column("created_at", UtcDateTime, nullable=False, comment="Start, UTC"),
    Column("expires_at", UtcDateTime, nullable=False, comment="End, UTC"),
    Column("decided_at", UtcDateTime, comment="When somebody decided, UTC"),
    Column("decided_by", varchar(150), comment="Who decided"),
    sa.PrimaryKeyConstraint("id"),
    sa.Index("idx_sync_plan_package", "package", "status"),
    comment="Changes that wait for somebody's approval",
    **MARIADB_TABLE,
)

_OF_RUN = Relation(("run_id",), "sync_run", ("id",), "the run")

describe(
    lease,
    purpose="Says which process does a job that only one may do at a time.",
    kept="For ever, one row a job.",
    written_by={Writer.SYNC: ALL, Writer.CLEAN_UP: ALL, Writer.SERVICE: ALL},
)
describe(
    sync_run,
    purpose="Says what each run of the sync read and changed, and whether it was complete.",
    kept="For ever; no setting limits it.",
    written_by={Writer.SYNC: ALL},
)
describe(
    sync_shard,
    purpose="Keeps how far a run has come, so that another one goes on after a crash.",
    kept="With its run.",
    written_by={Writer.SYNC: ALL},
    relations=(_OF_RUN,),
)
describe(
    sync_cursor,
    purpose="Says up to where the events of a realm were read.",
    kept="For ever, one row a realm and stream.",
    written_by={Writer.SYNC: ALL},
)
describe(
    sync_dirty,
    purpose="Lists the users and groups that must be read again, because an event or a sign-in says so.",
    kept="Until it was read.",
    written_by={Writer.SYNC: ALL, Writer.SIGN_IN: "issuer kind id reason marked_at not_before attempts"},
    relations=(
        Relation(("issuer", "id"), "sys_user", ("Issuer", "Sub"), "the person, if `kind` is `user`", many_to_many=True),
    ),
)
describe(
    sync_stage,
    purpose="Keeps the differences that a run has found until it is known that the run is complete.",
    kept="Until they are written or the run is over.",
    written_by={Writer.SYNC: ALL},
    relations=(
        _OF_RUN,
        Relation(("sub",), "sys_user", ("Sub",), "the person", many_to_many=True),
    ),
)
describe(
    sync_plan,
    purpose="Keeps changes that are too many to be written without somebody's approval.",
    kept="7 days until it expires; the row stays.",
    written_by={Writer.SYNC: ALL},
    relations=(_OF_RUN,),
)
