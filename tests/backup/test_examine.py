"""What `make` and `examine` find in a database that somebody, or something, altered."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, delete, insert, select, update

from ledger.backup import make as making
from ledger.backup.make import examine
from ledger.errors import LedgerError
from ledger.stores import open_store
from ledger.stores.base import Reader, Store
from ledger.stores.sql import CHECKPOINT, ENTRIES, HEAD, TILES
from tests.backup.conftest import ENGINES, Fresh
from tests.backup.town import ENTRIES as SIZE
from tests.backup.town import all_rows, backup_of, log_keys, restored
from tests.ledger.helpers import ORIGIN, OTHER_KEY, SIGNER, drafts, open_ledger, refused
from verifier.checkpoint import Checkpoint, sign_checkpoint
from verifier.merkle import leaf_hash

Alter = Callable[[Connection], object]


def note(size: int) -> bytes:
    """A checkpoint that the log signed, of another tree."""
    return sign_checkpoint(Checkpoint(ORIGIN, size, bytes(32)), [SIGNER])


DAMAGE: dict[str, tuple[Alter, str]] = {
    "an entry's bytes": (
        lambda c: c.execute(update(ENTRIES).where(ENTRIES.c.idx == 17).values(data=b"other")),
        "entry 17 does not give its leaf hash",
    ),
    "an entry and its leaf hash": (
        lambda c: c.execute(
            update(ENTRIES).where(ENTRIES.c.idx == 17).values(
                data=b"other", leaf_hash=leaf_hash(b"other")
            )
        ),
        "the entries do not give the root of the head",
    ),
    "a leaf hash cut short": (
        lambda c: c.execute(update(ENTRIES).where(ENTRIES.c.idx == 17).values(leaf_hash=b"x")),
        "entry 17 does not give its leaf hash",
    ),
    "an entry lost": (
        lambda c: c.execute(delete(ENTRIES).where(ENTRIES.c.idx == 300)),
        "entry 300 is missing",
    ),
    "an empty entry": (
        lambda c: c.execute(
            update(ENTRIES).where(ENTRIES.c.idx == 1).values(data=b"", leaf_hash=leaf_hash(b""))
        ),
        "entry 1 has 0 bytes",
    ),
    "an entry too many": (
        lambda c: c.execute(
            insert(ENTRIES).values(
                idx=SIZE, leaf_hash=leaf_hash(b"more"), data=b"more", kind=1, dept="x", time_ms=0
            )
        ),
        f"the head has size {SIZE}, there are {SIZE + 1} entries",
    ),
    "a tile altered": (
        lambda c: c.execute(update(TILES).values(data=bytes(64))),
        "tile 1/0 is altered",
    ),
    "a tile lost": (lambda c: c.execute(delete(TILES)), "tile 1/0 is missing"),
    "a tile too many": (
        lambda c: c.execute(insert(TILES).values(level=2, n=0, data=bytes(32))),
        "tile 2/0 is stray",
    ),
    "the root": (
        lambda c: c.execute(update(HEAD).values(root=bytes(32))),
        "the entries do not give the root of the head",
    ),
    "the right edge": (
        lambda c: c.execute(update(HEAD).values(frontier=bytes(32 * SIZE.bit_count()))),
        "the entries do not give the right edge of the head",
    ),
    "a second head": (
        lambda c: c.execute(insert(HEAD).values(id=2, size=0, root=bytes(32), frontier=b"")),
        f"2 heads, size {SIZE} in all",
    ),
    "the size of the checkpoint's row": (
        lambda c: c.execute(update(CHECKPOINT).where(CHECKPOINT.c.id == 1).values(size=5)),
        f"the checkpoint of size {SIZE} is kept as 5",
    ),
    "a checkpoint that is none": (
        lambda c: c.execute(update(CHECKPOINT).values(note=b"?")),
        "checkpoint",
    ),
    "a checkpoint ahead": (
        lambda c: c.execute(update(CHECKPOINT).values(size=SIZE + 1, note=note(SIZE + 1))),
        f"size {SIZE}, checkpoint {SIZE + 1}",
    ),
    "a second history": (
        lambda c: c.execute(update(CHECKPOINT).values(size=300, note=note(300))),
        "size 300",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(
    town: MetaData, backup: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """A town that every test here alters and puts back."""
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('shop') / 'town.db'}")
    restored(store, town, backup)
    yield store
    store.close()


class Altered:
    """A store whose snapshots show an alteration, which is undone afterwards."""

    def __init__(self, store: Store, alter: Alter) -> None:
        self._store, self._alter = store, alter

    @contextmanager
    def read(self) -> Iterator[Reader]:
        with self._store.write() as writer:
            self._alter(writer.connection)
            yield writer


def found(store: Store, tables: MetaData) -> list[str]:
    """What is told about a database, as lines."""
    faults = examine(store, [tables], log_keys=log_keys)[1]
    return [f"{fault.code}: {fault.detail}" for fault in faults]


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_told_and_not_backed_up(town: MetaData, shop: Store, name: str) -> None:
    alter, expected = DAMAGE[name]
    altered: Any = Altered(shop, alter)
    lines = found(altered, town)
    assert any(expected in line for line in lines), lines
    with pytest.raises(LedgerError) as caught:
        backup_of(altered, town)
    assert f"{caught.value.code}: {caught.value.detail}" in lines
    assert found(shop, town) == []


def test_all_of_it_is_told(town: MetaData, shop: Store) -> None:
    """Each place once; a root that still follows from the leaf hashes shows the bytes altered."""

    def alter(connection: Connection) -> None:
        for name in ("an entry's bytes", "a tile altered", "the right edge"):
            DAMAGE[name][0](connection)

    altered: Any = Altered(shop, alter)
    assert [line.partition(": ")[2] for line in found(altered, town)] == [
        "entry 17 does not give its leaf hash",
        "the entries do not give the right edge of the head",
        "tile 1/0 is altered",
    ]


def test_no_more_is_told_than_anyone_reads(
    town: MetaData, shop: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "MAX_FAULTS", 3)
    altered: Any = Altered(shop, lambda c: c.execute(update(ENTRIES).values(data=b"x")))
    assert len(found(altered, town)) == 3


@pytest.mark.parametrize("engine", ENGINES)
def test_another_key_is_told(town: MetaData, fresh: Fresh, backup: bytes, engine: str) -> None:
    store = fresh(engine)
    restored(store, town, backup)
    assert found(store, town) == []
    _, faults = examine(store, [town], log_keys=lambda _: (OTHER_KEY.key, None))
    assert {fault.code for fault in faults} == {"ledger-wrong-key"}


def test_examining_writes_nothing_and_waits_for_nobody(
    town: MetaData, fresh: Fresh, backup: bytes
) -> None:
    store = fresh("sqlite")
    restored(store, town, backup)
    store.compared()
    with open_ledger(store) as ledger:
        ledger.append(drafts(0, 3, "while it is looked at"))
        with store.write():  # somebody else writes, and does not end
            inspected, faults = examine(store, [town], log_keys=log_keys)
    assert faults == []
    assert inspected is not None
    assert inspected.contents.size == SIZE + 3
    assert {checkpoint.size for checkpoint in inspected.checkpoints} == {SIZE + 3}


def test_a_database_that_was_never_begun(town: MetaData, fresh: Fresh) -> None:
    store = fresh("sqlite")
    inspected, (fault,) = examine(store, [town], log_keys=log_keys)
    assert (inspected, fault.code) == (None, "backup-schema-older")
    store.create(town)
    inspected, (fault,) = examine(store, [town], log_keys=log_keys)
    assert (inspected, fault.code) == (None, "ledger-not-published")
    with refused("ledger-not-published"):
        backup_of(store, town)


def test_a_file_that_the_disk_damaged(town: MetaData, backup: bytes, tmp_path: Path) -> None:
    """SQLite's own check is asked too: what it finds may touch no row that is read."""
    file = tmp_path / "town.db"
    store = open_store(f"sqlite:///{file}")
    restored(store, town, backup)
    store.close()
    pages = file.stat().st_size // 4096
    for number in range(1, pages, 7):
        whole = file.read_bytes()
        file.write_bytes(whole[: number * 4096] + bytes(4096) + whole[(number + 1) * 4096 :])
        store = open_store(f"sqlite:///{file}")
        lines = found(store, town)
        store.close()
        assert any(line.startswith("ledger-store-failed") for line in lines), number
        file.write_bytes(whole)


@pytest.mark.long
def test_trees_of_several_tiles_and_levels(fresh: Fresh, town: MetaData) -> None:
    """Past the first full tile of level 1, with checkpoints at other sizes than the head's."""
    store = fresh("sqlite")
    store.create(town)
    with open_ledger(store) as ledger:
        for start in range(0, 66_000, 6_000):
            ledger.append(drafts(start, 6_000))
            assert found(store, town) == []
    data = backup_of(store, town)
    with store.read() as reader:
        tiles = reader.connection.execute(select(TILES.c.level, TILES.c.n)).all()
    assert sorted(map(tuple, tiles)) == [(1, 0), (1, 1), (2, 0)]
    restored(other := fresh("sqlite"), town, data)
    assert all_rows(other, town) == all_rows(store, town)
