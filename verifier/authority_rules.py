"""What each kind of change says, and what it does to the register: one rule a kind.

A rule reads the facts of an approved change against the register before it, refuses what does not
fit, and returns the effect. Nothing is altered before all checks of a statement have passed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Final, NamedTuple

from keys.errors import KeysError
from keys.names import KID_SIZE, parse_cose_key
from keys.suites.base import Suite
from verifier.authority_facts import Facts, count_of, is_text, only, slug_of, text, time_of
from verifier.chain import CertifiedKey
from verifier.errors import Refused
from verifier.evidence import Check, SignatureCheck
from verifier.keylife import OPERATOR, Compromise, EnrolledKey, Moment
from verifier.kinds import (
    CA,
    CA_WITHDRAWN,
    DEPARTMENT,
    DEPARTMENT_CHANGED,
    KEY,
    KEY_CHANGED,
    OFFICER,
    OFFICER_LEFT,
    WITNESSES,
)
from verifier.logged_policy import read_witnesses
from verifier.register import Anchor, Department, Officer, Register


class Effect(NamedTuple):
    """What a change would do. `concerns`: the slug whose officers decide it; `own`: whether one
    of the two must be of that very department; `checks`: of the keys and certificates it brings."""

    concerns: str
    apply: Callable[[Register], None]
    own: bool = False
    checks: Sequence[Check] = ()


class NewKey(NamedTuple):
    """A public key as a fact brings it, and the check that its private half is in hand."""

    suite: Suite
    public: bytes
    kid: bytes
    possession: SignatureCheck


def proof_of_possession_message(origin: str, name: str, cose_key: bytes) -> bytes:
    """What a new key signs to show that its private half is in hand.

    `name` is the department's slug, or `officer/` and the officer's duty name.
    """
    return f"zl-pop\n{origin}\n{name}\n".encode() + cose_key


def read_officers(register: Register, facts: Facts, of: str, index: int) -> "Officers":
    """The officers whom a genesis or the enrolment of a department brings."""
    listed = facts.get("officers")
    if type(listed) is not list or not 0 < len(listed) <= 64:
        raise Refused("enrolment-malformed", "officers")
    found: list[Officer] = []
    checks: list[SignatureCheck] = []
    for each in listed:
        if type(each) is not list or len(each) != 3:
            raise Refused("enrolment-malformed", "officers")
        parts = dict(zip(("id", "key", "pop"), each, strict=True))
        officer, check = _read_officer(register, parts, of, index)
        found.append(officer)
        checks.append(check)
    if len({each.id for each in found}) < len(found) or len({each.kid for each in found}) < len(
        found
    ):
        raise Refused("enrolment-repeated", "officers")
    return Officers(tuple(found), tuple(checks))


class Officers(NamedTuple):
    """Officers to enrol, and the checks that each holds its key."""

    found: tuple[Officer, ...]
    checks: tuple[SignatureCheck, ...]

    def apply(self, register: Register) -> None:
        for officer in self.found:
            register.officers[officer.id] = officer
            register.kids[officer.kid] = officer.id


def _read_officer(
    register: Register, facts: Facts, of: str, index: int
) -> tuple[Officer, SignatureCheck]:
    name = slug_of(facts, "id")
    if name in register.officers:
        raise Refused("enrolment-repeated", name)
    key = read_key(register, facts, f"officer/{name}")
    return Officer(name, of, key.suite, key.public, key.kid, (index,)), key.possession


def read_key(register: Register, facts: Facts, name: str) -> NewKey:
    """The key in `key`, possessed by `pop`; never one that is in the ledger already."""
    data, possession = facts.get("key"), facts.get("pop")
    if type(data) is not bytes:
        raise Refused("enrolment-malformed", "key")
    if type(possession) is not bytes:
        raise Refused("enrolment-no-possession", name)
    suite, public, key_id = read_public(data)
    if key_id in register.kids:
        raise Refused("enrolment-repeated", key_id.hex())
    message = proof_of_possession_message(register.origin, name, data)
    code = "enrolment-no-possession"
    check = SignatureCheck(suite, public, message, possession, code, name, new=True)
    return NewKey(suite, public, key_id, check)


def read_public(data: bytes) -> tuple[Suite, bytes, bytes]:
    """(suite, public key, key id) of a COSE_Key's bytes; that it is a proper key is for the check
    of possession to see."""
    try:
        suite, public = parse_cose_key(data, proper=False)
    except KeysError as error:
        raise Refused("enrolment-malformed", error.code) from error
    return suite, public, _kid_of(data)


def _department(register: Register, facts: Facts, at: Moment) -> Effect:
    only(facts, {"id", "zh", "en", "uscc", "officers"})
    slug = slug_of(facts, "id")
    issuer = register.issuer(slug)
    if issuer in register.departments:
        raise Refused("enrolment-repeated", issuer)
    names = text(facts, "zh"), text(facts, "en"), text(facts, "uscc")
    officers = read_officers(register, facts, slug, at.index)

    def apply(register: Register) -> None:
        register.departments[issuer] = Department(issuer, *names, acts=(at.index,))
        officers.apply(register)

    return Effect(OPERATOR, apply, checks=officers.checks)


def _key(register: Register, facts: Facts, at: Moment) -> Effect:
    known = {"dept", "key", "scope", "from", "until", "pop", "replaces", "overlap", "x5c"}
    only(facts, known)
    slug = text(facts, "dept")
    department = _active(register, slug)
    new = read_key(register, facts, slug)
    scope, start, end = facts.get("scope"), time_of(facts, "from"), None
    if type(scope) is not list or not all(map(is_text, scope)):
        raise Refused("enrolment-malformed", "scope")
    if "until" in facts and (end := time_of(facts, "until")) < start:
        raise Refused("enrolment-malformed", "until")
    replaced = _replaced(register, facts, department, start, at)
    chain = facts.get("x5c", [])
    if type(chain) is not list or not all(type(each) is bytes for each in chain):
        raise Refused("enrolment-malformed", "x5c")
    acts, certified = [*department.acts], None
    if "x5c" in facts:
        recognised = [each for each in register.anchors.values() if each.withdrawn is None]
        anchors = tuple(each.cert for each in recognised)
        certified = CertifiedKey(tuple(chain), anchors, new.suite, new.public, at.at)
        acts += [each.told.index for each in recognised]
    key = EnrolledKey(
        new.kid,
        department.issuer,
        new.suite,
        new.public,
        frozenset(scope),
        start,
        end,
        at.index,
        replaces=None if replaced is None else replaced.kid,
        certified=certified,
        acts=(*acts, at.index),
    )

    def apply(register: Register) -> None:
        register.keys[key.kid] = key
        register.kids[key.kid] = ""
        if replaced is not None:
            register.keys[replaced.kid] = replaced

    checks = (new.possession,) if certified is None else (new.possession, certified)
    return Effect(slug, apply, own=True, checks=checks)


def _replaced(
    register: Register, facts: Facts, department: Department, start: int, at: Moment
) -> EnrolledKey | None:
    """The key that a new one replaces, as it will be: it signs on until the overlap is over."""
    if ("replaces" in facts) != ("overlap" in facts):
        raise Refused("enrolment-malformed", "replaces and overlap go together")
    if "replaces" not in facts:
        return None
    old, overlap = _known_key(register, facts, "replaces"), time_of(facts, "overlap")
    if old.issuer != department.issuer:
        raise Refused("key-of-another", old.issuer)
    if old.replaced_by is not None or old.retired is not None or old.compromise is not None:
        raise Refused("key-change-impossible", "replaced, retired or compromised already")
    if overlap < start:
        raise Refused("enrolment-malformed", "the overlap ends before the new key begins")
    if overlap < at.at:  # what the old key signed since then counts, and goes on counting
        raise Refused("enrolment-malformed", "the overlap is over already")
    until = overlap if old.valid_until is None else min(old.valid_until, overlap)
    acts = (*old.acts, at.index)
    return replace(old, valid_until=until, replaced_by=_kid_of(facts["key"]), acts=acts)


def _key_changed(register: Register, facts: Facts, at: Moment) -> Effect:
    key, act = _known_key(register, facts, "key"), facts.get("act")
    compromise = {"since", "before", "count", "signed"} if act == "compromise" else set[str]()
    only(facts, {"key", "act"} | compromise)
    acts = (*key.acts, at.index)
    if act in ("suspend", "resume") and _usable(key) and key.is_suspended == (act == "resume"):
        changed = _toggled(key, at, acts)
    elif act == "retire" and _usable(key):
        changed = replace(key, retired=at, acts=acts)
    elif act == "compromise":
        changed = replace(key, compromise=_compromise(key, facts, at), acts=acts)
    elif act in ("suspend", "resume", "retire"):
        raise Refused("key-change-impossible", act)
    else:
        raise Refused("enrolment-malformed", "act")

    def apply(register: Register) -> None:
        register.keys[changed.kid] = changed

    slug = key.issuer.rpartition("/")[2]
    return Effect(register.acting(slug), apply, own=act == "resume")


def _usable(key: EnrolledKey) -> bool:
    return key.retired is None and key.compromise is None


def _toggled(key: EnrolledKey, at: Moment, acts: tuple[int, ...]) -> EnrolledKey:
    suspended, times = (*key.suspended, at.index), (*key.suspended_at, at.at)
    return replace(key, suspended=suspended, suspended_at=times, acts=acts)


def _compromise(key: EnrolledKey, facts: Facts, at: Moment) -> Compromise:
    """A compromise is told at its date or after. A second telling may only move it earlier, and its
    list only get shorter: what did not count never counts again."""
    since, before = time_of(facts, "since"), count_of(facts, "before")
    count, signed = count_of(facts, "count"), facts.get("signed")
    if type(signed) is not bytes or len(signed) != sha256().digest_size:
        raise Refused("enrolment-malformed", "signed")
    if since > at.at or before > at.index or count > before:
        raise Refused("enrolment-malformed", "since, before or count")
    old = key.compromise
    if old is not None and (since > old.since or before > old.before):
        raise Refused("key-change-impossible", "a compromise is never moved to a later date")
    if old is not None and count > old.count:
        raise Refused("key-change-impossible", "no more may count than did before")
    if old is not None and before == old.before and (count, signed) != (old.count, old.signed):
        raise Refused("key-change-impossible", "another list of the same entries")
    return Compromise(since, before, at, count, signed)


def _department_changed(register: Register, facts: Facts, at: Moment) -> Effect:
    act, slug = facts.get("act"), text(facts, "id")
    department = _active(register, slug)
    acts = (*department.acts, at.index)
    if act == "rename":
        only(facts, {"id", "act", "zh", "en"})
        former = (*department.former, (at.at, department.zh, department.en))
        zh, en = text(facts, "zh"), text(facts, "en")
        changed = replace(department, zh=zh, en=en, former=former, acts=acts)
    elif slug == OPERATOR:
        raise Refused("enrolment-malformed", "the operator cannot end")
    elif act == "merge":
        only(facts, {"id", "act", "into"})
        into = _active(register, text(facts, "into"))
        if into.slug in (slug, OPERATOR):
            raise Refused("enrolment-malformed", "into")
        changed = replace(department, ended=at, successor=into.issuer, acts=acts)
    elif act == "close":
        only(facts, {"id", "act"})
        changed = replace(department, ended=at, acts=acts)
    else:
        raise Refused("enrolment-malformed", "act")

    def apply(register: Register) -> None:
        register.departments[changed.issuer] = changed
        if changed.ended is None:
            return
        for key in register.keys_of(changed.issuer):
            if key.retired is None:
                register.keys[key.kid] = replace(key, retired=at, acts=(*key.acts, at.index))

    return Effect(OPERATOR, apply)


def _officer(register: Register, facts: Facts, at: Moment) -> Effect:
    only(facts, {"id", "of", "key", "pop"})
    department = _active(register, text(facts, "of"))
    officer, check = _read_officer(register, facts, department.slug, at.index)
    officer = replace(officer, acts=(*department.acts, at.index))
    return Effect(department.slug, Officers((officer,), ()).apply, checks=(check,))


def _officer_left(register: Register, facts: Facts, at: Moment) -> Effect:
    only(facts, {"id"})
    officer = register.officers.get(text(facts, "id"))
    if officer is None:
        raise Refused("officer-unknown", str(facts["id"])[:40])
    if officer.left is not None:
        raise Refused("officer-not-in-office", officer.id)
    if officer.of == OPERATOR and len(register.officers_of(OPERATOR)) <= 2:
        raise Refused("officers-too-few")
    gone = replace(officer, left=at, acts=(*officer.acts, at.index))

    def apply(register: Register) -> None:
        register.officers[gone.id] = gone

    return Effect(register.acting(officer.of), apply)


def _ca(register: Register, facts: Facts, at: Moment) -> Effect:
    only(facts, {"cert", "zh", "en"})
    cert = facts.get("cert")
    if type(cert) is not bytes:
        raise Refused("enrolment-malformed", "cert")
    name = sha256(cert).digest()
    if name in register.anchors and register.anchors[name].withdrawn is None:
        raise Refused("enrolment-repeated", name.hex())
    anchor = Anchor(cert, text(facts, "zh"), text(facts, "en"), at)

    def apply(register: Register) -> None:
        register.anchors[name] = anchor

    return Effect(OPERATOR, apply, checks=(anchor,))


def _ca_withdrawn(register: Register, facts: Facts, at: Moment) -> Effect:
    only(facts, {"cert"})
    name = facts.get("cert")
    anchor = register.anchors.get(name) if type(name) is bytes else None
    if anchor is None or anchor.withdrawn is not None:
        raise Refused("enrolment-malformed", "cert: no CA that is recognised now")
    withdrawn = replace(anchor, withdrawn=at)

    def apply(register: Register) -> None:
        register.anchors[sha256(withdrawn.cert).digest()] = withdrawn

    return Effect(OPERATOR, apply)


def _witnesses(register: Register, facts: Facts, at: Moment) -> Effect:
    only(facts, {"policy", "override"})
    log_keys = {key.public for key in (register.log_key, register.log_pq_key) if key}
    logged = read_witnesses(facts, register.policies, log_keys, at)

    def apply(register: Register) -> None:
        register.policies = (*register.policies, logged)

    return Effect(OPERATOR, apply)


def _kid_of(cose_key: bytes) -> bytes:
    """The key id of a COSE_Key in its one encoding (RFC 9679)."""
    return sha256(cose_key).digest()[:KID_SIZE]


RULES: Final[Mapping[int, Callable[[Register, Facts, Moment], Effect]]] = {
    DEPARTMENT: _department,
    KEY: _key,
    KEY_CHANGED: _key_changed,
    DEPARTMENT_CHANGED: _department_changed,
    OFFICER: _officer,
    OFFICER_LEFT: _officer_left,
    CA: _ca,
    CA_WITHDRAWN: _ca_withdrawn,
    WITNESSES: _witnesses,
}


def _active(register: Register, slug: str) -> Department:
    department = register.departments.get(register.issuer(slug))
    if department is None:
        raise Refused("enrolment-unknown-department", slug)
    if department.ended is not None:
        raise Refused("department-ended", slug)
    return department


def _known_key(register: Register, facts: Facts, name: str) -> EnrolledKey:
    value = facts.get(name)
    key = register.keys.get(value) if type(value) is bytes else None
    if key is None:
        raise Refused("key-not-enrolled", value.hex() if type(value) is bytes else name)
    return key
