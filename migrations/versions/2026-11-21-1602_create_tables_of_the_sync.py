"""Create what the sync remembers between its steps.

The previous release does not know these tables and runs on.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

from bridge.storage.tables.columns import (
    MARIADB_TABLE,
    UtcDateTime,
    char,
    long_text,
    varchar,
)

revision = "0007_sync"
down_revision = "0006_keys_and_codes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sync_shard",
        Column("run_id", char(36), nullable=False, comment="The run"),
        Column("number", sa.Integer, nullable=False, comment="Place in the run"),
        Column("created_from", UtcDateTime, comment="People made from here, UTC; absent: without a lower bound"),
        Column("created_until", UtcDateTime, comment="People made before, UTC; absent: without an upper bound"),
        Column("status", varchar(20), nullable=False, comment="waiting, complete or failed"),
        Column("expected", sa.Integer, nullable=False, server_default="0", comment="People that Keycloak counted"),
        Column("found", sa.Integer, nullable=False, server_default="0", comment="People that were read"),
        Column("attempts", sa.Integer, nullable=False, server_default="0", comment="How often it was begun"),
        Column("updated_at", UtcDateTime, nullable=False, comment="Last write, UTC"),
        sa.PrimaryKeyConstraint("run_id", "number", name="pk_sync_shard"),
        comment="Parts of a full reading, each read and proved by itself",
        if_not_exists=True,
        **MARIADB_TABLE,
    )

    op.create_table(
        "sync_cursor",
        Column("issuer", varchar(255), nullable=False, comment="Issuer of the realm"),
        Column("stream", varchar(20), nullable=False, comment="events or admin_events"),
        Column("position_at", UtcDateTime, nullable=False, comment="Everything before was seen, UTC"),
        Column("seen", long_text(), comment="JSON: ids near the position that were seen"),
        Column("updated_at", UtcDateTime, nullable=False, comment="Last write, UTC"),
        sa.PrimaryKeyConstraint("issuer", "stream", name="pk_sync_cursor"),
        comment="How far the events of a realm were read",
        if_not_exists=True,
        **MARIADB_TABLE,
    )

    op.create_table(
        "sync_dirty",
        Column("issuer", varchar(255), nullable=False, comment="Issuer of the realm"),
        Column("kind", varchar(20), nullable=False, comment="user or group"),
        Column("id", varchar(255), nullable=False, comment="Its id at Keycloak"),
        Column("reason", varchar(50), nullable=False, comment="Which event, or what else"),
        Column("marked_at", UtcDateTime, nullable=False, comment="Last mark, UTC"),
        Column("not_before", UtcDateTime, nullable=False, comment="Next attempt, UTC"),
        Column("attempts", sa.Integer, nullable=False, server_default="0", comment="Attempts that failed"),
        Column("last_error", varchar(255), comment="Why the last one failed"),
        sa.PrimaryKeyConstraint("issuer", "kind", "id", name="pk_sync_dirty"),
        comment="Who must be read again",
        if_not_exists=True,
        **MARIADB_TABLE,
    )
    op.create_index("idx_sync_dirty_next", "sync_dirty", ["issuer", "not_before"], if_not_exists=True)

    op.create_table(
        "sync_stage",
        Column("run_id", char(36), nullable=False, comment="The run"),
        Column("sub", varchar(255), nullable=False, comment="Subject of the identity"),
        Column("change", varchar(20), nullable=False, comment="update, absence, disable or removal"),
        Column("row_version", sa.Integer, nullable=False, comment="RowVersion that the change was decided on"),
        Column("columns", long_text(), nullable=False, comment="JSON: the columns to write"),
        sa.PrimaryKeyConstraint("run_id", "sub", name="pk_sync_stage"),
        comment="Differences that a run has found and not yet written",
        if_not_exists=True,
        **MARIADB_TABLE,
    )

    op.create_table(
        "sync_plan",
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
        sa.PrimaryKeyConstraint("id", name="pk_sync_plan"),
        comment="Changes that wait for somebody's approval",
        if_not_exists=True,
        **MARIADB_TABLE,
    )
    op.create_index("idx_sync_plan_package", "sync_plan", ["package", "status"], if_not_exists=True)


def downgrade() -> None:
    op.drop_table("sync_plan")
    op.drop_table("sync_stage")
    op.drop_table("sync_dirty")
    op.drop_table("sync_cursor")
    op.drop_table("sync_shard")
