"""Sealing: what must be kept secret is kept as AES-256-GCM text that opens in its own place only.

    v1.{key id}.{base64url(nonce + ciphertext)}     under a key of the configuration: `Sealer`
    ~v1.{key id}.{base64url(...)}                   the same in a column of sys_user: `seal_legacy`
    d1.{base64url(nonce + ciphertext)}              under a key derived from a credential: `seal_under`

The associated data names table, column and row, so that a value moved elsewhere does not open. The key id is a prefix
of the key's digest: several keys may be in use, the first one seals. NIST SP 800-38D; 96-bit random nonces.
"""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bridge.errors import BridgeError

VERSION = "v1"
DERIVED_VERSION = "d1"
LEGACY_PREFIX = "~"
LEGACY_TABLE = "sys_user"
LONGEST_LEGACY = 512
"""Characters that the columns of sys_user take."""
LONGEST_LEGACY_TEXT = 344
"""Bytes of text that fit into them."""
KEY_BYTES = 32
NONCE_BYTES = 12
KEY_ID_LENGTH = 8
LEGACY = re.compile(r"~v1\.[0-9a-f]{8}\.[A-Za-z0-9_-]{38,}={0,2}")
"""Nonce and tag alone are 28 bytes; a value that was cut behind them is still known as ours, and does not open."""


class SealBroken(BridgeError):
    """Something the bridge keeps sealed cannot be opened. Please sign in again."""

    code = "seal_broken"


class TooLongToSeal(BridgeError):
    """This text is too long to be kept sealed in its column."""

    code = "too_long_to_seal"
    status = 422


class Sealer:
    """Seals with the first key, opens with any of them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take keys of 32 bytes each, the sealing one first."""
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of all keys, the sealing one first."""
        return tuple(self._ciphers)

    @property
    def sealing_key_id(self) -> str:
        """The id of the key that seals."""
        return self.key_ids[0]

    def seal(self, text: str, *, table: str, column: str, row: str) -> str:
        """Return `text` sealed for one column of one row."""
        key_id = self.sealing_key_id
        return f"{VERSION}.{key_id}.{_encrypt(self._ciphers[key_id], text, _place(table, column, row))}"

    def open(self, sealed: str, *, table: str, column: str, row: str) -> str:
        """Return the text that was sealed for exactly this place.

        Raises:
            SealBroken: the key is not among ours, the place is another one, or the value was changed.
        """
        version, _, rest = sealed.partition(".")
        key_id, _, body = rest.partition(".")
        cipher = self._ciphers.get(key_id)
        evidence = {"table": table, "column": column, "key_id": key_id[:KEY_ID_LENGTH]}
        if version != VERSION or cipher is None:
            raise SealBroken(
                hint="The key that sealed this value is not among sealing.keys; keep old keys behind the new one.",
                evidence=evidence,
            )
        return _decrypt(cipher, body, _place(table, column, row), evidence)


def seal_legacy(sealer: Sealer, text: str, *, column: str, package: str, uuid: str) -> str:
    """Return `text` sealed for a legacy column of a person, recognisable by its `~`; a rename keeps it readable.

    Raises:
        TooLongToSeal: the column would cut it.
    """
    sealed = LEGACY_PREFIX + sealer.seal(text, table=LEGACY_TABLE, column=column, row=legacy_row(package, uuid))
    if len(sealed) > LONGEST_LEGACY:
        raise TooLongToSeal(
            f"This text is too long for the column {column}: sealed it has {len(sealed)} characters, and the column "
            f"takes {LONGEST_LEGACY}. At most {LONGEST_LEGACY_TEXT} bytes of text fit."
        )
    return sealed


def open_legacy(sealer: Sealer, sealed: str, *, column: str, package: str, uuid: str) -> str:
    """Return the text of a value that `seal_legacy` made for exactly this person and column.

    Raises:
        SealBroken: it is another program's value, or as `Sealer.open`.
    """
    if not is_ours(sealed):
        raise SealBroken(evidence={"table": LEGACY_TABLE, "column": column, "reason": "not a sealed value of ours"})
    row = legacy_row(package, uuid)
    return sealer.open(sealed.removeprefix(LEGACY_PREFIX), table=LEGACY_TABLE, column=column, row=row)


def is_ours(value: str) -> bool:
    """Whether a value of a legacy column has the shape of `seal_legacy`; other programs begin theirs with `~` too."""
    return LEGACY.fullmatch(value) is not None


def legacy_row(package: str, uuid: str) -> str:
    """Return what names a person's row in associated data; the length keeps the two parts apart."""
    return f"{len(package)}:{package}{uuid}"


def seal_under(secret: str, text: str, *, table: str, column: str, row: str) -> str:
    """Return `text` sealed under a key derived from a credential that is not stored (RFC 5869, HKDF-SHA256).

    Whoever holds the credential can open it, and nobody else: neither the database nor our own keys. The secret must
    have at least 128 random bits; nothing is stretched here.
    """
    place = _place(table, column, row)
    return f"{DERIVED_VERSION}.{_encrypt(_derive(secret, table, column), text, place)}"


def open_under(secret: str, sealed: str, *, table: str, column: str, row: str) -> str:
    """Return the text that was sealed for exactly this place under this credential.

    Raises:
        SealBroken: the credential or the place is another one, or the value was changed.
    """
    version, _, body = sealed.partition(".")
    evidence = {"table": table, "column": column}
    if version != DERIVED_VERSION:
        raise SealBroken(evidence=evidence)
    return _decrypt(_derive(secret, table, column), body, _place(table, column, row), evidence)


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"keycloak-bridge key id" + key).hexdigest()[:KEY_ID_LENGTH]


def _derive(secret: str, table: str, column: str) -> AESGCM:
    """Return the cipher of a secret for one purpose; the same secret elsewhere makes another key."""
    info = b"keycloak-bridge sealed under a credential|" + _place(table, column, "")
    return AESGCM(HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(secret.encode()))


def _encrypt(cipher: AESGCM, text: str, place: bytes) -> str:
    nonce = os.urandom(NONCE_BYTES)
    return base64.urlsafe_b64encode(nonce + cipher.encrypt(nonce, text.encode(), place)).decode()


def _decrypt(cipher: AESGCM, body: str, place: bytes, evidence: Mapping[str, object]) -> str:
    try:
        raw = base64.urlsafe_b64decode(body)
        return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], place).decode()
    except (InvalidTag, binascii.Error, ValueError):
        raise SealBroken(evidence=evidence) from None


def _place(table: str, column: str, row: str) -> bytes:
    """Return the associated data. Two places never share one: only the row, which comes last, may hold a bar."""
    if "|" in table + column:
        raise ValueError("the names of tables and columns hold no |")
    return f"{table}|{column}|{row}".encode()
