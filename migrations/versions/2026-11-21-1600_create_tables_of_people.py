"""Create the tables around people: history, group codes, preferences.

The previous release does not know these tables and runs on.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

from bridge.storage.tables.columns import (
    MARIADB_TABLE,
    Flag,
    UtcDateTime,
    big_number,
    char,
    flag_check,
    long_text,
    varchar,
)

revision = "0005_people"
down_revision = "0004_work"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sys_user_history",
        Column("id", big_number(), primary_key=True, autoincrement=True, comment="Number"),
        Column("at", UtcDateTime, nullable=False, comment="When, UTC"),
        Column("package", varchar(100), nullable=False, comment="Package (tenant)"),
        Column("username", varchar(150), nullable=False, comment="User name after the change"),
        Column("uuid", char(36), comment="Uuid of the row"),
        Column("issuer", varchar(255), comment="Issuer of the identity"),
        Column("sub", varchar(255), comment="Subject of the identity"),
        Column("change", varchar(20), nullable=False, comment="created, updated or retired"),
        Column("cause", varchar(20), nullable=False, comment="sign_in, sync or command"),
        Column("cause_id", varchar(64), comment="The run of the sync, or the session"),
        Column("before", long_text(), comment="JSON: the changed fields as they were"),
        Column("after", long_text(), comment="JSON: the changed fields as they are"),
        comment="One row a real change of a person",
        if_not_exists=True,
        **MARIADB_TABLE,
    )
    op.create_index("idx_sys_user_history_at", "sys_user_history", ["at"], if_not_exists=True)
    op.create_index("idx_sys_user_history_sub", "sys_user_history", ["issuer", "sub"], if_not_exists=True)
    op.create_index("idx_sys_user_history_user", "sys_user_history", ["package", "username"], if_not_exists=True)

    op.create_table(
        "def_usergroup",
        Column("Code", varchar(255), nullable=False, comment="Group code, as it stands in sys_user.Usergroups"),
        Column("Package", varchar(100), nullable=False, comment="Package (tenant)"),
        Column("Name", varchar(255), nullable=False, comment="Name for people"),
        Column("Description", sa.Text, comment="What the group is for"),
        Column("Active", Flag, nullable=False, server_default="1", comment="1: in use"),
        Column("KeycloakPath", varchar(1000), comment="Path of the group at Keycloak"),
        Column("UpdatedAt", UtcDateTime, comment="Last write of the bridge or the sync, UTC"),
        sa.PrimaryKeyConstraint("Code", "Package", name="pk_def_usergroup"),
        *flag_check("Active"),
        comment="Groups that codes in sys_user.Usergroups mean",
        if_not_exists=True,
        **MARIADB_TABLE,
    )
    op.create_index("idx_def_usergroup_package", "def_usergroup", ["Package", "Active"], if_not_exists=True)

    op.create_table(
        "sys_user_preferences",
        Column("User", varchar(150), nullable=False, comment="User name in sys_user"),
        Column("Package", varchar(100), nullable=False, comment="Package (tenant)"),
        Column("Name", varchar(150), nullable=False, comment="Name of the preference"),
        Column("Value", long_text(), comment="Its value"),
        Column("UpdatedAt", UtcDateTime, comment="Last write of the bridge, UTC"),
        sa.PrimaryKeyConstraint("User", "Package", "Name", name="pk_sys_user_preferences"),
        comment="What people prefer, by name",
        if_not_exists=True,
        **MARIADB_TABLE,
    )


def downgrade() -> None:
    op.drop_table("sys_user_preferences")
    op.drop_table("def_usergroup")
    op.drop_table("sys_user_history")
