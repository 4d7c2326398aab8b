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
