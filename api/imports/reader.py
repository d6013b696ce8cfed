"""Rows of a CSV (RFC 4180) or NDJSON file, one at a time, in bounded memory.

Lines are taken as bytes and decoded one by one, so that one wrong byte costs one row. A row that
cannot be read is a `BadRow`, and reading goes on with the next line: a quote that is never closed
swallows nothing but its own line.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from api.errors import ServiceError
from api.imports.mapfile import Encoding

Format = Literal["csv", "ndjson"]

MAX_LINE = 1 << 20
"""Bytes of one line, and of one row."""
MAX_ROW_LINES = 200
"""Lines of one CSV row; quoted cells may hold line breaks."""
MAX_COLUMNS = 1_000
MAX_CELL = 100_000
"""Characters of one cell."""

_UTF8_BOM = b"\xef\xbb\xbf"
_GB_BOM = b"\x84\x31\x95\x33"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")


class Row(NamedTuple):
    """Column → text, as written. `line` is where the row begins, from 1."""

    line: int
    cells: Mapping[str, str]


class BadRow(NamedTuple):
    """A row that could not be read, and why."""

    line: int
    code: str
    detail: str = ""


class _Lines:
    """Lines with their numbers; lines may be put back."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._returned: list[tuple[int, bytes]] = []
        self._number = 0

    def next(self) -> tuple[int, bytes] | None:
        """The next line without its end; one that is too long is cut after `MAX_LINE` + 1."""
        if self._returned:
            return self._returned.pop()
        line = self._file.readline(MAX_LINE + 1)
        if not line:
            return None
        self._number += 1
        rest = line if len(line) > MAX_LINE else b""
        while rest and not rest.endswith(b"\n"):
            rest = self._file.readline(MAX_LINE)  # dropped
        return self._number, line if len(line) > MAX_LINE else line.rstrip(b"\r\n")

    def put_back(self, lines: Sequence[tuple[int, bytes]]) -> None:
        self._returned.extend(reversed(lines))


def format_of(path: Path) -> Format:
    """By the file's name; `import-format-unknown` otherwise."""
    suffix = path.suffix.lower()
    if suffix in {".csv", ".tsv", ".txt"}:
        return "csv"
    if suffix in {".ndjson", ".jsonl"}:
        return "ndjson"
    raise ServiceError("import-format-unknown", path.suffix[:20])


def read_rows(
    file: BinaryIO,
    format_: Format,
    *,
    encoding: Encoding,
    delimiter: str,
    columns: frozenset[str],
) -> Iterator[Row | BadRow]:
    """Every row of a file opened at its beginning; blank rows are left out.

    Raises, before the first row: `import-encoding`, `import-file-empty`,
    `import-column-missing`, `import-column-repeated`.
    """
    head = file.read(4)
    if head.startswith(_WIDE_BOMS) or b"\0" in head[:2]:
        raise ServiceError("import-encoding", "UTF-16")
    skipped = 3 if head.startswith(_UTF8_BOM) else 0
    if encoding == "gb18030" and skipped:
        raise ServiceError("import-encoding", "UTF-8")
    if encoding == "gb18030" and head == _GB_BOM:
        skipped = 4
    file.seek(skipped)
    lines = _Lines(file)
    if format_ == "ndjson":
        return _json_rows(lines, encoding)
    return _csv_rows(lines, encoding, delimiter, columns)


def count_rows(file: BinaryIO, format_: Format) -> int:
    """How many rows there are, near enough for a bar: by lines and quotes alone."""
    count, quotes = 0, 0
    for line in file:
        quotes += line.count(b'"') if format_ == "csv" else 0
        if not quotes % 2 and not line.isspace():
            count += 1
    return max(0, count - (format_ == "csv"))


# --- CSV ------------------------------------------------------------------------------------------


