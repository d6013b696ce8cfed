"""Rows of one number are taken term by term, whatever their order in the file."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import ServiceError
from api.imports import plan
from api.imports.mapfile import read_map
from api.imports.mapping import RowMapper
from api.imports.plan import in_order, key_of, make_plan
from api.imports.reader import BadRow, Row
from api.rules.catalogue import load_catalogue
from tests.imports.helpers import FOOD_HEADER, FOOD_MAP, food

CHECKED = read_map(FOOD_MAP, load_catalogue())
KEY = key_of(RowMapper(CHECKED), CHECKED.type)
START = date(2020, 1, 1)


def rows_of(*terms: tuple[int, int]) -> list[Row | BadRow]:
    """A row for each (number, day of its term), and a row that cannot be read."""
    rows: list[Row | BadRow] = [
        Row(
            at + 2,
            dict(zip(FOOD_HEADER, food(number, str(START + timedelta(days=day))), strict=True)),
        )
        for at, (number, day) in enumerate(terms)
    ]
    return [*rows, BadRow(len(rows) + 2, "import-row-ragged")]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=30))
def test_terms_of_a_number_come_in_order_and_nothing_is_lost(terms: list[tuple[int, int]]) -> None:
    rows = rows_of(*terms)
    made = make_plan(rows, KEY)
    taken = list(in_order(rows, made, KEY))
    assert made.rows == len(rows)
    assert sorted(row.line for row in taken) == [row.line for row in rows]
    last: dict[int, tuple[int, int]] = {}
    for row in taken:
        if isinstance(row, Row):
            number, day = KEY(row) or (0, 0)
            assert last.get(number, (0, 0)) < (day, row.line)
            last[number] = (day, row.line)


def test_rows_in_order_are_not_held_back() -> None:
    rows = rows_of((1, 0), (2, 5), (1, 3), (3, 0), (2, 5))
    made = make_plan(rows, KEY)
    assert made.held_back == frozenset()
    assert list(in_order(rows, made, KEY)) == rows


def test_spellings_of_a_number_are_one_number() -> None:
    rows = rows_of((1, 5), (1, 0))
    assert isinstance(rows[1], Row)
    odd = Row(3, {**rows[1].cells, "number": " １ "})
    assert len(make_plan([rows[0], odd], KEY).held_back) == 1


def test_too_many_rows_out_of_order_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_HELD_BACK", 2)
    rows = rows_of((1, 5), (1, 4), (1, 3))
    with pytest.raises(ServiceError) as caught:
        list(in_order(rows, make_plan(rows, KEY), KEY))
    assert caught.value.code == "import-too-unordered"
