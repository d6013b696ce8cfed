"""Making trust packs and the signed status lists inside them."""

import threading
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from api.city import City
from api.errors import ServiceError
from api.tables import LICENCES, STATUS_COUNTERS
from verifier.authorities import OPERATOR, EnrolledKey
from verifier.checkpoint import open_checkpoint
from verifier.pack import Enrolment, PackContent, sign_pack
from verifier.states import UNASSIGNED
from verifier.status import MAX_ENTRIES, pack_states, sign_status_token
from verifier.tiles import TileTree

_FRESH: Final = 60
"""Seconds for which an unchanged city's pack is handed out again."""


def make_pack(city: City) -> bytes:
    """A trust pack as of now: enrolments with proofs, signed states, type names."""
    now = city.now()
    # States before the checkpoint: what the lists say is then never newer than the tree.
    tokens = [(each, status_token(city, each)) for each in status_lists(city)]
    note = city.ledger.checkpoint()
    size = open_checkpoint(note, city.trust().log_key).size
    tree = TileTree(size, city.ledger.tile)
    enrolled = sorted(item for item in city.enrolled.items() if item[0] < size)
    # A list whose key was enrolled a moment ago, beyond this checkpoint, comes with the next pack.
    statuses = [token for each, token in tokens if each.key.index < size]
    content = PackContent(
        made_at=now,
        use_until=now + city.settings.pack_hours * 3600,
        max_status_age=city.settings.status_age_hours * 3600,
        policy="",
        checkpoint=note,
        enrolments=[Enrolment(index, statement) for index, statement in enrolled],
        hashes=tree.multiproof([index for index, _ in enrolled]),
        statuses=statuses,
        types=city.type_names.values(),
    )
    return sign_pack(content, city.signer(OPERATOR))


class PackCache:
    """The pack of the present tree, made at most once a minute while nothing changes."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._lock = threading.Lock()
        self._made: tuple[tuple[int, int], bytes] | None = None

    def get(self) -> bytes:
        """A pack that knows every act published so far, and is at most a minute old."""
        key = (self._city.ledger.size, self._city.now() // _FRESH)
        with self._lock:
            if self._made is None or self._made[0] != key:
                self._made = (key, make_pack(self._city))
            return self._made[1]


@dataclass(frozen=True, slots=True)
class StatusList:
    """A status list in use; `key` is the enrolled key that signs it."""

    department: str
    number: int
    used: int
    key: EnrolledKey


def status_lists(city: City) -> list[StatusList]:
    """Every status list in use whose department's key is here."""
    with city.store.read() as reader:
        rows = reader.connection.execute(
            select(STATUS_COUNTERS.c.department, STATUS_COUNTERS.c.used)
        ).all()
    lists = []
    for row in rows:
        try:
            key = city.authorities.keys[city.signer(row.department).kid]
        except ServiceError:
            continue  # another server signs this department's lists
        for number in range((row.used + MAX_ENTRIES - 1) // MAX_ENTRIES):
            used = min(row.used - number * MAX_ENTRIES, MAX_ENTRIES)
            lists.append(StatusList(row.department, number, used, key))
    return lists


def status_token(city: City, wanted: StatusList) -> bytes:
    """One signed status list of a department, as of now; what no licence has is `UNASSIGNED`."""
    now, department = city.now(), wanted.department
    states = bytearray([UNASSIGNED]) * wanted.used
    with city.store.read() as reader:
        issued = reader.connection.execute(
            select(LICENCES.c.status_index, LICENCES.c.state)
            .where(LICENCES.c.department == department, LICENCES.c.status_list == wanted.number)
            .where(LICENCES.c.status_index < wanted.used)
        )
        for index, state in issued:
            states[index] = state
    return sign_status_token(
        pack_states(states),
        issuer=city.issuer(department),
        list_number=wanted.number,
        issued_at=now,
        expires_at=now + city.settings.pack_hours * 3600,
        ttl=3600,
        signer=city.signer(department),
    )
