"""What every key signed, kept in case the key turns out to have been compromised.

24 bytes an entry (12 of its leaf hash, 8 its index, 4 its time), so 24 MB for a million, in arrays
that grow by an eighth.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from verifier.keylife import EnrolledKey
from verifier.signedlist import PREFIX, SignedList, make_signed_list

_LAST_TIME: Final = (1 << 32) - 1
"""In 2106; what says it was signed later is as late as that here."""


class _Row:
    def __init__(self) -> None:
        self.prefixes, self.indices, self.times = bytearray(), array("Q"), array("I")


class Signed:
    """`add` every entry whose signature is good, in ledger order."""

    def __init__(self) -> None:
        self._rows: dict[bytes, _Row] = {}

    def add(self, kid: bytes, index: int, leaf: bytes, issued_at: int) -> None:
        row = self._rows.get(kid)
        if row is None:
            row = self._rows[kid] = _Row()
        row.prefixes += leaf[:PREFIX]
        row.indices.append(index)
        row.times.append(min(issued_at, _LAST_TIME))

    def before(self, kid: bytes, index: int) -> SignedList:
        """The list of what this key signed below a ledger index."""
        row = self._rows.get(kid) or _Row()
        count = bisect_left(row.indices, index)
        starts = range(0, count * PREFIX, PREFIX)
        return make_signed_list(bytes(row.prefixes[at : at + PREFIX]) for at in starts)

    def void(self, key: EnrolledKey) -> Iterator[int]:
        """Indices of the entries that no longer count, as others had the key by then."""
        row, compromise = self._rows.get(key.kid), key.compromise
        if row is None or compromise is None:
            return
        for index, at in zip(row.indices, row.times, strict=True):
            if index >= compromise.before or at >= compromise.since:
                yield index
