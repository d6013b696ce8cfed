"""How far the ledger is final, and what its witnesses do: for health, metrics, pages and callers.

What is *signed* is acknowledged and durable; what is *final* was cosigned by a quorum of the
witnesses of the policy in force. Without such a policy the two are one.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from api.city import City
from api.errors import ServiceError
from api.roll import Roll
from ledger.cosigning import WitnessSeen
from ledger.errors import LedgerError
from verifier.note import parse_note
from verifier.policy import Policy

MAX_WAIT: Final = 30
"""Seconds that a caller may ask to wait (`Prefer: wait`)."""
_POLL: Final = 0.02
_WAIT = re.compile(r'(?:^|[,;])[ \t]*wait[ \t]*=[ \t]*"?([0-9]{1,4})"?[ \t]*(?=$|[,;])', re.I)


def policy_at(roll: Roll) -> Callable[[int], Policy | None]:
    """The witness policy in force at a tree size, by all that is logged now."""

    def at(size: int) -> Policy | None:
        try:
            logged = roll.current().authorities.policy_at(size)
        except SQLAlchemyError as error:
            raise ServiceError("city-of-another-version") from error
        return None if logged is None else logged.policy

    return at


@dataclass(frozen=True, slots=True)
class Overview:
    """`pending` entries are signed and not final yet, the first of them for `behind` seconds.

    `quorum_at` is the time in the latest cosignature of the final checkpoint (Unix seconds; None
    without witnesses). `override` is the reason of an override policy in force, "" otherwise;
    `refusal` why nothing is written any more, or yet, if so; `restored` is as in `Standing`;
    `witnesses` is what this process knows.
    """

    signed: int
    final: int
    behind: int
    overdue: bool
    asked: bool
    override: str
    quorum_at: int | None
    witnesses: tuple[WitnessSeen, ...]
    refusal: LedgerError | None
    restored: bool

    @property
    def pending(self) -> int:
        return self.signed - self.final


def overview(city: City) -> Overview:
    """As of now. Raises what reading the ledger raises."""
    standing = city.ledger.standing()
    since = standing.pending_since
    unseen = LedgerError("ledger-restored-unseen") if standing.restored else None
    behind = 0 if since is None else max(0, int(city.clock() - since / 1000))
    logged = city.authorities.policy_at(standing.signed)
    asked = logged is not None and logged.policy.least() > 0
    return Overview(
        signed=standing.signed,
        final=standing.final,
        behind=behind,
        overdue=behind > city.settings.final_seconds,
        asked=asked,
        override="" if logged is None else logged.override,
        quorum_at=_quorum_at(city, standing.final) if asked else None,
        witnesses=city.witnessing.seen,
        refusal=city.ledger.refusal or unseen,
        restored=standing.restored,
    )


def _quorum_at(city: City, size: int) -> int | None:
    logged = city.authorities.policy_at(size)
    if logged is None or not size:
        return None
    stamps = logged.policy.cosigned(parse_note(city.ledger.checkpoint())).values()
    return max(stamps, default=None)


def wait_asked(prefer: str | None) -> int:
    """The seconds of a `Prefer: wait=…` (RFC 7240 §4.3), at most `MAX_WAIT`; 0 for none."""
    found = _WAIT.search(prefer or "")
    return min(int(found[1]), MAX_WAIT) if found else 0


async def until_final(city: City, size: int, seconds: int) -> None:
    """Returns when a tree of `size` is known to be final here, or after so many seconds. It takes
    no thread meanwhile."""
    city.witnessing.wake()
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    # Another thread makes it final, so there is no event of this loop to wait for.
    while city.ledger.final_seen < size and clock() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(_POLL)
