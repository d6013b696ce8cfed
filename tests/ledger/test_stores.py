"""The contract of `ledger.stores.base`, over every engine of the table."""

import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from ledger.errors import LedgerError
from ledger.model import EntryRow, Head, Published
from ledger.stores import open_store
from ledger.stores.base import Store, Writer
from ledger.stores.memory import MemoryStore
from ledger.stores.postgres import PostgresStore
from ledger.stores.sql import CHECKPOINT
from ledger.stores.sqlite import SqliteStore
from tests.ledger.helpers import refused
from verifier.merkle import EMPTY_ROOT, Frontier, leaf_hash

APP = MetaData()
NAMES = Table("names", APP, Column("id", Integer, primary_key=True), Column("name", Text))


def row(index: int, text: str) -> EntryRow:
    entry = text.encode()
    return (index, leaf_hash(entry), entry, 16, "market", 1_700_000_000_000)


def head_after(*texts: str) -> Head:
    frontier = Frontier()
    frontier.extend([leaf_hash(t.encode()) for t in texts])
    return Head(frontier.size, frontier.root(), frontier.hashes)


def grow(store: Store) -> None:
    """One entry more, by compare-and-swap under the write lock."""
    with store.write() as writer:
        old = writer.head()
        text = f"entry {old.size}"
        frontier = Frontier(old.size, old.frontier)
        frontier.append(leaf_hash(text.encode()))
        writer.insert_entries([row(old.size, text)])
        writer.swap_head(old, Head(frontier.size, frontier.root(), frontier.hashes))
        writer.commit()


def insert_and_fail(writer: Writer, entry: EntryRow) -> None:
    writer.insert_entries([entry])
    raise ZeroDivisionError


def test_a_fresh_store_answers_absence(store: Store) -> None:
    with store.read() as reader:
        assert reader.head() == Head(0, EMPTY_ROOT, ())
        assert reader.published() is None
        assert reader.final() is None
        assert reader.logged_at(0) is None
        assert reader.last_index() is None
        assert reader.entries(0, 10) == []
        assert reader.leaf_hashes(0, 10) == []
        assert reader.tile(1, 0) == b""
        assert reader.indices_of([bytes(32)]) == {}
        assert reader.indices_of([]) == {}


def test_create_again_keeps_what_is_there_and_adds_tables(store: Store) -> None:
    grow(store)
    store.create(APP)
    store.create(APP)
    with store.write() as writer:
        assert writer.head().size == 1
        writer.connection.execute(insert(NAMES), {"id": 1, "name": "甲"})
        writer.commit()
    with store.read() as reader:
        assert reader.connection.execute(select(NAMES.c.name)).scalar_one() == "甲"


def test_what_is_committed_is_seen(store: Store) -> None:
    new = head_after("a", "b", "c")
    with store.write() as writer:
        writer.insert_entries([row(0, "a"), row(1, "b"), row(2, "c")])
        writer.put_tile(1, 0, b"x" * 32)
        writer.put_tile(1, 0, b"y" * 64)
        writer.put_tile(2, 7, b"z" * 32)
        writer.swap_head(Head(0, EMPTY_ROOT, ()), new)
        writer.commit()
    with store.read() as reader:
        assert reader.head() == new
        assert reader.last_index() == 2
        assert reader.entries(1, 10) == [b"b", b"c"]
        assert reader.leaf_hashes(0, 2) == [leaf_hash(b"a"), leaf_hash(b"b")]
        assert reader.tile(1, 0) == b"y" * 64
        assert reader.tile(2, 7) == b"z" * 32
        assert reader.indices_of([leaf_hash(b"c"), leaf_hash(b"nowhere")]) == {leaf_hash(b"c"): 2}


@pytest.mark.parametrize("count", [1, 2, 16, 17, 255, 256, 257, 700])
def test_many_indices_at_once(store: Store, count: int) -> None:
    rows = [row(i, f"entry {i}") for i in range(count)]
    with store.write() as writer:
        writer.insert_entries(rows)
        writer.commit()
    with store.read() as reader:
        found = reader.indices_of([r[1] for r in reversed(rows)])
    assert found == {r[1]: r[0] for r in rows}


def test_without_commit_nothing_is_left(store: Store) -> None:
    with store.write() as writer:
        writer.insert_entries([row(0, "a")])
        writer.swap_head(Head(0, EMPTY_ROOT, ()), head_after("a"))
    with pytest.raises(ZeroDivisionError), store.write() as writer:
        insert_and_fail(writer, row(0, "a"))
    with store.read() as reader:
        assert reader.head().size == 0
        assert reader.last_index() is None


