"""What a compromised key had signed: scanned from the ledger for the statement that says so."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import select

from api.city import City
from api.errors import ServiceError
from ledger.stores.sql import ENTRIES
from verifier.authorities import EnrolledKey
from verifier.cose import parse_sign1
from verifier.errors import Refused
from verifier.merkle import leaf_hash
from verifier.signedlist import SignedList, make_signed_list
from verifier.statement import MAX_STATEMENT, TYP

_BATCH: Final = 4_096


def compromise_facts(city: City, kid: bytes, since: int) -> dict[str, Any]:
    """The facts of KEY_CHANGED `compromise` for a key that others had from `since` (Unix time).

    `before` is the first entry logged at or after that time. Raises `Refused` key-not-enrolled.
    """
    key = city.authorities.keys.get(kid)
    if key is None:
        raise Refused("key-not-enrolled", kid.hex())
    before = first_entry_at(city, since)
    listed = signed_list(city, key, before)
    return {
        "key": kid,
        "act": "compromise",
        "since": since,
        "before": before,
        "count": listed.count,
        "signed": listed.digest,
    }


def first_entry_at(city: City, since: int) -> int:
    """Index of the first entry logged at or after a Unix time; the ledger's size where none is."""
    query = select(ENTRIES.c.idx).where(ENTRIES.c.time_ms >= since * 1000)
    with city.store.read() as reader:
        first: int | None = reader.connection.execute(
            query.order_by(ENTRIES.c.idx).limit(1)
        ).scalar()
        return reader.head().size if first is None else first


def signed_list(city: City, key: EnrolledKey, before: int) -> SignedList:
    """The entries below index `before` that a key signed. Reads them all, in batches."""
    return make_signed_list(leaf_hash(entry) for entry in _signed_by(city, key, before))


def check_signed_list(city: City, key: EnrolledKey, facts: Mapping[str, Any]) -> None:
    """The list that a compromise names is what the ledger holds; else `change-list-differs`."""
    listed = signed_list(city, key, facts["before"])
    if (listed.count, listed.digest) != (facts["count"], facts["signed"]):
        raise ServiceError("change-list-differs", f"{facts['count']}, {listed.count}")


def _signed_by(city: City, key: EnrolledKey, before: int) -> Iterator[bytes]:
    start = max(0, key.index + 1)
    while start < before:
        count = min(_BATCH, before - start)
        with city.store.read() as reader:
            entries = reader.entries(start, count)
        if not entries:
            return
        for entry in entries:
            if key.kid in entry and _kid(entry) == key.kid:
                yield entry
        start += len(entries)


def _kid(entry: bytes) -> bytes | None:
    try:
        return parse_sign1(entry, typ=TYP, max_bytes=MAX_STATEMENT).kid
    except Refused:
        return None
