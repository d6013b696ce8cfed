"""Changes of authority: what one officer proposes and another approves, before it is logged.

A proposal is a COSE_Sign1 of type `zl-c` by an officer's key over the CBOR map

    {1: origin, 2: kind of the statement, 3: facts, 4: proposed-at, 5: approve-before, 6: nonce}

and an approval one of type `zl-y` by another officer's key over

    {1: SHA-256 of the proposal's bytes, 2: approved-at}.

Both stand in the facts of the statement that the operator logs, `{"approval": …, "proposal": …}`:
what two officers signed is what the ledger holds. Times are Unix seconds. Whether the two may
decide this is `verifier.authorities`' to say; nothing here is verified.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

from keys.signer import Signer
from verifier.codec import cbor_decode, cbor_encode
from verifier.cose import Sign1, parse_sign1, sign_sign1
from verifier.errors import Refused
from verifier.kinds import CHANGES
from verifier.merkle import HASH_SIZE
from verifier.statement import Content
from verifier.times import CLOCK_SKEW, MAX_TIME

PROPOSAL: Final = "zl-c"
APPROVAL: Final = "zl-y"
NONCE_SIZE: Final = 16
MAX_DAYS_OPEN: Final = 30
"""A proposal that nobody approved in this time has lapsed."""
_MAX_PROPOSAL: Final = 49_152
_MAX_APPROVAL: Final = 8_192


class Proposal(NamedTuple):
    """A well-formed proposal of which nothing has been verified yet."""

    raw: bytes
    sign1: Sign1
    origin: str
    kind: int
    facts: Mapping[str, Any]
    proposed_at: int
    before: int

    @property
    def kid(self) -> bytes:
        return self.sign1.kid

    @property
    def digest(self) -> bytes:
        """What an approval names: SHA-256 of the proposal's bytes, signature included."""
        return sha256(self.raw).digest()


class Approval(NamedTuple):
    """A well-formed approval of which nothing has been verified yet."""

    raw: bytes
    sign1: Sign1
    digest: bytes
    approved_at: int

    @property
    def kid(self) -> bytes:
        return self.sign1.kid


def sign_proposal(
    kind: int,
    facts: Mapping[str, Any],
    *,
    origin: str,
    at: int,
    before: int,
    nonce: bytes,
    signer: Signer,
) -> bytes:
    """An officer's proposal to log a statement of `kind` with these facts by the time `before`."""
    payload = {1: origin, 2: kind, 3: dict(facts), 4: at, 5: before, 6: nonce}
    return sign_sign1(None, cbor_encode(payload), typ=PROPOSAL, signer=signer)


def sign_approval(proposal: Proposal, *, at: int, signer: Signer) -> bytes:
    """Another officer's approval of exactly this proposal."""
    payload = {1: proposal.digest, 2: at}
    return sign_sign1(None, cbor_encode(payload), typ=APPROVAL, signer=signer)


def parse_proposal(data: bytes) -> Proposal:
    """Strict parse; raises `change-malformed`, cose-… or a codec's code."""
    sign1 = parse_sign1(data, typ=PROPOSAL, max_bytes=_MAX_PROPOSAL)
    body = cbor_decode(sign1.payload, max_bytes=_MAX_PROPOSAL)
    if not isinstance(body, dict) or body.keys() != {1, 2, 3, 4, 5, 6}:
        raise Refused("change-malformed", "proposal")
    origin, kind, facts, at, before, nonce = (body[label] for label in range(1, 7))
    if type(origin) is not str or type(kind) is not int or kind not in CHANGES:
        raise Refused("change-malformed", "origin or kind")
    if type(facts) is not dict or not all(type(name) is str for name in facts):
        raise Refused("change-malformed", "facts")
    if not (_is_time(at) and _is_time(before) and at <= before <= at + MAX_DAYS_OPEN * 86_400):
        raise Refused("change-malformed", "times")
    if type(nonce) is not bytes or len(nonce) != NONCE_SIZE:
        raise Refused("change-malformed", "nonce")
    return Proposal(data, sign1, origin, kind, facts, at, before)


def parse_approval(data: bytes) -> Approval:
    """Strict parse; raises `change-malformed`, cose-… or a codec's code."""
    sign1 = parse_sign1(data, typ=APPROVAL, max_bytes=_MAX_APPROVAL)
    payload = sign1.payload
    head, label, at = payload[:4], payload[36:38], payload[38:]
    if (head, label, len(at)) == (b"\xa2\x01\x58\x20", b"\x02\x1a", 4) and at >= b"\0\1\0\0":
        return Approval(data, sign1, payload[4:36], int.from_bytes(at, "big"))  # as all are
    body = cbor_decode(sign1.payload, max_bytes=_MAX_APPROVAL)
    if not isinstance(body, dict) or body.keys() != {1, 2}:
        raise Refused("change-malformed", "approval")
    if type(body[1]) is not bytes or len(body[1]) != HASH_SIZE or not _is_time(body[2]):
        raise Refused("change-malformed", "approval")
    return Approval(data, sign1, body[1], body[2])


def change_content(proposal: bytes, approval: bytes) -> Content:
    """What the operator logs for an approved proposal."""
    kind = parse_proposal(proposal).kind
    return Content(kind, facts={"approval": approval, "proposal": proposal})


def parse_change(content: Content) -> tuple[Proposal, Approval]:
    """The two parts of a logged change, of the kind that the statement says."""
    facts = content.facts
    proposal, approval = facts.get("proposal"), facts.get("approval")
    if len(facts) != 2 or type(proposal) is not bytes or type(approval) is not bytes:
        raise Refused("change-malformed", "facts are not a proposal and its approval")
    parsed = parse_proposal(proposal)
    if parsed.kind != content.kind:
        raise Refused("change-malformed", "the proposal is of another kind")
    return parsed, parse_approval(approval)


def check_times(proposal: Proposal, approval: Approval, issued_at: int) -> None:
    """Proposed, approved and logged in turn, and before the proposal lapses. Each time is of its
    own clock, so each may be ahead of the next by `CLOCK_SKEW`.

    Raises `Refused`: change-from-future (ahead of the statement), change-too-late.
    """
    if issued_at > proposal.before:
        raise Refused("change-too-late", f"{issued_at} > {proposal.before}")
    if max(proposal.proposed_at, approval.approved_at) > issued_at + CLOCK_SKEW:
        raise Refused("change-from-future")
    if proposal.proposed_at > approval.approved_at + CLOCK_SKEW:
        raise Refused("change-too-late", f"{proposal.proposed_at} > {approval.approved_at}")


def _is_time(value: object) -> bool:
    return type(value) is int and 0 <= value < MAX_TIME
