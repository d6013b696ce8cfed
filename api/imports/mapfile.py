"""The map file: which column is which field, in TOML, strict. Described in docs/importing.md."""

import dataclasses
import json
import tomllib
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from api.errors import ServiceError
from api.imports.transforms import Transform, make_transforms
from api.rules.catalogue import Catalogue, LicenceType
from verifier.states import BY_NAME

MAX_MAP_BYTES = 256 << 10
Encoding = Literal["utf-8", "gb18030"]

_FORBID = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class FieldRule:
    """Where a field's value comes from: one column, several joined by `join`, or a constant.

    `values` replaces whole values (after `transforms`); what it does not name stays.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    field: str
    column: str | None = None
    columns: tuple[str, ...] = ()
    join: str = " "
    constant: str | None = None
    transforms: tuple[tuple[str | int, ...], ...] = ()
    values: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        return self.columns if self.column is None else (self.column,)


@dataclass(frozen=True)
class SkipRule:
    """Rows that are no licences: those whose `column` holds one of `values` ("" is a blank)."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    column: str
    values: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class StateValue:
    """The legal state that a value of the state column means, and the reason it is given."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    state: str = "valid"
    reason: str | None = None


@dataclass(frozen=True)
class StateRule:
    """Which column tells the state. A value that is not listed refuses its row."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    column: str
    values: dict[str, StateValue]


@dataclass(frozen=True)
class RenewalRule:
    """A later term under the same number renews the earlier one.

    With `column`, only where it holds one of `values`; another later term is then refused.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    column: str | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class MapFile:
    """A map file as it stands in TOML. `absent`: values that say that nothing is given."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    type: str
    fields: tuple[FieldRule, ...]
    encoding: Encoding = "utf-8"
    delimiter: str = ","
    absent: tuple[str, ...] = ()
    skip: tuple[SkipRule, ...] = ()
    state: StateRule | None = None
    renewal: RenewalRule | None = None
    note: str = ""


_ADAPTER = TypeAdapter(MapFile)


@dataclass(frozen=True)
class CheckedMap:
    """A map that fits a licence type of the catalogue."""

    type: LicenceType
    map: MapFile
    transforms: dict[str, Transform]
    text: str

    @property
    def columns(self) -> frozenset[str]:
        """Every column that must be in the file."""
        found = {name for rule in self.map.fields for name in rule.sources}
        found |= {rule.column for rule in self.map.skip}
        if self.map.state is not None:
            found.add(self.map.state.column)
        if self.map.renewal is not None and self.map.renewal.column is not None:
            found.add(self.map.renewal.column)
        return frozenset(found)


def read_map(text: str, catalogue: Catalogue, type_name: str | None = None) -> CheckedMap:
    """Reads and checks a map. `type_name`, if given, must be the type that the map is for.

    Raises `import-map-invalid` with the key at fault, or `catalogue-unknown-type`.
    """
    if len(text.encode()) > MAX_MAP_BYTES:
        raise _invalid("-", f"more than {MAX_MAP_BYTES} bytes")
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise _invalid("-", str(fault)) from None
    try:
        map_ = _ADAPTER.validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_input=False)[0]
        raise _invalid(".".join(map(str, first["loc"])), first["msg"]) from None
    type_ = catalogue.licence_type(map_.type)
    if type_name is not None and catalogue.licence_type(type_name) is not type_:
        raise _invalid("type", f"{map_.type}, not {type_name[:40]}")
    transforms = _check_fields(map_, type_)
    _check_state(map_, type_, catalogue)
    if len(map_.delimiter) != 1 or map_.delimiter in '"\r\n\0' or not map_.delimiter.isascii():
        raise _invalid("delimiter", "one ASCII character expected")
    if map_.renewal is not None and (map_.renewal.column is None) != (not map_.renewal.values):
        raise _invalid("renewal", "column and values, or neither")
    return CheckedMap(type_, map_, transforms, text)


def _check_fields(map_: MapFile, type_: LicenceType) -> dict[str, Transform]:
    known = {each.code for each in type_.fields}
    transforms: dict[str, Transform] = {}
    for rule in map_.fields:
        key = f"fields.{rule.field}"
        if rule.field not in known:
            raise _invalid(key, f"{type_.slug} has no such field")
        if rule.field in transforms:
            raise _invalid(key, "occurs twice")
        given = (rule.column is not None, bool(rule.columns), rule.constant is not None)
        if sum(given) != 1:
            raise _invalid(key, "one of column, columns, constant expected")
        try:
            transforms[rule.field] = make_transforms(rule.transforms)
        except ValueError as fault:
            raise _invalid(f"{key}.transforms", str(fault)) from None
    for each in type_.fields:
        if each.required and each.code not in transforms:
            raise _invalid("fields", f"{type_.slug} requires {each.code}")
    return transforms


def _check_state(map_: MapFile, type_: LicenceType, catalogue: Catalogue) -> None:
    for value, entry in map_.state.values.items() if map_.state is not None else ():
        key = f"state.values.{value}"
        if entry.state == "valid":
            if entry.reason is not None:
                raise _invalid(key, "a valid licence needs no reason")
            continue
        if entry.state not in BY_NAME or entry.state not in type_.states:
            raise _invalid(key, f"{type_.slug} does not know the state {entry.state}")
        reason = catalogue.reasons.get(entry.reason or "")
        if reason is None or reason.applies != "licence" or reason.state != entry.state:
            raise _invalid(key, f"no reason that leads to {entry.state}")


def _invalid(key: str, reason: str) -> ServiceError:
    extra: dict[str, Any] = {"key": key}
    return ServiceError("import-map-invalid", f"{key}: {reason}", extra=extra)
