"""Reading the facts of a change: each must be of its type and within its bounds.

All raise `Refused` `enrolment-malformed`, naming the fact.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from verifier.errors import Refused
from verifier.times import MAX_TIME

Facts = Mapping[str, Any]
_SLUG: Final = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)
_MAX_INDEX: Final = 1 << 53
_UNSEEN: Final = re.compile(
    "[\0-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\ud800-\uf8ff\ufdd0-\ufdef\ufeff\ufff0-\ufffb\ufffe\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e00ff\U000f0000-\U0010ffff]"
)
"""Categories Cc, Cf, Cs, Co, Zl and Zp of Unicode 15, written out: whoever replays a ledger, with
whatever version of Unicode, must come to the same end. Letters yet to be assigned are in none."""


def text(facts: Facts, name: str) -> str:
    """A fact that must be as `is_text` says, or `enrolment-malformed`."""
    value = facts.get(name)
    if not is_text(value):
        raise Refused("enrolment-malformed", name)
    return value


def is_text(value: object) -> TypeGuard[str]:
    """1 to 400 characters that are seen, or are blanks between others."""
    if type(value) is not str or not 0 < len(value) <= 400:
        return False
    return value == value.strip() and not _UNSEEN.search(value)


def slug_of(facts: Facts, name: str) -> str:
    value = text(facts, name)
    if not _SLUG.fullmatch(value):
        raise Refused("enrolment-malformed", name)
    return value


def time_of(facts: Facts, name: str) -> int:
    return _integer(facts, name, MAX_TIME)


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
