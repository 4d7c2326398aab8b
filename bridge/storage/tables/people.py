"""Tables around people: what changed in their rows, which groups there are, what they prefer."""

import sqlalchemy as sa
from sqlalchemy import Column

from bridge.storage.tables.columns import (
    MARIADB_TABLE,
    Flag,
    UtcDateTime,
    big_number,
    char,
    flag_check,
    long_text,
    metadata,
    varchar,
)
from bridge.storage.tables.facts import ALL, Relation, Writer, describe

sys_user_history = sa.Table(
    "sys_user_history",
    metadata,
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
    sa.Index("idx_sys_user_history_at", "at"),
    sa.Index("idx_sys_user_history_user", "package", "username"),
    sa.Index("idx_sys_user_history_sub", "issuer", "sub"),
    comment="One row a real change of a person",
    **MARIADB_TABLE,
)

def_usergroup = sa.Table(
    "def_usergroup",
    metadata,
    Column("Code", varchar(255), nullable=False, comment="Group code, as it stands in sys_user.Usergroups"),
    Column("Package", varchar(100), nullable=False, comment="Package (tenant)"),
    Column("Name", varchar(255), nullable=False, comment="Name for people"),
    Column("Description", sa.Text, comment="What the group is for"),
    Column("Active", Flag, nullable=False, server_default="1", comment="1: in use"),
    Column("KeycloakPath", varchar(1000), comment="Path of the group at Keycloak"),
    Column("UpdatedAt", UtcDateTime, comment="Last write of the bridge or the sync, UTC"),
    sa.PrimaryKeyConstraint("Code", "Package"),
    *flag_check("Active"),
    sa.Index("idx_def_usergroup_package", "Package", "Active"),
    comment="Groups that codes in sys_user.Usergroups mean",
    **MARIADB_TABLE,
)

sys_user_preferences = sa.Table(
    "sys_user_preferences",
    metadata,
    Column("User", varchar(150), nullable=False, comment="User name in sys_user"),
    Column("Package", varchar(100), nullable=False, comment="Package (tenant)"),
    Column("Name", varchar(150), nullable=False, comment="Name of the preference"),
    Column("Value", long_text(), comment="Its value"),
    Column("UpdatedAt", UtcDateTime, comment="Last write of the bridge, UTC"),
    sa.PrimaryKeyConstraint("User", "Package", "Name"),
    comment="What people prefer, by name",
    **MARIADB_TABLE,
)

describe(
    sys_user_history,
    purpose="Says what changed in a person's row, when and why: the fields before and after. Activity is no change.",
    kept="{user_history}.",
    written_by={Writer.SIGN_IN: ALL, Writer.SYNC: ALL, Writer.USER_COMMAND: ALL},
    relations=(
        Relation(("issuer", "sub", "package"), "sys_user", ("Issuer", "Sub", "Package"), "the person"),
        Relation(("cause_id",), "sync_run", ("id",), "the run that made the change, if `cause` is `sync`"),
    ),
)
describe(
    def_usergroup,
    purpose="Says what the group codes in `sys_user.Usergroups` mean.",
    kept="For ever.",
    written_by={
        Writer.SYNC: "Code Package Name Active KeycloakPath UpdatedAt",
        Writer.USERGROUPS_COMMAND: ALL,
    },
)
describe(
    sys_user_preferences,
    purpose="Keeps what a person prefers, as named values.",
    kept="As long as the person; it follows a rename.",
    written_by={Writer.PERSON: ALL, Writer.USER_COMMAND: ALL, Writer.SIGN_IN: "User", Writer.SYNC: "User"},
    relations=(Relation(("User", "Package"), "sys_user", ("User", "Package"), "the person"),),
)
