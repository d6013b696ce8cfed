"""Statement kinds: which acts the ledger knows, and the grammar of each payload.

Payload labels are small integers (see docs/formats.md for the CDDL).
"""

from collections.abc import Mapping
from dataclasses import dataclass

KIND, TYPE, FROM, UNTIL, STATUS, PREDECESSOR = 1, 2, 3, 4, 5, 6
RULE_SET, DIGESTS, STATE, REASON, FACTS = 7, 8, 9, 10, 11

GENESIS, DEPARTMENT, KEY = 1, 2, 3
KEY_CHANGED, DEPARTMENT_CHANGED, OFFICER, OFFICER_LEFT = 4, 5, 6, 7
CA, CA_WITHDRAWN = 8, 9
WITNESSES = 10
LICENCE, LICENCE_STATE = 16, 17
CREDIT, CREDIT_PUBLISHED, CREDIT_DISPUTED, CREDIT_UPHELD = 32, 33, 34, 35
CREDIT_CORRECTED, CREDIT_WITHDRAWN, CREDIT_REPAIRED, CREDIT_EXPIRED = 36, 37, 38, 39
QUESTION = 48
ERASURE = 64
DOCUMENT = 80

DOCUMENT_SCOPE = "document"
"""What the scope of a key holds that may sign documents (`verifier.keylife.check_use`)."""


@dataclass(frozen=True)
class Kind:
    """One act: its number, its names, the labels its payload must and may carry."""

    number: int
    name: str
    zh: str
    required: frozenset[int]
    allowed: frozenset[int]


def _kind(number: int, name: str, zh: str, required: set[int], optional: set[int]) -> Kind:
    return Kind(number, name, zh, frozenset(required), frozenset(required | optional | {KIND}))


_FOLLOWING = {TYPE, PREDECESSOR, RULE_SET}

KINDS: Mapping[int, Kind] = {
    kind.number: kind
    for kind in (
        _kind(GENESIS, "genesis", "账本创立", {FACTS}, set()),
        _kind(DEPARTMENT, "department", "部门登记", {FACTS}, set()),
        _kind(KEY, "key", "密钥登记", {FACTS}, set()),
        _kind(KEY_CHANGED, "key-changed", "密钥变更", {FACTS}, set()),
        _kind(DEPARTMENT_CHANGED, "department-changed", "部门变更", {FACTS}, set()),
        _kind(OFFICER, "officer", "经办人登记", {FACTS}, set()),
        _kind(OFFICER_LEFT, "officer-left", "经办人离任", {FACTS}, set()),
        _kind(CA, "ca", "认证机构登记", {FACTS}, set()),
        _kind(CA_WITHDRAWN, "ca-withdrawn", "认证机构撤销", {FACTS}, set()),
        _kind(WITNESSES, "witnesses", "见证策略", {FACTS}, set()),
        _kind(
            LICENCE,
            "licence",
            "证照签发",
            {TYPE, FROM, STATUS, RULE_SET, DIGESTS},
            {UNTIL, PREDECESSOR},
        ),
        _kind(LICENCE_STATE, "licence-state", "证照状态变更", _FOLLOWING | {STATE, REASON}, set()),
        _kind(CREDIT, "credit", "信用记录", {TYPE, FROM, RULE_SET, DIGESTS, FACTS}, {UNTIL}),
        _kind(CREDIT_PUBLISHED, "credit-published", "信用公示", _FOLLOWING | {FACTS}, set()),
        _kind(CREDIT_DISPUTED, "credit-disputed", "信用异议", _FOLLOWING | {FACTS}, {DIGESTS}),
        _kind(CREDIT_UPHELD, "credit-upheld", "异议不成立", _FOLLOWING | {REASON}, {DIGESTS}),
        _kind(
            CREDIT_CORRECTED,
            "credit-corrected",
            "信用更正",
            _FOLLOWING | {REASON, DIGESTS, FROM, FACTS},
            {UNTIL},
        ),
        _kind(CREDIT_WITHDRAWN, "credit-withdrawn", "信用撤回", _FOLLOWING | {REASON}, {DIGESTS}),
        _kind(CREDIT_REPAIRED, "credit-repaired", "信用修复", _FOLLOWING | {REASON}, {DIGESTS}),
        _kind(CREDIT_EXPIRED, "credit-expired", "公示期满", _FOLLOWING, set()),
        _kind(QUESTION, "question", "核验提问", {RULE_SET, DIGESTS}, set()),
        _kind(ERASURE, "erasure", "数据销毁", {PREDECESSOR, REASON}, {TYPE}),
        _kind(DOCUMENT, "document", "文件", {DIGESTS}, {TYPE, FROM, UNTIL, PREDECESSOR}),
    )
}
CHANGES = frozenset(
    {
        DEPARTMENT,
        KEY,
        KEY_CHANGED,
        DEPARTMENT_CHANGED,
        OFFICER,
        OFFICER_LEFT,
        CA,
        CA_WITHDRAWN,
        WITNESSES,
    }
)
"""Changes of authority: two officers decide each (`verifier.change`)."""
AUTHORITY_KINDS = CHANGES | {GENESIS}
"""Everything that says who may sign; `verifier.authorities` replays these."""
OPERATOR_KINDS = AUTHORITY_KINDS | {QUESTION}
"""Kinds that the ledger operator signs; all others are a department's."""
