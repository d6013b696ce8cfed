"""Custody of private keys: who keeps them, and how they are opened.

`FileCustody` keeps each key in a file of its own, `<name>.zlkey`: one JSON header line (format,
name, suite, public key, Argon2id parameters, salt, nonce), then the private key under
XChaCha20-Poly1305 with the header as associated data, in base64. So nothing in the header can be
altered, not even the name, without the passphrase failing.
"""

import base64
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nacl.bindings as sodium
import nacl.pwhash.argon2id as argon2id
from nacl.exceptions import CryptoError

from keys.errors import KeysError
from keys.signer import SoftwareSigner
from keys.suites import BY_NAME, suite_named

FORMAT = "zhenglian-key-1"
SECRET = "secret"  # 32 random bytes that wrap data keys or key pseudonyms; not a signature suite
SECRET_SIZE = 32
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_SUFFIX = ".zlkey"
_MAX_FILE = 16_384
_NONCE_SIZE = sodium.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES


@dataclass(frozen=True)
class Effort:
    """Argon2id cost: passes, and memory in bytes (RFC 9106)."""

    passes: int
    memory: int


INTERACTIVE = Effort(argon2id.OPSLIMIT_INTERACTIVE, argon2id.MEMLIMIT_INTERACTIVE)
MODERATE = Effort(argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)
_MOST = Effort(16, 1 << 31)  # a file may not ask for more: opening it must not exhaust the machine


@dataclass(frozen=True)
class KeyEntry:
    """What a listing shows of a key: nothing secret. `public` is empty for a `secret`."""

    name: str
    suite: str
    public: bytes


class FileCustody:
    """Keys in files under one folder, readable by their owner alone (mode 0600)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(
        self, name: str, suite: str, passphrase: str, *, effort: Effort = MODERATE
    ) -> KeyEntry:
        """Makes a key of a signature suite, or a `secret`; refuses to replace one."""
        if suite == SECRET:
            private, public = sodium.randombytes(SECRET_SIZE), b""
        else:
            private = suite_named(suite).generate()
            public = suite_named(suite).public_from_private(private)
        entry = KeyEntry(_checked_name(name), suite, public)
        self._write(entry, private, _checked_passphrase(passphrase), effort)
        return entry

    def list(self) -> Iterator[KeyEntry]:
        """Every key in the folder by name; needs no passphrase."""
        for path in sorted(self._folder.glob("*" + _SUFFIX)):
            header, _, _ = _read(path)
            yield KeyEntry(header.name, header.suite, header.public)

    def open(self, name: str, passphrase: str) -> SoftwareSigner:
        """The signer of a key, or the `KeysError` that says why not."""
        header, private = self._unlock(name, passphrase)
        if header.suite not in BY_NAME:
            raise KeysError("key-unknown-suite", header.suite)
        signer = SoftwareSigner(BY_NAME[header.suite], private)
        if signer.public != header.public:
            raise KeysError("key-file-damaged", "public key does not match")
        return signer

    def open_secret(self, name: str, passphrase: str) -> bytes:
        """The 32 bytes of a `secret`."""
        header, private = self._unlock(name, passphrase)
        if header.suite != SECRET or len(private) != SECRET_SIZE:
            raise KeysError("key-file-damaged", "not a secret")
        return private

    def _path(self, name: str) -> Path:
        return self._folder / (_checked_name(name) + _SUFFIX)

    def _unlock(self, name: str, passphrase: str) -> tuple["_Header", bytes]:
        header, line, box = _read(self._path(name))
        if header.name != name:
            raise KeysError("key-file-damaged", "the file carries another key's name")
        box_key = _stretch(_checked_passphrase(passphrase), header.salt, header.effort)
        try:
            return header, sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
                box, line, header.nonce, box_key
            )
        except CryptoError as error:
            raise KeysError("key-wrong-passphrase", name) from error

    def _write(self, entry: KeyEntry, private: bytes, passphrase: str, effort: Effort) -> None:
        header = _Header(
            entry.name,
            entry.suite,
            entry.public,
            effort,
            sodium.randombytes(argon2id.SALTBYTES),
            sodium.randombytes(_NONCE_SIZE),
        )
        line = header.to_line()
        box = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
            private, line, header.nonce, _stretch(passphrase, header.salt, effort)
        )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(entry.name)
        temporary = self._folder / f".{entry.name}.{sodium.randombytes(8).hex()}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL  # never a file that others made or may read
        descriptor = os.open(temporary, flags, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(line + base64.b64encode(box) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        except FileExistsError as error:
            raise KeysError("key-exists", entry.name) from error
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(self._folder)


@dataclass(frozen=True)
class _Header:
    name: str
    suite: str
    public: bytes
    effort: Effort
    salt: bytes
    nonce: bytes

    def to_line(self) -> bytes:
        fields = {
            "format": FORMAT,
            "name": self.name,
            "suite": self.suite,
            "public": self.public.hex(),
            "argon2id": [self.effort.passes, self.effort.memory],
            "salt": self.salt.hex(),
            "nonce": self.nonce.hex(),
        }
        return json.dumps(fields, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "_Header":
        """Strict inverse of `to_line`; raises `ValueError` and its kin."""
        fields = json.loads(line)
        passes, memory = fields["argon2id"]
        header = cls(
            str(fields["name"]),
            str(fields["suite"]),
            bytes.fromhex(fields["public"]),
            Effort(int(passes), int(memory)),
            bytes.fromhex(fields["salt"]),
            bytes.fromhex(fields["nonce"]),
        )
        if header.to_line() != line:
            raise ValueError("not the canonical header")
        if not 1 <= header.effort.passes <= _MOST.passes:
            raise ValueError("passes")
        if not argon2id.MEMLIMIT_MIN <= header.effort.memory <= _MOST.memory:
            raise ValueError("memory")
        if len(header.salt) != argon2id.SALTBYTES or len(header.nonce) != _NONCE_SIZE:
            raise ValueError("salt or nonce")
        return header


def _read(path: Path) -> tuple[_Header, bytes, bytes]:
    """(header, its line, encrypted box) of a key file that only its owner may read."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MAX_FILE + 1)
    except FileNotFoundError as error:
        raise KeysError("key-not-found", path.stem) from error
    if stat.S_IMODE(mode) & 0o077:
        raise KeysError("key-file-exposed", path.name)
    line, newline, rest = data.partition(b"\n")
    try:
        if len(data) > _MAX_FILE or not rest.endswith(b"\n"):
            raise ValueError("truncated or too long")
        header = _Header.from_line(line + newline)
        box = base64.b64decode(rest[:-1], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise KeysError("key-file-damaged", path.name) from error
    return header, line + newline, box


def _stretch(passphrase: str, salt: bytes, effort: Effort) -> bytes:
    size = sodium.crypto_aead_xchacha20poly1305_ietf_KEYBYTES
    return argon2id.kdf(size, passphrase.encode(), salt, effort.passes, effort.memory)


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise KeysError("key-bad-name", name[:64])
    return name


def _checked_passphrase(passphrase: str) -> str:
    if not passphrase:
        raise KeysError("key-empty-passphrase")
    return passphrase


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
