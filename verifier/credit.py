"""The life of a credit entry as a table: 记录 → 公示 → 异议 → 更正/维持 → 撤回/修复/期满 → 销毁.

    recorded ──published──▶ published ──disputed──▶ disputed ──upheld | corrected──▶ …
        any of them ──withdrawn | repaired | expired──▶ ended ──erased──▶ (nothing)

An entry about a person is never published, so it may also be repaired or expire unpublished. An
expiry does not wait for a dispute; a repair does. After a correction the new version may be
published again.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from verifier.kinds import (
    CREDIT_CORRECTED,
    CREDIT_DISPUTED,
    CREDIT_EXPIRED,
    CREDIT_PUBLISHED,
    CREDIT_REPAIRED,
    CREDIT_UPHELD,
    CREDIT_WITHDRAWN,
)


class Phase(IntEnum):
    """Where an entry stands in its life."""

    RECORDED = 0
    PUBLISHED = 1
    CORRECTED = 2
    """Published, and corrected since."""
    DISPUTED = 3
    PUBLISHED_DISPUTED = 4
    ENDED = 5


_ENDS: Final = {
    CREDIT_WITHDRAWN: Phase.ENDED,
    CREDIT_REPAIRED: Phase.ENDED,
    CREDIT_EXPIRED: Phase.ENDED,
}
_ENDS_IN_DISPUTE: Final = {CREDIT_WITHDRAWN: Phase.ENDED, CREDIT_EXPIRED: Phase.ENDED}

CREDIT_STEPS: Final[Mapping[Phase, Mapping[int, Phase]]] = {
    Phase.RECORDED: {
        CREDIT_PUBLISHED: Phase.PUBLISHED,
        CREDIT_DISPUTED: Phase.DISPUTED,
        CREDIT_CORRECTED: Phase.RECORDED,
        **_ENDS,
    },
    Phase.PUBLISHED: {
        CREDIT_DISPUTED: Phase.PUBLISHED_DISPUTED,
        CREDIT_CORRECTED: Phase.CORRECTED,
        **_ENDS,
    },
    Phase.CORRECTED: {
        CREDIT_PUBLISHED: Phase.PUBLISHED,
        CREDIT_DISPUTED: Phase.PUBLISHED_DISPUTED,
        CREDIT_CORRECTED: Phase.CORRECTED,
        **_ENDS,
    },
    Phase.DISPUTED: {
        CREDIT_PUBLISHED: Phase.PUBLISHED_DISPUTED,
        CREDIT_UPHELD: Phase.RECORDED,
        CREDIT_CORRECTED: Phase.RECORDED,
        **_ENDS_IN_DISPUTE,
    },
    Phase.PUBLISHED_DISPUTED: {
        CREDIT_UPHELD: Phase.PUBLISHED,
        CREDIT_CORRECTED: Phase.CORRECTED,
        **_ENDS_IN_DISPUTE,
    },
    Phase.ENDED: {},
}
"""Which act may follow in which phase, and where it leads; erasure follows the end."""

SHOWN: Final = frozenset({Phase.PUBLISHED, Phase.CORRECTED, Phase.PUBLISHED_DISPUTED})
IN_DISPUTE: Final = frozenset({Phase.DISPUTED, Phase.PUBLISHED_DISPUTED})
