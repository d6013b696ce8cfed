"""From either engine to either engine, while writes go on; all of it, or nothing."""

import io
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, Table, insert, inspect, select

from ledger.backup import inspection
from ledger.backup.form import BackupReader, BackupWriter
from ledger.backup.restore import check, restore
from ledger.errors import LedgerError
from ledger.model import Published
from ledger.stores import open_store, rows, sql
from ledger.stores.base import Store
from ledger.stores.postgres import PostgresWriter
from ledger.stores.sqlite import SqliteWriter
from tests.backup.conftest import ENGINES, Fresh
from tests.backup.town import (
    ENTRIES,
    all_rows,
    backup_of,
    build,
    founded,
    log_keys,
    restored,
)
from tests.backup.town import town as make_town
from tests.ledger.helpers import (
    NOW,
    ORIGIN,
    OTHER_KEY,
    SIGNER,
    check_inclusion_of,
    check_log,
    drafts,
    open_ledger,
    refused,
)
from verifier.checkpoint import Checkpoint, sign_checkpoint
from verifier.merkle import EMPTY_ROOT

CHILD = """
import sys
from pathlib import Path
from tests.backup.town import log_keys, town
from tests.ledger.helpers import ORIGIN
from ledger.backup.restore import restore
from ledger.stores import open_store
url, folder = sys.argv[1:]
store = open_store(url)
restore(store, [town(Path(folder))], sys.stdin.buffer, origin=ORIGIN, log_keys=log_keys)
print("restored", flush=True)
"""


def is_empty(store: Store) -> bool:
    """Whether nothing at all was left: not even tables."""
    with store.read() as reader:
        return inspect(reader.connection).get_table_names() == []


def rewritten(data: bytes, table: str, change: Callable[[list[Any]], None]) -> bytes:
    """The same backup, with right digests, after `change` of each row of a table."""
    reader, file = BackupReader(io.BytesIO(data)), io.BytesIO()
    writer = BackupWriter(file)
    writer.contents(reader.contents)
    for name, block in reader.blocks():
        if name == table:
            for row in block:
                change(row)
        if kept := [row for row in block if row]:
            writer.rows(name, kept)
    writer.end()
    return file.getvalue()


@pytest.mark.parametrize(
    ("source", "target"),
    [
        pytest.param("sqlite", "sqlite", marks=pytest.mark.long),
        ("sqlite", "postgresql"),
        ("postgresql", "sqlite"),
        pytest.param("postgresql", "postgresql", marks=pytest.mark.long),
    ],
)
def test_every_row_arrives(town: MetaData, fresh: Fresh, source: str, target: str) -> None:
    old = founded(fresh(source), town)
    data = backup_of(old, town)
    made = restored(new := fresh(target), town, data)
    assert all_rows(new, town) == all_rows(old, town)
    assert (made.size, made.digest) == (len(data), sha256(data[:-32]).digest())
    assert made.inspected.contents.engine == source
    assert made.inspected.rows["entries"] == made.inspected.contents.size == ENTRIES
    assert made.inspected.last_ms == int(NOW * 1000)
    assert made.inspected.log_key == SIGNER.key
    with open_ledger(new) as ledger:
        ledger.append(drafts(0, 400, "after the restore"))
        checkpoint, entries = check_log(ledger)
        assert checkpoint.size == ENTRIES + 400
        check_inclusion_of(ledger, [(i, entries[i]) for i in (0, 255, 256, 699, 700)])
    with new.write() as writer:  # generated keys go on
        house = {"name": "new", "tags": [], "empty": True}
        made_key = writer.connection.execute(insert(town.tables["houses"]), house)
        assert made_key.inserted_primary_key is not None
        assert made_key.inserted_primary_key[0] == 91


def test_there_and_back_is_the_same(town: MetaData, fresh: Fresh, backup: bytes) -> None:
    restored(there := fresh("postgresql"), town, backup)
    there.compared()
    restored(back := fresh("sqlite"), town, backup_of(there, town))
    back.compared()
    assert backup_of(back, town) == backup


