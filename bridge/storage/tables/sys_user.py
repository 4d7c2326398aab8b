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
