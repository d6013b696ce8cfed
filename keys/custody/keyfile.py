"""The form of a key file: what is in it, sealed and unsealed. Reads and writes no file.

One JSON header line (format, name, suite, public key, Argon2id parameters, salt, nonce), then the
private key under XChaCha20-Poly1305 with the header as associated data, in base64. So nothing in
the header can be altered, not even the name, without the passphrase failing.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any

import nacl.bindings as sodium
import nacl.pwhash.argon2id as argon2id
from nacl.exceptions import CryptoError

from keys.custody.base import KeyEntry
from keys.errors import KeysError

FORMAT = "zhenglian-key-1"
SECRET = "secret"  # 32 random bytes that wrap data keys or key pseudonyms; not a signature suite
SECRET_SIZE = 32
MAX_FILE = 16_384
NONCE_SIZE = sodium.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
SALT_SIZE = argon2id.SALTBYTES


@dataclass(frozen=True)
class Effort:
    """Argon2id cost: passes, and memory in bytes (RFC 9106)."""

    passes: int
    memory: int


INTERACTIVE = Effort(argon2id.OPSLIMIT_INTERACTIVE, argon2id.MEMLIMIT_INTERACTIVE)
MODERATE = Effort(argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)
_MOST = Effort(16, 1 << 31)  # a file may not ask for more: opening it must not exhaust the machine


@dataclass(frozen=True)
class Lock:
    """How a passphrase becomes the key of a box, and the nonce of the box."""

    effort: Effort
    salt: bytes
    nonce: bytes

    @classmethod
    def new(cls, effort: Effort) -> "Lock":
        return cls(effort, sodium.randombytes(SALT_SIZE), sodium.randombytes(NONCE_SIZE))

    def to_fields(self) -> dict[str, object]:
        return {
            "argon2id": [self.effort.passes, self.effort.memory],
            "salt": self.salt.hex(),
            "nonce": self.nonce.hex(),
        }

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "Lock":
        """Raises `ValueError` and its kin; refuses a cost that would exhaust the machine."""
        passes, memory = fields["argon2id"]
        lock = cls(
            Effort(int(passes), int(memory)),
            bytes.fromhex(str(fields["salt"])),
            bytes.fromhex(str(fields["nonce"])),
        )
        if not 1 <= lock.effort.passes <= _MOST.passes:
            raise ValueError("passes")
        if not argon2id.MEMLIMIT_MIN <= lock.effort.memory <= _MOST.memory:
            raise ValueError("memory")
        if len(lock.salt) != SALT_SIZE or len(lock.nonce) != NONCE_SIZE:
            raise ValueError("salt or nonce")
        return lock

    def close(self, plain: bytes, header: bytes, passphrase: str) -> bytes:
        """The box: `plain` encrypted, `header` authenticated with it."""
        box_key = _stretch(checked_passphrase(passphrase), self.salt, self.effort)
        return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, header, self.nonce, box_key)

    def open(self, box: bytes, header: bytes, passphrase: str) -> bytes:
        """Raises nacl's `CryptoError`: wrong passphrase, or an altered box or header."""
        box_key = _stretch(checked_passphrase(passphrase), self.salt, self.effort)
        return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(box, header, self.nonce, box_key)


@dataclass(frozen=True)
class KeyFile:
    """A parsed key file: its header is checked for form, its box is still closed."""

    entry: KeyEntry
    lock: Lock
    line: bytes
    box: bytes

    def unseal(self, passphrase: str) -> bytes:
        """The private key; `key-wrong-passphrase`."""
        try:
            return self.lock.open(self.box, self.line, passphrase)
        except CryptoError as error:
            raise KeysError("key-wrong-passphrase", self.entry.name) from error


def seal(entry: KeyEntry, private: bytes, passphrase: str, effort: Effort) -> bytes:
    """The bytes of a new key file."""
    lock = Lock.new(effort)
    line = _line(entry, lock)
    return line + base64.b64encode(lock.close(private, line, passphrase)) + b"\n"


def parse(data: bytes, where: str) -> KeyFile:
    """Strict inverse of `seal` but for the box; `key-file-damaged` names `where` it was read."""
    line, newline, rest = data.partition(b"\n")
    try:
        if len(data) > MAX_FILE or not rest.endswith(b"\n"):
            raise ValueError("truncated or too long")
        fields = json.loads(line)
        entry = KeyEntry(str(fields["name"]), str(fields["suite"]), bytes.fromhex(fields["public"]))
        lock = Lock.from_fields(fields)
        if _line(entry, lock) != line + newline:
            raise ValueError("not the canonical header")
        box = base64.b64decode(rest[:-1], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise KeysError("key-file-damaged", where) from error
    return KeyFile(entry, lock, line + newline, box)


def checked_passphrase(passphrase: str) -> str:
    if not passphrase:
        raise KeysError("key-empty-passphrase")
    return passphrase


def _line(entry: KeyEntry, lock: Lock) -> bytes:
    fields = {
        "format": FORMAT,
        "name": entry.name,
        "suite": entry.suite,
        "public": entry.public.hex(),
        **lock.to_fields(),
    }
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _stretch(passphrase: str, salt: bytes, effort: Effort) -> bytes:
    size = sodium.crypto_aead_xchacha20poly1305_ietf_KEYBYTES
    return argon2id.kdf(size, passphrase.encode(), salt, effort.passes, effort.memory)
