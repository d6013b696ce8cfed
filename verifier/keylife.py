"""The life of a key, and what it says about each signature the key made.

Three rules, asked in this order: `check_use` (kind, type and dates), `check_standing` (what stands
in the ledger about the key, for an entry of the ledger), `check_outside` (the same for documents
that are in no ledger). A signature is judged by its own index and time: what becomes of the key
later does not touch it, unless the key turns out to have been compromised before.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from keys.suites.base import Suite
from verifier.chain import Certificate, CertifiedKey
from verifier.errors import Refused
from verifier.kinds import DOCUMENT, DOCUMENT_SCOPE, OPERATOR_KINDS

OPERATOR = "operator"

IN_FORCE = "key-in-force"
BEFORE_COMPROMISE = "key-before-compromise"
BEFORE_SUSPENSION = "key-before-suspension"
BEFORE_RETIREMENT = "key-before-retirement"


@dataclass(frozen=True, slots=True)
class Moment:
    """A ledger index, and the Unix time that the statement there gives."""

    index: int
    at: int


@dataclass(frozen=True, slots=True)
class Compromise:
    """A key that others have. Nothing counts that it signed at or after `since` (Unix time) or
    that stands at or after index `before`. `told` is the statement that says so; `count` and
    `signed` fix the list of what the key signed before (`verifier.signedlist`).
    """

    since: int
    before: int
    told: Moment
    count: int
    signed: bytes


@dataclass(frozen=True, slots=True)
class EnrolledKey:
    """A key that may sign for `issuer`: which types, from and until when (Unix seconds).

    `index` is the ledger index of the statement that enrolled it: the key counts for entries
    after that one. `suspended` holds in turn the indices of suspensions and of their ends, and
    `suspended_at` their times. `acts` are the indices of all statements that made it what it is.
    """

    kid: bytes
    issuer: str
    suite: Suite
    public: bytes
    scope: frozenset[str]
    valid_from: int
    valid_until: int | None
    index: int
    suspended: tuple[int, ...] = ()
    suspended_at: tuple[int, ...] = ()
    retired: Moment | None = None
    compromise: Compromise | None = None
    replaces: bytes | None = None
    replaced_by: bytes | None = None
    certified: CertifiedKey | None = None
    acts: tuple[int, ...] = ()

    @property
    def chain(self) -> tuple[bytes, ...]:
        """X.509 certificates (DER), the key's own first; empty if it carries none."""
        return () if self.certified is None else self.certified.chain

    @property
    def certificate(self) -> Certificate | None:
        """What its chain says. Raises the `Refused` of a chain put off that does not hold."""
        return None if self.certified is None else self.certified.certificate

    @property
    def is_suspended(self) -> bool:
        """After the last statement about it."""
        return len(self.suspended) % 2 == 1

    @property
    def is_operators(self) -> bool:
        return self.issuer.endswith(f"/{OPERATOR}")


def check_use(key: EnrolledKey, kind: int, type_code: str | None, issued_at: int) -> None:
    """The key may sign an act of this kind and type at this Unix time.

    Documents are a power of their own, which the key's scope names; one that names a type besides
    takes both.
    Raises `Refused`: key-out-of-scope, key-out-of-date.
    """
    if key.is_operators != (kind in OPERATOR_KINDS):
        raise Refused("key-out-of-scope", "kind")
    if kind == DOCUMENT and DOCUMENT_SCOPE not in key.scope:
        raise Refused("key-out-of-scope", DOCUMENT_SCOPE)
    if type_code is not None and type_code not in key.scope:
        raise Refused("key-out-of-scope", type_code)
    _check_dates(key, issued_at)


def check_standing(
    key: EnrolledKey, issued_at: int, *, index: int | None, signed_before: bool | None = None
) -> str:
    """Which rule lets an entry count that the key signed at Unix time `issued_at`.

    `index` is the entry's proven place in the ledger; None where no proof is at hand, and then the
    times decide. `signed_before` says of a compromised key whether the list of what it signed
    before holds the entry; None where no list is at hand. Without a proof the entry has to be in
    it, since a thief may write any time; with one it must not be missing, since a forked log may
    put it anywhere.
    Raises `Refused`: key-not-yet-enrolled, key-compromised, key-suspended, key-retired.
    """
    if index is not None and index <= key.index:
        raise Refused("key-not-yet-enrolled", f"{index} ≤ {key.index}")
    if (compromise := key.compromise) is not None:
        if index is None:
            known = signed_before is True
        else:
            known = index < compromise.before and signed_before is not False
        if issued_at >= compromise.since or not known:
            raise Refused("key-compromised", key.kid.hex())
    if key.suspended and _suspended(key, issued_at, index):
        raise Refused("key-suspended", key.kid.hex())
    if key.retired is not None:
        late = issued_at > key.retired.at if index is None else index >= key.retired.index
        if late:
            raise Refused("key-retired", key.kid.hex())
    if compromise is not None:
        return BEFORE_COMPROMISE
    if key.retired is not None:
        return BEFORE_RETIREMENT
    return BEFORE_SUSPENSION if key.is_suspended else IN_FORCE


def _suspended(key: EnrolledKey, issued_at: int, index: int | None) -> bool:
    """By its time, what was signed in the very second of a suspension or of its end counts: it may
    stand before the one or after the other."""
    if index is not None:
        return bisect_right(key.suspended, index) % 2 == 1
    told = bisect_left(key.suspended_at, issued_at)
    return told % 2 == 1 and issued_at not in key.suspended_at[told : told + 1]


def check_outside(key: EnrolledKey, at: int) -> None:
    """The key could sign at Unix time `at` a document that stands in no ledger.

    A compromised key never could: nothing proves when such a document was made.
    Raises `Refused`: key-out-of-date, key-compromised, key-suspended, key-retired.
    """
    _check_dates(key, at)
    check_standing(key, at, index=None)


def _check_dates(key: EnrolledKey, at: int) -> None:
    if at < key.valid_from or (key.valid_until is not None and at > key.valid_until):
        raise Refused("key-out-of-date")
