"""Making keys in this server's custody, to be enrolled by two officers afterwards."""

from typing import NamedTuple

from api.city import City
from api.signers import custody_prefix
from keys.custody import KeyEntry
from keys.errors import KeysError
from keys.names import cose_key_bytes
from keys.names import kid as key_id
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
    prefix = custody_prefix(department)
    for spare in spare_keys(city):
        if spare.name.partition(".")[0] == prefix and spare.suite == suite:
            return _proven(city, department, spare)
    taken, number = {entry.name for entry in city.custody.list()}, 1
    while (name := prefix if number == 1 else f"{prefix}.{number}") in taken:
        number += 1
    return _proven(city, department, city.custody.create(name, suite))


def spare_keys(city: City) -> list[KeyEntry]:
    """Keys of departments and of the operator that are in custody and not enrolled."""
    names = city.signers.look()
    enrolled = {names[kid] for kid in city.authorities.keys if kid in names}
    spare = set(names.values()) - enrolled
    return [entry for entry in city.custody.list() if entry.name in spare]


def _proven(city: City, department: str, entry: KeyEntry) -> MadeKey:
    suite = BY_NAME[entry.suite]
    kid, cose_key = key_id(suite, entry.public), cose_key_bytes(suite, entry.public)
    signer = city.signers.open(kid)
    if signer is None:
        raise KeysError("key-not-found", entry.name)
    message = proof_of_possession_message(city.origin, department, cose_key)
    return MadeKey(entry.name, entry.suite, kid, cose_key, signer.sign(message))
