"""The trust pack: the one file that a counter syncs to verify without a network.

A COSE_Sign1 of type `zl-p` by a key of the ledger's operator; `verifier.pack_form` is the grammar
of its payload. Nothing in it is taken on the operator's word alone. What must be true of a pack:

    1  its form is the one encoding of what it says
    2  its statements of authority, genesis first, obey every rule (`verifier.authorities`)
    3  their log is the one that the counter knows, if it knows one
    4  the log signed the checkpoint with each of its keys, witnesses enough for the policy
       that those statements set cosigned it, and every statement of authority is in its tree
    5  a key of the operator that could sign at made-at signed the pack
    6  a compromised key's list of what it signed before is the one that the ledger names
    7  every status list is a department's, by a key that could sign at its time

Loading puts off what is slow and may never be asked: the signatures of statements until a key
that rests on them is used, those of status lists until one of their states is. `thorough` makes
every check at once; whoever puts a pack in a counter's hands opens it so.
"""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from keys.signer import Signer
from verifier.authorities import Authorities, check_outside
from verifier.checkpoint import Checkpoint, checkpoint_of, parse_checkpoint
from verifier.codec import cbor_encode, is_cut_short, take_byte_string
from verifier.cose import TYP as LABEL_TYP
from verifier.cose import Sign1, parse_sign1, sign_sign1
from verifier.errors import Refused
from verifier.kinds import WITNESSES
from verifier.logged_policy import LoggedPolicy
from verifier.multiproof import check_multiproof
from verifier.note import parse_note
from verifier.pack_form import (
    MAX_PACK,
    Enrolment,
    PackContent,
    encode_content,
    is_update,
    parse_content,
)
from verifier.signedlist import SignedList
from verifier.statement import parse_statement
from verifier.status import StatusBook, StatusToken, parse_status_token
from verifier.trust import Trust

__all__ = [
    "MAX_PACK",
    "Enrolment",
    "Pack",
    "PackContent",
    "check_status_signer",
    "checkpoint_in",
    "open_pack",
    "read_pack",
    "sign_pack",
]

TYP: Final = "zl-p"
_HEADER_END: Final = cbor_encode({LABEL_TYP: TYP})[1:]


class DecidedPolicy(NamedTuple):
    """A witness policy of the ledger, and the duty names of the officers who decided it."""

    logged: LoggedPolicy
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack that was checked: the trust it brings, and what that rests on.

    `leaves` are the leaf hashes of its statements of authority by ledger index; `digest` is the
    SHA-256 of the file, `size` its bytes, `missing` what this machine would need to check the rest
    of it: the keys concerned are refused when they are used. `policies` are the witness policies in
    turn, the one in force last.
    """

    trust: Trust
    checkpoint: Checkpoint
    leaves: Mapping[int, bytes]
    digest: bytes
    size: int
    missing: Sequence[str] = ()
    policies: Sequence[DecidedPolicy] = ()


def sign_pack(content: PackContent, signer: Signer) -> bytes:
    """Encodes and signs a pack with a key of the operator."""
    return sign_sign1(None, encode_content(content), typ=TYP, signer=signer)


def open_pack(data: bytes, *, log_key: str | None = None, thorough: bool = False) -> Trust:
    """The trust that a pack brings: see `read_pack`."""
    return read_pack(data, log_key=log_key, thorough=thorough).trust


def read_pack(data: bytes, *, log_key: str | None = None, thorough: bool = False) -> Pack:
    """Checks a pack; the numbers are explained above. Age is for the judge to weigh.

    `log_key` is the vkey already trusted: a pack of another ledger is refused with
    `pack-other-ledger`. Without it the pack is trusted on first use.
    Raises `Refused`: pack-…, those of `Authorities.enrol`, status-…, signed-list-…, policy-…,
    merkle-…, or a codec's code.
    """
    with _uncollected():
        return _read_pack(data, log_key, thorough)


@contextmanager
def _uncollected() -> Iterator[None]:
    """What a pack brings is made at once and stays: looking for garbage in between finds none."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _read_pack(data: bytes, log_key: str | None, thorough: bool) -> Pack:
    sign1 = _envelope(data)
    content = parse_content(sign1.payload)  # 1
    authorities, leaves, policies = _authorities(content)  # 2
    if authorities.log_key is None:
        raise Refused("pack-malformed", "no genesis")
    if log_key is not None and authorities.log_key.text() != log_key:  # 3
        raise Refused("pack-other-ledger", authorities.origin)
    note = parse_note(content.checkpoint)
    checkpoint = checkpoint_of(note, authorities.log_key, authorities.log_pq_key)  # 4
    if authorities.policy is not None:
        authorities.policy.check(note)
    check_multiproof(
        list(leaves.items()), size=checkpoint.size, proof=content.hashes, root=checkpoint.root
    )
    _check_signer(sign1, content.made_at, authorities)  # 5
    signed_lists = _signed_lists(content, authorities)  # 6
    statuses = _statuses(content, authorities)  # 7
    trust = Trust(
        authorities,
        {name.code: name for name in content.types},
        statuses,
        content.made_at,
        content.use_until,
        content.max_status_age,
        content.checkpoint,
        signed_lists,
    )
    missing: list[str] = []
    if thorough:
        missing = sorted({*authorities.settle_all(), *statuses.check_all()})
        for listed in signed_lists.values():
            listed.check()
    digest = sha256(data).digest()
    return Pack(trust, checkpoint, leaves, digest, len(data), missing, policies)


