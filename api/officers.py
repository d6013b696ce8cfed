"""Officers: who proposes and approves changes of authority, each with a key of its own.

An officer goes by a duty name, never a person's. The key lies in the officer's own custody, not
the server's; the server is handed a *card*, which says who the officer is and proves that the key
is in hand. A card is one JSON object:

    {"format": "zhenglian-officer-1", "origin": …, "id": …, "of": …, "key": …, "pop": …}

`key` is the COSE_Key and `pop` the proof of possession, both in base64.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from api.errors import ServiceError
from keys.errors import KeysError
from keys.names import cose_key_bytes, parse_cose_key
from keys.signer import Signer
from verifier.authorities import proof_of_possession_message
from verifier.codec import b64decode, b64encode
from verifier.errors import Refused

FORMAT = "zhenglian-officer-1"
MAX_CARD = 32_768
_NAME = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Card:
    """Who an officer of `origin`'s ledger is: duty name, department or `operator`, COSE_Key and
    proof of possession. Not checked; see `check_card`."""

    origin: str
    id: str
    of: str
    key: bytes
    pop: bytes

    def facts(self) -> list[Any]:
        """As a genesis or the enrolment of a department names its officers."""
        return [self.id, self.key, self.pop]

    def text(self) -> str:
        fields = {
            "format": FORMAT,
            "origin": self.origin,
            "id": self.id,
            "of": self.of,
            "key": b64encode(self.key),
            "pop": b64encode(self.pop),
        }
        return json.dumps(fields, indent=1) + "\n"


def make_card(signer: Signer, *, id: str, of: str, origin: str) -> Card:
    """The card of an officer whose key `signer` is. Raises `officer-name-invalid`."""
    check_names(id, of)
    key = cose_key_bytes(signer.suite, signer.public)
    pop = signer.sign(proof_of_possession_message(origin, f"officer/{id}", key))
    return Card(origin, id, of, key, pop)


def check_names(*names: str) -> None:
    """Duty names and slugs; raises `officer-name-invalid`."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise ServiceError("officer-name-invalid", name[:40])


def read_card(text: str) -> Card:
    """Strict inverse of `Card.text`; raises `officer-card-malformed`."""
    try:
        if len(text) > MAX_CARD:
            raise ValueError("too long")
        fields = json.loads(text)
        if fields.pop("format") != FORMAT:
            raise ValueError("another format")
        key, pop = (b64decode(fields.pop(name), max_bytes=MAX_CARD) for name in ("key", "pop"))
        card = Card(**fields, key=key, pop=pop)
        if not all(type(each) is str for each in (card.origin, card.id, card.of)):
            raise ValueError("not text")
    except (ValueError, TypeError, KeyError, AttributeError, Refused) as error:
        raise ServiceError("officer-card-malformed") from error
    return card


def check_card(card: Card, origin: str, of: str | None = None) -> None:
    """The card is for this ledger, of this department, and its officer holds the key.

    Raises `ServiceError` officer-card-foreign, officer-name-invalid; `Refused`
    enrolment-no-possession.
    """
    if card.origin != origin or (of is not None and card.of != of):
        raise ServiceError("officer-card-foreign", f"{card.origin}: {card.id} ({card.of})"[:120])
    check_names(card.id)
    try:
        suite, public = parse_cose_key(card.key)
        message = proof_of_possession_message(origin, f"officer/{card.id}", card.key)
        suite.verify(public, message, card.pop)
    except KeysError as error:
        raise Refused("enrolment-no-possession", card.id) from error
