"""What every custody promises, whoever keeps the keys."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from keys.errors import KeysError
from keys.signer import Signer

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class KeyEntry:
    """What a listing shows of a key: nothing secret. `public` is empty for a `secret`."""

    name: str
    suite: str
    public: bytes


class Custody(Protocol):
    """A keeper of named private keys. Safe to call from several threads.

    A name keeps its key for ever: nothing here replaces or removes one (`FileCustody.remove` takes
    back one that was just made). What is refused raises
    `KeysError` and changes nothing.
    """

    def list(self) -> Iterator[KeyEntry]:
        """Every key by name; opens none."""

    def create(self, name: str, suite: str) -> KeyEntry:
        """Makes a key of a signature suite, durable when this returns.

        `key-exists` where the name is taken, `key-unknown-suite` where this custody has no such
        suite, `key-bad-name`.
        """

    def open(self, name: str) -> Signer:
        """The signer of a key; `key-not-found`, or the code that says why it does not open."""


def checked_name(name: str) -> str:
    """The name if it is one: lower-case letters, digits, `.`, `_`, `-`; at most 64."""
    if not _NAME.fullmatch(name):
        raise KeysError("key-bad-name", name[:64])
    return name
