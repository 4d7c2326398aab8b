"""Create revocations and lockouts, and the indexes of the clean-up.

The previous release does not know these tables and runs on; its writes to sys_usersession keep two more indexes.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

from bridge.storage.tables.columns import (
    MARIADB_TABLE,
    UtcDateTime,
    big_number,
    char,
    varchar,
)

revision = "0008_revocations"
down_revision = "0007_sync"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "session_revocation",
        Column("id", big_number(), primary_key=True, autoincrement=True, comment="Number; not in the order of commits"),
        Column("at", UtcDateTime, nullable=False, comment="When, by the database's clock, UTC"),
        Column("kind", varchar(20), nullable=False, comment="session or user"),
        Column("session_id", char(64), comment="The session, if kind is session"),
        Column("username", varchar(150), nullable=False, comment="User name before the change"),
        Column("package", varchar(100), nullable=False, comment="Package (tenant)"),
        Column("issuer", varchar(255), comment="Issuer of the identity"),
        Column("sub", varchar(255), comment="Subject of the identity"),
        comment="What every replica must forget; written by triggers",
        if_not_exists=True,
        **MARIADB_TABLE,
    )
    op.create_index("idx_session_revocation_at", "session_revocation", ["at"], if_not_exists=True)

    op.create_table(
        "login_lockout",
        Column("client", varchar(255), nullable=False, comment="What was tried: the package, or the client of an app"),
        Column("address", varchar(64), nullable=False, comment="From where; of IPv6 the /64"),
        Column("failures", sa.Integer, nullable=False, comment="Failures since the last success; outlive a lock"),
        Column("first_failed_at", UtcDateTime, nullable=False, comment="First of them, UTC"),
        Column("last_failed_at", UtcDateTime, nullable=False, comment="Last of them, UTC"),
        Column("locked_until", UtcDateTime, comment="End of the lock, UTC"),
        sa.PrimaryKeyConstraint("client", "address", name="pk_login_lockout"),
        comment="Who fails too often",
        if_not_exists=True,
        **MARIADB_TABLE,
    )
    op.create_index("idx_login_lockout_last", "login_lockout", ["last_failed_at"], if_not_exists=True)

    on_mariadb = op.get_bind().dialect.name == "mysql"
    prefix = "idx_" if on_mariadb else "idx_sys_usersession_"
    op.create_index(f"{prefix}idle", "sys_usersession", ["IsActive", "IdleExpiresAt"], if_not_exists=True)
    if on_mariadb:
        # Elsewhere this index is partial and exists already.
        op.create_index("idx_cleanup", "sys_usersession", ["InvalidatedAt"], if_not_exists=True)


def downgrade() -> None:
    on_mariadb = op.get_bind().dialect.name == "mysql"
    if on_mariadb:
        op.drop_index("idx_cleanup", "sys_usersession")
    op.drop_index("idx_idle" if on_mariadb else "idx_sys_usersession_idle", "sys_usersession")
    op.drop_table("login_lockout")
    op.drop_table("session_revocation")
