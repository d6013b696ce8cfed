"""What must hold of a log, whatever was done to it: see `tests.broken`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

from sqlalchemy import select

from ledger.audit.findings import Severity
from ledger.audit.run import audit
from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.publisher import PolicyAt, no_witnesses
from ledger.readside import LedgerReadSide, read_bundle, read_tile
from ledger.stores import open_store
from tests.broken import load
from tests.broken.writers import Said, open_ledger
from tests.ledger.appender import APP, SEEN
from tests.ledger.audited import OPTIONS
from verifier.checkpoint import Checkpoint, open_checkpoint
from verifier.errors import Refused
from verifier.merkle import Frontier, check_consistency, check_inclusion, leaf_hash
from verifier.note import VerifierKey
from verifier.proof import check_proof, parse_proof
from verifier.tiles import TileTree, tile_widths

_ABSENT = ("ledger-out-of-range", "ledger-not-found", "ledger-inconsistent")


@dataclass
class Verdict:
    """Of one log or, added up, of many. `wrong` holds words for everything that is not right."""

    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    checkpoints: int = 0
    entries: int = 0
    audits: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Verdict") -> None:
        self.acknowledged += other.acknowledged
        self.lost += other.lost
        self.doubled += other.doubled
        self.checkpoints += other.checkpoints
        self.entries += other.entries
        self.audits += other.audits
        self.wrong += other.wrong

    @property
    def ok(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)


def check(
    url: str, said: Said, *, restarted: bool = False, policy: PolicyAt = no_witnesses
) -> Verdict:
    """Everything, of the log at `url` as its last writers left it; then as the next start finds
    it, which must not change what is there. `restarted`: power was lost, after which a start may
    have to sign again what it finds (`ledger.stores.base`, publish)."""
    verdict = Verdict()
    try:
        _check(url, said, restarted, policy, verdict)
    except (LedgerError, Refused) as error:
        verdict.wrong.append(f"the log cannot be read: {error}")
    verdict.wrong += said.unexpected
    return verdict


def _check(url: str, said: Said, restarted: bool, policy: PolicyAt, verdict: Verdict) -> None:
    store = open_store(url)
    store.create(APP)  # as every start does; a writer may have died before it had done so
    city = load.city()
    if restarted:
        open_ledger(store, policy=policy).close()
    if said.acknowledged:
        # With no key nothing can be repaired: what is published covers what was acknowledged.
        reader = Ledger.open(store, origin=city.origin, signers=[], clock=lambda: 0.0)
        check_answers(reader, said, city.log.key, verdict)
    with open_ledger(store, policy=policy) as ledger:
        said.notes |= {ledger.checkpoint(), ledger.signed_checkpoint()}
        leaves = check_tree(ledger, said, city.log.key, verdict)
        with store.read() as snapshot:
            rows = set(snapshot.connection.execute(select(SEEN.c.idx)).scalars())
        if not set(said.with_rows) <= rows <= set(range(len(leaves))):
            verdict.wrong.append("domain rows do not stand and fall with their entries")
        if leaves:
            check_audit(ledger, verdict)
    store.close()


class _Remembering(TileTree):
    """Thousands of proofs of one tree share most of their hashes."""

    def __init__(self, log: LedgerReadSide, size: int) -> None:
        super().__init__(size, cache(lambda level, n, width: read_tile(log, level, n, width)))
        self._nodes: dict[tuple[int, int], bytes] = {}

    def _node(self, tiles: dict[tuple[int, int], bytes], height: int, index: int) -> bytes:
        node = self._nodes.get((height, index))
        if node is None:
            node = self._nodes[height, index] = super()._node(tiles, height, index)
        return node


def check_answers(ledger: Ledger, said: Said, key: VerifierKey, verdict: Verdict) -> None:
    """Each acknowledged entry, and its inclusion proof under the published checkpoint."""
    places: dict[bytes, int] = {}
    verdict.acknowledged = len(set(said.acknowledged))
    log = LedgerReadSide(ledger)
    checkpoint = open_checkpoint(ledger.signed_checkpoint(), key)
    tree = _Remembering(log, checkpoint.size)
    for index, leaf in set(said.acknowledged):
        if places.setdefault(leaf, index) != index:
            verdict.doubled += 1
            continue
        try:
            proof = tree.inclusion_proof(index)
            check_inclusion(
                index=index, size=checkpoint.size, leaf=leaf, proof=proof, root=checkpoint.root
            )
        except (Refused, LedgerError, ValueError, IndexError) as error:
            if isinstance(error, LedgerError) and error.code not in _ABSENT:
                raise
            verdict.lost += 1
    for index, leaf in said.acknowledged[:: max(1, len(said.acknowledged) // 25)]:
        try:  # and as the product hands it out, with the entry itself
            entry = ledger.entry(index)
            check_proof(parse_proof(ledger.tlog_proof(index)), entry, key, None)
            if leaf_hash(entry) != leaf:
                raise LedgerError("ledger-not-found")
        except (Refused, LedgerError) as error:
            verdict.wrong.append(f"proof of entry {index}: {error}")


def check_tree(ledger: Ledger, said: Said, key: VerifierKey, verdict: Verdict) -> Sequence[bytes]:
    """Rebuilds the tree from the entries alone; every checkpoint seen is on its way."""
    seen = [open_checkpoint(note, key) for note in said.notes]
    verdict.checkpoints = len(seen)
    log, size = LedgerReadSide(ledger), ledger.size
    full, width = tile_widths(size, 0)
    leaves: list[bytes] = []
    for n, wide in [*((n, 256) for n in range(full)), (full, width)]:
        if wide:
            leaves += map(leaf_hash, read_bundle(log, n, wide))
    verdict.entries = len(leaves)
    twice = [leaf for leaf, times in Counter(leaves).items() if times > 1]
    verdict.doubled += len(twice)
    frontier, at = Frontier(), 0
    seen.sort(key=lambda checkpoint: checkpoint.size)
    for checkpoint in seen:
        frontier.extend(leaves[at : checkpoint.size])
        at = max(at, checkpoint.size)
        if frontier.size != checkpoint.size or frontier.root() != checkpoint.root:
            verdict.wrong.append(f"the checkpoint of size {checkpoint.size} is of another history")
    for older, newer in _some_pairs(seen):
        try:  # and as any client would check two of them
            check_consistency(
                size1=older.size, root1=older.root, size2=newer.size, root2=newer.root,
                proof=ledger.consistency_proof(older.size, newer.size),
            )  # fmt: skip
        except (Refused, LedgerError) as error:
            verdict.wrong.append(f"checkpoints {older.size} and {newer.size}: {error}")
    return leaves


def _some_pairs(seen: Sequence[Checkpoint]) -> list[tuple[Checkpoint, Checkpoint]]:
    """Neighbours, at most a hundred pairs; that of the empty tree proves nothing."""
    some = [checkpoint for checkpoint in seen if checkpoint.size]
    some = some[:: max(1, len(some) // 100)]
    return list(pairwise(some))


def check_audit(ledger: Ledger, verdict: Verdict, **options: Any) -> None:
    report = audit(LedgerReadSide(ledger), **{**OPTIONS, **options})
    verdict.audits = 1
    verdict.wrong += [
        f"audit: {finding.code} {finding.index} {finding.detail}"
        for finding in report.findings
        if finding.severity is not Severity.UNCHECKED
    ]
    if not report.ok:
        verdict.wrong.append("the audit is not clean")
