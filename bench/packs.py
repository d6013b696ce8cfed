"""Trust packs: how large, how large an hour's update, how long to load, in how much memory.

A city of 100 departments, each with its officer and a key, enrolled by statements that two
officers decided; where it says "two keys each", a second key came later, at a random place of a
ledger of as many entries as there are licences. 1 % of the licences are revoked, at random places.
The hashes of a proof stand for ranges of entries that nobody has to make: the checkpoint is signed
over the root they give.
"""

import random
import time
import tracemalloc
from hashlib import sha256
from typing import Any

import nacl.bindings as sodium

from tests.city import ISSUED_AT, NOW, SYNCED_AT, TYPES, USE_UNTIL, City, signer
from verifier.checkpoint import Checkpoint, sign_checkpoint
from verifier.multiproof import multiproof_ranges, root_from_multiproof
from verifier.pack import Enrolment, PackContent, open_pack, sign_pack
from verifier.pack_update import make_update
from verifier.statement import parse_statement
from verifier.states import REVOKED, UNASSIGNED, VALID
from verifier.status import StatusBook, pack_states, sign_status_token

DEPARTMENTS = 100
BLOCK = 1_000
"""Places of a status list that are reserved together."""
VERIFICATIONS = 485
"""Bare Ed25519 verifications that take 50 ms where one takes 103 µs."""
HOUR_ISSUED, HOUR_CHANGED, HOUR_KEYS = 1_000, 50, 2
ROUNDS = 15
Row = dict[str, Any]


