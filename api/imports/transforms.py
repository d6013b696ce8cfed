"""What a map may do to a value before the field dictionary reads it: one table, no code.

A transform is a list in TOML, its name first: `["split", "（", 0]`. A value that the transform
cannot take is left as it is, for the dictionary to refuse.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

Transform = Callable[[str], str]

_AMOUNT = re.compile(
    r"([0-9][0-9,]*(?:\.[0-9]+)?)\s*[(（]?\s*(万|亿)?\s*([^\s()（）0-9]{1,6})?\s*[)）]?"
)
_CURRENCIES = {"元": "元人民币", "人民币": "元人民币", "": "元人民币"}


def _split(separator: str, part: int) -> Transform:
    """Part `part` (from 0; negative from the end) of the value split at `separator`."""

    def run(value: str) -> str:
        parts = value.split(separator)
        return parts[part].strip() if -len(parts) <= part < len(parts) else value

    return run


def _amount() -> Transform:
    """`1,000(万美元)`, `50万人民币` → `1000万美元`, `50万元人民币`: an amount with its unit."""

    def run(value: str) -> str:
        found = _AMOUNT.fullmatch(value)
        if found is None:
            return value
        number, scale, currency = found.groups()
        currency = _CURRENCIES.get(currency or "", currency or "")
        return f"{number.replace(',', '')}{scale or ''}{currency}"

    return run


def _date(form: str) -> Transform:
    """A date in a form of its own, as `strptime` writes forms: `%m/%d/%Y`."""

    def run(value: str) -> str:
        try:
            return datetime.strptime(value, form).replace(tzinfo=UTC).date().isoformat()
        except ValueError:
            return value

    return run


def _prefix(text: str) -> Transform:
    return lambda value: text + value


def _drop_prefix(text: str) -> Transform:
    return lambda value: value.removeprefix(text)


def _replace(old: str, new: str) -> Transform:
    return lambda value: value.replace(old, new)


def _upper() -> Transform:
    return str.upper


TRANSFORMS: Mapping[str, tuple[tuple[type, ...], Callable[..., Transform]]] = {
    "amount": ((), _amount),
    "date": ((str,), _date),
    "drop-prefix": ((str,), _drop_prefix),
    "prefix": ((str,), _prefix),
    "replace": ((str, str), _replace),
    "split": ((str, int), _split),
    "upper": ((), _upper),
}
"""Name → types of its arguments, and what makes it."""


def make_transforms(specs: Sequence[Sequence[str | int]]) -> Transform:
    """All of `specs`, one after the other. Raises ValueError with the reason."""
    steps: list[Transform] = []
    for spec in specs:
        name, *arguments = spec or ("",)
        if name not in TRANSFORMS:
            raise ValueError(f"no transform {name!r}; there are {', '.join(TRANSFORMS)}")
        types, maker = TRANSFORMS[str(name)]
        if [type(each) for each in arguments] != list(types) or "" in arguments[:1]:
            expected = ", ".join(each.__name__ for each in types) or "none"
            raise ValueError(f"{name}: arguments expected: {expected}")
        steps.append(maker(*arguments))

    def run(value: str) -> str:
        for step in steps:
            value = step(value)
        return value

    return run
