"""Tables of signing in and out: pending logins, credentials, one-time codes, Keycloak's tokens kept sealed. Private."""

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

SESSION = "sys_usersession.SessionId"

oauth_state = sa.Table(
    "oauth_state",
    metadata,
    Column("state_digest", char(64), nullable=False, comment="SHA-256 of state"),
    Column("package", varchar(100), nullable=False, comment="Package (tenant)"),
    Column("client_kind", varchar(20), nullable=False, comment="web or mobile"),
    Column("binding_digest", char(64), nullable=False, comment="SHA-256 of the binding cookie's value"),
    Column("sealed_nonce", sa.Text, nullable=False, comment="nonce, sealed"),
    Column("sealed_code_verifier", sa.Text, nullable=False, comment="code_verifier, sealed"),
    Column("return_to", sa.Text, nullable=False, comment="Where the person goes after the sign-in"),
    Column("prompt", varchar(20), comment="prompt of the request"),
    Column("login_hint", varchar(255), comment="login_hint of the request"),
    Column("ui_locales", varchar(255), comment="ui_locales of the request"),
    Column("max_age", sa.Integer, comment="max_age of the request, seconds"),
    Column("app_client_id", varchar(255), comment="Native app: its client_id"),
    Column("app_redirect_uri", sa.Text, comment="Native app: its redirect_uri"),
    Column("app_code_challenge", varchar(128), comment="Native app: its code_challenge"),
    Column("app_state", sa.Text, comment="Native app: its state"),
    Column("restarted", Flag, nullable=False, server_default="0", comment="1: begun by itself after a failed one"),
    Column("created_at", UtcDateTime, nullable=False, comment="Start, UTC"),
    Column("expires_at", UtcDateTime, nullable=False, comment="End of waiting for Keycloak's answer, UTC"),
    Column("claim_id", char(36), comment="Who exchanges the code"),
    Column("claim_deadline", UtcDateTime, comment="Past it the login counts as failed, UTC"),
    Column("consumed_at", UtcDateTime, comment="When the outcome was known, UTC"),
    Column("session_id", char(64), comment="Outcome: the session"),
    Column("error_code", varchar(50), comment="Outcome: the error"),
    sa.PrimaryKeyConstraint("state_digest"),
    *flag_check("restarted"),
    sa.Index("idx_oauth_state_expires", "expires_at"),
    comment="Pending and recent logins",
    **MARIADB_TABLE,
)

session_credential = sa.Table(
    "session_credential",
    metadata,
    Column("digest", char(64), nullable=False, comment="SHA-256 of the credential"),
    Column("session_id", char(64), nullable=False, comment="The session it opens"),
    Column("kind", varchar(20), nullable=False, comment="cookie, access or refresh"),
    Column("host", varchar(255), comment="Application host of the cookie; absent: the bridge's own"),
    Column("created_at", UtcDateTime, nullable=False, comment="Start, UTC"),
    Column("expires_at", UtcDateTime, nullable=False, comment="End, UTC"),
    Column("first_used_at", UtcDateTime, comment="First use, UTC"),
    Column("superseded_by", char(64), comment="Digest of the credential that replaced it"),
    Column("sealed_successor", sa.Text, comment="That credential, sealed under a key derived from this one"),
    sa.PrimaryKeyConstraint("digest"),
    sa.ForeignKeyConstraint(["session_id"], [SESSION], ondelete="CASCADE"),
    sa.Index("idx_session_credential_session", "session_id"),
    sa.Index("idx_session_credential_expires", "expires_at"),
    comment="The only table that authenticates",
    **MARIADB_TABLE,
)

keycloak_grant = sa.Table(
    "keycloak_grant",
    metadata,
    Column("session_id", char(64), nullable=False, comment="The session the tokens belong to"),
    Column("sealed_id_token", long_text(), nullable=False, comment="id_token, sealed; the hint of a sign-out"),
    Column("sealed_refresh_token", long_text(), comment="refresh_token, sealed"),
    Column("refresh_expires_at", UtcDateTime, comment="End of the refresh token, UTC"),
    Column("version", sa.Integer, nullable=False, server_default="0", comment="Raised by every refresh"),
    Column("refresh_lease_until", UtcDateTime, comment="One replica is refreshing until then, UTC"),
    Column("updated_at", UtcDateTime, nullable=False, comment="Last write, UTC"),
    sa.PrimaryKeyConstraint("session_id"),
    sa.ForeignKeyConstraint(["session_id"], [SESSION], ondelete="CASCADE"),
    comment="Keycloak's tokens, sealed, one row a session",
    **MARIADB_TABLE,
)

exchange_code = sa.Table(
    "exchange_code",
    metadata,
    Column("digest", char(64), nullable=False, comment="SHA-256 of the one-time code"),
    Column("session_id", char(64), nullable=False, comment="The session it opens"),
    Column("client_id", varchar(255), nullable=False, comment="The app it was made for"),
    Column("redirect_uri", sa.Text, nullable=False, comment="redirect_uri it was sent to"),
    Column("code_challenge", varchar(128), nullable=False, comment="code_challenge of the app; S256"),
    Column("created_at", UtcDateTime, nullable=False, comment="Start, UTC"),
    Column("expires_at", UtcDateTime, nullable=False, comment="End, UTC"),
    Column("attempts", sa.Integer, nullable=False, server_default="0", comment="Wrong verifiers so far"),
    Column("redeemed_at", UtcDateTime, comment="When it was exchanged, UTC"),
    Column("sealed_answer", long_text(), comment="The answer, sealed under a key derived from the code"),
    Column("kept_until", UtcDateTime, nullable=False, comment="As long as its session may live, UTC"),
    sa.PrimaryKeyConstraint("digest"),
    sa.Index("idx_exchange_code_session", "session_id"),
    sa.Index("idx_exchange_code_kept", "kept_until"),
    comment="One-time codes of native apps; a used one stays known",
    **MARIADB_TABLE,
)

