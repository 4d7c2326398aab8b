"""Create the tables of keys, one-time codes and logout tokens.

The previous release does not know these tables and runs on.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

from bridge.storage.tables.columns import (
    MARIADB_TABLE,
    UtcDateTime,
    big_number,
    char,
    long_text,
    varchar,
)

revision = "0006_keys_and_codes"
down_revision = "0005_people"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sealing_key",
        Column("key_id", char(8), nullable=False, comment="Id of the key, as sealed values name it"),
        Column("first_used_at", UtcDateTime, nullable=False, comment="When it first sealed, UTC"),
        sa.PrimaryKeyConstraint("key_id", name="pk_sealing_key"),
        comment="Sealing keys that values may still need",
        if_not_exists=True,
        **MARIADB_TABLE,
    )

    op.create_table(
        "signing_key",
        Column("key_id", varchar(64), nullable=False, comment="kid of the key"),
        Column("algorithm", varchar(10), nullable=False, comment="alg of its signatures"),
        Column("public_jwk", long_text(), nullable=False, comment="Public key as JWK"),
        Column("sealed_private_key", long_text(), nullable=False, comment="Private key, sealed"),
        Column("created_at", UtcDateTime, nullable=False, comment="When it was made, UTC"),
        Column("signs_from", UtcDateTime, nullable=False, comment="First signature, UTC"),
        Column("signs_until", UtcDateTime, nullable=False, comment="Last signature, UTC"),
        Column("published_until", UtcDateTime, nullable=False, comment="End of its place among the public keys, UTC"),
        sa.PrimaryKeyConstraint("key_id", name="pk_signing_key"),
        comment="Keys that sign our own ID tokens",
        if_not_exists=True,
        **MARIADB_TABLE,
    )

    op.create_table(
        "exchange_code",
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
        sa.PrimaryKeyConstraint("digest", name="pk_exchange_code"),
        comment="One-time codes of native apps; a used one stays known",
        if_not_exists=True,
        **MARIADB_TABLE,
    )
    op.create_index("idx_exchange_code_kept", "exchange_code", ["kept_until"], if_not_exists=True)
    op.create_index("idx_exchange_code_session", "exchange_code", ["session_id"], if_not_exists=True)

    op.create_table(
        "logout_token_seen",
        Column("digest", char(64), nullable=False, comment="SHA-256 of issuer and jti"),
        Column("package", varchar(100), nullable=False, comment="Package (tenant)"),
        Column("seen_at", UtcDateTime, nullable=False, comment="When it came, UTC"),
        Column("expires_at", UtcDateTime, nullable=False, comment="End of the token, UTC"),
        sa.PrimaryKeyConstraint("digest", name="pk_logout_token_seen"),
        comment="Logout tokens that came, so that none works twice",
        if_not_exists=True,
        **MARIADB_TABLE,
    )
    op.create_index("idx_logout_token_seen_expires", "logout_token_seen", ["expires_at"], if_not_exists=True)

    op.create_table(
        "logout_tombstone",
        Column("id", big_number(), primary_key=True, autoincrement=True, comment="Number"),
        Column("package", varchar(100), nullable=False, comment="Package (tenant)"),
        Column("issuer", varchar(255), nullable=False, comment="Issuer of the Keycloak session"),
        Column("sid", varchar(255), comment="Keycloak's session id; absent: all sessions of the subject"),
        Column("sub", varchar(255), comment="Subject identifier"),
        Column("issued_at", UtcDateTime, nullable=False, comment="iat of the logout token, UTC"),
        Column("expires_at", UtcDateTime, nullable=False, comment="End of this memory, UTC"),
        comment="Sign-outs that came before their session was stored",
        if_not_exists=True,
        **MARIADB_TABLE,
    )
    op.create_index("idx_logout_tombstone_expires", "logout_tombstone", ["expires_at"], if_not_exists=True)
    op.create_index("idx_logout_tombstone_sid", "logout_tombstone", ["issuer", "sid"], if_not_exists=True)
    op.create_index("idx_logout_tombstone_sub", "logout_tombstone", ["issuer", "sub"], if_not_exists=True)


def downgrade() -> None:
    op.drop_table("logout_tombstone")
    op.drop_table("logout_token_seen")
    op.drop_table("exchange_code")
    op.drop_table("signing_key")
    op.drop_table("sealing_key")
