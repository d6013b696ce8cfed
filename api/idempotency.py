"""Idempotency keys: a repeated write gets the answer of the first, and is not done again.

The answer is stored in the transaction of the write itself, so there is no moment at which the
one is durable and the other is not. It is sealed like a record, and keys and requests are told
apart by keyed pseudonyms: all of it may be personal. `forget` removes the answers about a record.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from api.city import City
from api.errors import ServiceError
from api.tables import IDEMPOTENCY
from api.vault import Vault
from verifier.codec import cbor_encode

_KEY = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)


class AnsweredMeanwhile(Exception):
    """Another request with the same key was answered first; this one left nothing."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The place for the answer to one keyed request; `key` is a pseudonym of the caller's."""

    client: str
    key: str
    request_nym: bytes
    at: int
    vault: Vault = field(repr=False)

    @property
    def name(self) -> str:
        """What the sealed answer is bound to."""
        return f"answer\x00{self.client}\x00{self.key}"

    def remember(self, connection: Connection, answer: Mapping[str, Any]) -> None:
        """Stores the answer inside the write's transaction."""
        sealed = self.vault.seal(self.name, json.dumps(answer).encode())
        row = {
            "client": self.client,
            "key": self.key,
            "request_nym": self.request_nym,
            "records": " ".join(_records(answer)),
            "at": self.at,
            "wrapped_key": sealed.wrapped_key,
            "box": sealed.box,
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
    nym = city.vault.pseudonym("request", cbor_encode(request).hex())
    name = city.vault.pseudonym("idempotency-key", key).hex()
    slot = Slot(client, name, nym, city.now(), city.vault)
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


def forget(connection: Connection, record_id: str) -> None:
    """Removes every stored answer that names a record: its data are being erased."""
    named = IDEMPOTENCY.c.records.contains(record_id, autoescape=True)
    connection.execute(delete(IDEMPOTENCY).where(named))


def _find(city: City, slot: Slot) -> Mapping[str, Any] | None:
    columns = (IDEMPOTENCY.c.request_nym, IDEMPOTENCY.c.wrapped_key, IDEMPOTENCY.c.box)
    query = select(*columns).where(
        IDEMPOTENCY.c.client == slot.client, IDEMPOTENCY.c.key == slot.key
    )
    with city.store.read() as reader:
        row = reader.connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.request_nym != slot.request_nym:
        raise ServiceError("idempotency-key-reused")
    opened = city.vault.open(slot.name, row.wrapped_key, row.box)
    answer: Mapping[str, Any] = json.loads(opened)
    return answer


def _records(answer: object) -> Iterator[str]:
    """Ids of the records that an answer is about."""
    if isinstance(answer, Mapping):
        for name, value in answer.items():
            if name == "record_id":
                yield str(value)
            else:
                yield from _records(value)
    elif isinstance(answer, list):
        for each in answer:
            yield from _records(each)
