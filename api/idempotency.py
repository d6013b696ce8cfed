"""Idempotency keys: a repeated write gets the answer of the first, and is not done again.

The answer is stored in the transaction of the write itself, so there is no moment at which the
one is durable and the other is not.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from api.city import City
from api.errors import ServiceError
from api.tables import IDEMPOTENCY
from verifier.codec import cbor_encode

_KEY = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)


class AnsweredMeanwhile(Exception):
    """Another request with the same key was answered first; this one left nothing."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The place for the answer to one keyed request."""

    client: str
    key: str
    request_hash: bytes
    at: int

    def remember(self, connection: Connection, answer: Mapping[str, Any]) -> None:
        """Stores the answer inside the write's transaction."""
        row = {
            "client": self.client,
            "key": self.key,
            "request_hash": self.request_hash,
            "answer": json.dumps(answer, ensure_ascii=False),
            "at": self.at,
        }
        try:
            connection.execute(insert(IDEMPOTENCY), row)
        except IntegrityError as error:
            raise AnsweredMeanwhile from error


def once(
    city: City,
    client: str,
    key: str | None,
    request: object,
    write: Callable[[Slot | None], Mapping[str, Any]],
) -> tuple[Mapping[str, Any], bool]:
    """(answer, whether it is a repetition). `write` must call `Slot.remember` in its transaction.

    `request` is what must be the same when the key is the same: plain values without floats.
    Raises `idempotency-key-invalid`, `idempotency-key-reused`, and what `write` raises.
    """
    if key is None:
        return write(None), False
    if not _KEY.fullmatch(key):
        raise ServiceError("idempotency-key-invalid")
    digest = sha256(cbor_encode(request)).digest()
    slot = Slot(client, key, digest, city.now())
    earlier = _find(city, slot)
    if earlier is None:
        try:
            return write(slot), False
        except (AnsweredMeanwhile, ServiceError):
            # The same request may have been answered between the look-up and the write.
            earlier = _find(city, slot)
            if earlier is None:
                raise
    return earlier, True


def _find(city: City, slot: Slot) -> Mapping[str, Any] | None:
    query = select(IDEMPOTENCY.c.request_hash, IDEMPOTENCY.c.answer).where(
        IDEMPOTENCY.c.client == slot.client, IDEMPOTENCY.c.key == slot.key
    )
    with city.store.read() as reader:
        row = reader.connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.request_hash != slot.request_hash:
        raise ServiceError("idempotency-key-reused", slot.key)
    answer: Mapping[str, Any] = json.loads(row.answer)
    return answer
