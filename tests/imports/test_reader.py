"""Dirty files: what cannot be read costs its own row and no other."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from api.errors import ServiceError
from api.imports import reader
from api.imports.mapfile import Encoding
from api.imports.reader import BadRow, Format, Row, format_of, read_rows


def read(
    data: bytes,
    format_: Format = "csv",
    encoding: Encoding = "utf-8",
    delimiter: str = ",",
    columns: Sequence[str] = ("a", "b"),
) -> list[Row | BadRow]:
    return list(
        read_rows(
            io.BytesIO(data),
            format_,
            encoding=encoding,
            delimiter=delimiter,
            columns=frozenset(columns),
        )
    )


def refused(data: bytes, **options: object) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        read(data, **options)  # type: ignore[arg-type]
    return caught.value


def test_rows_have_the_line_on_which_they_begin() -> None:
    rows = read(b'a,b\n1,2\n\n3,"x\ny"\n5,6\n')
    assert rows == [
        Row(2, {"a": "1", "b": "2"}),
        Row(4, {"a": "3", "b": "x\ny"}),
        Row(6, {"a": "5", "b": "6"}),
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_ends_and_a_missing_last_one(end: bytes) -> None:
    assert read(b"a,b" + end + b"1,2") == read(b"a,b" + end + b"1,2" + end) != []


@pytest.mark.parametrize(
    ("encoding", "mark"), [("utf-8", b"\xef\xbb\xbf"), ("gb18030", b"\x84\x31\x95\x33")]
)
def test_a_byte_order_mark_is_no_part_of_the_first_name(encoding: Encoding, mark: bytes) -> None:
    data = "a,b\n名称,x\n".encode(encoding)
    assert read(mark + data, encoding=encoding) == read(data, encoding=encoding)
    assert read(data, encoding=encoding) == [Row(2, {"a": "名称", "b": "x"})]


def test_gb18030_reads_characters_beyond_gbk() -> None:
    name = "𠮷野家䶮"
    assert read(f"a,b\n{name},x\n".encode("gb18030"), encoding="gb18030") == [
        Row(2, {"a": name, "b": "x"})
    ]


def test_wrong_bytes_cost_their_row() -> None:
    data = b"a,b\n1,2\n" + "名称,x\n".encode("gb18030") + b"3,4\n"
    first, second, third = read(data)
    assert (first, third) == (Row(2, {"a": "1", "b": "2"}), Row(4, {"a": "3", "b": "4"}))
    assert isinstance(second, BadRow)
    assert (second.line, second.code) == (3, "import-row-encoding")


@pytest.mark.parametrize("data", ["a,b\n1,2\n".encode("utf-16"), "a,b\n".encode("utf-16-be")])
def test_utf16_is_refused(data: bytes) -> None:
    assert refused(data).code == "import-encoding"


def test_a_header_in_another_encoding_is_refused() -> None:
    data = "名称,代码\n1,2\n"
    assert refused(data.encode("gb18030"), columns=["名称"]).code == "import-encoding"
    marked = b"\xef\xbb\xbf" + data.encode()
    assert refused(marked, columns=["名称"], encoding="gb18030").code == "import-encoding"


def test_nul_bytes_cost_their_row() -> None:
    rows = read(b"a,b\n1,\x002\n3,4\n")
    assert rows == [
        BadRow(2, "import-row-malformed", "a NUL byte"),
        Row(3, {"a": "3", "b": "4"}),
    ]


@pytest.mark.parametrize("cells", ["1", "1,2,3", "1,2,"])
def test_ragged_rows_are_refused(cells: str) -> None:
    rows = read(f"a,b\n{cells}\n8,9\n".encode())
    assert isinstance(rows[0], BadRow)
    assert rows[0].code == "import-row-ragged"
    assert rows[1:] == [Row(3, {"a": "8", "b": "9"})]


@pytest.mark.parametrize("blank", ["", "  ", ",", " ,\u3000", ",,,"])
def test_blank_rows_are_left_out(blank: str) -> None:
    rows = [row for row in read(f"a,b\n{blank}\n8,9\n".encode()) if row.line != 2]
    assert rows == [Row(3, {"a": "8", "b": "9"})]


def test_a_quote_never_closed_swallows_one_row() -> None:
    lines = [f"{number},x" for number in range(500)]
    lines[7] = '7,"open'
    rows = read(("a,b\n" + "\n".join(lines) + "\n").encode())
    assert [row.line for row in rows] == list(range(2, 502))
    bad = [row for row in rows if isinstance(row, BadRow)]
    assert bad == [BadRow(9, "import-row-malformed", "a quote is not closed")]


def test_two_stray_quotes_swallow_no_good_row() -> None:
    rows = read(b'a,b\n1,12" pan\n2,x\n3,10" pan\n4,y\n')
    assert [row.line for row in rows if isinstance(row, Row)][-1] == 5
    assert Row(3, {"a": "2", "b": "x"}) in rows
    assert [row.line for row in rows] == [2, 3, 4, 5]


def test_a_huge_line_costs_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_LINE", 1_000)
    data = b"a,b\n1," + b"x" * 5_000 + b"\n3,4\n5," + b"y" * 2_000
    rows = read(data)
    assert [(row.line, getattr(row, "code", "")) for row in rows] == [
        (2, "import-row-too-long"),
        (3, ""),
        (4, "import-row-too-long"),
    ]


def test_a_huge_cell_costs_its_row() -> None:
    rows = read(b"a,b\n1," + b"x" * (reader.MAX_CELL + 1) + b"\n3,4\n")
    assert isinstance(rows[0], BadRow)
    assert rows[0].code == "import-row-too-long"
    assert rows[1] == Row(3, {"a": "3", "b": "4"})


def test_another_delimiter() -> None:
    assert read(b"a\tb\n1,5\t2\n", delimiter="\t") == [Row(2, {"a": "1,5", "b": "2"})]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "import-file-empty"),
        (b"\n \n", "import-file-empty"),
        (b"a,c\n1,2\n", "import-column-missing"),
        (b"a,b,b\n1,2,3\n", "import-column-repeated"),
    ],
)
def test_headers_that_do_not_fit_are_refused(data: bytes, code: str) -> None:
    assert refused(data).code == code


def test_a_repeated_column_that_nobody_reads_is_harmless() -> None:
    assert read(b"a,b,c,c\n1,2,3,4\n") == [Row(2, {"a": "1", "b": "2", "c": "4"})]


# --- NDJSON ---------------------------------------------------------------------------------------


def test_ndjson_spells_numbers_as_they_are_written() -> None:
    rows = read(b'{"a": 1.50, "b": 12345678901234567890, "c": true, "d": null}\n', "ndjson")
    assert rows == [Row(1, {"a": "1.50", "b": "12345678901234567890", "c": "true", "d": ""})]


@pytest.mark.parametrize(
    "line",
    [
        b"[1]",
        b"1",
        b"{",
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1}}',
        b'{"a": [1]}',
        b'{"a": NaN}',
        b'{"a": "' + b"x" * (reader.MAX_CELL + 1) + b'"}',
        b"[" * 100_000,
        b'{"a": "\x00"}',
        "名".encode("gb18030"),
    ],
)
def test_ndjson_that_cannot_be_read_costs_its_line(line: bytes) -> None:
    rows = read(line + b'\n{"a": "1"}\n', "ndjson")
    assert isinstance(rows[0], BadRow)
    assert rows[1:] == [Row(2, {"a": "1"})]


def test_the_format_follows_from_the_name() -> None:
    assert format_of(Path("x.CSV")) == "csv"
    assert format_of(Path("x.ndjson")) == format_of(Path("x.jsonl")) == "ndjson"
    with pytest.raises(ServiceError) as caught:
        format_of(Path("x.xlsx"))
    assert caught.value.code == "import-format-unknown"
