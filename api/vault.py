"""The vault: personal data encrypted per record, and look-ups without plain hashes.

Each record has a data key of its own; it is wrapped by the key-encryption key from custody.
Destroying the wrapped key makes the record's content, and the digests in the ledger, meaningless.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from api.errors import ServiceError

_NONCE_SIZE = 12
_KEY_SIZE = 32
_ONLY_NONCE = bytes(_NONCE_SIZE)  # a data key encrypts exactly one message


@dataclass(frozen=True, slots=True)
class Sealed:
    """A wrapped data key (60 bytes: nonce, key, tag) and the AES-256-GCM box it opens."""

    wrapped_key: bytes
    box: bytes


class Vault:
    """Seals and opens records; names subjects by keyed pseudonyms.

    `random(n)` gives n unpredictable bytes. The two keys have 32 bytes each.
    """

    def __init__(self, kek: bytes, pseudonym_key: bytes, random: Callable[[int], bytes]) -> None:
        self._kek = AESGCM(kek)
        self._pseudonym_key = pseudonym_key
        self._random = random

    def seal(self, record_id: str, content: bytes) -> Sealed:
        """Encrypts under a fresh data key, bound to the record's id."""
        bound = record_id.encode()
        data_key, nonce = self._random(_KEY_SIZE), self._random(_NONCE_SIZE)
        return Sealed(
            nonce + self._kek.encrypt(nonce, data_key, bound),
            AESGCM(data_key).encrypt(_ONLY_NONCE, content, bound),
        )

    def open(self, record_id: str, wrapped_key: bytes | None, box: bytes | None) -> bytes:
        """The content; `record-erased` where its key is gone, `record-damaged` if altered."""
        if wrapped_key is None or box is None:
            raise ServiceError("record-erased", record_id)
        bound = record_id.encode()
        try:
            data_key = self._kek.decrypt(
                wrapped_key[:_NONCE_SIZE], wrapped_key[_NONCE_SIZE:], bound
            )
            return AESGCM(data_key).decrypt(_ONLY_NONCE, box, bound)
        except (InvalidTag, ValueError) as error:
            raise ServiceError("record-damaged", record_id) from error

    def pseudonym(self, namespace: str, value: str) -> bytes:
        """32 bytes that name a canonical value to this city alone (HMAC-SHA-256)."""
        message = f"{namespace}\x00{value}".encode()
        return hmac.digest(self._pseudonym_key, message, sha256)