@pytest.mark.parametrize("engine", ENGINES)
def test_a_backup_is_one_moment_while_writes_go_on(
    town: MetaData, fresh: Fresh, engine: str
) -> None:
    store = founded(fresh(engine), town)
    before = all_rows(store, town)
    with open_ledger(store) as ledger:

        def meanwhile(done: int, _total: int) -> None:
            ledger.append(drafts(done, 50, "meanwhile"))
            if done == ENTRIES:
                build_more(store, town)

        data = backup_of(store, town, meanwhile)
        assert ledger.size > ENTRIES
    restored(new := fresh("sqlite"), town, data)
    assert all_rows(new, town) == before
    assert all_rows(store, town) != before


def build_more(store: Store, town: MetaData) -> None:
    with store.write() as writer:
        writer.connection.execute(
            insert(town.tables["marks"]), {"street": "later", "place": 1, "at": None}
        )
        writer.commit()


@pytest.mark.parametrize("engine", ENGINES)
def test_what_began_and_holds_nothing_is_empty(
    town: MetaData, fresh: Fresh, backup: bytes, engine: str
) -> None:
    store = fresh(engine)
    store.create(town)
    with open_ledger(store) as ledger:  # a service was started too early
        assert ledger.size == 0
    restored(store, town, backup)
    with open_ledger(store) as ledger:
        assert check_log(ledger)[0].size == ENTRIES


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_restored_over_anything(
    town: MetaData, fresh: Fresh, backup: bytes, engine: str
) -> None:
    store = fresh(engine)
    restored(store, town, backup)
    before = all_rows(store, town)
    with refused("backup-target-used"):
        restored(store, town, backup)
    assert all_rows(store, town) == before
    if engine != "sqlite":
        return
    other = fresh(engine)
    other.create(town)
    build(other, town, houses=1)
    with refused("backup-target-used") as caught:
        restored(other, town, backup)
    assert caught.value.detail == "houses"
    third = fresh(engine)
    third.create(town)
    note = sign_checkpoint(Checkpoint(ORIGIN, 1, bytes(32)), [SIGNER])
    third.publish(Published(1, note))
    with refused("backup-target-used"):
        restored(third, town, backup)


def test_another_origin_is_refused(town: MetaData, fresh: Fresh, backup: bytes) -> None:
    store = fresh("sqlite")
    with refused("ledger-origin-mismatch"):
        restored(store, town, backup, origin="other.example")
    assert is_empty(store)


def test_another_key_is_refused(town: MetaData, fresh: Fresh, backup: bytes) -> None:
    store = fresh("sqlite")
    for keys in ((OTHER_KEY.key, None), (SIGNER.key, OTHER_KEY.key)):
        with pytest.raises(LedgerError, match="ledger-wrong-key"):
            restore(store, [town], io.BytesIO(backup), origin=ORIGIN, log_keys=lambda _, k=keys: k)
    assert is_empty(store)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_backup_of_an_older_release_is_brought_forward(
    town: MetaData, fresh: Fresh, backup: bytes, tmp_path: Path, engine: str
) -> None:
    later = make_town(tmp_path / "later", later=True)
    for begun in (False, True) if engine == "sqlite" else (True,):
        store = fresh(engine)
        if begun:
            store.create(later)
        restored(store, later, backup)
        floors = select(later.tables["houses"].c.floors, later.tables["houses"].c.name)
        with store.read() as reader:
            found = reader.connection.execute(floors).all()
        assert len(found) == 90
        assert all(row.floors == len(row.name) for row in found)
        with open_ledger(store) as ledger:
            assert check_log(ledger)[0].size == ENTRIES


def test_a_backup_of_a_newer_release_is_refused(
    town: MetaData, fresh: Fresh, backup: bytes, tmp_path: Path
) -> None:
    later = make_town(tmp_path / "later", later=True)
    restored(newer := fresh("sqlite"), later, backup)
    data = backup_of(newer, later)
    store = fresh("sqlite")
    with refused("backup-newer") as caught:
        restored(store, town, data)
    assert caught.value.detail == "town 0002, here 0001"
    with pytest.raises(LedgerError, match="backup-newer"):
        restore(store, [], io.BytesIO(backup), origin=ORIGIN, log_keys=log_keys)
    assert is_empty(store)


