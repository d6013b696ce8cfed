"""From the pack a counter holds to the next one: what may follow it, and updates that make it.

An update is a CBOR map

    {0: "zl-u", 1: version 1, 2: SHA-256 of the pack held, 3: SHA-256 of the next pack,
     4: [bytes / [offset, length], …], 5: [hash, …]}

4 makes the next pack out of the one held (`verifier.delta`), byte for byte what the operator
signed; so an update needs no signature. 5 proves that the ledger only grew between the two
checkpoints (RFC 9162 §2.1.4).

A pack follows the one held when, in this order:

    1  it is of the same log                                        pack-other-ledger
    2  neither its tree is smaller nor its time earlier             pack-older
    3  the ledger only grew from one checkpoint to the other        pack-consistency-missing,
       (the proof comes with an update or from the service)         pack-inconsistent
    4  every statement of authority held is in it still: so its      pack-inconsistent
       witness policy stands, or a later statement changed it
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from verifier.codec import cbor_decode, cbor_encode, is_cut_short
from verifier.delta import Part, apply_delta, make_delta
from verifier.errors import Refused
from verifier.merkle import HASH_SIZE, check_consistency
from verifier.pack import MAX_PACK, Pack
from verifier.pack_form import MAX_ITEMS, UPDATE_TYP

VERSION: Final = 1
_TYP, _VERSION, _BASE, _RESULT, _PARTS, _CONSISTENCY = range(6)


class PackUpdate(NamedTuple):
    """A well-formed update: from the pack of one SHA-256 to that of another."""

    base: bytes
    result: bytes
    parts: Sequence[Part]
    consistency: Sequence[bytes]


def make_update(held: bytes, new: bytes, consistency: Sequence[bytes]) -> bytes:
    """The update from one pack to another, with the proof between their checkpoints."""
    parts = [part if isinstance(part, bytes) else list(part) for part in make_delta(held, new)]
    return cbor_encode(
        {
            _TYP: UPDATE_TYP,
            _VERSION: VERSION,
            _BASE: sha256(held).digest(),
            _RESULT: sha256(new).digest(),
            _PARTS: parts,
            _CONSISTENCY: list(consistency),
        }
    )


def parse_update(data: bytes) -> PackUpdate:
    """Strict parse; raises `pack-update-malformed`, `pack-cut-short`, or a codec's code."""
    try:
        body = cbor_decode(data, max_bytes=MAX_PACK, max_items=MAX_ITEMS)
    except Refused as error:
        raise (Refused("pack-cut-short") if is_cut_short(error) else error) from error
    if not isinstance(body, dict) or body.keys() != set(range(_CONSISTENCY + 1)):
        raise Refused("pack-update-malformed", "members")
    if body[_TYP] != UPDATE_TYP or type(body[_VERSION]) is not int or body[_VERSION] != VERSION:
        raise Refused("pack-update-malformed", "version")
    parts, consistency = body[_PARTS], body[_CONSISTENCY]
    if not _is_hash(body[_BASE]) or not _is_hash(body[_RESULT]):
        raise Refused("pack-update-malformed", "hashes")
    if not isinstance(parts, list) or not isinstance(consistency, list):
        raise Refused("pack-update-malformed", "lists")
    if len(consistency) > 2 * 64 or not all(map(_is_hash, consistency)):
        raise Refused("pack-update-malformed", "consistency proof")
    return PackUpdate(body[_BASE], body[_RESULT], [_part(item) for item in parts], consistency)


def apply_update(held: bytes, update: PackUpdate) -> bytes:
    """The next pack, of which only the hash is checked: the caller reads it (`verifier.pack`).

    Raises `Refused`: pack-update-other-base, pack-update-malformed, pack-update-damaged,
    too-large.
    """
    if sha256(held).digest() != update.base:
        raise Refused("pack-update-other-base", update.base.hex())
    new = apply_delta(held, update.parts, max_bytes=MAX_PACK)
    if sha256(new).digest() != update.result:
        raise Refused("pack-update-damaged", update.result.hex())
    return new


def check_successor(held: Pack, new: Pack, consistency: Sequence[bytes] | None) -> None:
    """Refuses a pack that may not take the place of the one held; the rules are above.

    `consistency` proves the new checkpoint an extension of the one held; a ledger that did not
    grow needs none. Both packs were checked (`verifier.pack.read_pack`).
    """
    if new.trust.log_key != held.trust.log_key:  # 1
        raise Refused("pack-other-ledger", new.trust.origin)
    old, grown = held.checkpoint, new.checkpoint
    if grown.size < old.size:  # 2
        raise Refused("pack-older", f"{grown.size} < {old.size}")
    if new.trust.made_at < held.trust.made_at:
        raise Refused("pack-older", f"{new.trust.made_at} < {held.trust.made_at}")
    proof = () if grown.size == old.size else consistency
    if proof is None:  # 3
        how = f"/v1/log/consistency?old={old.size}&new={grown.size}"
        raise Refused("pack-consistency-missing", how)
    try:
        check_consistency(
            size1=old.size, size2=grown.size, root1=old.root, root2=grown.root, proof=proof
        )
    except Refused as error:
        raise Refused("pack-inconsistent", f"{old.size} → {grown.size}: {error.code}") from error
    for index, leaf in held.leaves.items():  # 4
        if new.leaves.get(index) != leaf:
            raise Refused("pack-inconsistent", f"entry {index} is left out")


def _part(item: Any) -> Part:
    if type(item) is bytes:
        return item
    if not isinstance(item, list) or list(map(type, item)) != [int, int]:
        raise Refused("pack-update-malformed", "part")
    return item[0], item[1]


def _is_hash(value: object) -> bool:
    return type(value) is bytes and len(value) == HASH_SIZE
