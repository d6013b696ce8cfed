"""What the ledger's tests share: a key, an origin, stores of every kind, an independent check."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from keys.signer import SoftwareSigner
from keys.suites import SUITES
from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.model import Draft
from ledger.readside import LedgerReadSide, ReadSide, read_bundle, read_tile
from ledger.stores.base import Store
from verifier.checkpoint import Checkpoint, open_checkpoint
from verifier.merkle import Frontier, leaf_hash
from verifier.note import NoteSigner
from verifier.proof import check_proof, parse_proof
from verifier.tiles import TileTree, tile_widths

ORIGIN = "demo.zhenglian.example"
ED25519 = -19
SIGNER = NoteSigner(ORIGIN, SoftwareSigner(SUITES[ED25519], bytes(range(32))))
OTHER_KEY = NoteSigner(ORIGIN, SoftwareSigner(SUITES[ED25519], bytes(range(1, 33))))
NOW = 1_700_000_000.25


def clock() -> float:
    return NOW


def open_ledger(store: Store) -> Ledger:
    return Ledger.open(store, origin=ORIGIN, signers=[SIGNER], clock=clock)


def drafts(start: int, count: int, prefix: str = "entry") -> list[Draft]:
    """`count` different drafts, numbered from `start`."""
    return [Draft(f"{prefix} {i}".encode(), 16, "market") for i in range(start, start + count)]


@contextmanager
def refused(*codes: str) -> Iterator[pytest.ExceptionInfo[LedgerError]]:
    """The block must be refused with one of these codes."""
    with pytest.raises(LedgerError) as caught:
        yield caught
    assert caught.value.code in codes


def check_log(source: ReadSide | Ledger) -> tuple[Checkpoint, list[bytes]]:
    """Read everything a log shows, rebuild it from its entries alone, and compare.

    The checkpoint's signature and root, every tile of every level, no entry twice.
    """
    log: ReadSide = LedgerReadSide(source) if isinstance(source, Ledger) else source
    checkpoint = open_checkpoint(log.read("checkpoint"), SIGNER.key)
    entries: list[bytes] = []
    full, width = tile_widths(checkpoint.size, 0)
    for n, count in [*((n, 256) for n in range(full)), (full, width)]:
        if count:
            entries += read_bundle(log, n, count)
    nodes: dict[int, list[bytes]] = {0: [leaf_hash(e) for e in entries]}
    frontier = Frontier()

    def on_node(height: int, _index: int, node: bytes) -> None:
        nodes.setdefault(height, []).append(node)

    frontier.extend(nodes[0], on_node)
    assert frontier.size == checkpoint.size
    assert frontier.root() == checkpoint.root
    tree = TileTree(checkpoint.size, lambda level, n, w: read_tile(log, level, n, w))
    assert tree.root() == checkpoint.root
    for level in range(4):
        full, width = tile_widths(checkpoint.size, level)
        tiles = [read_tile(log, level, n, 256) for n in range(full)]
        if width:
            tiles.append(read_tile(log, level, full, width))
        assert b"".join(tiles) == b"".join(nodes.get(8 * level, []))
    assert len(set(entries)) == len(entries)
    return checkpoint, entries


def check_inclusion_of(ledger: Ledger, acknowledged: Sequence[tuple[int, bytes]]) -> None:
    """Every acknowledged (index, entry) is where it was said to be, and proved to be there."""
    for index, entry in acknowledged:
        assert ledger.entry(index) == entry
        proof = parse_proof(ledger.tlog_proof(index))
        assert proof.index == index
        check_proof(proof, entry, SIGNER.key, None)
