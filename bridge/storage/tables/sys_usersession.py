"""`sys_usersession`: sessions of the bridge, sessions mirrored from Keycloak, and rows applications write. Public.

A row never authenticates anybody: credentials live in `session_credential` alone.
"""

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
from bridge.storage.tables.facts import MARIADB_DEFAULT, Relation, Writer, describe

NAME = "sys_usersession"
ACTIVE = sa.text('"IsActive" = 1')
INACTIVE = sa.text('"IsActive" = 0')
NOT_LOCAL = sa.text("\"Origin\" <> 'local'")

sys_usersession = sa.Table(
    NAME,
    metadata,
    Column("SessionId", char(64), nullable=False, comment="Public handle of the session; opens nothing"),
    Column("User", varchar(150), nullable=False, comment="User name in sys_user"),
    Column("Package", varchar(100), nullable=False, comment="Package (tenant)"),
    Column("SessionToken", varchar(512), comment="SHA-256 of the current credential, for information"),
    Column("SessionType", varchar(20), nullable=False, comment="web, api, mobile or console"),
    Column("IpAddress", varchar(45), comment="Address at sign-in"),
    Column("UserAgent", sa.Text, comment="User agent at sign-in"),
    Column("CreatedAt", UtcDateTime, nullable=False, comment="Start, UTC"),
    Column(
        "LastActivity",
        UtcDateTime,
        comment="Last use, UTC; absent reads as CreatedAt",
        info={MARIADB_DEFAULT: "CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"},
    ),
    Column("ExpiresAt", UtcDateTime, nullable=False, comment="Absolute end, UTC"),
    Column("IsActive", Flag, nullable=False, server_default="1", comment="1: alive, as far as nobody ended it"),
    Column("DeviceId", varchar(255), comment="Device identifier given by an app"),
    Column("DeviceName", varchar(255), comment="Device name"),
    Column("Location", varchar(255), comment="Place of the address, when a place database is configured"),
    Column("LoginMethod", varchar(20), comment="password, otp, sso or api_key; absent when unknown"),
    Column("RefreshToken", varchar(512), comment="SHA-256 of the current refresh token, for information"),
    Column("RefreshTokenExpiresAt", UtcDateTime, comment="End of the refresh token, UTC"),
    Column("InvalidatedAt", UtcDateTime, comment="When the session was ended, UTC"),
    Column("InvalidatedBy", varchar(150), comment="Who ended it"),
    Column("InvalidatedReason", varchar(100), comment="Why it was ended"),
    Column("Issuer", varchar(255), comment="Issuer of the Keycloak session"),
    Column("Realm", varchar(255), comment="Keycloak realm"),
    Column("Sub", varchar(255), comment="Subject identifier"),
    Column("Sid", varchar(255), comment="Keycloak's session id; several sessions may share it"),
    Column("Offline", Flag, nullable=False, server_default="0", comment="1: an offline session of Keycloak"),
    Column("ClientId", varchar(255), comment="Client that the session was opened with"),
    Column("Origin", varchar(20), nullable=False, server_default="local", comment="bridge, keycloak or local"),
    Column("AuthTime", UtcDateTime, comment="When the person last authenticated at Keycloak, UTC"),
    Column("Acr", varchar(255), comment="Authentication context class"),
    Column("OauthStateId", char(64), comment="Digest of the state of the login that opened it"),
    Column("TokensExchanged", Flag, nullable=False, server_default="0", comment="1: the app's code was exchanged"),
    Column("TokenFamilyId", char(64), comment="Family of rotating refresh tokens"),
    Column("RotationCount", sa.Integer, nullable=False, server_default="0", comment="Rotations of the credential"),
    Column("LastRotatedAt", UtcDateTime, comment="Last rotation, UTC"),
    Column("IdleExpiresAt", UtcDateTime, comment="End if unused, UTC; absent: no idle limit"),
    Column("RememberMe", Flag, nullable=False, server_default="0", comment="1: remembered by Keycloak"),
    Column("LastIpAddress", varchar(45), comment="Address of the last use"),
    Column("SuspiciousActivityCount", sa.Integer, nullable=False, server_default="0", comment="Suspicious findings"),
    Column("IsTrusted", Flag, nullable=False, server_default="0", comment="1: the person trusts the device"),
    Column("DeviceFingerprint", char(64), comment="Digest of device facts"),
    Column("UserAgentHash", char(64), comment="Digest of the user agent"),
    Column("DeviceType", varchar(50), comment="Kind of device"),
    Column("OperatingSystem", varchar(100), comment="Operating system"),
    Column("OperatingSystemVersion", varchar(50), comment="Version of the operating system"),
    Column("Browser", varchar(100), comment="Browser"),
    Column("BrowserVersion", varchar(50), comment="Version of the browser"),
    Column("LocationCity", varchar(255), comment="City of the address"),
    Column("LocationCountry", varchar(100), comment="Country of the address"),
    Column("ClientsAccessed", long_text(), comment="Keycloak clients of the session, separated by commas"),
    Column("LastClientAccessed", varchar(255), comment="Last of those clients"),
    Column("LastClientAccessedAt", UtcDateTime, comment="Its last use, UTC"),
    Column("UpdatedAt", UtcDateTime, comment="Last write of the bridge or the sync, UTC"),
    Column("MissingSince", UtcDateTime, comment="First seen absent in Keycloak, UTC"),
    sa.PrimaryKeyConstraint("SessionId"),
    # So it is named in every database: the convention was put upon a name that had it already.
    sa.CheckConstraint(
        sa.column("ExpiresAt") > sa.column("CreatedAt"),
        name=sa.schema.conv("ck_sys_usersession_ck_sys_usersession_expiry"),
    ),
    *flag_check("IsActive", "Offline", "TokensExchanged", "RememberMe", "IsTrusted"),
    index(NAME, "user_package", "User", "Package"),
    index(NAME, "user_active", "User", "IsActive"),
    index(NAME, "expires", "ExpiresAt", "IsActive"),
    index(NAME, "token", "SessionToken", mysql_length=255),
    index(NAME, "refresh", "RefreshToken"),
    index(NAME, "ip", "IpAddress"),
    index(NAME, "created", "CreatedAt"),
    index(NAME, "package", "Package"),
    index(NAME, "device", "DeviceId"),
    index(NAME, "issuer_sid", "Issuer", "Sid"),
    index(NAME, "issuer_sub", "Issuer", "Sub", "IsActive"),
    index(NAME, "active_expiry", "ExpiresAt", mariadb=False, postgresql_where=ACTIVE, sqlite_where=ACTIVE),
    index(NAME, "cleanup", "Origin", "InvalidatedAt", postgresql_where=INACTIVE, sqlite_where=INACTIVE),
    # Only the clean-up says that it asks for no local rows: no other query is led to these two by mistake.
    index(NAME, "idle", "IsActive", "IdleExpiresAt", postgresql_where=NOT_LOCAL, sqlite_where=NOT_LOCAL),
    index(NAME, "overdue", "Origin", "IsActive", "ExpiresAt", postgresql_where=NOT_LOCAL, sqlite_where=NOT_LOCAL),
    comment="Sessions of the bridge, mirrored ones of Keycloak, and hand-written ones",
    **MARIADB_TABLE,
)

