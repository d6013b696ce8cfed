"""No leaf hash comes twice on SQLite, over epochs, segments, processes and undone transactions."""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from ledger.model import Appended, EntryRow
from ledger.stores import leaf_filter, leaves
from ledger.stores.leaf_filter import LeafFilter
from ledger.stores.leaves import EPOCH
from ledger.stores.memory import MemoryStore
from ledger.stores.sqlite import SqliteEngines, SqliteStore
from tests.ledger.helpers import drafts, open_ledger, refused


def row(index: int, content: int) -> EntryRow:
    entry = b"%d" % content
    return index, sha256(entry).digest(), entry, 1, "dept", 0


def rows(start: int, count: int) -> list[EntryRow]:
    return [row(index, index) for index in range(start, start + count)]


def add(store: SqliteEngines, new: list[EntryRow]) -> None:
    with store.write() as writer:
        writer.insert_entries(new)
        writer.commit()


@pytest.fixture(params=[True, False], ids=["filter", "no filter"])
def filtered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With the filter from the first hash on, or never; and with segments of two epochs."""
    monkeypatch.setattr(leaves, "WORTH", 0 if request.param else 1 << 40)
    for module in (leaves, leaf_filter):
        monkeypatch.setattr(module, "SEGMENT", 2 * EPOCH)
    return bool(request.param)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "ledger.db")
    store.create()
    yield store
    store.close()


@pytest.mark.usefixtures("filtered")
def test_every_epoch_is_looked_through(store: SqliteStore) -> None:
    size = 3 * EPOCH + 5
    for at in range(0, size, 7_000):
        add(store, rows(at, min(7_000, size - at)))
    source = random.Random(7)
    edges = [n * EPOCH + by for n in range(4) for by in (-1, 0, 1)]
    known = [n for n in {*edges, *source.sample(range(size), 20)} if 0 <= n < size]
    asked = [row(0, n)[1] for n in [*known, *range(size, size + 200)]]
    expected = {row(0, n)[1]: n for n in known}
    with store.read() as reader:
        assert reader.indices_of(asked) == expected
    with store.write() as writer:
        assert writer.indices_of(asked) == expected
    for n in known:
        with store.write() as writer, refused("ledger-entry-exists"):
            writer.insert_entries([*rows(size, 2), row(size + 2, n)])
    add(store, rows(size, 3))


@pytest.mark.usefixtures("filtered")
def test_over_the_edge_of_an_epoch_in_one_transaction(store: SqliteStore) -> None:
    add(store, rows(0, EPOCH - 1))
    twice = [row(EPOCH - 1, -1), row(EPOCH, -1)]
    with store.write() as writer, refused("ledger-entry-exists"):
        writer.insert_entries(twice)
    with store.write() as writer:
        writer.insert_entries(twice[:1])
        with refused("ledger-entry-exists"):
            writer.insert_entries(twice[1:])
    add(store, rows(EPOCH - 1, 2))


@pytest.mark.usefixtures("filtered")
def test_what_was_undone_was_never_there(store: SqliteStore) -> None:
    """Also where others then add the same last entry, but not the same before it."""
    size = EPOCH - 2
    add(store, rows(0, size))
    with store.write() as writer:
        writer.insert_entries([row(size, 1_000_000), row(size + 1, 1_000_001)])
        assert len(writer.indices_of([row(0, 1_000_000)[1], row(0, size)[1]])) == 1
    other = SqliteStore(store.path)
    add(other, [row(size, 1_000_002), row(size + 1, 1_000_001)])
    other.close()
    with store.write() as writer, refused("ledger-entry-exists"):
        writer.insert_entries([row(EPOCH, 1_000_002)])
    add(store, [row(EPOCH, 1_000_000)])


@pytest.mark.usefixtures("filtered")
def test_what_others_added_is_known(store: SqliteStore) -> None:
    other = SqliteStore(store.path)
    add(store, rows(0, 10))
    add(other, rows(10, EPOCH))
    add(store, rows(10 + EPOCH, 3))
    for one in (store, other):
        for content in (3, 12, 9 + EPOCH, 12 + EPOCH):
            with one.write() as writer, refused("ledger-entry-exists"):
                writer.insert_entries([row(13 + EPOCH, content)])
    other.close()


@pytest.mark.usefixtures("filtered")
@pytest.mark.parametrize("left", [0, 4])
def test_entries_that_are_others_now(store: SqliteStore, left: int) -> None:
    """As where a backup was put in the place of the database."""
    add(store, rows(0, 10))
    with store.write() as writer:
        writer.connection.exec_driver_sql("DELETE FROM entries WHERE idx >= ?", (left,))
        writer.commit()
    other = SqliteStore(store.path)
    add(other, [row(index, 1_000_000 + index) for index in range(left, EPOCH)])
    other.close()
    with store.write() as writer, refused("ledger-entry-exists"):
        writer.insert_entries([row(EPOCH, 1_000_006)])
    add(store, [row(EPOCH, 6)])


def test_what_does_not_follow_is_not_taken_for_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may have appended since the commit."""
    monkeypatch.setattr(leaves, "WORTH", 0)
    known = leaves.Leaves()
    known.committed(7, [row(7, 7)[1]])
    assert known.due
    known.committed(0, [row(0, 0)[1]])
    assert not known.due


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),  # which process
            st.lists(st.integers(0, 40), max_size=6),  # what it adds
            st.booleans(),  # whether it commits
        ),
        max_size=12,
    )
)
def test_two_processes_against_a_set(
    steps: list[tuple[int, list[int], bool]],
) -> None:
    patched = pytest.MonkeyPatch()
    patched.setattr(leaves, "WORTH", 0)
    first = MemoryStore()
    first.create()
    second = MemoryStore()
    second._durable = first._durable  # the same database, and a filter of its own
    there: dict[int, int] = {}
    try:
        for which, contents, commits in steps:
            with (first, second)[which].write() as writer:
                found = writer.indices_of([row(0, content)[1] for content in contents])
                assert found == {row(0, c)[1]: there[c] for c in contents if c in there}
                new = [c for c in dict.fromkeys(contents) if c not in there]
                writer.insert_entries([row(len(there) + n, c) for n, c in enumerate(new)])
                if commits:
                    writer.commit()
                    there.update((c, len(there)) for c in new)
    finally:
        patched.undo()
        second._keeper.close()
        first.close()


