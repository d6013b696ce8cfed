"""The life of every record, replayed act by act in ledger order.

What is kept of a record is 82 bytes, so that an audit of millions fits in memory; with its id and
the dictionaries' own needs that is about 340 bytes for a licence and 230 for another record.
"""

from collections.abc import Mapping
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from ledger.audit.documents import Documents
from ledger.audit.findings import Findings
from ledger.audit.keys import Keys
from ledger.audit.publication import Publication
from ledger.audit.worker import Act
from verifier.credit import CREDIT_STEPS, Phase
from verifier.kinds import (
    CREDIT,
    CREDIT_CORRECTED,
    CREDIT_DISPUTED,
    CREDIT_EXPIRED,
    CREDIT_PUBLISHED,
    DOCUMENT,
    ERASURE,
    KINDS,
    LICENCE,
    LICENCE_STATE,
    QUESTION,
)
from verifier.states import STATES, VALID, may_follow

_BY_OTHERS: Final = frozenset({CREDIT_PUBLISHED, CREDIT_DISPUTED, CREDIT_EXPIRED})
"""Acts that the credit centre may do on another department's entry (domain §4c)."""
_PACKED: Final = Struct(">32sIQBBQQQQI")
_RENEWED, _ERASED = 1, 2
_NEVER: Final = (1 << 64) - 1
_LAST_DAY: Final = (1 << 32) - 1
_PAGE: Final = 4096


class Family(IntEnum):
    LICENCE = 0
    CREDIT = 1
    QUESTION = 2


_BEGINS: Final[Mapping[int, Family]] = {
    LICENCE: Family.LICENCE,
    CREDIT: Family.CREDIT,
    QUESTION: Family.QUESTION,
}


class Profile(NamedTuple):
    """What does not change in a record's life; shared by all records that are alike."""

    family: Family
    issuer: str
    type_code: str | None


class _State(NamedTuple):
    """A record now: leaf hash and time of its last act; `phase` is a legal state or a `Phase`.

    Four ledger indices: of the act whose content it has, of its last act, of the act that ended
    it, of the licence that renewed it; the last two may be `_NEVER`. `until` is the last day of a
    licence's validity, in days since 1970-01-01.
    """

    last: bytes
    profile: int
    issued_at: int
    phase: int
    flags: int
    content: int
    latest: int
    ended: int = _NEVER
    renewed: int = _NEVER
    until: int = _LAST_DAY


