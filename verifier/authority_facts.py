"""Reading the facts of a change: each must be of its type and within its bounds.

All raise `Refused` `enrolment-malformed`, naming the fact.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from verifier.errors import Refused

Facts = Mapping[str, Any]
_SLUG: Final = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)
_MAX_TIME: Final = 1 << 40
_MAX_INDEX: Final = 1 << 53


def text(facts: Facts, name: str) -> str:
    """A fact that must be a text of 1 to 400 characters, or `enrolment-malformed`."""
    value = facts.get(name)
    if type(value) is not str or not value or len(value) > 400:
        raise Refused("enrolment-malformed", name)
    return value


def slug_of(facts: Facts, name: str) -> str:
    value = text(facts, name)
    if not _SLUG.fullmatch(value):
        raise Refused("enrolment-malformed", name)
    return value


def time_of(facts: Facts, name: str) -> int:
    return _integer(facts, name, _MAX_TIME)


def count_of(facts: Facts, name: str) -> int:
    return _integer(facts, name, _MAX_INDEX)


def _integer(facts: Facts, name: str, most: int) -> int:
    value = facts.get(name)
    if type(value) is not int or not 0 <= value < most:
        raise Refused("enrolment-malformed", name)
    return value


def only(facts: Facts, known: set[str]) -> None:
    """A fact that no rule reads would be approved and mean nothing."""
    if unknown := facts.keys() - known:
        raise Refused("enrolment-malformed", ", ".join(sorted(unknown)))
