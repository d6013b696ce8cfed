"""Legal states of a licence, and which may follow which.

Numbers are those of the Token Status List in entries of 4 bits (draft-ietf-oauth-status-list §7):
0 VALID, 1 INVALID and 2 SUSPENDED are registered; 3 and 12–15 are for applications. The second
column is the code of the MOHURD e-licence interface; the articles are of 行政许可法 (69, 70) and
行政处罚法 (9). 撤销, 撤回, 注销 and 吊销 are different acts in law and stay distinct here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

VALID, LAPSED, SUSPENDED, RECALLED = 0, 1, 2, 3
RESCINDED, DEREGISTERED, REVOKED, TRANSFERRED = 12, 13, 14, 15

UNASSIGNED = 11
"""What a status list says of a position that no licence has (yet): not a state, so unknown."""

RESTORED_IN_ERROR = "revoked-in-error"
"""The one reason code that leads back from an end: the earlier act was wrong (更正撤销)."""

SIGNED_AGAIN = "signed-again"
"""The one reason code of an act that changes nothing: what the act before it says is signed again,
because the key that signed it was compromised."""


@dataclass(frozen=True)
class LegalState:
    number: int
    mohurd: str
    name: str
    zh: str
    en: str
    final: bool


STATES: Mapping[int, LegalState] = {
    state.number: state
    for state in (
        LegalState(VALID, "01", "valid", "有效", "valid", False),
        LegalState(LAPSED, "05", "lapsed", "失效", "lapsed", True),
        LegalState(SUSPENDED, "02", "suspended", "暂扣", "suspended", False),
        LegalState(RECALLED, "99", "recalled", "撤回", "recalled in the public interest", True),
        LegalState(RESCINDED, "03", "rescinded", "撤销", "rescinded, wrongly granted", True),
        LegalState(DEREGISTERED, "04", "deregistered", "注销", "deregistered", True),
        LegalState(REVOKED, "07", "revoked", "吊销", "revoked as a penalty", True),
        LegalState(TRANSFERRED, "06", "transferred", "办理转出", "transferred out", True),
    )
}
BY_NAME: Mapping[str, LegalState] = {state.name: state for state in STATES.values()}


def may_follow(before: int, after: int, reason: str | None) -> bool:
    """Whether the lifecycle allows the step from one state to another, both known numbers."""
    if before == after:
        return reason == SIGNED_AGAIN
    if STATES[before].final:
        return after == VALID and reason == RESTORED_IN_ERROR
    return reason != SIGNED_AGAIN
