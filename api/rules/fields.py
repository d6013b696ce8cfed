"""Reading the fields of a record: raw values → canonical values, all faults at once.

Canonical values are what departments sign, so each has one spelling and none is a float:

    string   see `canonical`: "code" has no blanks and capital letters, "name" is NFKC, "text"
             keeps Chinese punctuation and is NFC with half-width letters and digits
    date     "2026-01-02"
    integer  int, at most 53 bits
    number   decimal text without exponent or idle zeros: "0.2"
    boolean  bool
    array    list of strings

A blank is an absent value. With `canonical = "until"` a date says 长期 by being absent.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Literal

from api.errors import ServiceError
from api.rules import codes
from api.rules.validators import VALIDATORS

Value = str | int | bool | list[str]
Reader = Callable[[object], Value | None]
"""Raw value → canonical value, `None` for a blank; raises `ServiceError`."""

FACE = "face"
"""The disclosure group of what is shown together."""

_WIDE = re.compile("[０-９Ａ-Ｚａ-ｚ]")
_HALF = {wide: wide - 0xFEE0 for wide in range(0xFF10, 0xFF5B) if chr(wide).isalnum()}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,8})?", re.ASCII)
_MAX_INTEGER = 2**53
_MAX_ITEMS = 50
_SEPARATORS = re.compile(r"[;；、\n]")
_LONG_TERM = frozenset({"长期", "永久", "无固定期限", "LONG-TERM"})
_NO_END = frozenset({"2099-12-31", "9999-12-31"})
_YES = frozenset({"true", "1", "y", "yes", "是", "有"})
_NO = frozenset({"false", "0", "n", "no", "否", "无"})


@dataclass(frozen=True)
class Field:
    """One row of a field dictionary. `code` is short: it is written into QR codes."""

    code: str
    zh: str
    en: str
    json: Literal["string", "integer", "number", "date", "boolean", "array"] = "string"
    required: bool = False
    disclosure: str = FACE
    sensitive: bool = False
    validation: str | None = None
    canonical: Literal["text", "name", "code", "until"] | None = None
    max_length: int = 100
    choices: tuple[str, ...] = ()
    source: str | None = None
    note: str | None = None


def _printable(text: str) -> str:
    """Refuse control, private-use and lone surrogate characters; drop invisible ones."""
    kept = []
    for char in text:
        category = unicodedata.category(char)
        if category in {"Cc", "Co", "Cs"}:
            raise ServiceError("field-unprintable", f"U+{ord(char):04X}")
        if category != "Cf":
            kept.append(char)
    return " ".join("".join(kept).split())


def plain_text(value: str) -> str:
    """NFC, half-width letters and digits, single blanks, trimmed; punctuation stays."""
    if not value.isascii():
        if _WIDE.search(value):
            value = value.translate(_HALF)
        value = unicodedata.normalize("NFC", value)
    value = " ".join(value.split())
    return value if value.isprintable() else _printable(value)


def plain_name(value: str) -> str:
    """NFKC, single blanks, trimmed: two spellings of a name become one."""
    value = codes.canonical_text(value)
    return value if value.isprintable() else _printable(value)


def _text_reader(field: Field) -> Reader:
    canonical = {"name": plain_name, "code": codes.canonical_code}.get(
        field.canonical or "", plain_text
    )
    check = VALIDATORS[field.validation] if field.validation else None
    limit, choices = field.max_length, frozenset(field.choices)

    def read(raw: object) -> Value | None:
        if not isinstance(raw, str):
            raise ServiceError("field-not-text", type(raw).__name__)
        # bounded before anything is computed; blanks around a value are not counted hard
        if len(raw) > limit and len(raw.strip()) > 2 * limit:
            raise ServiceError("field-too-long", f"more than {limit} characters")
        if check is not None:
            if not raw or raw.isspace():
                return None
            text = check(raw)
        else:
            text = canonical(raw)
            if not text:
                return None
            if not text.isprintable():
                _printable(text)
        if len(text) > limit:
            raise ServiceError("field-too-long", f"more than {limit} characters")
        if choices and text not in choices:
            raise ServiceError("field-not-choice", " / ".join(field.choices))
        return text

    return read


def _read_date(raw: object) -> Value | None:
    if isinstance(raw, date) and not isinstance(raw, datetime):
        return raw.isoformat()
    if not isinstance(raw, str):
        raise ServiceError("field-not-text", type(raw).__name__)
    if not raw or raw.isspace():
        return None
    return codes.parse_date(raw).isoformat()


def _read_until(raw: object) -> Value | None:
    if isinstance(raw, str) and codes.canonical_code(raw) in _LONG_TERM:
        return None
    day = _read_date(raw)
    return None if day in _NO_END else day


def _read_integer(raw: object) -> Value | None:
    if isinstance(raw, str):
        text = codes.canonical_code(raw)
        if not text:
            return None
        if not _INTEGER.fullmatch(text):
            raise ServiceError("field-not-integer")
        raw = int(text)
    if type(raw) is not int or abs(raw) >= _MAX_INTEGER:
        raise ServiceError("field-not-integer")
    return raw


def _read_number(raw: object) -> Value | None:
    if isinstance(raw, bool) or (isinstance(raw, float) and not math.isfinite(raw)):
        raise ServiceError("field-not-number")
    if not isinstance(raw, str | int | float | Decimal):
        raise ServiceError("field-not-number", type(raw).__name__)
    text = codes.canonical_code(raw) if isinstance(raw, str) else str(raw)
    if not text:
        return None
    try:
        text = text if isinstance(raw, str) else f"{Decimal(text):f}"
    except InvalidOperation:
        raise ServiceError("field-not-number") from None
    if not _DECIMAL.fullmatch(text):
        raise ServiceError("field-not-number", "at most 15 digits and 8 decimals")
    plain = f"{Decimal(text):f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain in {"-0", "0"} else plain


def _read_boolean(raw: object) -> Value | None:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str):
        text = codes.canonical_code(raw).lower()
        if not text:
            return None
        if text in _YES or text in _NO:
            return text in _YES
    raise ServiceError("field-not-boolean")


def _array_reader(field: Field) -> Reader:
    read_one = _text_reader(field)

    def read(raw: object) -> Value | None:
        items = _SEPARATORS.split(raw) if isinstance(raw, str) else raw
        if not isinstance(items, list | tuple) or len(items) > _MAX_ITEMS:
            raise ServiceError("field-not-array", f"at most {_MAX_ITEMS} texts")
        values = [value for item in items if isinstance(value := read_one(item), str)]
        return values or None

    return read


def reader(field: Field) -> Reader:
    """The function that reads this field."""
    if field.json == "string":
        return _text_reader(field)
    if field.json == "array":
        return _array_reader(field)
    if field.json == "date":
        return _read_until if field.canonical == "until" else _read_date
    simple: Mapping[str, Reader] = {
        "integer": _read_integer,
        "number": _read_number,
        "boolean": _read_boolean,
    }
    return simple[field.json]


Readers = Mapping[str, tuple[Reader, bool]]
"""Field code → its reader and whether it is required, in the order of the dictionary."""


def compile_readers(fields: Sequence[Field]) -> Readers:
    """One reader per field, made once per type."""
    return {field.code: (reader(field), field.required) for field in fields}


def _fault(field: str, code: str, detail: str = "") -> dict[str, str]:
    zh, en = ServiceError.WORDS[code]
    return {"field": field, "code": code, "zh": zh, "en": en, "detail": detail}


def read_fields(
    readers: Readers, require_one: Sequence[Sequence[str]], raw: Mapping[str, object]
) -> dict[str, Value]:
    """Canonical values in dictionary order. Raises one `fields-invalid` that lists every fault.

    `extra["errors"]` of the refusal is a list of `{field, code, zh, en, detail}`. No fault repeats
    a value.
    """
    values: dict[str, Value] = {}
    faults: list[dict[str, str]] = []
    for code, (read, required) in readers.items():
        given = raw.get(code)
        if given is not None:
            try:
                value = read(given)
            except ServiceError as error:
                faults.append(_fault(code, error.code, error.detail))
                continue
            if value is not None:
                values[code] = value
                continue
        if required:
            faults.append(_fault(code, "field-missing"))
    if not raw.keys() <= readers.keys():
        faults += [_fault(str(code)[:40], "field-unknown") for code in raw if code not in readers]
    for group in require_one:
        if not any(code in values for code in group) and not any(
            fault["field"] in group for fault in faults
        ):
            faults.append(_fault(group[0], "field-one-of-missing", ", ".join(group)))
    if faults:
        names = ", ".join(fault["field"] for fault in faults)
        raise ServiceError("fields-invalid", names, extra={"errors": faults})
    return values


def group_fields(
    fields: Sequence[Field], values: Mapping[str, Value]
) -> list[tuple[str, dict[str, Value]]]:
    """Values by disclosure group, groups in the order of the dictionary; empty ones left out."""
    groups: dict[str, dict[str, Value]] = {}
    for field in fields:
        if field.code in values:
            groups.setdefault(field.disclosure, {})[field.code] = values[field.code]
    return list(groups.items())