logout_token_seen = sa.Table(
    "logout_token_seen",
    metadata,
    Column("digest", char(64), nullable=False, comment="SHA-256 of issuer and jti"),
    Column("package", varchar(100), nullable=False, comment="Package (tenant)"),
    Column("seen_at", UtcDateTime, nullable=False, comment="When it came, UTC"),
    Column("expires_at", UtcDateTime, nullable=False, comment="End of the token, UTC"),
    sa.PrimaryKeyConstraint("digest"),
    sa.Index("idx_logout_token_seen_expires", "expires_at"),
    comment="Logout tokens that came, so that none works twice",
    **MARIADB_TABLE,
)

logout_tombstone = sa.Table(
    "logout_tombstone",
    metadata,
    Column("id", big_number(), primary_key=True, autoincrement=True, comment="Number"),
    Column("package", varchar(100), nullable=False, comment="Package (tenant)"),
    Column("issuer", varchar(255), nullable=False, comment="Issuer of the Keycloak session"),
    Column("sid", varchar(255), comment="Keycloak's session id; absent: all sessions of the subject"),
    Column("sub", varchar(255), comment="Subject identifier"),
    Column("issued_at", UtcDateTime, nullable=False, comment="iat of the logout token, UTC"),
    Column("expires_at", UtcDateTime, nullable=False, comment="End of this memory, UTC"),
    sa.Index("idx_logout_tombstone_sid", "issuer", "sid"),
    sa.Index("idx_logout_tombstone_sub", "issuer", "sub"),
    sa.Index("idx_logout_tombstone_expires", "expires_at"),
    comment="Sign-outs that came before their session was stored",
    **MARIADB_TABLE,
)

describe(
    oauth_state,
    purpose="Remembers a login while the browser is at Keycloak. The row is claimed once when the browser comes back; "
    "its outcome then serves a second callback of the same browser.",
    kept="It expires after 60 minutes and is deleted an hour later, or 24 hours after its outcome was known.",
    written_by={Writer.SIGN_IN: ALL, Writer.KEYS_COMMAND: "sealed_nonce sealed_code_verifier"},
    relations=(Relation(("session_id",), "sys_usersession", ("SessionId",), "the session that came of the login"),),
)
describe(
    session_credential,
    purpose="Says which cookies and tokens open which session. Only digests are stored. Whoever may write here may "
    "sign in as anybody.",
    kept="Until a day after it expires, and no longer than its session is active. A used refresh token stays known as "
    "long as its session may live.",
    written_by={
        Writer.SIGN_IN: "digest session_id kind host created_at expires_at",
        Writer.SESSION_COMMAND: "digest session_id kind created_at expires_at",
        Writer.ACTIVITY: "first_used_at",
        Writer.ROTATION: "digest session_id kind host created_at expires_at superseded_by sealed_successor",
        Writer.CODE_EXCHANGE: "digest session_id kind created_at expires_at",
        Writer.TOKEN_REFRESH: "digest session_id kind created_at expires_at first_used_at superseded_by "
        "sealed_successor",
    },
    relations=(
        Relation(("superseded_by",), "session_credential", ("digest",), "the credential that came after this one"),
    ),
)
describe(
    keycloak_grant,
    purpose="Keeps the tokens that Keycloak gave for a session, sealed: the ID token is needed for a sign-out there, "
    "the refresh token keeps Keycloak's session alive.",
    kept="As long as its session is active.",
    written_by={
        Writer.SIGN_IN: "session_id sealed_id_token sealed_refresh_token refresh_expires_at version updated_at",
        Writer.TOKEN_REFRESH: "sealed_id_token sealed_refresh_token refresh_expires_at version refresh_lease_until "
        "updated_at",
        Writer.KEYS_COMMAND: "sealed_id_token sealed_refresh_token updated_at",
    },
)
describe(
    exchange_code,
    purpose="Keeps the one-time codes that native apps exchange for tokens, as digests. A used code stays known, so "
    "that its second use is recognised.",
    kept="As long as its session may live (`kept_until`).",
    written_by={
        Writer.SIGN_IN: "digest session_id client_id redirect_uri code_challenge created_at expires_at kept_until",
        Writer.CODE_EXCHANGE: "attempts redeemed_at sealed_answer",
    },
    relations=(Relation(("session_id",), "sys_usersession", ("SessionId",), "the session that the code opens"),),
)
describe(
    logout_token_seen,
    purpose="Remembers the logout tokens that Keycloak sent, so that none works twice.",
    kept="As long as the token is valid (`expires_at`).",
    written_by={Writer.SIGN_OUT: ALL},
)
describe(
    logout_tombstone,
    purpose="Remembers a sign-out at Keycloak that came before its session was stored here, so that the session does "
    "not begin after its end.",
    kept="24 hours (`expires_at`).",
    written_by={Writer.SIGN_OUT: ALL},
    relations=(
        Relation(
            ("issuer", "sid", "package"),
            "sys_usersession",
            ("Issuer", "Sid", "Package"),
            "the sessions that must not begin",
            many_to_many=True,
        ),
    ),
)