_c = sys_usersession.c
index(NAME, "user_activity", _c.User, _c.IsActive, _c.LastActivity.desc())

describe(
    sys_usersession,
    public=True,
    purpose="Says who is signed in, since when, from where and until when. `Origin` says whose a row is: `bridge` a "
    "sign-in through the bridge, `keycloak` a mirrored session of Keycloak, `local` an application's own. A row never "
    "signs anybody in, whoever wrote it: only `session_credential` does.",
    kept="{expired_sessions} after `ExpiresAt`, or {inactive_sessions} after somebody ended the session. "
    "A row is never deleted before it is inactive. Rows of origin `local` are the application's to delete.",
    written_by={
        Writer.SIGN_IN: "SessionId User Package SessionToken SessionType IpAddress UserAgent CreatedAt LastActivity "
        "ExpiresAt IsActive DeviceName Location LoginMethod Issuer Realm Sub Sid ClientId Origin AuthTime Acr "
        "OauthStateId IdleExpiresAt LastIpAddress SuspiciousActivityCount DeviceFingerprint UserAgentHash DeviceType "
        "OperatingSystem OperatingSystemVersion Browser BrowserVersion LocationCity LocationCountry ClientsAccessed "
        "LastClientAccessed LastClientAccessedAt UpdatedAt",
        Writer.LIBRARY: "SessionId User Package SessionToken SessionType IpAddress UserAgent CreatedAt LastActivity "
        "ExpiresAt IsActive DeviceId DeviceName Location LoginMethod Issuer Realm Sub Sid ClientId Origin AuthTime Acr "
        "OauthStateId IdleExpiresAt RememberMe LastIpAddress SuspiciousActivityCount IsTrusted DeviceFingerprint "
        "UserAgentHash DeviceType OperatingSystem OperatingSystemVersion Browser BrowserVersion LocationCity "
        "LocationCountry ClientsAccessed LastClientAccessed LastClientAccessedAt UpdatedAt",
        Writer.SESSION_COMMAND: "SessionId User Package SessionToken SessionType CreatedAt LastActivity ExpiresAt "
        "IsActive DeviceName LoginMethod Issuer Realm Sub Origin IdleExpiresAt IsTrusted InvalidatedAt InvalidatedBy "
        "InvalidatedReason UpdatedAt",
        Writer.ACTIVITY: "LastActivity IdleExpiresAt LastIpAddress SuspiciousActivityCount UpdatedAt",
        Writer.ROTATION: "SessionToken LastActivity RotationCount LastRotatedAt UpdatedAt",
        Writer.CODE_EXCHANGE: "LastActivity RefreshToken RefreshTokenExpiresAt TokensExchanged TokenFamilyId UpdatedAt",
        Writer.TOKEN_REFRESH: "SessionToken LastActivity RefreshToken RefreshTokenExpiresAt RotationCount "
        "LastRotatedAt IdleExpiresAt UpdatedAt",
        Writer.PERSON: "LastActivity DeviceName IsTrusted UpdatedAt",
        Writer.SIGN_OUT: "IsActive InvalidatedAt InvalidatedBy InvalidatedReason UpdatedAt",
        Writer.CLEAN_UP: "IsActive InvalidatedAt InvalidatedBy InvalidatedReason UpdatedAt",
        Writer.SYNC: "SessionId User Package SessionType IpAddress CreatedAt LastActivity ExpiresAt IsActive "
        "InvalidatedAt InvalidatedBy InvalidatedReason Issuer Realm Sub Sid Offline Origin RememberMe ClientsAccessed "
        "LastClientAccessed LastClientAccessedAt UpdatedAt MissingSince",
        Writer.APPLICATION: "SessionId User Package SessionType IpAddress UserAgent CreatedAt LastActivity ExpiresAt "
        "IsActive DeviceId DeviceName LoginMethod InvalidatedAt InvalidatedBy InvalidatedReason",
        Writer.DATABASE: "LastActivity",
    },
    relations=(
        Relation(
            ("User", "Package"), "sys_user", ("User", "Package"), "the person, by name: what applications join on"
        ),
        Relation(
            ("Issuer", "Sub", "Package"),
            "sys_user",
            ("Issuer", "Sub", "Package"),
            "the person, by identity: what the bridge goes by, as a name may change hands",
        ),
        Relation(
            ("Issuer", "Sid", "Package"),
            NAME,
            ("Issuer", "Sid", "Package"),
            "sessions that stand on one session of Keycloak",
            many_to_many=True,
        ),
        Relation(("OauthStateId",), "oauth_state", ("state_digest",), "the login that opened it"),
    ),
    notes=(
        "On MariaDB the database itself moves `LastActivity` at every UPDATE that gives no value for it.",
        (
            "An application may write whole rows of its own. Those of the others it may end, and nothing else: "
            "`IsActive`, `InvalidatedAt`, `InvalidatedBy` and `InvalidatedReason`."
        ),
    ),
)
