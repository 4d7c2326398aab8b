"""Sealing: what must be kept of Keycloak's tokens is kept as AES-256-GCM text that opens in its own place only.

    v1.{key id}.{base64url(nonce + ciphertext)}

The associated data names table, column and row, so that a value moved elsewhere does not open. The key id is a prefix
of the key's digest: several keys may be in use, the first one seals. NIST SP 800-38D; 96-bit random nonces.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bridge.errors import BridgeError

VERSION = "v1"
NONCE_BYTES = 12
KEY_ID_LENGTH = 8


class SealBroken(BridgeError):
    """Something the bridge keeps sealed cannot be opened. Please sign in again."""

    code = "seal_broken"


class Sealer:
    """Seals with the first key, opens with any of them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take keys of 32 bytes each, the sealing one first."""
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._first = _key_id(keys[0])

    def seal(self, text: str, *, table: str, column: str, row: str) -> str:
        """Return `text` sealed for one column of one row."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, text.encode(), _place(table, column, row))
        return f"{VERSION}.{self._first}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, *, table: str, column: str, row: str) -> str:
        """Return the text that was sealed for exactly this place.

        Raises:
            SealBroken: the key is not among ours, the place is another one, or the value was changed.
        """
        version, _, rest = sealed.partition(".")
        key_id, _, body = rest.partition(".")
        cipher = self._ciphers.get(key_id)
        evidence = {"table": table, "column": column, "key_id": key_id}
        if version != VERSION or cipher is None:
            raise SealBroken(
                hint="The key that sealed this value is not among sealing.keys; keep old keys behind the new one.",
                evidence=evidence,
            )
        try:
            raw = base64.urlsafe_b64decode(body)
            return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _place(table, column, row)).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise SealBroken(evidence=evidence) from None


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"keycloak-bridge key id" + key).hexdigest()[:KEY_ID_LENGTH]


def _place(table: str, column: str, row: str) -> bytes:
    return f"{table}|{column}|{row}".encode()
