"""The folder of evidence files."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from ledger.monitor.compare import Signed, evidence
from ledger.monitor.mirror import Put
from verifier.note import VerifierKey
from verifier.split_view import format_split_view

EVIDENCE: Final = "evidence"
MAX_EVIDENCE: Final = 64
"""Files kept. The first proves it all; each further round of a forked log would add another."""


class Cabinet:
    """Evidence below `folder`, each file named after the two checkpoints it is about."""

    def __init__(self, folder: Path, put: Put) -> None:
        self._folder, self._put = folder, put

    def keep(
        self,
        pair: tuple[Signed, Signed],
        hashes: Sequence[bytes],
        log_keys: Sequence[VerifierKey],
        witnesses: Sequence[VerifierKey],
    ) -> str | None:
        """Writes the evidence, checked, unless it is there; its name, None if the folder is full.

        Both were signed by the first of `log_keys`, and `hashes` are those of `relate`.
        """
        sizes = sorted(one.checkpoint.size for one in pair)
        bodies = sorted(one.checkpoint.body() for one in pair)
        mark = sha256("".join(bodies).encode()).hexdigest()[:16]
        name = f"{EVIDENCE}/split-view-{sizes[0]}-{sizes[1]}-{mark}.txt"
        if (self._folder / name).exists():
            return name
        if len(list((self._folder / EVIDENCE).glob("split-view-*.txt"))) >= MAX_EVIDENCE:
            return None
        view = evidence((pair[0].note, pair[1].note), log_keys, hashes, witnesses)
        self._put(self._folder / name, format_split_view(view))
        return name
