"""Which entries were changed, told as people would: altered, swapped, dropped, slipped in."""

from collections.abc import Callable
from typing import Final, NamedTuple

from ledger.audit.files import Files
from ledger.audit.findings import Findings
from ledger.audit.worker import Examined
from verifier.merkle import HASH_SIZE
from verifier.plural import noun
from verifier.tiles import FULL_WIDTH

_MAX_KEPT: Final = 10_000


class _Change(NamedTuple):
    at: int
    leaf: bytes
    expected: bytes


class Changes:
    """Notes differences between entries and level-0 tiles, in order, and later names them."""

    def __init__(self, files: Files, findings: Findings) -> None:
        self._files = files
        self._findings = findings
        self._kept: list[_Change] = []
        self._beyond = 0
        self._shifts: list[tuple[int, str]] = []
        self._shift = 0

    def unsound(self, examined: Examined, width: int) -> None:
        """A bundle that is missing, cut short, or holds more than it should."""
        n, count = examined.n, len(examined.leaves) // HASH_SIZE
        path = self._files.bundle_path(n)
        if examined.missing:
            self._files.name("audit-file-missing", path, index=n * FULL_WIDTH)
            return
        index = n * FULL_WIDTH + min(count, width)
        detail = f"{count} whole {noun(count, 'entry', 'entries')}, {width} expected"
        self._files.name("audit-bundle-truncated", path, index=index, detail=detail)

    def compare(self, n: int, leaves: bytes, tile: bytes) -> None:
        """Notes where `leaves`, the entries' hashes, perhaps too few, differ from their tile."""
        have, want = hashes(leaves), hashes(tile)
        after = self._files.hash_at(0, (n + 1) * FULL_WIDTH)
        longer = want if after is None else [*want, after]
        if self._shift and self._shifted(have, longer, 0, self._shift):
            return
        self._shift = 0
        common = range(min(len(have), len(want)))
        first = next((i for i in common if have[i] != want[i]), None)
        if first is None:
            return  # cut short, and what is there agrees
        for shift, gone, code in (
            (1, want[first] not in have, "audit-leaf-dropped"),
            (-1, have[first] not in want, "audit-leaf-inserted"),
        ):
            if gone and self._shifted(have, longer, first, shift):
                self._shift = shift
                self._shifts.append((n * FULL_WIDTH + first, code))
                return
        for i in common:
            if have[i] != want[i]:
                self._keep(_Change(n * FULL_WIDTH + i, have[i], want[i]))

    def name(self, accept: Callable[[int], bool]) -> None:
        """Names what was noted in those bundles, by number, of which the entries are at fault."""
        for index, code in self._shifts:
            if accept(index // FULL_WIDTH):
                self._findings.add(code, index)
        kept = [change for change in self._kept if accept(change.at // FULL_WIDTH)]
        home = {change.expected: change for change in kept}
        plain: list[int] = []
        for change in kept:
            other = home.get(change.leaf)
            if other is None or other.leaf != change.expected:
                plain.append(change.at)
            elif change.at < other.at:
                detail = f"{change.at} ↔ {other.at}"
                self._findings.add("audit-leaves-swapped", change.at, detail=detail)
        for low, high in runs(plain):
            detail = "" if low == high else f"{low} – {high}"
            self._findings.add("audit-leaf-differs", low, detail=detail)
        if self._beyond:
            self._findings.add("audit-leaf-differs", detail=f"and {self._beyond} more")

    def _shifted(self, have: list[bytes], want: list[bytes], first: int, shift: int) -> bool:
        """Whether from `first` on, every hash stands `shift` places before where it belongs."""
        if shift > 0:
            moved, at_home = have[first:], want[first + 1 :]
        else:
            moved, at_home = have[first + 1 :], want[first:]
        size = min(len(moved), len(at_home))
        return size > 0 and moved[:size] == at_home[:size]

    def _keep(self, change: _Change) -> None:
        if len(self._kept) < _MAX_KEPT:
            self._kept.append(change)
        else:
            self._beyond += 1


def hashes(side_by_side: bytes) -> list[bytes]:
    """The hashes of a tile."""
    starts = range(0, len(side_by_side), HASH_SIZE)
    return [side_by_side[start : start + HASH_SIZE] for start in starts]


def runs(indices: list[int]) -> list[tuple[int, int]]:
    """Ascending numbers as (first, last) of each unbroken run."""
    found: list[tuple[int, int]] = []
    for index in indices:
        if found and found[-1][1] == index - 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return found
