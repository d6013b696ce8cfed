"""The file of a backup (docs/formats.md): one pass to write it, one pass to read it.

    "zhenglian-backup 1" LF
    frame*                 contents, then blocks of rows, then the end; nothing after it
    frame = length (4 bytes, big-endian) · CBOR · SHA-256 of every byte of the file before it

So the last 32 bytes are the digest of all that stands before them, a cut is seen as a missing end,
and nothing is read whose digest was not compared first. A digest finds damage, not forgery: what
is signed in a backup are its entries and checkpoints.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import Any, BinaryIO

import cbor2

from ledger.errors import LedgerError
from verifier.codec import cbor_encode

VERSION = 1
MAX_FRAME = 64 << 20  # bytes of CBOR
BLOCK_BYTES = 4 << 20  # of CBOR, beyond which a block of several rows is parted

_MAGIC = b"zhenglian-backup "
_OF_CUSTODY = b'{"format":"zhenglian-custody-'
"""How the other kind of backup begins, which bears the same suffix (docs/formats.md)."""
_MAX_FIRST_LINE = 32
_LENGTH = Struct(">I")
_DIGEST = 32
_VALUES = frozenset({int, str, bytes, bool, type(None), list, dict})

Row = Sequence[Any]


@dataclass(frozen=True)
class Contents:
    """What a backup says of itself before its rows.

    `engine` is where it was made; `size` and `root` are the tree's head; `notes` the signed
    checkpoints; `steps` the migration step of each series of tables; `tables` the columns of each
    table, in the order of their values.
    """

    origin: str
    size: int
    root: bytes
    notes: tuple[bytes, ...]
    made_at: int
    engine: str
    steps: Mapping[str, str]
    tables: Mapping[str, tuple[str, ...]]


class BackupWriter:
    """Writes to `file`, in order: `contents` once, `rows` any number of times, `end` once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = sha256()
        self._rows: dict[str, int] = {}
        self.bytes = 0

    def contents(self, contents: Contents) -> None:
        self._write(_MAGIC + b"%d\n" % VERSION)
        self._rows = dict.fromkeys(contents.tables, 0)
        self._frame(
            {
                "origin": contents.origin,
                "size": contents.size,
                "root": contents.root,
                "notes": list(contents.notes),
                "made_at": contents.made_at,
                "engine": contents.engine,
                "steps": dict(contents.steps),
                "tables": {name: list(columns) for name, columns in contents.tables.items()},
            }
        )

    def rows(self, table: str, rows: Sequence[Row]) -> None:
        """Values of other types than those of `_VALUES`: `backup-unfit`."""
        if not {type(value) for row in rows for value in row} <= _VALUES:
            raise LedgerError("backup-unfit", table)
        body = cbor_encode([table, [list(row) for row in rows]])
        if len(body) > BLOCK_BYTES and len(rows) > 1:
            half = len(rows) // 2
            self.rows(table, rows[:half])
            self.rows(table, rows[half:])
            return
        if len(body) > MAX_FRAME:
            raise LedgerError("backup-unfit", f"{table}: {len(body)} bytes in a row")
        self._body(body)
        self._rows[table] += len(rows)

    def end(self) -> bytes:
        """Writes the end; the digest of the file, which are its last bytes."""
        return self._frame({"rows": self._rows})

    def _frame(self, value: object) -> bytes:
        return self._body(cbor_encode(value))

    def _body(self, body: bytes) -> bytes:
        self._write(_LENGTH.pack(len(body)) + body)
        digest = self._digest.digest()
        self._write(digest)
        return digest

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)
        self.bytes += len(data)


class BackupReader:
    """Reads from `file`: `contents` is there at once; `blocks` gives the rows, and having given
    all of them has seen the end.

    Raises `backup-damaged`, `backup-newer`, `backup-of-custody`; what reading the file raises
    passes through.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = sha256()
        self.bytes = 0
        self._first_line()
        self.contents = _contents(self._frame())
        self.digest = b""  # of the file, once the end was seen

    def blocks(self) -> Iterator[tuple[str, list[list[Any]]]]:
        """Table and rows, each row with a value for each column."""
        counted = dict.fromkeys(self.contents.tables, 0)
        while isinstance(block := self._frame(), list):
            table, rows = self._block(block)
            counted[table] += len(rows)
            yield table, rows
        if block != {"rows": counted}:
            raise self._damaged("rows are missing")
        if self._file.read(1):
            raise self._damaged("something follows the end")
        self.digest = self._last

    def _block(self, block: list[Any]) -> tuple[str, list[list[Any]]]:
        try:
            table, rows = block
            width = len(self.contents.tables[table])
            if not rows or {len(row) for row in rows} != {width}:
                raise ValueError("width")
            if not {type(value) for row in rows for value in row} <= _VALUES:
                raise ValueError("type")
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged("not a block of rows") from error
        return table, rows

    def _first_line(self) -> None:
        line = self._file.readline(_MAX_FIRST_LINE)
        self._took(line)
        if line.startswith(_OF_CUSTODY):
            raise LedgerError("backup-of-custody")
        number = line.removeprefix(_MAGIC).removesuffix(b"\n")
        if line != _MAGIC + number + b"\n" or not number.isdigit() or number.startswith(b"0"):
            raise LedgerError("backup-damaged", "not a backup")
        if int(number) > VERSION:
            raise LedgerError("backup-newer", f"format {int(number)}, here {VERSION}")

    def _frame(self) -> Any:
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if length > MAX_FRAME:
            raise self._damaged("length")
        body = self._read(length)
        expected = self._digest.digest()
        self._last = self._read(_DIGEST)
        if self._last != expected:
            raise self._damaged("digest")
        try:
            value = cbor2.loads(body)
            if cbor_encode(value) != body:
                raise ValueError("not deterministic")
        except Exception as error:  # cbor2 lets ValueError, TypeError … through
            raise self._damaged("CBOR") from error
        return value

    def _read(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) != count:
            raise self._damaged("cut short")
        self._took(data)
        return data

    def _took(self, data: bytes) -> None:
        self._digest.update(data)
        self.bytes += len(data)

    def _damaged(self, what: str) -> LedgerError:
        return LedgerError("backup-damaged", f"{what}, byte {self.bytes}")


def _contents(value: Any) -> Contents:
    try:
        made = Contents(
            origin=_is(value["origin"], str),
            size=_is(value["size"], int),
            root=_is(value["root"], bytes),
            notes=tuple(_is(note, bytes) for note in _is(value["notes"], list)),
            made_at=_is(value["made_at"], int),
            engine=_is(value["engine"], str),
            steps={_is(k, str): _is(v, str) for k, v in value["steps"].items()},
            tables={
                _is(name, str): tuple(_is(column, str) for column in _is(columns, list))
                for name, columns in value["tables"].items()
            },
        )
        if len(value) != len(Contents.__dataclass_fields__):
            raise ValueError("members")
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise LedgerError("backup-damaged", "contents") from error
    return made


def _is(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise TypeError(kind.__name__)
    return value
