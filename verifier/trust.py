"""What a verifier trusts: the argument that every judgement is made against."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from verifier.authorities import Authorities
from verifier.note import VerifierKey
from verifier.policy import Policy
from verifier.signedlist import SignedList
from verifier.status import StatusBook, StatusSource


@dataclass(frozen=True, slots=True)
class TypeName:
    """How a licence or credit type, and each of its fields, is called: (Chinese, English)."""

    code: str
    zh: str
    en: str
    fields: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Trust:
    """One city as a verifier sees it at one moment. Times are Unix seconds.

    `use_until` is the end of the time for which this view may give a green answer;
    `max_status_age` the age in seconds past which a signed status is stale. `checkpoint` is the
    log's signed note that the enrolments were proven under, if there is one. `signed_lists` say,
    by key id, what each compromised key had signed before.
    """

    authorities: Authorities
    types: Mapping[str, TypeName]
    statuses: StatusSource = field(default_factory=StatusBook)
    made_at: int = 0
    use_until: int = 0
    max_status_age: int = 72 * 3600
    checkpoint: bytes = b""
    signed_lists: Mapping[bytes, SignedList] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return self.authorities.origin

    @property
    def log_key(self) -> VerifierKey:
        key = self.authorities.log_key
        if key is None:
            raise ValueError("a trust needs the genesis of its ledger")
        return key

    @property
    def policy(self) -> Policy | None:
        """The witness policy in force (`Authorities.policy`)."""
        return self.authorities.policy

    def with_statuses(self, statuses: StatusSource) -> "Trust":
        """The same trust with another source of states, as a server with live ones has."""
        return replace(self, statuses=statuses)
