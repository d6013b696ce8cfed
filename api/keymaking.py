"""Making keys in this server's custody, to be enrolled by two officers afterwards."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from api.change_facts import Facts
from api.city import City
from api.errors import ServiceError
from api.signers import custody_prefix
from keys.custody import FileCustody, KeyEntry
from keys.errors import KeysError
from keys.names import cose_key_bytes
from keys.names import kid as key_id
from keys.signer import Signer, SoftwareSigner
from keys.suites import BY_NAME, suite_named
from verifier.authorities import proof_of_possession_message
from verifier.errors import Refused


class MadeKey(NamedTuple):
    """A key in custody: its name there, and what a proposal needs to enrol it."""

    name: str
    suite: str
    kid: bytes
    key: bytes
    pop: bytes


class KeyToMake(NamedTuple):
    """What a proposal says of a key that is not made yet: `facts` of its COSE_Key and proof."""

    department: str
    suite: str
    facts: Callable[[bytes, bytes], Facts]


def make_key(city: City, department: str, suite: str) -> MadeKey:
    """A key of this suite for a department, or for `operator`, with proof of possession.

    One that was made before and never enrolled, as when a proposal lapsed or a process died, is
    given again. Raises `Refused` enrolment-unknown-department, department-ended; `KeysError`
    key-unknown-suite.
    """
    suite = suite_named(suite).name
    known = city.authorities.departments.get(city.issuer(department))
    if known is None:
        raise Refused("enrolment-unknown-department", department[:40])
    if known.ended is not None:
        raise Refused("department-ended", department)
    spare = _spare(city, department, suite)
    if spare is not None:
        return _proven(city, department, spare)
    prefix = custody_prefix(department)
    taken, number = {entry.name for entry in city.custody.list()}, 1
    while (name := prefix if number == 1 else f"{prefix}.{number}") in taken:
        number += 1
    return _proven(city, department, city.custody.create(name, suite))


@contextmanager
def key_for(city: City, wanted: KeyToMake, check: Callable[[Facts], object]) -> Iterator[Facts]:
    """The facts of a key that is made for a proposal, or was before and is spare.

    Nothing is left behind of a proposal that is refused: `check` is first asked about a key that
    nobody keeps; and where the body is refused, a key that was made for it, in files, is removed.
    A token or a signer process removes none: the next proposal takes its key. Raises as `make_key`
    and `check`.
    """
    department, suite = wanted.department, suite_named(wanted.suite)
    before = {entry.name for entry in city.custody.list()}
    if _spare(city, department, suite.name) is None:
        check(wanted.facts(*_offer(city, department, SoftwareSigner(suite, suite.generate()))))
    made = make_key(city, department, suite.name)
    try:
        yield wanted.facts(made.key, made.pop)
    except (Refused, ServiceError, KeysError):
        files = getattr(city.custody, "newest", city.custody)
        if made.name not in before and isinstance(files, FileCustody):
            files.remove(made.name, made.kid)
            city.signers.look()
        raise


def spare_keys(city: City) -> list[KeyEntry]:
    """Keys of departments and of the operator that are in custody and not enrolled."""
    names = city.signers.look()
    enrolled = {names[kid] for kid in city.authorities.keys if kid in names}
    spare = set(names.values()) - enrolled
    return [entry for entry in city.custody.list() if entry.name in spare]


def _spare(city: City, department: str, suite: str) -> KeyEntry | None:
    prefix = custody_prefix(department)
    for spare in spare_keys(city):
        if spare.name.partition(".")[0] == prefix and spare.suite == suite:
            return spare
    return None


def _proven(city: City, department: str, entry: KeyEntry) -> MadeKey:
    kid = key_id(BY_NAME[entry.suite], entry.public)
    signer = city.signers.open(kid)
    if signer is None:
        raise KeysError("key-not-found", entry.name)
    return MadeKey(entry.name, entry.suite, kid, *_offer(city, department, signer))


def _offer(city: City, department: str, signer: Signer) -> tuple[bytes, bytes]:
    """(COSE_Key, proof of possession)."""
    cose_key = cose_key_bytes(signer.suite, signer.public)
    message = proof_of_possession_message(city.origin, department, cose_key)
    return cose_key, signer.sign(message)
