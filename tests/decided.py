"""Changes of authority for tests: proposed by one officer, approved by another, ready to log."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import count
from typing import Any

from keys.names import cose_key_bytes
from keys.signer import Signer
from verifier.authorities import proof_of_possession_message
from verifier.change import change_content, parse_proposal, sign_approval, sign_proposal
from verifier.statement import Content

DAY = 86_400
_numbers = count()


def decided(
    kind: int,
    facts: Mapping[str, Any],
    *,
    origin: str,
    at: int,
    proposer: Signer,
    approver: Signer,
    nonce: bytes | None = None,
) -> Content:
    """What the operator logs at Unix time `at`; proposed an hour and approved a minute before."""
    nonce = nonce or sha256(f"nonce {next(_numbers)}".encode()).digest()[:16]
    proposal = sign_proposal(
        kind,
        facts,
        origin=origin,
        at=at - 3600,
        before=at + DAY,
        nonce=nonce,
        signer=proposer,
    )
    approval = sign_approval(parse_proposal(proposal), at=at - 60, signer=approver)
    return change_content(proposal, approval)


def possession(origin: str, name: str, key: Signer) -> tuple[bytes, bytes]:
    """(COSE_Key, proof of possession) of a key for a department or for `officer/<id>`."""
    cose_key = cose_key_bytes(key.suite, key.public)
    return cose_key, key.sign(proof_of_possession_message(origin, name, cose_key))


def officer_facts(origin: str, officers: Mapping[str, Signer]) -> Sequence[list[Any]]:
    """The `officers` of a genesis or a department."""
    return [[name, *possession(origin, f"officer/{name}", key)] for name, key in officers.items()]
