"""Random lives of records, against a slow twin that looks at a record's whole past at every act."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.audit.findings import Findings
from ledger.audit.publication import Publication
from ledger.audit.records import Records
from ledger.audit.worker import GOOD, Act
from verifier.kinds import (
    CREDIT,
    CREDIT_CORRECTED,
    CREDIT_DISPUTED,
    CREDIT_EXPIRED,
    CREDIT_PUBLISHED,
    CREDIT_REPAIRED,
    CREDIT_UPHELD,
    CREDIT_WITHDRAWN,
    ERASURE,
    LICENCE,
    LICENCE_STATE,
    QUESTION,
)

FINAL: Final = {1, 3, 12, 13, 14, 15}
ENDS: Final = {CREDIT_WITHDRAWN, CREDIT_REPAIRED, CREDIT_EXPIRED}
BEGINS: Final = (LICENCE, CREDIT, QUESTION)
LATER: Final = (*range(CREDIT_PUBLISHED, CREDIT_EXPIRED + 1), ERASURE)


def leaf(number: int) -> bytes:
    return number.to_bytes(32, "big")


@dataclass
class Past:
    """One record: every act on it, and those that the lifecycle let happen."""

    acts: list[tuple[int, Act]] = field(default_factory=list)
    happened: list[int] = field(default_factory=list)
    state: int = 0
    renewals: int = 0

    @property
    def erased(self) -> bool:
        return any(act.kind == ERASURE for _, act in self.acts)


def credit_allows(happened: Sequence[int], kind: int) -> bool:
    """Domain §4b in words, from the acts that happened so far."""
    published = corrected_since = disputed = upheld_since = False
    for past in happened:
        if past in ENDS:
            return kind == ERASURE
        if past == CREDIT_PUBLISHED:
            published, corrected_since = True, False
        elif past == CREDIT_DISPUTED:
            disputed, upheld_since = True, False
        elif past == CREDIT_UPHELD:
            disputed, upheld_since = False, True
        elif past == CREDIT_CORRECTED:
            disputed, corrected_since = False, published
        if past == CREDIT_DISPUTED and corrected_since:
            corrected_since = False  # the dispute is about the version on show
    assert not (disputed and upheld_since)
    match kind:
        case 33:
            return not published or (corrected_since and not disputed)
        case 34:
            return not disputed
        case 35:
            return disputed
        case 38:
            return not disputed
        case 64:
            return False
        case _:
            return True


class Twin:
    def __init__(self) -> None:
        self.pasts: dict[str, Past] = {}
        self.used: list[tuple[str, tuple[int, int]]] = []

    def apply(self, index: int, act: Act) -> set[str]:
        past = self.pasts.get(act.subject)
        if act.kind in BEGINS:
            return {"audit-record-repeated"} if past else self.begin(index, act)
        return self.follow(index, act, past) if past else {"audit-record-unknown"}

    def begin(self, index: int, act: Act) -> set[str]:
        codes = set()
        if act.predecessor is not None:
            codes |= self.renew(act)
        if act.status is not None:
            if (act.issuer, act.status) in self.used:
                codes.add("audit-status-index-reused")
            self.used.append((act.issuer, act.status))
        self.pasts[act.subject] = Past([(index, act)])
        return codes

    def renew(self, act: Act) -> set[str]:
        heads = [
            past
            for past in self.pasts.values()
            if past.acts[0][1].kind == LICENCE and leaf(past.acts[-1][0]) == act.predecessor
        ]
        if not heads:
            return {"audit-renewal-unknown"}
        (past,) = heads
        first = past.acts[0][1]
        codes = set()
        if (first.kind, first.issuer, first.type_code) != (act.kind, act.issuer, act.type_code):
            codes.add("audit-renewal-differs")
        if past.erased or past.state in FINAL:
            codes.add("audit-renewal-of-ended")
        if past.renewals:
            codes.add("audit-renewed-twice")
        if act.issued_at < past.acts[-1][1].issued_at:
            codes.add("audit-time-backwards")
        past.renewals += 1
        return codes

    def follow(self, index: int, act: Act, past: Past) -> set[str]:
        first, (last_index, last) = past.acts[0][1], past.acts[-1]
        codes = set()
        if act.predecessor != leaf(last_index):
            codes.add("audit-predecessor-wrong")
        if act.issuer != first.issuer and act.kind not in (33, 34, 39):
            codes.add("audit-issuer-differs")
        if act.type_code not in (None, first.type_code):
            codes.add("audit-type-differs")
        if act.issued_at < last.issued_at:
            codes.add("audit-time-backwards")
        codes |= self.step(act, past, first.kind)
        past.acts.append((index, act))
        return codes

    def step(self, act: Act, past: Past, family: int) -> set[str]:
        if past.erased:
            return {"audit-after-erasure"}
        if act.kind == ERASURE:
            early = family == CREDIT and not credit_allows(past.happened, ERASURE)
            return {"audit-credit-step"} if early else set()
        if act.kind == LICENCE_STATE and family == LICENCE:
            before, past.state = past.state, act.state or 0
            restored = past.state == 0 and act.reason == "revoked-in-error"
            lawful = before != past.state and (before not in FINAL or restored)
            if act.reason == "signed-again":
                lawful = before == past.state
            return set() if lawful else {"audit-licence-step"}
        if family != CREDIT or act.kind == LICENCE_STATE:
            return {"audit-family-differs"}
        if not credit_allows(past.happened, act.kind):
            return {"audit-credit-step"}
        past.happened.append(act.kind)
        return set()


@st.composite
def lives(draw: st.DrawFn) -> list[Act]:
    """Acts on a few records, mostly lawful in form; each may be wrong in one way or another."""
    acts: list[Act] = []
    heads: dict[str, int] = {}
    families: dict[str, int] = {}
    for index in range(draw(st.integers(1, 30))):
        subject = draw(st.sampled_from("abc"))
        begins = subject not in heads or draw(st.integers(0, 14)) == 0
        family = families.get(subject)
        if begins:
            kind = draw(st.sampled_from((LICENCE, LICENCE, CREDIT, CREDIT, QUESTION)))
            families.setdefault(subject, kind)
        elif draw(st.integers(0, 14)) == 0:
            kind = draw(st.sampled_from((LICENCE_STATE, *LATER)))
        else:
            kind = draw(st.sampled_from(LATER[:-1])) if family == CREDIT else LICENCE_STATE
        usual = draw(st.integers(0, 14)) > 0
        predecessor: bytes | None = leaf(heads.get(subject, 77))
        if begins and (kind != LICENCE or draw(st.booleans())):
            predecessor = None
        elif begins or not usual:
            predecessor = leaf(draw(st.integers(0, index)))
        acts.append(
            Act(
                GOOD,
                b"",
                kind,
                draw(st.sampled_from("IIIIIIJ")),
                subject,
                1_000 + index - draw(st.sampled_from((0, 0, 0, 0, 2))),
                draw(st.sampled_from(("t", "t", "t", "t", None, "u"))),
                None,
                (0, draw(st.integers(0, 20))) if kind == LICENCE else None,
                predecessor,
                draw(st.sampled_from((0, 0, 1, 2, 3, 12, 14))) if kind == LICENCE_STATE else None,
                draw(st.sampled_from(("because", "revoked-in-error", "signed-again"))),
                None,
                0,
            )
        )
        heads[subject] = index
    return acts


class NoKeys:
    """Nothing is void, and nobody acts for another."""

    void: Mapping[int, bytes] = MappingProxyType({})

    def acts_for(self, act: Act, issuer: str, type_code: str | None) -> bool:
        return False


@settings(max_examples=150, deadline=None)
@given(lives())
def test_the_audit_finds_what_its_twin_finds(acts: list[Act]) -> None:
    found = Findings()
    records = Records(found, Publication(Findings(), lambda day, count: None), NoKeys())
    twin = Twin()
    for index, act in enumerate(acts):
        seen = len(found.listed)
        records.apply(index, leaf(index), act)
        codes = [finding.code for finding in found.listed[seen:]]
        assert len(codes) == len(set(codes))
        assert set(codes) == twin.apply(index, act), (index, act)
        assert all(finding.index == index for finding in found.listed[seen:])
