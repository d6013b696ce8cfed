"""Custody in files: each key in a file of its own, `<name>.zlkey`; the form is `keyfile`'s."""

import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nacl.bindings as sodium

from keys.custody.base import KeyEntry, checked_name
from keys.custody.keyfile import (
    MAX_FILE,
    MODERATE,
    SECRET,
    SECRET_SIZE,
    Effort,
    KeyFile,
    parse,
    seal,
)
from keys.errors import KeysError
from keys.names import kid
from keys.signer import SoftwareSigner
from keys.suites import BY_NAME, suite_named

SUFFIX = ".zlkey"
STAGE = ".next"  # holds the staged files of a change of passphrase, while it goes on


class FileCustody:
    """Keys in files under one folder, readable by their owner alone (mode 0600).

    All keys of a folder are under one passphrase. `effort` is what opening a new key shall cost.
    """

    def __init__(self, folder: Path, passphrase: str, effort: Effort = MODERATE) -> None:
        self._folder = folder
        self._effort = effort
        # A function, so that no dump of the object shows it.
        self._passphrase: Callable[[], str] = lambda: passphrase
        self._opened: set[bytes] = set()  # salts of files that this passphrase has opened

    def list(self) -> Iterator[KeyEntry]:
        """Every key and secret in the folder by name; needs no passphrase."""
        for path in key_files(self._folder):
            yield read_key_file(path).entry

    def create(self, name: str, suite: str) -> KeyEntry:
        """Makes a key of a signature suite; refuses to replace one.

        `key-wrong-passphrase` where the folder's keys are under another passphrase.
        """
        checked_name(name)
        private = suite_named(suite).generate()
        entry = KeyEntry(name, suite, suite_named(suite).public_from_private(private))
        self._add(entry, private)
        return entry

    def create_secret(self, name: str) -> KeyEntry:
        """Makes 32 random bytes that `open_secret` gives back."""
        entry = KeyEntry(checked_name(name), SECRET, b"")
        self._add(entry, sodium.randombytes(SECRET_SIZE))
        return entry

    def open(self, name: str) -> SoftwareSigner:
        """The signer of a key, or the `KeysError` that says why not."""
        entry, private = self.reveal(name)
        if entry.suite not in BY_NAME:
            raise KeysError("key-unknown-suite", entry.suite)
        signer = SoftwareSigner(BY_NAME[entry.suite], private)
        if signer.public != entry.public:
            raise KeysError("key-file-damaged", "public key does not match")
        return signer

    def open_secret(self, name: str) -> bytes:
        """The 32 bytes of a `secret`."""
        entry, private = self.reveal(name)
        if entry.suite != SECRET or len(private) != SECRET_SIZE:
            raise KeysError("key-file-damaged", "not a secret")
        return private

    def reveal(self, name: str) -> tuple[KeyEntry, bytes]:
        """A key or secret with its private bytes in the clear: for backups."""
        file = read_key_file(self._path(name))
        if file.entry.name != name:
            raise KeysError("key-file-damaged", "the file carries another key's name")
        return file.entry, self._unseal(file)

    def remove(self, name: str, wanted: bytes) -> None:
        """Removes a signature key for good, if it has the key id `wanted`; `key-not-found`.

        Only for one that was just made and that nobody knows of yet.
        """
        with locked(self._folder):
            entry = read_key_file(self._path(name)).entry
            if entry.suite not in BY_NAME or kid(BY_NAME[entry.suite], entry.public) != wanted:
                raise KeysError("key-not-found", name)
            self._path(name).unlink()
            sync_folder(self._folder)

    def adopt(self, keys: Iterable[tuple[KeyEntry, bytes]]) -> Sequence[KeyEntry]:
        """Writes the keys and secrets that are not here yet; returns those.

        `key-exists` where a name is another key's, before anything is written. Cut short, it has
        written some whole files; the same call again writes the rest.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self._folder):
            self._check_passphrase()
            missing = [(entry, private) for entry, private in keys if self._misses(entry, private)]
            sealed = [
                (self._path(entry.name), seal(entry, private, self._passphrase(), self._effort))
                for entry, private in missing
            ]
            for path, data in sealed:
                write_new(path, data)
        return [entry for entry, _ in missing]

    def _misses(self, entry: KeyEntry, private: bytes) -> bool:
        try:
            file = read_key_file(self._path(entry.name))
        except KeysError as error:
            if error.code == "key-not-found":
                return True
            raise
        # A secret shows nothing to compare but itself.
        if file.entry != entry or (entry.suite == SECRET and self._unseal(file) != private):
            raise KeysError("key-exists", entry.name)
        return False

    def _path(self, name: str) -> Path:
        return self._folder / (checked_name(name) + SUFFIX)

    def _unseal(self, file: KeyFile) -> bytes:
        try:
            private = file.unseal(self._passphrase())
        except KeysError as error:
            if error.code == "key-wrong-passphrase" and (self._folder / STAGE).exists():
                raise KeysError("key-passphrase-changing", file.entry.name) from error
            raise
        self._opened.add(file.lock.salt)
        return private

    def _add(self, entry: KeyEntry, private: bytes) -> None:
        data = seal(entry, private, self._passphrase(), self._effort)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self._folder):
            self._check_passphrase()
            write_new(self._path(entry.name), data)
        self._opened.add(parse(data, entry.name).lock.salt)

    def _check_passphrase(self) -> None:
        """One passphrase a folder: the first key that is there must open, unless it has already."""
        for path in key_files(self._folder)[:1]:
            file = read_key_file(path)
            if file.lock.salt not in self._opened:
                self._unseal(file)


def key_files(folder: Path) -> Sequence[Path]:
    """The key files of a folder, by the names of the keys."""
    return sorted(folder.glob("*" + SUFFIX), key=lambda path: path.stem)


def read_key_file(path: Path) -> KeyFile:
    """A key file that only its owner may read."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError as error:
        raise KeysError("key-not-found", path.stem) from error
    if stat.S_IMODE(mode) & 0o077:
        raise KeysError("key-file-exposed", str(path))
    return parse(data, str(path))


def write_new(path: Path, data: bytes) -> None:
    """A new private file, whole and durable or not at all; `key-exists`."""
    temporary = path.with_name(f".{path.stem}.{sodium.randombytes(8).hex()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL  # never a file that others made or may read
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError as error:
        raise KeysError("key-exists", path.stem) from error
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone among all processes that add to the folder or change its passphrase."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
