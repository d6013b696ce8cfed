"""The grammar of a trust pack: what its payload says, and its one encoding. No trust in it yet.

    {1: version 1, 2: made-at, 3: use-until, 4: max status age in seconds,
     5: checkpoint (signed note), 6: [[index, statement], …], 7: [status token, …],
     8: {type code: [zh, en, [[field, zh, en], …]]},
     9: hashes that prove 6 in the tree of 5 (`verifier.multiproof`), 10: [[key id, list], …]}

The list of 10 is what a compromised key had signed before (`verifier.signedlist`). Times are Unix
seconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from keys.names import KID_SIZE
from verifier.codec import cbor_decode, cbor_encode
from verifier.errors import Refused
from verifier.trust import TypeName

VERSION: Final = 1
MAX_PACK: Final = 64 << 20
MAX_ITEMS: Final = 1 << 20
"""CBOR items of a pack or an update; 100,000 statements of authority take 300,000."""
UPDATE_TYP: Final = "zl-u"
_UPDATE: Final = b"\xa6\x00\x64" + UPDATE_TYP.encode()
"""How every update begins (`verifier.pack_update`): a map of six, label 0, the text."""
(_VERSION, _MADE_AT, _USE_UNTIL, _MAX_AGE) = range(1, 5)
(_CHECKPOINT, _ENROLMENTS, _STATUSES, _TYPES, _HASHES, _SIGNED) = range(5, 11)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A statement of authority at its ledger index."""

    index: int
    statement: bytes


@dataclass(frozen=True, slots=True)
class PackContent:
    """What goes into a pack; times in Unix seconds, the age in seconds.

    `hashes` prove the enrolments in the tree of the checkpoint; `signed_lists` are by key id.
    """

    made_at: int
    use_until: int
    max_status_age: int
    checkpoint: bytes
    enrolments: Sequence[Enrolment]
    hashes: bytes
    statuses: Sequence[bytes]
    types: Iterable[TypeName]
    signed_lists: Mapping[bytes, bytes] = field(default_factory=dict)


def is_update(data: bytes) -> bool:
    """Whether a file claims to be an update of a pack; nothing else of it is looked at."""
    return data.startswith(_UPDATE)


def encode_content(content: PackContent) -> bytes:
    """The payload of a pack."""
    payload = {
        _VERSION: VERSION,
        _MADE_AT: content.made_at,
        _USE_UNTIL: content.use_until,
        _MAX_AGE: content.max_status_age,
        _CHECKPOINT: content.checkpoint,
        _ENROLMENTS: [[e.index, e.statement] for e in content.enrolments],
        _STATUSES: list(content.statuses),
        _TYPES: {
            name.code: [
                name.zh,
                name.en,
                [[field, *pair] for field, pair in name.fields.items()],
            ]
            for name in content.types
        },
        _HASHES: content.hashes,
        _SIGNED: [[kid, content.signed_lists[kid]] for kid in sorted(content.signed_lists)],
    }
    return cbor_encode(payload)


def parse_content(data: bytes) -> PackContent:
    """Inverse of `encode_content`. Raises `pack-malformed` or a codec's code."""
    payload = cbor_decode(data, max_bytes=MAX_PACK, max_items=MAX_ITEMS)
    if not isinstance(payload, dict) or payload.keys() != set(range(_VERSION, _SIGNED + 1)):
        raise Refused("pack-malformed", "members")
    if type(payload[_VERSION]) is not int or payload[_VERSION] != VERSION:
        raise Refused("pack-malformed", "version")
    times = [payload[label] for label in (_MADE_AT, _USE_UNTIL, _MAX_AGE)]
    if any(type(value) is not int or value < 0 for value in times) or times[1] < times[0]:
        raise Refused("pack-malformed", "times")
    if type(payload[_CHECKPOINT]) is not bytes or type(payload[_HASHES]) is not bytes:
        raise Refused("pack-malformed", "checkpoint or hashes")
    statuses = payload[_STATUSES]
    if not isinstance(statuses, list) or not all(type(token) is bytes for token in statuses):
        raise Refused("pack-malformed", "statuses")
    return PackContent(
        times[0],
        times[1],
        times[2],
        payload[_CHECKPOINT],
        _enrolments(payload[_ENROLMENTS]),
        payload[_HASHES],
        statuses,
        _type_names(payload[_TYPES]),
        _signed_lists(payload[_SIGNED]),
    )


def _enrolments(items: Any) -> list[Enrolment]:
    """In ledger order, each once."""
    if not isinstance(items, list):
        raise Refused("pack-malformed", "enrolments")
    for item in items:
        if not isinstance(item, list) or list(map(type, item)) != [int, bytes]:
            raise Refused("pack-malformed", "enrolment")
    if any(one[0] >= other[0] for one, other in pairwise(items)):
        raise Refused("pack-malformed", "enrolments out of order")
    return [Enrolment(index, statement) for index, statement in items]


def _type_names(types: Any) -> list[TypeName]:
    if not isinstance(types, dict):
        raise Refused("pack-malformed", "types")
    names = []
    for code, entry in types.items():
        if type(code) is not str or not isinstance(entry, list) or len(entry) != 3:
            raise Refused("pack-malformed", "type")
        zh, en, fields = entry
        if type(zh) is not str or type(en) is not str or not isinstance(fields, list):
            raise Refused("pack-malformed", "type names")
        for item in fields:
            if not isinstance(item, list) or list(map(type, item)) != [str, str, str]:
                raise Refused("pack-malformed", "type fields")
        if len({name for name, _, _ in fields}) != len(fields):
            raise Refused("pack-malformed", "a field twice")
        names.append(TypeName(code, zh, en, {name: (one, two) for name, one, two in fields}))
    return names


def _signed_lists(items: Any) -> dict[bytes, bytes]:
    """By key id, which ascend."""
    if not isinstance(items, list):
        raise Refused("pack-malformed", "signed lists")
    for item in items:
        if not isinstance(item, list) or list(map(type, item)) != [bytes, bytes]:
            raise Refused("pack-malformed", "signed list")
        if len(item[0]) != KID_SIZE:
            raise Refused("pack-malformed", "key id of a signed list")
    if any(one[0] >= other[0] for one, other in pairwise(items)):
        raise Refused("pack-malformed", "signed lists out of order")
    return dict(items)
