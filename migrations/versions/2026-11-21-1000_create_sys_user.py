"""Create sys_user.

The previous release needs nothing of this: it is the first one.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

from bridge.storage.tables.columns import (
    MARIADB_TABLE,
    Flag,
    UtcDateTime,
    char,
    flag_check,
    long_text,
    varchar,
)

revision = "0001_sys_user"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sys_user",
        Column("User", varchar(150), nullable=False, comment="User name; follows a rename in Keycloak"),
        Column("Uuid", char(36), comment="Keycloak user id, or a UUIDv5 of issuer and sub"),
        Column("Package", varchar(100), nullable=False, comment="Package (tenant)"),
        Column("Active", Flag, nullable=False, server_default="1", comment="1: may sign in"),
        Column("Store", varchar(50), comment="Store identifier"),
        Column("Password", varchar(512), comment="Legacy; never filled by the mirror"),
        Column("loginpassword", varchar(512), comment="Legacy; never filled by the mirror"),
        Column("Email", varchar(255), comment="E-mail address"),
        Column("Usergroups", long_text(), comment="Group codes, separated by commas"),
        Column("RegisterDate", UtcDateTime, comment="When the account was made, UTC"),
        Column("LastLoginDate", UtcDateTime, comment="Last sign-in, UTC"),
        Column("LastInteraction", UtcDateTime, comment="Last use of an application, UTC"),
        Column("FirstName", varchar(255), comment="Given name"),
        Column("LastName", varchar(255), comment="Family name"),
        Column("DisplayName", varchar(512), comment="Full name"),
        Column("EmailVerified", Flag, comment="1: Keycloak has verified the address"),
        Column("UpdatedAt", UtcDateTime, comment="Last write of the bridge or the sync, UTC"),
        Column("Realm", varchar(255), comment="Keycloak realm"),
        Column("Issuer", varchar(255), comment="Issuer identifier; with Sub the identity"),
        Column("Sub", varchar(255), comment="Subject identifier of the issuer"),
        Column("MirroredUsergroups", long_text(), comment="The group codes that the mirror put into Usergroups"),
        Column(
            "RowVersion", sa.Integer, nullable=False, server_default="0", comment="Raised by every write of the bridge"
        ),
        Column("MissingSince", UtcDateTime, comment="First seen absent in Keycloak, UTC"),
        Column("DeactivatedBy", varchar(20), comment="sync or admin, when Active is 0"),
        Column(
            "Origin", varchar(20), nullable=False, server_default="local", comment="keycloak, or local (hand-written)"
        ),
        sa.PrimaryKeyConstraint("User", "Package", name="pk_sys_user"),
        sa.UniqueConstraint("Issuer", "Sub", "Package", name="uq_sys_user_identity"),
        *flag_check("Active", "EmailVerified"),
        comment="People, mirrored from Keycloak",
        if_not_exists=True,
        **MARIADB_TABLE,
    )
    op.create_index(_index_name("active_user"), "sys_user", ["Active", "User"], if_not_exists=True)
    op.create_index(_index_name("active_uuid"), "sys_user", ["Active", "Uuid"], if_not_exists=True)
    op.create_index(_index_name("email"), "sys_user", ["Email"], if_not_exists=True)
    op.create_index(_index_name("package"), "sys_user", ["Package"], if_not_exists=True)
    op.create_index(_index_name("store"), "sys_user", ["Store"], if_not_exists=True)
    op.create_index(_index_name("uuid"), "sys_user", ["Uuid"], if_not_exists=True)


def downgrade() -> None:
    op.drop_table("sys_user")


def _index_name(short: str) -> str:
    # Existing MariaDB installations have short names; elsewhere index names are global.
    return f"idx_{short}" if op.get_bind().dialect.name == "mysql" else f"idx_sys_user_{short}"
