"""Which key signs: of a department's keys, the newest in force that this server holds.

A department may have several keys, here and elsewhere. Keys in custody are told by their key id;
what an enrolled key may do is the ledger's to say, so the choice is a function of the authorities,
the keys held and the time, and stays the same until one of the keys begins or ends.
"""

import logging
import threading
from collections.abc import Iterable
from typing import Final, NamedTuple

from api.errors import ServiceError
from api.roll import Standing
from keys.custody import Custody
from keys.errors import KeysError
from keys.names import kid as key_id
from keys.signer import Signer
from keys.suites import BY_NAME
from ledger.model import Draft
from verifier.authorities import (
    OPERATOR,
    Authorities,
    Department,
    EnrolledKey,
    check_outside,
    check_scope,
    check_standing,
)
from verifier.cose import parse_sign1
from verifier.errors import Refused
from verifier.statement import MAX_STATEMENT, TYP, parse_statement

NEXT: Final = 1 << 53
"""An index beyond every entry there is: that of what is signed now."""
_ALWAYS: Final = 1 << 53
_log = logging.getLogger("zhenglian.keys")


class Choice(NamedTuple):
    """The key that signs for a department from `start` until before `end` (Unix seconds)."""

    under: Standing
    start: int
    end: int
    department: Department
    key: EnrolledKey
    signer: Signer


class Signers:
    """The keys of departments and of the operator in custody, opened when first needed."""

    def __init__(self, custody: Custody) -> None:
        self._custody = custody
        self._lock = threading.RLock()
        self._names: dict[bytes, str] = {}
        self._open: dict[bytes, Signer] = {}
        self._choices: dict[tuple[str, str | None], Choice] = {}

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def look(self) -> dict[bytes, str]:
        """Lists custody again: names by key id. Keys that are gone are let go."""
        names = {}
        for entry in self._custody.list():
            if is_signing_key(entry.name) and entry.suite in BY_NAME:
                names[key_id(BY_NAME[entry.suite], entry.public)] = entry.name
        with self._lock:
            self._names = names
            self._open = {kid: each for kid, each in self._open.items() if kid in names}
            self._choices.clear()
        return names

    def open_all(self, authorities: Authorities, at: int) -> None:
        """Opens every key held that may sign at Unix time `at` or later. One whose suite is not
        installed here is warned of: the others sign without it."""
        names = self.look()
        for key in authorities.keys.values():
            if key.kid in names and may_sign_from(key, at):
                try:
                    self.open(key.kid)
                except Refused as error:
                    _log.warning("密钥未打开 key not opened: %s: %s", names[key.kid], error)

    def open(self, kid: bytes) -> Signer | None:
        """The signer of a key, or None where it is not in this custody; `Refused` suite-missing."""
        signer = self._open.get(kid)
        if signer is not None:
            return signer
        with self._lock:
            if kid in self._open:  # whoever had the lock has opened it
                return self._open[kid]
            name = self._names.get(kid) or self.look().get(kid)
            if name is None:
                return None
            try:
                signer = self._custody.open(name)
            except KeysError as error:
                if error.code != "key-suite-missing":
                    raise
                raise Refused("suite-missing", error.detail) from error
            return self._open.setdefault(kid, signer)

    def held(self, authorities: Authorities, department: str) -> list[EnrolledKey]:
        """The department's enrolled keys that are in this custody, in the order of enrolment."""
        keys = authorities.keys_of(f"{authorities.origin}/{department}")
        names = self._names
        if any(key.kid not in names and has_power(key) for key in keys):
            names = self.look()
        return [key for key in keys if key.kid in names]

    def choose(self, under: Standing, department: str, type_code: str | None, at: int) -> Choice:
        """Who signs for a department, or for whom it was merged into, at Unix time `at`.

        Of several keys in force the one with the latest beginning, then the latest enrolled; where
        a type is named, of those whose scope holds it, if there are any. Raises `ServiceError`
        signer-missing, `Refused` key-… where the newest key held may not sign now,
        department-ended.
        """
        chosen = self._choices.get((department, type_code))
        if chosen is not None and chosen.under is under and chosen.start <= at < chosen.end:
            return chosen
        authorities = under.authorities
        acting = authorities.acting(department)
        keys = self.held(authorities, acting)
        key, start, end = pick(keys, type_code, at)
        if key is None:
            raise _why_none(authorities, acting, keys, at)
        signer = self.open(key.kid)
        if signer is None:
            raise ServiceError("signer-missing", acting)
        chosen = Choice(under, start, end, authorities.departments[key.issuer], key, signer)
        self._choices[department, type_code] = chosen
        return chosen


