"""Tables of keys: which sealing keys are in use, and our own signing keys, sealed. Private."""

import sqlalchemy as sa
from sqlalchemy import Column

from bridge.storage.tables.columns import MARIADB_TABLE, UtcDateTime, char, long_text, metadata, varchar
from bridge.storage.tables.facts import ALL, Writer, describe

sealing_key = sa.Table(
    "sealing_key",
    metadata,
    Column("key_id", char(8), nullable=False, comment="Id of the key, as sealed values name it"),
    Column("first_used_at", UtcDateTime, nullable=False, comment="When it first sealed, UTC"),
    sa.PrimaryKeyConstraint("key_id"),
    comment="Sealing keys that values may still need",
    **MARIADB_TABLE,
)

signing_key = sa.Table(
    "signing_key",
    metadata,
    Column("key_id", varchar(64), nullable=False, comment="kid of the key"),
    Column("algorithm", varchar(10), nullable=False, comment="alg of its signatures"),
    Column("public_jwk", long_text(), nullable=False, comment="Public key as JWK"),
    Column("sealed_private_key", long_text(), nullable=False, comment="Private key, sealed"),
    Column("created_at", UtcDateTime, nullable=False, comment="When it was made, UTC"),
    Column("signs_from", UtcDateTime, nullable=False, comment="First signature, UTC"),
    Column("signs_until", UtcDateTime, nullable=False, comment="Last signature, UTC"),
    Column("published_until", UtcDateTime, nullable=False, comment="End of its place among the public keys, UTC"),
    sa.PrimaryKeyConstraint("key_id"),
    comment="Keys that sign our own ID tokens",
    **MARIADB_TABLE,
)

describe(
    sealing_key,
    purpose="Says which sealing keys were ever used here, so that none is taken out of the configuration too early.",
    kept="Until no value needs the key.",
    written_by={Writer.SERVICE: ALL, Writer.KEYS_COMMAND: ALL},
)
describe(
    signing_key,
    purpose="Keeps the keys that sign the ID tokens of native apps; private keys are sealed.",
    kept="Until `published_until`.",
    written_by={Writer.SERVICE: ALL, Writer.KEYS_COMMAND: "sealed_private_key"},
)