def test_a_database_behind_the_program_is_not_backed_up(
    town: MetaData, fresh: Fresh, backup: bytes, tmp_path: Path
) -> None:
    later = make_town(tmp_path / "later", later=True)
    restored(store := fresh("sqlite"), town, backup)
    with refused("backup-schema-older"):
        backup_of(store, later)
    with refused("backup-schema-older"):
        backup_of(fresh("sqlite"), town)


def test_other_tables_than_the_step_has_are_refused(
    town: MetaData, fresh: Fresh, backup: bytes
) -> None:
    reader = BackupReader(io.BytesIO(backup))
    for tables in (
        {**reader.contents.tables, "more": ("a",)},
        {**reader.contents.tables, "marks": ("street", "place", "colour")},
        {name: c for name, c in reader.contents.tables.items() if name != "marks"},
    ):
        file = io.BytesIO()
        writer = BackupWriter(file)
        changed = type(reader.contents)(**{**vars(reader.contents), "tables": tables})
        writer.contents(changed)
        writer.end()
        with refused("backup-damaged"):
            restored(fresh("sqlite"), town, file.getvalue())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_restore_that_fails_leaves_nothing(
    town: MetaData, fresh: Fresh, backup: bytes, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off before the first, a middle and the last block, at the last checks, in commit."""
    store = fresh(engine)
    writer: Any = {"sqlite": SqliteWriter, "postgresql": PostgresWriter}[engine]
    insert_rows = writer.insert_rows

    class Broken(Exception):
        pass

    def break_at(count: int) -> Callable[..., None]:
        left = iter(range(count, -1, -1))

        def breaking(self: Any, table: Table, block: Sequence[Any]) -> None:
            if next(left) == 0:
                raise Broken
            insert_rows(self, table, block)

        return breaking

    def fail(*_: object) -> None:
        raise Broken

    blocks = [name for name, _ in BackupReader(io.BytesIO(backup)).blocks()]
    assert blocks[0] == "checkpoint"
    for count in (0, blocks.index("entries") + 2, len(blocks) - 1):
        with monkeypatch.context() as patch:
            patch.setattr(writer, "insert_rows", break_at(count))
            with pytest.raises(Broken):
                restored(store, town, backup)
        assert is_empty(store)
    for owner, name in ((inspection.Inspection, "finish"), (writer, "commit")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            with pytest.raises(Broken):
                restored(store, town, backup)
        assert is_empty(store)
    restored(store, town, backup)
    with open_ledger(store) as ledger:
        assert check_log(ledger)[0].size == ENTRIES


@pytest.mark.parametrize("engine", ENGINES)
def test_damage_at_the_very_end_leaves_nothing(
    town: MetaData, fresh: Fresh, backup: bytes, engine: str
) -> None:
    store = fresh(engine)
    with refused("backup-damaged"):
        restored(store, town, backup + b"\n")
    assert is_empty(store)
    altered = rewritten(backup, "tiles", lambda row: row.__setitem__(2, bytes(64)))
    with refused("ledger-inconsistent"):
        restored(store, town, altered)
    assert is_empty(store)


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def test_a_restore_that_is_killed_leaves_nothing(
    repo: Path, tmp_path: Path, town: MetaData, backup: bytes, address: Callable[[str], str],
    engine: str,
) -> None:  # fmt: skip
    """SIGKILL while the last bytes are awaited, and most are in the database."""
    url = address(engine)
    assert len(backup) > 200_000  # a pipe holds 64 KiB
    command = [sys.executable, "-c", CHILD, url, str(tmp_path / "steps")]
    with subprocess.Popen(
        command, cwd=repo, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(backup[:-100])
        process.stdin.flush()  # all is taken but what a pipe holds
        process.send_signal(signal.SIGKILL)
        assert process.stdout is not None
        assert process.stdout.read() == b""
        process.wait()
    store = open_store(url)
    assert is_empty(store)
    restored(store, town, backup)
    with open_ledger(store) as ledger:
        assert check_log(ledger)[0].size == ENTRIES
    store.close()


@pytest.mark.parametrize(
    ("table", "change", "code"),
    [
        ("entries", lambda row: row.__setitem__(2, row[2] + b"!"), "ledger-inconsistent"),
        ("entries", lambda row: row.__setitem__(0, row[0] + 1), "ledger-inconsistent"),
        ("entries", lambda row: row.clear() if row[0] == 300 else None, "ledger-inconsistent"),
        ("entries", lambda row: row.clear() if row[0] == 699 else None, "ledger-inconsistent"),
        ("head", lambda row: row.__setitem__(2, bytes(32)), "ledger-inconsistent"),
        ("head", lambda row: row.__setitem__(3, row[3][::-1]), "ledger-inconsistent"),
        ("head", lambda row: row.__setitem__(1, 699), "ledger-inconsistent"),
        ("head", lambda row: row.clear(), "ledger-inconsistent"),
        ("tiles", lambda row: row.__setitem__(2, row[2][:32]), "ledger-inconsistent"),
        ("tiles", lambda row: row.__setitem__(1, 7), "ledger-inconsistent"),
        ("tiles", lambda row: row.clear(), "ledger-inconsistent"),
        ("checkpoint", lambda row: row.__setitem__(1, 5), "ledger-inconsistent"),
        ("checkpoint", lambda row: row.__setitem__(2, b"other"), "ledger-inconsistent"),
    ],
)  # fmt: skip
def test_rows_that_make_no_ledger_are_refused(
    backup: bytes, table: str, change: Callable[[list[Any]], None], code: str
) -> None:
    with refused(code):
        check(io.BytesIO(rewritten(backup, table, change)), log_keys=log_keys)


@pytest.mark.parametrize(
    ("checkpoint", "signer", "code"),
    [
        (Checkpoint("other.example", 700, bytes(32)), "other.example", "ledger-origin-mismatch"),
        (Checkpoint(ORIGIN, 701, bytes(32)), ORIGIN, "ledger-rolled-back"),
        (Checkpoint(ORIGIN, 300, bytes(32)), ORIGIN, "ledger-forked"),
        (Checkpoint(ORIGIN, 0, EMPTY_ROOT), "", "ledger-wrong-key"),
    ],
)
def test_checkpoints_of_another_tree_are_refused(
    backup: bytes, checkpoint: Checkpoint, signer: str, code: str
) -> None:
    key = type(SIGNER)(signer, SIGNER._signer) if signer else OTHER_KEY
    note = sign_checkpoint(checkpoint, [key])
    reader, file = BackupReader(io.BytesIO(backup)), io.BytesIO()
    writer = BackupWriter(file)
    notes = (*reader.contents.notes, note)
    writer.contents(type(reader.contents)(**{**vars(reader.contents), "notes": notes}))
    for name, block in reader.blocks():
        writer.rows(name, block)
    writer.end()
    with refused(code):
        check(io.BytesIO(file.getvalue()), log_keys=log_keys)


def test_a_page_is_bounded_whatever_the_table(fresh: Fresh, town: MetaData) -> None:
    """What is read at once is some rows, and few where they are large."""
    store = fresh("sqlite")
    store.create(town)
    with open_ledger(store) as ledger:
        ledger.append(drafts(0, 2_000))
        ledger.append([d._replace(entry=d.entry.ljust(60_000, b".")) for d in drafts(0, 150, "L")])
    with store.read() as reader:
        sizes = [
            [len(row[2]) for row in page] for page in rows.pages(reader.connection, sql.ENTRIES)
        ]
    assert sum(map(len, sizes)) == 2_150
    assert max(map(len, sizes)) <= rows.PAGE_ROWS
    grown = next(i for i, page in enumerate(sizes) if 60_000 in page) + 1
    assert max(sum(page) for page in sizes[grown:]) <= rows.PAGE_BYTES
    assert len(sizes) > grown > 4