def pick(
    keys: Iterable[EnrolledKey], type_code: str | None, at: int
) -> tuple[EnrolledKey | None, int, int]:
    """(the key that signs at `at`, since when, until before when). Pure."""
    usable = [key for key in keys if has_power(key)]
    edges = [key.valid_from for key in usable]
    edges += [key.valid_until + 1 for key in usable if key.valid_until is not None]
    start = max((edge for edge in edges if edge <= at), default=0)
    end = min((edge for edge in edges if edge > at), default=_ALWAYS)
    in_force = [
        key
        for key in usable
        if key.valid_from <= at and (key.valid_until is None or at <= key.valid_until)
    ]
    fit = [key for key in in_force if type_code is None or type_code in key.scope]
    newest = max(fit or in_force, key=lambda key: (key.valid_from, key.index), default=None)
    return newest, start, end


def check_power(drafts: Iterable[Draft], authorities: Authorities) -> None:
    """Every draft is signed by a key that may have it logged now; else the key's `Refused`."""
    for draft in drafts:
        kid = parse_sign1(draft.entry, typ=TYP, max_bytes=MAX_STATEMENT).kid
        key = authorities.keys.get(kid)
        if key is None:
            raise Refused("key-not-enrolled", kid.hex())
        if has_power(key) and not key.suspended and key.replaced_by is None:
            continue  # nothing has befallen it since it was chosen
        statement = parse_statement(draft.entry)
        check_scope(statement, key)
        check_standing(key, statement.issued_at, index=NEXT)


def has_power(key: EnrolledKey) -> bool:
    """Now, if it is in force."""
    return not key.is_suspended and _is_kept(key)


def may_sign_from(key: EnrolledKey, at: int) -> bool:
    """At Unix time `at` or later, perhaps once it is resumed."""
    return _is_kept(key) and (key.valid_until is None or at <= key.valid_until)


def _is_kept(key: EnrolledKey) -> bool:
    return key.retired is None and key.compromise is None


def _why_none(
    authorities: Authorities, department: str, keys: list[EnrolledKey], at: int
) -> ServiceError | Refused:
    """Why no key of a department held here may sign now: what is wrong with the newest."""
    known = authorities.departments.get(f"{authorities.origin}/{department}")
    if known is not None and known.ended is not None:
        return Refused("department-ended", department)
    for key in reversed(keys):
        try:
            check_standing(key, at, index=NEXT)
            check_outside(key, at)
        except Refused as error:
            return error
    return ServiceError("signer-missing", department)


STATE_ZH: Final = {
    "in-force": "有效",
    "not-yet": "未到启用时间",
    "expired": "已过有效期",
    "suspended": "暂停使用",
    "retired": "已退役",
    "compromised": "已泄露",
}


def key_state(key: EnrolledKey, now: int) -> str:
    """What became of a key, in a word of `STATE_ZH`; the gravest, where several hold."""
    if key.compromise is not None:
        return "compromised"
    if key.retired is not None:
        return "retired"
    if key.is_suspended:
        return "suspended"
    if now < key.valid_from:
        return "not-yet"
    return "expired" if key.valid_until is not None and now > key.valid_until else "in-force"


def custody_prefix(department: str) -> str:
    """What the names of a department's keys in custody begin with: `dept-<slug>`, `operator`."""
    return OPERATOR if department == OPERATOR else f"dept-{department}"


def is_signing_key(name: str) -> bool:
    """Whether a name in custody is that of a department's or the operator's key."""
    return name.startswith("dept-") or name.partition(".")[0] == OPERATOR