def test_a_savepoint_is_undone_alone(store: Store) -> None:
    with store.write() as writer:
        writer.insert_entries([row(0, "a")])
        with pytest.raises(ZeroDivisionError), writer.savepoint():
            insert_and_fail(writer, row(1, "b"))
        with writer.savepoint():
            writer.insert_entries([row(1, "c")])
        writer.commit()
    with store.read() as reader:
        assert reader.entries(0, 10) == [b"a", b"c"]


@pytest.mark.parametrize("again", [row(0, "other"), (1, *row(0, "a")[1:])])
def test_an_index_or_leaf_hash_cannot_come_twice(store: Store, again: EntryRow) -> None:
    with store.write() as writer:
        writer.insert_entries([row(0, "a")])
        writer.commit()
    with refused("ledger-entry-exists") as caught, store.write() as writer:
        writer.insert_entries([(5, leaf_hash(b"secret"), b"secret", 1, "secret", 0), again])
        writer.commit()
    assert "secret" not in str(caught.value)
    with store.read() as reader:
        assert reader.entries(0, 10) == [b"a"]


@pytest.mark.parametrize(
    "old", [Head(1, EMPTY_ROOT, ()), Head(0, leaf_hash(b"other"), ()), head_after("a", "b")]
)
def test_the_head_moves_only_from_what_it_is(store: Store, old: Head) -> None:
    with refused("ledger-head-moved"), store.write() as writer:
        writer.swap_head(old, head_after("a"))
    with store.read() as reader:
        assert reader.head() == Head(0, EMPTY_ROOT, ())


def test_publishing_never_goes_back(store: Store) -> None:
    assert store.publish(Published(0, b"zero")) == Published(0, b"zero")
    assert store.publish(Published(5, b"five")) == Published(5, b"five")
    assert store.publish(Published(4, b"four")) == Published(5, b"five")
    assert store.publish(Published(5, b"other")) == Published(5, b"five")
    with store.read() as reader:
        assert reader.published() == Published(5, b"five")


def test_what_is_final_never_goes_back(store: Store) -> None:
    store.publish(Published(9, b"signed nine"))
    assert store.finalise(Published(0, b"zero")) == Published(0, b"zero")
    assert store.finalise(Published(5, b"five")) == Published(5, b"five")
    assert store.finalise(Published(4, b"four")) == Published(5, b"five")
    assert store.finalise(Published(5, b"other")) == Published(5, b"five")
    with store.read() as reader:
        assert reader.final() == Published(5, b"five")
        assert reader.published() == Published(9, b"signed nine")


def test_publishing_as_final_moves_each_on_its_own_condition(store: Store) -> None:
    def both() -> tuple[Published | None, Published | None]:
        with store.read() as reader:
            return reader.published(), reader.final()

    zero, three, five, seven = (Published(n, b"%d" % n) for n in (0, 3, 5, 7))
    store.publish(zero, final=True)
    assert both() == (zero, zero)
    store.publish(five)
    assert both() == (five, zero)
    assert store.publish(three, final=True) == five
    assert both() == (five, three)
    store.publish(seven, final=True)
    assert both() == (seven, seven)
    assert store.publish(five, final=True) == seven
    assert both() == (seven, seven)


def test_the_first_final_checkpoint_may_come_after_others_were_published(store: Store) -> None:
    store.publish(Published(3, b"three"))
    assert store.publish(Published(3, b"again"), final=True) == Published(3, b"three")
    with store.read() as reader:
        assert reader.published() == Published(3, b"three")
        assert reader.final() == Published(3, b"again")


