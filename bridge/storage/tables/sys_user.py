"""`sys_user`: people, one row per user name and package. Public, and mirrored from Keycloak."""

import sqlalchemy as sa
from sqlalchemy import Column

from bridge.storage.tables.columns import (
    MARIADB_TABLE,
    Flag,
    UtcDateTime,
    char,
    flag_check,
    index,
    long_text,
    metadata,
    varchar,
)
from bridge.storage.tables.facts import Relation, Writer, describe

NAME = "sys_user"

sys_user = sa.Table(
    NAME,
    metadata,
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
    Column("RowVersion", sa.Integer, nullable=False, server_default="0", comment="Raised by every write of the bridge"),
    Column("MissingSince", UtcDateTime, comment="First seen absent in Keycloak, UTC"),
    Column("DeactivatedBy", varchar(20), comment="sync or admin, when Active is 0"),
    Column("Origin", varchar(20), nullable=False, server_default="local", comment="keycloak, or local (hand-written)"),
    sa.PrimaryKeyConstraint("User", "Package"),
    sa.UniqueConstraint("Issuer", "Sub", "Package", name="uq_sys_user_identity"),
    *flag_check("Active", "EmailVerified"),
    index(NAME, "active_user", "Active", "User"),
    index(NAME, "active_uuid", "Active", "Uuid"),
    index(NAME, "uuid", "Uuid"),
    index(NAME, "email", "Email"),
    index(NAME, "package", "Package"),
    index(NAME, "store", "Store"),
    comment="People, mirrored from Keycloak",
    **MARIADB_TABLE,
)

describe(
    sys_user,
    public=True,
    purpose="Says who exists, who may sign in, and who is in which group. One row a person and package. Rows with "
    "`Issuer` and `Sub` are mirrored from Keycloak; the others are an application's own.",
    kept="For ever. The mirror never deletes a person: `Active` becomes 0.",
    written_by={
        Writer.SIGN_IN: "User Uuid Package Active Email RegisterDate LastLoginDate LastInteraction FirstName LastName "
        "DisplayName EmailVerified UpdatedAt Realm Issuer Sub RowVersion MissingSince "
        "DeactivatedBy Origin",
        Writer.SYNC: "User Uuid Package Active Email Usergroups RegisterDate FirstName LastName DisplayName "
        "EmailVerified UpdatedAt Realm Issuer Sub MirroredUsergroups RowVersion MissingSince DeactivatedBy Origin",
        Writer.USER_COMMAND: "User Uuid Package Active Store Password Email Usergroups RegisterDate FirstName LastName "
        "DisplayName UpdatedAt RowVersion Origin",
        Writer.KEYS_COMMAND: "Password loginpassword UpdatedAt RowVersion",
        Writer.APPLICATION: "User Uuid Package Active Store Password loginpassword Email Usergroups RegisterDate "
        "LastLoginDate LastInteraction FirstName LastName DisplayName",
    },
    relations=(
        Relation(
            ("Usergroups", "Package"),
            "def_usergroup",
            ("Code", "Package"),
            "each code of the list is a group",
            many_to_many=True,
        ),
    ),
    notes=(
        (
            "An application may write whole rows of its own. In mirrored rows it writes `Store`, `Password`, "
            "`loginpassword`, `LastLoginDate`, `LastInteraction`, `Active` and codes of its own in `Usergroups`."
        ),
    ),
)