def checkpoint_in(data: bytes) -> Checkpoint:
    """The checkpoint that a pack claims to rest on: for whoever made the pack, or checks it yet."""
    content = parse_content(_envelope(data).payload)
    return parse_checkpoint(parse_note(content.checkpoint).text)


def _envelope(data: bytes) -> Sign1:
    """What is signed, and by which key.

    Raises `Refused`: pack-empty, pack-is-an-update, pack-cut-short; pack-not-a-pack for what is
    none of our signed structures, or another one; a codec's code for what is too large or damaged.
    """
    if not data:
        raise Refused("pack-empty")
    if is_update(data):
        raise Refused("pack-is-an-update")
    try:
        return parse_sign1(data, typ=TYP, max_bytes=MAX_PACK)
    except Refused as error:
        if error.code in ("cose-malformed", "cose-wrong-type"):
            raise Refused("pack-not-a-pack", error.detail) from error
        if is_cut_short(error):
            header = take_byte_string(data, 2)  # where that much is there, it says of what
            ours = header is None or header[0].endswith(_HEADER_END)
            raise Refused("pack-cut-short" if ours else "pack-not-a-pack") from error
        raise


def check_status_signer(token: StatusToken, authorities: Authorities) -> None:
    """The key that a status token names could sign it; the signature itself is not looked at.

    It is a key of the department, or of the one that it was merged into.
    Raises `status-wrong-signer`.
    """
    key = authorities.keys.get(token.sign1.kid)
    acting = authorities.acting(token.issuer.rpartition("/")[2])
    issuers = (token.issuer, f"{authorities.origin}/{acting}")
    if key is None or key.issuer not in issuers:
        raise Refused("status-wrong-signer", token.issuer)
    try:
        check_outside(key, token.issued_at)
    except Refused as error:
        raise Refused("status-wrong-signer", f"{token.issuer}: {error.code}") from error


def _authorities(
    content: PackContent,
) -> tuple[Authorities, Mapping[int, bytes], Sequence[DecidedPolicy]]:
    authorities = Authorities(deferred=True)
    leaves: dict[int, bytes] = {}
    policies: list[DecidedPolicy] = []
    for enrolment in content.enrolments:
        statement = parse_statement(enrolment.statement)
        authorities.enrol(statement, enrolment.index)
        leaves[enrolment.index] = statement.leaf
        if statement.content.kind == WITNESSES:
            logged, by = authorities.register.policies[-1], authorities.decided_by(statement)
            policies.append(DecidedPolicy(logged, by))
    return authorities, leaves, policies


def _check_signer(sign1: Sign1, made_at: int, authorities: Authorities) -> None:
    operator = authorities.register.operator_issuer()
    try:
        authorities.signer_of(sign1, operator, made_at)
    except Refused as error:
        raise _unless_missing(error, "pack-wrong-signer", error.code) from error


def _unless_missing(error: Refused, code: str, detail: str) -> Refused:
    """What nobody here can check is not called wrong; its detail says what to install."""
    return error if error.code == "suite-missing" else Refused(code, detail)


def _signed_lists(content: PackContent, authorities: Authorities) -> dict[bytes, SignedList]:
    lists = {}
    for kid, data in content.signed_lists.items():
        key, listed = authorities.keys.get(kid), SignedList(data)
        compromise = None if key is None else key.compromise
        if compromise is None:
            raise Refused("pack-signed-list-wrong", f"{kid.hex()}: not compromised")
        if (listed.count, listed.digest) != (compromise.count, compromise.signed):
            raise Refused("pack-signed-list-wrong", kid.hex())
        lists[kid] = listed
    return lists


def _statuses(content: PackContent, authorities: Authorities) -> StatusBook:
    tokens = [parse_status_token(raw) for raw in content.statuses]
    if len({(token.issuer, token.list_number) for token in tokens}) != len(tokens):
        raise Refused("pack-malformed", "a status list twice")
    for token in tokens:
        check_status_signer(token, authorities)

    def check_signature(token: StatusToken) -> None:
        issuer = authorities.keys[token.sign1.kid].issuer
        try:
            authorities.check_department(token.issuer)
            authorities.signer_of(token.sign1, issuer, token.issued_at)
        except Refused as error:
            detail = f"{token.issuer}: {error.code}"
            raise _unless_missing(error, "status-wrong-signer", detail) from error

    return StatusBook(tokens, check_signature)