class Town:
    """The city, its statements of authority by ledger index, and the states of its licences."""

    def __init__(self, licences: int, keys: int) -> None:
        self.random = random.Random(licences)
        self.city = City(quorum=None)
        self.slugs = [f"d{number:03}" for number in range(DEPARTMENTS)]
        for slug in self.slugs:
            self.city.add_department(slug, f"第{slug}局", f"Department {slug}", [slug])
        self.size = licences
        first = list(enumerate(self.city.entries))
        self.statements = dict(first)
        if keys == 2:
            places = sorted(self.random.sample(range(len(first), licences), DEPARTMENTS))
            for number, (slug, place) in enumerate(zip(self.slugs, places, strict=True)):
                self.statements[place] = self._key(slug, number)
        each = licences // DEPARTMENTS
        self.states = {slug: self._states(each) for slug in self.slugs}

    def _key(self, slug: str, number: int) -> bytes:
        """A new key of a department, an hour after the one before."""
        content = self.city.key_content(slug, signer(f"key {number} of {slug}"), [slug])
        return self.city.enrol(content, issued_at=ISSUED_AT - 80_000 + number)

    def _states(self, count: int) -> bytearray:
        states = bytearray([VALID]) * count
        for place in self.random.sample(range(count), count // 100):
            states[place] = REVOKED
        return states

    def live_an_hour(self) -> None:
        for number in range(HOUR_ISSUED):
            self.states[self.slugs[number % DEPARTMENTS]].append(VALID)
        for _ in range(HOUR_CHANGED):
            states = self.states[self.random.choice(self.slugs)]
            states[self.random.randrange(len(states))] = REVOKED
        for number in range(HOUR_KEYS):
            self.statements[self.size + number] = self._key(self.slugs[number], 200 + number)
        self.size += HOUR_ISSUED + HOUR_CHANGED + HOUR_KEYS

    def pack(self, made_at: int = SYNCED_AT) -> bytes:
        indices = sorted(self.statements)
        ranges = multiproof_ranges(indices, self.size)
        hashes = b"".join(sha256(f"{low}-{high}".encode()).digest() for low, high in ranges)
        leaves = [(index, parse_statement(self.statements[index]).leaf) for index in indices]
        root = root_from_multiproof(leaves, self.size, hashes)
        content = PackContent(
            made_at=made_at,
            use_until=USE_UNTIL,
            max_status_age=72 * 3600,
            checkpoint=sign_checkpoint(
                Checkpoint(self.city.origin, self.size, root),
                [self.city.log, self.city.log_pq],
                made_at,
            ),
            enrolments=[Enrolment(index, self.statements[index]) for index in indices],
            hashes=hashes,
            statuses=[self._token(slug, made_at) for slug in self.slugs],
            types=TYPES.values(),
        )
        return sign_pack(content, self.city.operator)

    def _token(self, slug: str, made_at: int) -> bytes:
        states = self.states[slug]
        padded = states + bytes([UNASSIGNED]) * (-len(states) % BLOCK)
        return sign_status_token(
            pack_states(padded),
            issuer=f"{self.city.origin}/{slug}",
            list_number=0,
            issued_at=made_at,
            expires_at=made_at + 72 * 3600,
            ttl=3600,
            signer=self.city.departments[slug],
        )


def bench() -> list[Row]:
    rows: list[Row] = []
    for licences, keys in ((1_000_000, 1), (10_000_000, 1), (10_000_000, 2)):
        town = Town(licences, keys)
        held = town.pack()
        each = "a key" if keys == 1 else "two keys"
        name = f"{DEPARTMENTS} departments, {each} each, {licences:,} licences"
        statements = sum(map(len, town.statements.values()))
        rows += [
            _row(f"trust pack: {name}", len(held), "B"),
            _row(f"  of which {len(town.statements)} statements of authority", statements, "B"),
            _row("  of which status lists", _lists(held), "B"),
            *_loading(held, bounded=keys == 1),
            _memory(held, licences),
        ]
        town.live_an_hour()
        new = town.pack(SYNCED_AT + 3_600)
        begun = time.process_time()
        update = make_update(held, new, [bytes(32)] * 24)
        took = time.process_time() - begun
        rows += [
            _row("  update after an hour, of the new pack", len(update), "B", raw=len(new)),
            _row("  processor time to make it", took * 1_000, "ms"),
        ]
    return rows


def _loading(pack: bytes, *, bounded: bool) -> list[Row]:
    """Milliseconds of the processor to load, beside bare verifications of a signature."""
    message = bytes(300)
    public, secret = sodium.crypto_sign_keypair()
    signed = sodium.crypto_sign(message, secret)
    ours, raw = [], []
    for _ in range(ROUNDS):
        begun = time.process_time()
        open_pack(pack)
        loaded = time.process_time()
        for _ in range(VERIFICATIONS):
            sodium.crypto_sign_open(signed, public)
        raw.append(time.process_time() - loaded)
        ours.append(loaded - begun)
    begun = time.process_time()
    open_pack(pack, thorough=True)
    thorough = time.process_time() - begun
    value, bare = min(ours) * 1_000, min(raw) * 1_000
    bound = f"< 50 ms, or ≤ {VERIFICATIONS} verifications" if bounded else None
    holds = value < 50 or value <= bare if bounded else None
    return [
        _row("  loading it", value, "ms", raw=bare, bound=bound, holds=holds),
        _row("  with every check at once", thorough * 1_000, "ms", raw=bare),
    ]


def _memory(pack: bytes, licences: int) -> Row:
    """The peak while loading, beside the size of all states as a list keeps them."""
    tracemalloc.start()
    trust = open_pack(pack)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    if trust.authorities.departments == {} or trust.made_at > NOW:
        raise RuntimeError("the pack is empty, so its size means nothing")
    return _row("  peak memory of loading, of all states", peak, "B", raw=licences // 2)


def _lists(pack: bytes) -> int:
    statuses = open_pack(pack).statuses
    assert isinstance(statuses, StatusBook)
    return sum(len(token.raw) for token in statuses.tokens())


def _row(
    name: str,
    value: float,
    unit: str,
    *,
    raw: float | None = None,
    bound: str | None = None,
    holds: bool | None = None,
) -> Row:
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "raw": raw,
        "ratio": None if raw is None else value / raw,
        "bound": bound,
        "holds": holds,
    }