def test_two_that_append_the_same_at_once(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with a filter of its own, past the end of an epoch."""
    monkeypatch.setattr(leaves, "WORTH", 0)
    every = drafts(0, EPOCH + 1_000)
    places: dict[bytes, set[int]] = {}

    def work(seed: int, one: SqliteStore) -> list[Appended]:
        source, left = random.Random(seed), every.copy()
        source.shuffle(left)
        said: list[Appended] = []
        with open_ledger(one) as ledger:
            while left:
                count = source.randint(1, 700)
                said += ledger.append(left[:count], source.choice([None, no_effects])).appended
                left = left[count:]
        return said

    other = SqliteStore(store.path)
    with open_ledger(store), ThreadPoolExecutor(2) as pool:
        for said in pool.map(work, (1, 2), (store, other)):
            for each in said:
                places.setdefault(each.entry, set()).add(each.index)
    other.close()
    assert sorted(map(min, places.values())) == [*range(len(every))]
    assert all(len(found) == 1 for found in places.values())
    with store.read() as reader:
        assert reader.head().size == len(every)


def no_effects(_connection: Connection, _appended: Sequence[Appended]) -> None:
    """With any, the sequencer looks before it adds."""


def test_of_what_is_new_little_is_taken_for_known() -> None:
    """A full segment: below one in a thousand, as the formula for three of 32 bits says."""
    count = 1 << 18
    known = LeafFilter()
    known.covered = leaf_filter.SEGMENT - count  # as full as with the others, but for their bits
    known._segments.append(bytearray(leaf_filter.SEGMENT * 4))
    known.add([sha256(b"%d" % n).digest() for n in range(count)])
    asked = [sha256(b"%d" % n).digest() for n in range(count, count + 100_000)]
    assert len(known.possible(asked).get(0, [])) < 20
    assert len(known.possible([sha256(b"%d" % n).digest() for n in range(1_000)])[0]) == 1_000
