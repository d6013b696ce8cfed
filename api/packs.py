"""Making trust packs, the signed status lists inside them, and updates from one to the next."""

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from sqlalchemy import select

from api.city import City
from api.errors import ServiceError
from api.pack_shelf import PackShelf
from api.roll import Standing
from api.rules.days import iso_time
from api.signed_lists import signed_list
from api.tables import LICENCES, STATUS_COUNTERS
from verifier.authorities import OPERATOR, Authorities, EnrolledKey
from verifier.checkpoint import open_checkpoint
from verifier.errors import Refused
from verifier.pack import (
    Enrolment,
    PackContent,
    check_status_signer,
    checkpoint_in,
    read_pack,
    sign_pack,
)
from verifier.pack_update import make_update
from verifier.statement import parse_statement
from verifier.states import UNASSIGNED
from verifier.status import MAX_ENTRIES, pack_states, parse_status_token, sign_status_token
from verifier.terminal import write_whole
from verifier.tiles import TileTree

_FRESH: Final = 60
"""Seconds for which an unchanged city's pack is handed out again."""
_TRIES: Final = 3
_UPDATES: Final = 64
"""Updates kept in memory: counters that synced together ask for the same."""
_log = logging.getLogger("zhenglian.packs")


def make_pack(city: City) -> bytes:
    """A trust pack as of now, which every counter that has the log's key can open.

    A change of authority between the parts of a pack may make it one that counters refuse: then
    it is made again. Raises the `Refused` of the last try.
    """
    for left in reversed(range(_TRIES)):
        pack = _make(city)
        try:
            read_pack(pack, log_key=city.trust().log_key.text())
        except Refused:
            if not left:
                raise
        else:
            return pack
    raise AssertionError


def _make(city: City) -> bytes:
    now = city.now()
    # The lists of states are the departments' word and as of now; the register is that of the final
    # tree, which they may be ahead of while witnesses are waited for.
    tokens = [status_token(city, each) for each in status_lists(city)]
    note = city.ledger.checkpoint()
    size = open_checkpoint(note, city.trust().log_key).size
    standing = _standing_below(city, size)
    content = PackContent(
        made_at=now,
        use_until=now + city.settings.pack_hours * 3600,
        max_status_age=city.settings.status_age_hours * 3600,
        checkpoint=note,
        enrolments=[Enrolment(index, raw) for index, raw in standing.enrolled.items()],
        hashes=TileTree(size, city.ledger.tile).multiproof(list(standing.enrolled)),
        statuses=[token for token in tokens if _is_good(token, standing.authorities)],
        types=city.type_names.values(),
        signed_lists=_signed_lists(city, standing.authorities),
    )
    return sign_pack(content, city.signer(OPERATOR))


def policy_text(city: City) -> str:
    """The witness policy in force (C2SP tlog-policy): the log, and who must cosign.

    One log's signature is enough for C2SP, so the log's other key stands in a comment; who holds
    the genesis asks for both.
    """
    authorities = city.authorities
    lines = [f"log {city.trust().log_key.text()}"]
    if authorities.log_pq_key is not None:
        lines.append(f"# signed by this key too: {authorities.log_pq_key.text()}")
    logged = authorities.policy_at(authorities.last.index + 1)
    if logged is None:
        return "\n".join([*lines, "quorum none", ""])
    lines.append(f"# entry {logged.told.index} of the ledger, {iso_time(logged.told.at)}")
    if logged.override:
        lines.append(f"# OVERRIDE: {logged.override}")
    return "\n".join([*lines, logged.policy.text()])


def packs_folder(city: City) -> Path:
    """Where packs handed out and lists of compromised keys are kept; it may be lost."""
    return city.settings.data / "packs"


def make_shelf(city: City) -> PackShelf:
    """The packs that this city handed out."""
    return PackShelf(packs_folder(city), seconds=city.settings.pack_hours * 3600)


def update_from(city: City, held: bytes, new: bytes) -> bytes:
    """The update from one pack of this city to another, later one; `pack-older` unless it is."""
    old, size = (checkpoint_in(pack).size for pack in (held, new))
    if size < old:
        raise Refused("pack-older", f"{size} < {old}")
    return make_update(held, new, city.ledger.consistency_proof(old, size))


class PackCache:
    """The pack of the present tree, made at most once a minute while nothing changes."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._shelf = make_shelf(city)
        self._lock = threading.Lock()
        self._made: tuple[tuple[int, int, int], bytes] | None = None
        self._updates: OrderedDict[tuple[bytes, bytes], bytes] = OrderedDict()

    def get(self) -> bytes:
        """A pack of the final tree that knows every state so far, and is at most a minute old."""
        key = (self._city.ledger.size, self._city.ledger.final_size, self._city.now() // _FRESH)
        with self._lock:
            if self._made is None or self._made[0] != key:
                pack = make_pack(self._city)
                self._shelf.put(pack, self._city.now())
                self._made = (key, pack)
            return self._made[1]

    def update(self, held: bytes) -> bytes:
        """The update from the pack of this SHA-256 to the newest; `pack-unknown`."""
        base = self._shelf.get(held)
        if base is None:
            raise ServiceError("pack-unknown", held.hex())
        new = self.get()
        name = (held, sha256(new).digest())
        found = self._updates.get(name)
        if found is None:
            found = update_from(self._city, base, new)
            self._updates[name] = found
            while len(self._updates) > _UPDATES:
                self._updates.popitem(last=False)
        return found


@dataclass(frozen=True, slots=True)
class StatusList:
    """A status list in use; `key` is the enrolled key that signs it."""

    department: str
    number: int
    used: int
    key: EnrolledKey


def status_lists(city: City) -> list[StatusList]:
    """Every status list in use that a key held here may sign."""
    with city.store.read() as reader:
        rows = reader.connection.execute(
            select(STATUS_COUNTERS.c.department, STATUS_COUNTERS.c.used)
        ).all()
    lists = []
    for row in rows:
        try:
            key = city.choose(row.department).key
        except (ServiceError, Refused):
            continue  # another server signs this department's lists, or nobody may
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


def _standing_below(city: City, size: int) -> Standing:
    """The standing after the statements that a tree of this size holds."""
    standing = city.roll.current()
    if standing.newest < size:
        return standing
    enrolled = {index: raw for index, raw in standing.enrolled.items() if index < size}
    authorities = Authorities(deferred=True)  # each was checked when it was logged
    for index, raw in enrolled.items():
        authorities.enrol(parse_statement(raw), index)
    return Standing(max(enrolled), enrolled, authorities)


def _is_good(token: bytes, authorities: Authorities) -> bool:
    """Whether a counter takes this list; one whose key was enrolled a moment ago, beyond the
    checkpoint, or has just lost its power, comes with the next pack."""
    try:
        check_status_signer(parse_status_token(token), authorities)
    except Refused:
        return False
    return True


def _signed_lists(city: City, authorities: Authorities) -> dict[bytes, bytes]:
    """What each compromised key had signed before, as the ledger names it; read from the ledger
    once, then from a file."""
    lists = {}
    for key in authorities.keys.values():
        if key.compromise is None:
            continue
        path = packs_folder(city) / f"{key.compromise.signed.hex()}.zllist"
        data = path.read_bytes() if path.exists() else b""
        if sha256(data).digest() != key.compromise.signed:
            data = signed_list(city, key, key.compromise.before).data
            if sha256(data).digest() != key.compromise.signed:
                _log.error("the list named for key %s is not what the ledger holds", key.kid.hex())
                continue  # without it, compact codes of this key are red
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)
        lists[key.kid] = data
    return lists