class Records:
    """`apply` every act whose signature counts, in order; `finish` when there are no more."""

    def __init__(self, findings: Findings, publication: Publication, keys: Keys) -> None:
        self._findings = findings
        self._publication = publication
        self._keys = keys
        self._documents = Documents(findings, keys)
        self._states: dict[str, bytes] = {}
        self._licence_heads: dict[bytes, str] = {}
        self._profiles: list[Profile] = []
        self._profile_numbers: dict[Profile, int] = {}
        self._status_pages: dict[tuple[str, int, int], bytearray] = {}

    def apply(self, index: int, leaf: bytes, act: Act) -> None:
        """Applies one act, whatever is wrong with it, after naming that."""
        if act.kind == DOCUMENT:
            self._documents.apply(index, leaf, act)
            return
        family = _BEGINS.get(act.kind)
        if family is None:
            self._follow(index, leaf, act)
        else:
            self._begin(index, leaf, act, family)

    def finish(self, today: int) -> None:
        """`today` in days since 1970-01-01, China time."""
        self._publication.finish(today, self._issuer_of)
        self._documents.finish(today)
        if self._keys.void:
            for subject in self._states:
                self._compromised(subject, today)

    def _compromised(self, subject: str, today: int) -> None:
        """A record whose content or last act a compromised key signed is to be ended, or signed
        again: a licence by its renewal, a credit entry by a correction, an act by the next one.
        A question asked is over, and so is a licence whose time is up.
        """
        state, void = self._get(subject), self._keys.void
        profile = self._profiles[state.profile]
        over = state.flags & _ERASED or state.until < today or profile.family is Family.QUESTION
        rests = [index for index in (state.content, state.latest) if index in void]
        settled = [index for index in (state.ended, state.renewed) if index != _NEVER]
        if rests and not over and all(index in void for index in settled):
            self._findings.add(
                "audit-signed-while-compromised",
                rests[0],
                record=subject,
                issuer=profile.issuer,
                detail=void[rests[0]].hex(),
            )

    # --- beginnings ----------------------------------------------------------------------------

    def _begin(self, index: int, leaf: bytes, act: Act, family: Family) -> None:
        if act.subject in self._states:
            self._name("audit-record-repeated", index, act)
            return
        profile = Profile(family, act.issuer, act.type_code)
        if act.predecessor is not None:
            self._renew(index, act, profile)
        if act.status is not None:
            self._take_status(index, act, act.status)
        if family is Family.CREDIT:
            self._publication.recorded(index, act)
        number = self._number(profile)
        until = (
            _LAST_DAY
            if act.valid_until is None or family is not Family.LICENCE
            else act.valid_until
        )
        state = _State(leaf, number, act.issued_at, 0, 0, index, index, until=until)
        self._put(act.subject, state, family)

    def _renew(self, index: int, act: Act, profile: Profile) -> None:
        renewed = self._licence_heads.get(act.predecessor or b"")
        if renewed is None:
            self._name("audit-renewal-unknown", index, act)
            return
        state = self._get(renewed)
        before = self._profiles[state.profile]
        own = before.issuer == act.issuer or self._acts_for(act, before)
        if not own or before._replace(issuer=act.issuer) != profile:
            self._name("audit-renewal-differs", index, act, renewed)
        if state.flags & _ERASED or STATES[state.phase].final:
            detail = f"{renewed} {STATES[state.phase].zh} {STATES[state.phase].name}"
            self._name("audit-renewal-of-ended", index, act, detail)
        if state.flags & _RENEWED and state.renewed not in self._keys.void:
            self._name("audit-renewed-twice", index, act, renewed)
        self._time(index, act, state)
        flags = state.flags | _RENEWED
        self._put(renewed, state._replace(flags=flags, renewed=index), Family.LICENCE)

    def _take_status(self, index: int, act: Act, status: tuple[int, int]) -> None:
        page, bit = divmod(status[1], _PAGE)
        where = (act.issuer, status[0], page)
        bits = self._status_pages.get(where)
        if bits is None:
            bits = self._status_pages[where] = bytearray(_PAGE // 8)
        mask = 1 << (bit & 7)
        if bits[bit >> 3] & mask:
            self._name("audit-status-index-reused", index, act, f"{status[0]}/{status[1]}")
        bits[bit >> 3] |= mask

    # --- later acts ----------------------------------------------------------------------------

    def _follow(self, index: int, leaf: bytes, act: Act) -> None:
        if act.subject not in self._states:
            self._name("audit-record-unknown", index, act)
            return
        state = self._get(act.subject)
        profile = self._profiles[state.profile]
        if act.predecessor != state.last:
            self._name("audit-predecessor-wrong", index, act)
        if act.issuer != profile.issuer and not (
            act.kind in _BY_OTHERS or self._acts_for(act, profile)
        ):
            self._name("audit-issuer-differs", index, act, profile.issuer)
        if act.type_code is not None and act.type_code != profile.type_code:
            self._name("audit-type-differs", index, act, profile.type_code or "")
        self._time(index, act, state)
        flags, phase = state.flags, state.phase
        if flags & _ERASED:
            self._name("audit-after-erasure", index, act)
        elif act.kind == ERASURE:
            flags |= _ERASED
            if profile.family is Family.CREDIT and phase != Phase.ENDED:
                self._name("audit-credit-step", index, act, _step(Phase(phase), act.kind))
        elif (act.kind == LICENCE_STATE) != (profile.family is Family.LICENCE) or (
            profile.family is Family.QUESTION
        ):
            self._name("audit-family-differs", index, act)
        elif act.kind == LICENCE_STATE:
            phase = self._licence_step(index, act, phase)
        else:
            phase = self._credit_step(index, act, Phase(phase))
        if profile.family is Family.LICENCE:
            self._licence_heads.pop(state.last, None)
        again = phase == state.phase  # what an end says is signed once more
        state = state._replace(
            last=leaf, issued_at=act.issued_at, phase=phase, flags=flags, latest=index
        )
        if not _has_ended(profile.family, state):
            state = state._replace(ended=_NEVER)
        elif again or state.ended == _NEVER:
            state = state._replace(ended=index)
        if act.kind == CREDIT_CORRECTED and profile.family is Family.CREDIT:
            state = state._replace(content=index)
        self._put(act.subject, state, profile.family)

    def _licence_step(self, index: int, act: Act, before: int) -> int:
        after = VALID if act.state is None else act.state
        if not may_follow(before, after, act.reason):
            names = f"{STATES[before].zh} → {STATES[after].zh} ({act.reason})"
            self._name("audit-licence-step", index, act, names)
        return after

    def _credit_step(self, index: int, act: Act, phase: Phase) -> int:
        if act.kind == CREDIT_PUBLISHED:
            self._publication.published(index, act)
        elif act.kind == CREDIT_CORRECTED:
            self._publication.corrected(act)
        after = CREDIT_STEPS[phase].get(act.kind)
        if after is None:
            self._name("audit-credit-step", index, act, _step(phase, act.kind))
            return phase
        if after is Phase.ENDED:
            self._publication.ended(act.subject)
        return after

    # --- small things --------------------------------------------------------------------------

    def _acts_for(self, act: Act, profile: Profile) -> bool:
        return self._keys.acts_for(act, profile.issuer, profile.type_code)

    def _time(self, index: int, act: Act, before: _State) -> None:
        if act.issued_at < before.issued_at:
            detail = f"{act.issued_at} < {before.issued_at}"
            self._name("audit-time-backwards", index, act, detail)

    def _name(self, code: str, index: int, act: Act, detail: str = "") -> None:
        self._findings.add(code, index, record=act.subject, issuer=act.issuer, detail=detail)

    def _number(self, profile: Profile) -> int:
        number = self._profile_numbers.setdefault(profile, len(self._profiles))
        if number == len(self._profiles):
            self._profiles.append(profile)
        return number

    def _get(self, subject: str) -> _State:
        return _State(*_PACKED.unpack(self._states[subject]))

    def _put(self, subject: str, state: _State, family: Family) -> None:
        self._states[subject] = _PACKED.pack(*state)
        if family is Family.LICENCE:
            self._licence_heads[state.last] = subject

    def _issuer_of(self, subject: str) -> str:
        return self._profiles[self._get(subject).profile].issuer


def _has_ended(family: Family, state: _State) -> bool:
    if state.flags & _ERASED:
        return True
    if family is Family.LICENCE:
        return STATES[state.phase].final
    return family is Family.CREDIT and state.phase == Phase.ENDED


def _step(phase: Phase, kind: int) -> str:
    return f"{phase.name.lower()} → {KINDS[kind].name}"
