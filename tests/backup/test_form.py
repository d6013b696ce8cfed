"""The file of a backup: no byte of it can be another, none can be missing, none can follow."""

import io
from hashlib import sha256
from struct import pack
from typing import Any

import pytest

from ledger.backup import form
from ledger.backup.form import BackupReader, BackupWriter, Contents
from tests.ledger.helpers import refused
from verifier.codec import cbor_encode

CONTENTS = Contents(
    origin="town.example",
    size=2,
    root=bytes(32),
    notes=(b"a note", b"another"),
    made_at=5,
    engine="sqlite",
    steps={"ledger": "0001"},
    tables={"a": ("x", "y"), "b": ("z",), "empty": ("z",)},
)
ROWS: list[tuple[str, list[list[Any]]]] = [
    ("a", [[1, "é"], [-(1 << 63), None]]),
    ("a", [[(1 << 63) - 1, b"\0"]]),
    ("b", [[{"k": [1, True]}], [False]]),
]


def written() -> bytes:
    file = io.BytesIO()
    writer = BackupWriter(file)
    writer.contents(CONTENTS)
    for table, rows in ROWS:
        writer.rows(table, rows)
    writer.end()
    assert writer.bytes == len(file.getvalue())
    return file.getvalue()


def read(data: bytes) -> tuple[Contents, list[tuple[str, list[list[Any]]]], bytes]:
    reader = BackupReader(io.BytesIO(data))
    return reader.contents, list(reader.blocks()), reader.digest


def framed(*values: Any, first: bytes = b"zhenglian-backup 1\n") -> bytes:
    """A file with right digests around anything."""
    data = first
    for value in values:
        body = value if isinstance(value, bytes) else cbor_encode(value)
        data += pack(">I", len(body)) + body
        data += sha256(data).digest()
    return data


def contents(**changes: Any) -> dict[str, Any]:
    members = {name: getattr(CONTENTS, name) for name in Contents.__dataclass_fields__}
    members |= {"notes": list(CONTENTS.notes), "tables": {"a": ["x", "y"]}}
    return {**members, **changes}


def test_what_was_written_is_read() -> None:
    data = written()
    assert read(data) == (CONTENTS, ROWS, data[-32:])
    assert data[-32:] == sha256(data[:-32]).digest()
    assert written() == data


def test_any_other_byte_is_seen() -> None:
    data = written()
    for at in range(len(data)):
        altered = bytearray(data)
        altered[at] ^= 1 << at % 8
        with refused("backup-damaged", "backup-newer"):
            read(bytes(altered))


def test_any_cut_is_seen() -> None:
    data = written()
    for length in range(len(data)):
        with refused("backup-damaged"):
            read(data[:length])


def test_what_follows_the_end_is_seen() -> None:
    with refused("backup-damaged"):
        read(written() + b"\0")
    with refused("backup-damaged"):
        read(written() + written())


def test_a_newer_format_is_refused() -> None:
    for number in (b"2", b"11"):
        with refused("backup-newer"):
            read(framed(contents(), {"rows": {"a": 0}}, first=b"zhenglian-backup %s\n" % number))
    for number in (b"0", b"01", b"+1", b"1 ", b"", "١".encode()):
        with refused("backup-damaged"):
            read(framed(contents(), {"rows": {"a": 0}}, first=b"zhenglian-backup %s\n" % number))


def test_a_frame_around_nothing_strange_is_read() -> None:
    assert read(framed(contents(), ["a", [[1, 2]]], {"rows": {"a": 1}}))[1] == [("a", [[1, 2]])]


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([contents(origin=1), {"rows": {"a": 0}}], id="origin of another type"),
        pytest.param([contents(size=True), {"rows": {"a": 0}}], id="size of another type"),
        pytest.param([contents(notes=["x"]), {"rows": {"a": 0}}], id="note of another type"),
        pytest.param([contents(steps=[]), {"rows": {"a": 0}}], id="steps of another type"),
        pytest.param([contents(more=1), {"rows": {"a": 0}}], id="a member too many"),
        pytest.param([[], {"rows": {"a": 0}}], id="no contents"),
        pytest.param([contents(), ["a", [[1]]], {"rows": {"a": 1}}], id="a value is missing"),
        pytest.param([contents(), ["b", [[1, 2]]], {"rows": {"a": 1}}], id="unknown table"),
        pytest.param([contents(), ["a", []], {"rows": {"a": 0}}], id="block without rows"),
        pytest.param([contents(), ["a"], {"rows": {"a": 0}}], id="block without a list"),
        pytest.param([contents(), ["a", [[1.5, 2]]], {"rows": {"a": 1}}], id="float"),
        pytest.param([contents(), ["a", [[1, 2]]], {"rows": {"a": 2}}], id="a row is missing"),
        pytest.param([contents(), ["a", [[1, 2]]], {"rows": {"a": 0}}], id="a row too many"),
        pytest.param([contents(), {"rows": {}}], id="a table is missing in the end"),
        pytest.param([contents(), ["a", [[1, 2]]]], id="no end"),
        pytest.param([contents(), b"\xa1\x64rows\xa1\x61a\x18\x00"], id="a number in a long form"),
        pytest.param([contents(), b"\xff"], id="not CBOR"),
    ],
)  # fmt: skip
def test_what_no_writer_writes_is_refused(frames: list[Any]) -> None:
    with refused("backup-damaged"):
        read(framed(*frames))


def test_a_length_beyond_the_limit_is_refused_before_it_is_read() -> None:
    data = written()
    first = data.index(b"\n") + 1
    with refused("backup-damaged") as caught:
        read(data[:first] + pack(">I", form.MAX_FRAME + 1) + data[first + 4 :])
    assert "length" in caught.value.detail


def test_values_that_have_no_place_are_refused() -> None:
    writer = BackupWriter(io.BytesIO())
    writer.contents(CONTENTS)
    for value in (1.5, bytearray(b"x"), object()):
        with refused("backup-unfit"):
            writer.rows("b", [[value]])


def test_large_blocks_are_parted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(form, "MAX_FRAME", 3000)
    file = io.BytesIO()
    writer = BackupWriter(file)
    writer.contents(CONTENTS)
    rows = [[bytes([n]) * 400] for n in range(9)] + [[b"x" * 2900]]
    writer.rows("b", rows)
    with refused("backup-unfit"):
        writer.rows("b", [[b"x" * 3001]])
    writer.end()
    blocks = read(file.getvalue())[1]
    assert [row for _, block in blocks for row in block] == rows
    assert max(sum(len(row[0]) for row in block) for _, block in blocks if len(block) > 1) < 1000
