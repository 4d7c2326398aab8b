"""Create revocations and lockouts, and the indexes of the clean-up.

The previous release does not know these tables and runs on; its writes to sys_usersession keep three more indexes.
The triggers that fill session_revocation are made by env.py once the newest revision is reached.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

from bridge.storage.installed_triggers import drop_triggers
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

    _create_indexes_of_the_clean_up()


def _create_indexes_of_the_clean_up() -> None:
    """Index what is overdue by whose it is: rows of applications, which are not ours to end, may be many."""
    on_mariadb = op.get_bind().dialect.name == "mysql"
    prefix = "idx_" if on_mariadb else "idx_sys_usersession_"
    # Only the clean-up says that it asks for no local rows: no other query is led to these two by mistake.
    inactive, not_local = sa.text('"IsActive" = 0'), sa.text("\"Origin\" <> 'local'")
    if not on_mariadb:
        op.drop_index(f"{prefix}cleanup", "sys_usersession")
    for short, columns, where in (
        ("idle", ["IsActive", "IdleExpiresAt"], not_local),
        ("overdue", ["Origin", "IsActive", "ExpiresAt"], not_local),
        ("cleanup", ["Origin", "InvalidatedAt"], inactive),
    ):
        op.create_index(
            f"{prefix}{short}",
            "sys_usersession",
            columns,
            if_not_exists=True,
            postgresql_where=where,
            sqlite_where=where,
        )


def downgrade() -> None:
    # With them and without the table, no session could be ended any more.
    drop_triggers(op.get_bind())
    on_mariadb = op.get_bind().dialect.name == "mysql"
    prefix = "idx_" if on_mariadb else "idx_sys_usersession_"
    for short in ("cleanup", "overdue", "idle"):
        op.drop_index(f"{prefix}{short}", "sys_usersession")
    if not on_mariadb:
        inactive = sa.text('"IsActive" = 0')
        op.create_index(
            f"{prefix}cleanup",
            "sys_usersession",
            ["InvalidatedAt"],
            postgresql_where=inactive,
            sqlite_where=inactive,
        )
    op.drop_table("login_lockout")
    op.drop_table("session_revocation")
