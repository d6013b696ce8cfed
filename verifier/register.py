"""The register: departments, officers, keys and recognised CAs, as the ledger has them so far.

Values are immutable; a change puts a new one in the old one's place. So `Register.copy` is cheap,
and whoever holds a key holds what was true when it was looked up.
"""

from bisect import bisect_right
from dataclasses import dataclass, field, replace

from keys.suites.base import Suite
from verifier.chain import anchor_info
from verifier.keylife import OPERATOR, EnrolledKey, Moment
from verifier.logged_policy import LoggedPolicy
from verifier.note import VerifierKey


@dataclass(frozen=True, slots=True)
class Department:
    """An issuer. `former` are names it bore, each until a Unix time; `ended` when it was closed
    or merged, the latter into the issuer `successor`."""

    issuer: str
    zh: str
    en: str
    uscc: str
    acts: tuple[int, ...] = ()
    former: tuple[tuple[int, str, str], ...] = ()
    ended: Moment | None = None
    successor: str | None = None

    @property
    def slug(self) -> str:
        return self.issuer.rpartition("/")[2]

    def name_at(self, at: int) -> tuple[str, str]:
        """(Chinese, English) name at a Unix time."""
        renamed = bisect_right([until for until, _, _ in self.former], at)
        return (self.zh, self.en) if renamed == len(self.former) else self.former[renamed][1:]


@dataclass(frozen=True, slots=True)
class Officer:
    """Who proposes and approves changes: a duty name (never a person's), the slug of the
    department it belongs to, or `operator`, and its own key."""

    id: str
    of: str
    suite: Suite
    public: bytes
    kid: bytes
    acts: tuple[int, ...]
    left: Moment | None = None

    @property
    def index(self) -> int:
        """Where the officer was enrolled."""
        return self.acts[-1] if self.left is None else self.acts[-2]


@dataclass(frozen=True, slots=True)
class Anchor:
    """A recognised licensed CA: its certificate (DER), names, and until when it was recognised."""

    cert: bytes
    zh: str
    en: str
    told: Moment
    withdrawn: Moment | None = None

    @property
    def subject(self) -> str:
        """Its name (RFC 4514). Raises the `Refused` of a certificate that is no CA's."""
        return anchor_info(self.cert)[0]

    def run(self) -> None:
        """The certificate can anchor a chain: a check that may be put off."""
        anchor_info(self.cert)


@dataclass
class Register:
    """By issuer, key id, officer's id and SHA-256 of the certificate. Empty before the genesis.

    `policies` are all witness policies in turn, the one in force last; without any, no witness is
    asked. `last` is the latest statement applied, `done` the digests of proposals that took effect,
    `kids` every key id that was ever given out. The log signs with `log_key` and, where its genesis
    names one, with `log_pq_key`.
    """

    origin: str = ""
    name_zh: str = ""
    name_en: str = ""
    log_key: VerifierKey | None = None
    log_pq_key: VerifierKey | None = None
    departments: dict[str, Department] = field(default_factory=dict)
    keys: dict[bytes, EnrolledKey] = field(default_factory=dict)
    officers: dict[str, Officer] = field(default_factory=dict)
    anchors: dict[bytes, Anchor] = field(default_factory=dict)
    kids: dict[bytes, str] = field(default_factory=dict)
    done: set[bytes] = field(default_factory=set)
    policies: tuple[LoggedPolicy, ...] = ()
    last: Moment = field(default_factory=lambda: Moment(-1, 0))

    def copy(self) -> "Register":
        return replace(
            self,
            departments=dict(self.departments),
            keys=dict(self.keys),
            officers=dict(self.officers),
            anchors=dict(self.anchors),
            kids=dict(self.kids),
            done=set(self.done),
        )

    def issuer(self, slug: str) -> str:
        return f"{self.origin}/{slug}"

    def acting(self, slug: str) -> str:
        """The department that acts for this one today: itself, or whom it was merged into."""
        department = self.departments.get(self.issuer(slug))
        while department is not None and department.successor is not None:
            department = self.departments[department.successor]
        return slug if department is None else department.slug

    def keys_of(self, issuer: str) -> list[EnrolledKey]:
        """In the order of enrolment."""
        return [key for key in self.keys.values() if key.issuer == issuer]

    def officers_of(self, slug: str) -> list[Officer]:
        """Those in office."""
        return [each for each in self.officers.values() if each.of == slug and each.left is None]

    def officer_of(self, kid: bytes) -> Officer | None:
        """Whose key this is, whether in office or not."""
        return self.officers.get(self.kids.get(kid, ""))

    def operator_issuer(self) -> str:
        return self.issuer(OPERATOR)
