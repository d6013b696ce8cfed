"""The history that the monitor holds the log to: what it has read, hashed and judged itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ledger.audit.changes import hashes
from ledger.audit.files import Files
from ledger.audit.findings import Finding, Findings
from ledger.audit.publication import WorkdaysAfter
from ledger.audit.rules import Rules
from ledger.audit.work import examined
from ledger.audit.worker import GOOD, Examined
from ledger.monitor.compare import Signed
from ledger.monitor.errors import MonitorError
from ledger.monitor.mirror import Mirror
from ledger.monitor.state import MAX_DOUBTFUL, Checked
from ledger.readside import ReadSide
from verifier.authorities import Authorities
from verifier.checkpoint import open_checkpoint
from verifier.errors import Refused
from verifier.merkle import Frontier
from verifier.note import VerifierKey
from verifier.tiles import FULL_WIDTH

DUE: Final = frozenset({"audit-publication-missing", "audit-signed-while-compromised"})
"""Findings about what has not been done by now: they go when it is done."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How entries are read: `tree_only` takes them for anything, `processes` is for many."""

    workdays_after: WorkdaysAfter
    tree_only: bool = False
    processes: int = 1


class History:
    """`replay` what the copy holds, once; then `gather` and `advance` for each later checkpoint.

    `head` is the checkpoint up to which all was hashed and judged, None before the first.
    """

    def __init__(
        self, mirror: Mirror, log_key: VerifierKey, reading: Reading, checked: Checked
    ) -> None:
        self.mirror = mirror
        self.head: Signed | None = None
        self._log_key = log_key
        self._reading = reading
        self._checked = checked
        self._findings = Findings()
        self._rules = Rules(self._findings, reading.workdays_after, log_key)
        self._edge = Frontier()
        self._known: dict[bytes, bytes] = {}
        self._events = 0

    @property
    def size(self) -> int:
        return self._edge.size

    @property
    def authorities(self) -> Authorities:
        """Departments, keys and policies as the entries so far have them."""
        return self._rules.keyring.authorities

    def replay(self, now: int) -> None:
        """Hashes and judges what the copy holds. Signatures found good before are not checked
        again where the tree shows that their entries are the same.

        `monitor-state-damaged`: the copy is not what its own checkpoint says.
        """
        note = self.mirror.note()
        if note is None:
            return
        try:
            head = Signed(note, open_checkpoint(note, self._log_key))
        except Refused as error:
            raise MonitorError("monitor-state-damaged", f"checkpoint: {error.code}") from error
        before, doubtful = self._checked.bundles, set(self._checked.doubtful)
        self._take(head, now, lambda n: n < before and n not in doubtful)

    def gather(self, source: ReadSide, shown: Signed, findings: Findings) -> None:
        """Fetches what is new into the copy: see `Mirror.gather`. Nothing counts yet."""
        self.mirror.gather(source, shown.checkpoint, self._edge, findings)

    def advance(self, shown: Signed, now: int) -> None:
        """What was gathered counts from here on, durably, and is judged."""
        self.mirror.commit(shown.note, self.size, shown.checkpoint.size)
        self._take(shown, now, lambda n: False)

    def renew(self, shown: Signed) -> None:
        """The same checkpoint with other cosignatures, if they are no fewer."""
        if self.head is not None and len(shown.note) >= len(self.head.note) != 0:
            self.mirror.commit(shown.note, self.size, self.size)
            self.head = shown

    def found(self) -> list[Finding]:
        """What the entries judged since the last call break."""
        return self._findings.take()

    def due(self, now: int) -> list[Finding]:
        """What ought to have been done by `now` and was not, as codes of `DUE`, or unchecked."""
        self._rules.finish(now)
        return self._findings.take()

    def _take(self, head: Signed, now: int, checked: Callable[[int], bool]) -> None:
        first, size = self.size, head.checkpoint.size
        files = Files(self.mirror, size, Findings())
        for bundle, keys in examined(
            files,
            self._reading.processes,
            tree_only=self._reading.tree_only,
            start=first // FULL_WIDTH,
            known=self._known,
            checked=checked,
        ):
            if bundle.missing or not bundle.sound:
                raise MonitorError("monitor-state-damaged", files.bundle_path(bundle.n))
            self._edge.extend(hashes(bundle.leaves)[max(0, first - bundle.n * FULL_WIDTH) :])
            self._rules.add(bundle, keys, now, first=first)
            if len(bundle.leaves) == FULL_WIDTH * 32:
                self._note_checked(bundle)
        if self._edge.root() != head.checkpoint.root:
            raise MonitorError("monitor-state-damaged", "the entries do not give the root")
        self.head = head

    def _note_checked(self, bundle: Examined) -> None:
        """After a full bundle: its signatures need no checking at the next start."""
        checked, root = self._checked, self._edge.root().hex()
        if bundle.n == checked.bundles - 1 and root != checked.root:
            raise MonitorError("monitor-state-damaged", f"entries below {self.size}")
        if bundle.n != checked.bundles or len(checked.doubtful) >= MAX_DOUBTFUL:
            return
        if any(len(row) != 2 and row[0] != GOOD for row in bundle.acts):
            checked.doubtful.append(bundle.n)
        checked.bundles, checked.root = bundle.n + 1, root