def _csv_rows(
    lines: _Lines, encoding: Encoding, delimiter: str, columns: frozenset[str]
) -> Iterator[Row | BadRow]:
    first = _next_csv(lines, encoding, delimiter)
    if first is None:
        raise ServiceError("import-file-empty")
    if isinstance(first, BadRow):
        raise ServiceError("import-encoding", f"line {first.line}: {first.code}")
    header = [name.strip() for name in first[1]]
    if missing := sorted(columns - set(header)):
        raise ServiceError("import-column-missing", ", ".join(missing)[:200])
    repeated = {name for name in header if header.count(name) > 1}
    if repeated & columns:
        raise ServiceError("import-column-repeated", ", ".join(sorted(repeated & columns))[:200])
    return _csv_body(lines, encoding, delimiter, header)


def _csv_body(
    lines: _Lines, encoding: Encoding, delimiter: str, header: Sequence[str]
) -> Iterator[Row | BadRow]:
    width = len(header)
    while (found := _next_csv(lines, encoding, delimiter)) is not None:
        if isinstance(found, BadRow):
            yield found
            continue
        line, cells = found
        if len(cells) != width:
            if "".join(cells).strip():
                yield BadRow(line, "import-row-ragged", f"{len(cells)} cells, {width} columns")
            continue
        row = dict(zip(header, cells, strict=True))
        if any(cells):
            yield Row(line, row)


def _next_csv(
    lines: _Lines, encoding: Encoding, delimiter: str
) -> tuple[int, list[str]] | BadRow | None:
    """(line, cells) of the next row that is not blank."""
    while True:
        taken = lines.next()
        if taken is None:
            return None
        number, data = taken
        if data and not data.isspace():
            break
    if len(data) > MAX_LINE:
        return BadRow(number, "import-row-too-long", f"more than {MAX_LINE} bytes")
    more: list[tuple[int, bytes]] = []
    size = len(data)
    quotes = data.count(b'"')
    while quotes % 2:
        following = lines.next()
        if following is None or len(more) >= MAX_ROW_LINES or size > MAX_LINE:
            lines.put_back(more if following is None else [*more, following])
            return BadRow(number, "import-row-malformed", "a quote is not closed")
        more.append(following)
        size += len(following[1])
        quotes += following[1].count(b'"')
    text = _decode(number, b"\n".join([data, *(line for _, line in more)]), encoding)
    if isinstance(text, BadRow):
        lines.put_back(more)
        return text
    try:
        (cells,) = csv.reader([text], delimiter=delimiter, strict=True)
    except (csv.Error, ValueError) as fault:
        lines.put_back(more)
        return BadRow(number, "import-row-malformed", str(fault)[:100])
    if len(cells) > MAX_COLUMNS or (size > MAX_CELL and max(map(len, cells)) > MAX_CELL):
        return BadRow(number, "import-row-too-long", f"a cell of more than {MAX_CELL} characters")
    return number, cells


def _decode(number: int, data: bytes, encoding: Encoding) -> str | BadRow:
    if b"\0" in data:
        return BadRow(number, "import-row-malformed", "a NUL byte")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as fault:
        return BadRow(number, "import-row-encoding", f"byte {fault.start + 1} of the row")


# --- NDJSON ---------------------------------------------------------------------------------------


def _json_rows(lines: _Lines, encoding: Encoding) -> Iterator[Row | BadRow]:
    while (taken := lines.next()) is not None:
        number, data = taken
        if data and not data.isspace():
            yield _json_row(number, data, encoding)


def _json_row(number: int, data: bytes, encoding: Encoding) -> Row | BadRow:
    if len(data) > MAX_LINE:
        return BadRow(number, "import-row-too-long", f"more than {MAX_LINE} bytes")
    text = _decode(number, data, encoding)
    if isinstance(text, BadRow):
        return text
    try:
        found = json.loads(
            text, object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=_never
        )
        if not isinstance(found, dict):
            return BadRow(number, "import-row-malformed", "an object is expected")
        return Row(number, {key: _cell(value) for key, value in found.items()})
    except (ValueError, RecursionError) as fault:
        detail = fault.args[0] if type(fault) is ValueError else "not JSON"
        return BadRow(number, "import-row-malformed", str(detail)[:100])


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _never(_name: str) -> object:
    raise ValueError("not a number of JSON")


def _cell(value: object) -> str:
    """Numbers as they are spelled; nothing nested."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise ValueError("nested values are not read")
    if len(value) > MAX_CELL:
        raise ValueError(f"a text of more than {MAX_CELL} characters")
    return value
