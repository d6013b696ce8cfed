"""Signed lists: what a compromised key had signed before it leaked, so that it keeps counting.

A counter without a network cannot tell a statement that was logged before a compromise from one
that a thief dated back. So whoever reports the compromise lists what counts: of every entry that
the key signed and the ledger holds below the compromise's index, the first 12 bytes of the leaf
hash, in ascending order, none twice, one after the other. The statement in the ledger names the
number of these and the SHA-256 of the whole.

12 bytes make a second entry with the same place 2**96 hashes away, and a list for a million
licences 12 MB.
"""

from bisect import bisect_left
from collections.abc import Iterable
from functools import cached_property
from hashlib import sha256
from typing import Final

from verifier.errors import Refused
from verifier.merkle import HASH_SIZE

PREFIX: Final = 12
"""Bytes of a leaf hash that stand for it."""


class SignedList:
    """A list as it is carried, `data`; its order is checked when it is first asked."""

    def __init__(self, data: bytes) -> None:
        """Raises `signed-list-malformed` where the size is no multiple of 12."""
        if len(data) % PREFIX:
            raise Refused("signed-list-malformed", "size")
        self.data = data

    @property
    def count(self) -> int:
        """The number of entries in it."""
        return len(self.data) // PREFIX

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the list, as the statement of the compromise names it."""
        return sha256(self.data).digest()

    def holds(self, leaf: bytes) -> bool:
        """Whether the entry with this leaf hash (32 bytes) is in it.

        Raises `signed-list-malformed` where the list is out of order.
        """
        if len(leaf) != HASH_SIZE:
            raise Refused("merkle-hash-size")
        self.check()
        wanted = leaf[:PREFIX]
        at = bisect_left(range(self.count), wanted, key=self._at)
        return at < self.count and self._at(at) == wanted

    def check(self) -> None:
        """Raises `signed-list-malformed` unless every entry is above the one before it."""
        if not self._ascending:
            raise Refused("signed-list-malformed", "order")

    @cached_property
    def _ascending(self) -> bool:
        entries = [self.data[at : at + PREFIX] for at in range(0, len(self.data), PREFIX)]
        return all(map(bytes.__lt__, entries, entries[1:]))

    def _at(self, place: int) -> bytes:
        return self.data[place * PREFIX : (place + 1) * PREFIX]


def make_signed_list(leaves: Iterable[bytes]) -> SignedList:
    """The list of the entries with these leaf hashes (32 bytes each), in any order."""
    return SignedList(b"".join(sorted({leaf[:PREFIX] for leaf in leaves})))
