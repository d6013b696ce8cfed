"""A row of the file → raw values by field, and the legal state that the row tells."""

from collections.abc import Callable
from typing import NamedTuple

from api.errors import ServiceError
from api.imports.mapfile import CheckedMap, FieldRule
from api.imports.reader import Row
from api.rules.codes import canonical_text
from verifier.states import BY_NAME, VALID


class Mapped(NamedTuple):
    """What a row says. `renews`: the row may renew an earlier term of its number."""

    line: int
    fields: dict[str, str]
    state: int
    reason: str | None
    renews: bool


class RowMapper:
    """Applies a checked map to rows."""

    def __init__(self, checked: CheckedMap) -> None:
        map_ = checked.map
        self._absent = frozenset(map_.absent)
        self._skips = [(rule.column, frozenset(rule.values)) for rule in map_.skip]
        self._fields = [
            (rule.field, _reader(rule, checked.transforms[rule.field], self._absent))
            for rule in map_.fields
        ]
        state = map_.state
        self._state_column = None if state is None else state.column
        self._states = {
            _key(value): (BY_NAME[entry.state].number, entry.reason)
            for value, entry in ({} if state is None else state.values).items()
        }
        self._renewal = map_.renewal
        self._renewing = frozenset(map(_key, () if map_.renewal is None else map_.renewal.values))

    def skips(self, row: Row) -> bool:
        """Whether a skip rule leaves this row out."""
        return any(row.cells.get(column, "").strip() in values for column, values in self._skips)

    def read(self, row: Row) -> Mapped:
        """Raises `import-state-unknown`."""
        cells = row.cells
        fields = {}
        for field, read in self._fields:
            value = read(cells)
            if value:
                fields[field] = value
        state, reason = VALID, None
        if self._state_column is not None:
            found = self._states.get(_key(cells.get(self._state_column, "")))
            if found is None:
                raise ServiceError("import-state-unknown", self._state_column)
            state, reason = found
        return Mapped(row.line, fields, state, reason, self._may_renew(row))

    def field(self, row: Row, field: str) -> str:
        """The raw value of one field; empty where the map does not give it."""
        for name, read in self._fields:
            if name == field:
                return read(row.cells)
        return ""

    def raw(self, row: Row) -> Callable[[str], str]:
        """`field` of one row."""
        return lambda field: self.field(row, field)

    def _may_renew(self, row: Row) -> bool:
        rule = self._renewal
        if rule is None:
            return False
        return rule.column is None or _key(row.cells.get(rule.column, "")) in self._renewing


_Cells = dict[str, str]


def _reader(
    rule: FieldRule, transform: Callable[[str], str], absent: frozenset[str]
) -> Callable[..., str]:
    """Cells → the raw value of a field; empty where nothing is given."""
    if rule.constant is not None:
        constant = rule.constant
        return lambda cells: constant
    columns, join, values = rule.sources, rule.join, rule.values

    def one(cells: _Cells) -> str:
        value = cells.get(columns[0], "").strip()
        return "" if value in absent else value

    def several(cells: _Cells) -> str:
        given = (cells.get(column, "").strip() for column in columns)
        return join.join(value for value in given if value and value not in absent)

    take = one if len(columns) == 1 else several
    if not rule.transforms and not values:
        return take

    def read(cells: _Cells) -> str:
        value = take(cells)
        if value:
            value = transform(value)
            value = values.get(value, value)
        return value

    return read


def _key(value: str) -> str:
    """A code of the file, however it is spelled."""
    return canonical_text(value).upper()
