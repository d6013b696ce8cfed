"""All keys and secrets of a folder in one file, under a passphrase of its own.

Three lines: a JSON header (format, when it was made, what is in it, Argon2id parameters, salt,
nonce); in base64 the private keys under XChaCha20-Poly1305 with the header as associated data; the
SHA-256 of both in hex, so that damage is told from a wrong passphrase. Inside the box is
deterministic CBOR: `[[name, suite, public, private], …]` by name.

The keys are sealed anew, not copied, so a backup opens when the passphrase it was made under has
been changed or lost.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import cbor2
from nacl.exceptions import CryptoError

from keys.custody.base import KeyEntry, checked_name
from keys.custody.file import FileCustody
from keys.custody.keyfile import MODERATE, SECRET, SECRET_SIZE, Effort, Lock, checked_passphrase
from keys.errors import KeysError
from keys.suites import suite_named

FORMAT = "zhenglian-custody-backup-1"
MAX_BACKUP = 64 << 20  # bytes
_OF_A_DATABASE = b"zhenglian-backup "
"""How the other kind of backup begins, which bears the same suffix (docs/formats.md)."""


@dataclass(frozen=True)
class Backup:
    """An opened backup. `made_at` is Unix time; the private halves are not shown."""

    made_at: int
    entries: tuple[KeyEntry, ...]
    privates: tuple[bytes, ...] = field(repr=False)


def make_backup(
    custody: FileCustody, passphrase: str, *, made_at: int, effort: Effort = MODERATE
) -> bytes:
    """The bytes of a backup. The folder may be in use: each key file is whole at any moment.

    Raises `key-empty-passphrase`, and what opening a key raises.
    """
    checked_passphrase(passphrase)
    keys = [custody.reveal(entry.name) for entry in custody.list()]
    lock = Lock.new(effort)
    line = _line(made_at, [entry for entry, _ in keys], lock)
    rows = [[entry.name, entry.suite, entry.public, private] for entry, private in keys]
    box = lock.close(cbor2.dumps(rows, canonical=True), line, passphrase)
    text = line + base64.b64encode(box) + b"\n"
    return text + sha256(text).hexdigest().encode() + b"\n"


def open_backup(data: bytes, passphrase: str) -> Backup:
    """Raises `key-backup-damaged` or `key-backup-wrong-passphrase`, and as `check_kind`."""
    check_kind(data)
    checked_passphrase(passphrase)
    try:
        made_at, entries, lock, line, box = _parse(data)
    except (ValueError, KeyError, TypeError, KeysError) as error:
        raise KeysError("key-backup-damaged", str(error)[:80]) from error
    try:
        plain = lock.open(box, line, passphrase)
    except CryptoError as error:
        raise KeysError("key-backup-wrong-passphrase") from error
    try:
        rows = cbor2.loads(plain)
        privates = tuple(bytes(row[3]) for row in rows)
        if [KeyEntry(*row[:3]) for row in rows] != entries:
            raise ValueError("header and content differ")
        for entry, private in zip(entries, privates, strict=True):
            _check(entry, private)
    except Exception as error:  # cbor2 lets ValueError, TypeError … through
        raise KeysError("key-backup-damaged", "content") from error
    return Backup(made_at, tuple(entries), privates)


def check_kind(data: bytes) -> None:
    """Raises `key-backup-of-database` for a backup of the other kind; needs no passphrase."""
    if data.startswith(_OF_A_DATABASE):
        raise KeysError("key-backup-of-database")


def restore(custody: FileCustody, backup: Backup) -> Sequence[KeyEntry]:
    """Writes the keys that the folder lacks, under its own passphrase; returns those.

    `key-exists` where a name is another key's here, `key-wrong-passphrase` where the folder's keys
    are under another passphrase; nothing is written then.
    """
    return custody.adopt(zip(backup.entries, backup.privates, strict=True))


def _parse(data: bytes) -> tuple[int, list[KeyEntry], Lock, bytes, bytes]:
    if len(data) > MAX_BACKUP:
        raise ValueError("too long")
    text, digest = data[:-65], data[-65:]
    if digest != sha256(text).hexdigest().encode() + b"\n":
        raise ValueError("checksum")
    line, newline, rest = text.partition(b"\n")
    fields = json.loads(line)
    entries = [
        KeyEntry(checked_name(name), str(suite), bytes.fromhex(public))
        for name, suite, public in fields["keys"]
    ]
    made_at, lock = int(fields["made"]), Lock.from_fields(fields)
    if _line(made_at, entries, lock) != line + newline or not rest.endswith(b"\n"):
        raise ValueError("not the canonical header")
    return made_at, entries, lock, line + newline, base64.b64decode(rest[:-1], validate=True)


def _line(made_at: int, entries: list[KeyEntry], lock: Lock) -> bytes:
    fields = {
        "format": FORMAT,
        "made": made_at,
        "keys": [[entry.name, entry.suite, entry.public.hex()] for entry in entries],
        **lock.to_fields(),
    }
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _check(entry: KeyEntry, private: bytes) -> None:
    """The private half is the entry's. A suite whose extra is missing here cannot be asked."""
    if entry.suite == SECRET:
        if len(private) != SECRET_SIZE or entry.public:
            raise ValueError("not a secret")
        return
    try:
        public = suite_named(entry.suite).public_from_private(private)
    except KeysError as error:
        if error.code in ("key-suite-missing", "key-unknown-suite"):
            return
        raise
    if public != entry.public:
        raise ValueError("public key does not match")
