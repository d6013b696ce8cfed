"""The read side against the specification's recursive definition, and what it refuses to show."""

from collections.abc import Iterator

import pytest

from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.model import Published
from ledger.stores.base import Store
from ledger.stores.memory import MemoryStore
from tests.ledger.helpers import (
    SIGNER,
    check_inclusion_of,
    check_log,
    drafts,
    open_ledger,
    refused,
)
from tests.verifier import twin
from verifier.merkle import check_consistency, leaf_hash

SIZE = 523  # two full tiles of level 0, and partial ones of both levels
ENTRIES = [d.entry for d in drafts(0, SIZE)]


@pytest.fixture(scope="module")
def log() -> Iterator[Ledger]:
    store = MemoryStore()
    store.create()
    with open_ledger(store) as ledger:
        ledger.append(drafts(0, 200))
        ledger.append(drafts(200, SIZE - 200))
        yield ledger
    store.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 513, SIZE])
def test_inclusion_proofs_are_the_specifications(log: Ledger, size: int) -> None:
    for index in sorted({0, 1, size // 3, size // 2, 255, 256, size - 2, size - 1}):
        if 0 <= index < size:
            assert log.inclusion_proof(index, size) == twin.path(index, ENTRIES[:size])
            if size == SIZE:
                assert log.inclusion_proof(index) == twin.path(index, ENTRIES)


@pytest.mark.parametrize("size2", [1, 2, 3, 8, 256, 300, 512, SIZE])
def test_consistency_proofs_are_the_specifications(log: Ledger, size2: int) -> None:
    for size1 in sorted({1, 2, 5, 255, 256, 257, size2 // 2, size2 - 1, size2}):
        if 1 <= size1 <= size2:
            proof = log.consistency_proof(size1, size2)
            assert proof == twin.proof(size1, ENTRIES[:size2])
            check_consistency(
                size1=size1,
                size2=size2,
                root1=twin.mth(ENTRIES[:size1]),
                root2=twin.mth(ENTRIES[:size2]),
                proof=proof,
            )


def test_everything_else_shown_is_right(log: Ledger) -> None:
    assert log.size == SIZE
    checkpoint, entries = check_log(log)
    assert entries == ENTRIES
    assert checkpoint.root == twin.mth(ENTRIES)
    check_inclusion_of(log, [(i, ENTRIES[i]) for i in (0, 255, 256, 511, 512, SIZE - 1)])
    for index in (0, 300, SIZE - 1):
        assert log.index_of(leaf_hash(ENTRIES[index])) == index
    with refused("ledger-not-found"):
        log.index_of(leaf_hash(b"never logged"))


def test_partial_widths_are_prefixes(log: Ledger) -> None:
    assert log.tile(0, 1, 100) == log.tile(0, 1)[: 100 * 32]
    assert log.tile(1, 0, 1) == log.tile(1, 0, 2)[:32]
    assert log.entry_bundle(2, 3) == log.entry_bundle(2, 11)[: len(log.entry_bundle(2, 3))]


@pytest.mark.parametrize(
    ("level", "n", "width"),
    [(0, 2, 12), (0, 2, 256), (0, 3, 1), (1, 0, 3), (1, 1, 1), (2, 0, 1), (0, -1, 1), (0, 0, 0),
     (0, 0, 257), (-1, 0, 1), (8, 0, 1), (63, 0, 1), (0, 2**70, 1)],
)  # fmt: skip
def test_tiles_out_of_range_are_refused(log: Ledger, level: int, n: int, width: int) -> None:
    with refused("ledger-out-of-range"):
        log.tile(level, n, width)
    if level == 0:
        with refused("ledger-out-of-range"):
            log.entry_bundle(n, width)


@pytest.mark.parametrize("index", [-1, SIZE, SIZE + 1, 2**70])
def test_indices_out_of_range_are_refused(log: Ledger, index: int) -> None:
    for question in (log.entry, log.inclusion_proof, log.proof, log.tlog_proof):
        with refused("ledger-out-of-range"):
            question(index)


@pytest.mark.parametrize(
    ("size1", "size2"), [(0, 5), (6, 5), (-1, 5), (1, SIZE + 1), (SIZE + 1, None), (1, 0), (1, -1)]
)
def test_sizes_out_of_range_are_refused(log: Ledger, size1: int, size2: int | None) -> None:
    with refused("ledger-out-of-range"):
        log.consistency_proof(size1, size2)
    if size2 is not None and size2 != 5:
        with refused("ledger-out-of-range"):
            log.inclusion_proof(0, size2)


class Unpublished:
    """A store where publishing fails."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.broken = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def publish(self, checkpoint: Published, final: bool = False) -> Published:
        if self.broken:
            raise LedgerError("ledger-store-failed", "no publishing today")
        return self._store.publish(checkpoint, final)


def test_what_is_not_published_is_not_shown(store: Store) -> None:
    broken = Unpublished(store)
    with open_ledger(broken) as ledger:  # type: ignore[arg-type]
        ledger.append(drafts(0, 256))
        broken.broken = True
        with refused("ledger-logged-not-published"):
            ledger.append(drafts(256, 256))
        assert check_log(ledger)[0].size == ledger.size == 256
        for hidden in (
            lambda: ledger.entry(256),
            lambda: ledger.tile(0, 1, 1),
            lambda: ledger.tile(1, 0, 2),
            lambda: ledger.entry_bundle(1, 1),
            lambda: ledger.inclusion_proof(256),
            lambda: ledger.consistency_proof(1, 257),
            lambda: ledger.proof(256),
        ):
            with refused("ledger-out-of-range"):
                hidden()
        with refused("ledger-not-found"):
            ledger.index_of(leaf_hash(b"entry 256"))
        with refused("ledger-logged-not-published"):  # there already, and still not published
            ledger.append(drafts(256, 1))
        broken.broken = False
        done = ledger.append(drafts(256, 1))
        assert (done.appended[0].index, done.appended[0].existing, done.size) == (256, True, 512)
        assert check_log(ledger)[0].size == 512


def test_nothing_published_at_all(store: Store) -> None:
    ledger = Ledger.open(store, origin=SIGNER.name, signers=[], clock=lambda: 0)
    for question in (ledger.checkpoint, lambda: ledger.size, lambda: ledger.proof(0)):
        with refused("ledger-not-published"):
            question()


def test_a_hole_in_the_store_is_reported(store: Store) -> None:
    with open_ledger(store) as ledger:
        ledger.append(drafts(0, 20))
        with store.write() as writer:
            writer.connection.exec_driver_sql("DELETE FROM entries WHERE idx = 7")
            writer.commit()
        for question in (
            lambda: ledger.entry(7),
            lambda: ledger.entry_bundle(0, 20),
            lambda: ledger.tile(0, 0, 20),
            lambda: ledger.proof(3),
        ):
            with refused("ledger-inconsistent"):
                question()