def test_many_finalise_at_once(store: Store) -> None:
    sizes = [*range(1, 17)]
    threads = [
        threading.Thread(target=store.finalise, args=(Published(n, b"%d" % n),)) for n in sizes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as reader:
        assert reader.final() == Published(16, b"16")


def test_when_an_entry_was_logged(store: Store) -> None:
    grow(store)
    with store.read() as reader:
        assert reader.logged_at(0) == 1_700_000_000_000
        assert reader.logged_at(1) is None


def test_a_reader_keeps_its_snapshot_while_others_write(store: Store) -> None:
    with store.read() as reader:
        assert reader.head().size == 0
        other = threading.Thread(target=grow, args=(store,))
        other.start()
        if not isinstance(store, MemoryStore):
            other.join()  # readers keep no writer waiting
        assert reader.head().size == 0
        assert reader.last_index() is None
    other.join()
    with store.read() as reader:
        assert reader.head().size == 1


def test_writers_queue_and_none_is_lost(store: Store) -> None:
    def grow_often() -> None:
        for _ in range(10):
            grow(store)

    threads = [threading.Thread(target=grow_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as reader:
        assert reader.head() == head_after(*(f"entry {i}" for i in range(80)))
        assert reader.last_index() == 79


def test_errors_of_the_application_pass_unchanged(store: Store) -> None:
    store.create(APP)
    with store.write() as writer:
        writer.connection.execute(insert(NAMES), {"id": 1, "name": "甲"})
        writer.commit()
    with pytest.raises(IntegrityError), store.write() as writer:
        writer.connection.execute(insert(NAMES), {"id": 1, "name": "乙"})
    with pytest.raises(IntegrityError), store.write() as writer, writer.savepoint():
        writer.connection.execute(insert(NAMES), {"id": 1, "name": "乙"})
    grow(store)  # the write lock was let go


def impatient(url: str) -> Store:
    """The store at `url`, whose writers wait for a hundredth of a second."""
    if url == "memory:":
        return MemoryStore(busy_seconds=0.01)
    if url.startswith("sqlite:"):
        return SqliteStore(Path(url.removeprefix("sqlite:///")), busy_seconds=0.01)
    return PostgresStore(url, busy_seconds=0.01)


def test_a_lock_held_too_long_is_reported(url: str) -> None:
    store = impatient(url)
    store.create()
    store.publish(Published(0, b"zero"))
    with store.write() as writer:
        with refused("ledger-busy"), store.write():
            pass
        writer.connection.execute(update(CHECKPOINT).values(note=b"none"))
        with refused("ledger-busy"):
            store.publish(Published(1, b"one"))
    grow(store)
    store.close()


def test_a_transaction_after_a_failed_statement_is_not_committed_unnoticed(store: Store) -> None:
    """SQLite goes on after it, PostgreSQL cannot; neither may say so and not do so."""
    store.create(APP)
    with suppress(LedgerError), store.write() as writer:
        writer.connection.execute(insert(NAMES), {"id": 1, "name": "甲"})
        with pytest.raises(IntegrityError):
            writer.connection.execute(insert(NAMES), {"id": 1, "name": "乙"})
        committed = False
        writer.commit()
        committed = True
    with store.read() as reader:
        assert reader.connection.execute(select(func.count(NAMES.c.id))).scalar() == committed


def test_memory_stores_are_apart() -> None:
    one, two = open_store("memory:"), open_store("memory:")
    one.create()
    two.create()
    grow(one)
    with two.read() as reader:
        assert reader.head().size == 0
    one.close()
    two.close()


def test_a_file_is_private_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    store = open_store(f"sqlite:///{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    store.create()
    grow(store)
    assert all(stat.S_IMODE(f.stat().st_mode) == 0o600 for f in tmp_path.iterdir())
    store.close()
    again = open_store(f"sqlite:///{path}")
    again.create()
    with again.read() as reader:
        assert reader.head().size == 1
    again.close()


def test_commits_are_synchronous(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ledger.db")
    with store.write() as writer:
        ask = writer.connection.exec_driver_sql
        assert ask("PRAGMA journal_mode").scalar_one() == "wal"
        assert ask("PRAGMA synchronous").scalar_one() == 2  # FULL
    store.close()


@pytest.mark.parametrize(
    "url", ["", "sqlite", "nosuch:///x", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x",
            "memory://x", "postgresql:", "postgresql://", "postgresql://host", "postgresql:///",
            "postgresql+psycopg:///x", "postgres:///x", "postgresql:///x?nosuch=1",
            "sqlite://[::1", "sqlite://host/x", "sqlite:///x?mode=ro"]
)  # fmt: skip
def test_other_addresses_are_refused(url: str) -> None:
    with refused("ledger-store-url"):
        open_store(url)


def test_a_file_that_cannot_be_made_or_is_no_database(tmp_path: Path) -> None:
    with refused("ledger-store-failed"):
        open_store(f"sqlite:///{tmp_path / 'absent' / 'ledger.db'}")
    path = tmp_path / "letter.db"
    path.write_bytes(b"Dear Sir or Madam, " * 100)
    store = open_store(f"sqlite:///{path}")
    with refused("ledger-store-failed"):
        store.create()
    store.close()
