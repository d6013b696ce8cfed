"""COSE Receipts (RFC 9942) of this kind of tree, RFC9162_SHA256.

    receipt        18([protected, {396: {-1: [inclusion]}}, null, signature])
                   18([protected, {396: {-2: [consistency]}}, null, signature])
    inclusion      CBOR [tree size, leaf index, [hash, …]]         in a byte string
    consistency    CBOR [older size, newer size, [hash, …]]        in a byte string

The signature is by the log's Ed25519 key over a Sig_structure whose payload, the root of the tree,
is detached: nobody can check it without having computed that root from a leaf. It cannot be a
checkpoint's, which is over a note's text; neither can be taken for the other, since no text begins
with the byte 0x84. What is signed of one tree is the same for all its entries: the protected header

    {1: -19, 4: kid, 15: {1: origin, 2: "tree/" size}, 16: "application/scitt-receipt+cose", 395: 1}

The order of work: `parse_receipt` reads the form and trusts nothing; `check_inclusion_receipt` and
`check_consistency_receipt` take the leaf, or the older root, and the log's key from the caller.
"""

from typing import Any, Final, NamedTuple

import cbor2

from keys.errors import KeysError
from keys.names import kid
from keys.signer import Signer
from keys.suites import SUITES
from verifier.codec import byte_string, cbor_decode, cbor_encode, cbor_read
from verifier.cose import ALG, CWT_CLAIMS, ISS, KID, SUB, TYP, to_be_signed
from verifier.errors import Refused
from verifier.merkle import (
    HASH_SIZE,
    MAX_SIZE,
    root_from_inclusion,
    roots_from_consistency,
)
from verifier.note import ED25519, TYPES, VerifierKey

VDS, VDP = 395, 396
RFC9162_SHA256: Final = 1
INCLUSION, CONSISTENCY = -1, -2
RECEIPT_TYP: Final = "application/scitt-receipt+cose"
MAX_RECEIPT: Final = 8_192
_MAX_HEADER: Final = 1_024
_MAX_HASHES: Final = 128
"""More than a consistency proof of any tree has; `verifier.merkle` knows how many it must be."""
_MAX_SIGNATURE: Final = 4_096
_TAG_18: Final = b"\xd2"


class InclusionProof(NamedTuple):
    """That the leaf at `index` is in the tree of `size` (RFC 9162 §2.1.3); hashes from below."""

    size: int
    index: int  # type: ignore[assignment]  # not tuple.index
    path: tuple[bytes, ...]


class ConsistencyProof(NamedTuple):
    """That the tree of `size` begins with that of `older` leaves (RFC 9162 §2.1.4)."""

    older: int
    size: int
    path: tuple[bytes, ...]


class CoseReceipt(NamedTuple):
    """A well-formed receipt of which nothing has been verified yet. `header` is the protected one;
    what it says of algorithm, key and issuer is no reason to believe it."""

    raw: bytes
    protected: bytes
    header: dict[int, Any]
    proof: InclusionProof | ConsistencyProof
    signature: bytes

    @property
    def issuer(self) -> str | None:
        """Whose receipt this says it is; by RFC 9943 the CWT claims of the header name it."""
        claims = self.header.get(CWT_CLAIMS)
        issuer = claims.get(ISS) if isinstance(claims, dict) else None
        return issuer if type(issuer) is str else None


# --- reading -----------------------------------------------------------------------------------


def parse_receipt(data: bytes) -> CoseReceipt:
    """Strict parse of one receipt with one proof.

    Whatever is not signed is of one spelling: deterministic CBOR, and nothing beside the proof.
    The protected header, which is signed as it stands, may have its labels in any order, as the
    RFC's own examples do.
    Raises `Refused`: cose-receipt-malformed, cose-receipt-structure, or a codec's code.
    """
    if len(data) > MAX_RECEIPT:
        raise Refused("too-large", f"a receipt of at most {MAX_RECEIPT} bytes")
    if data[:1] != _TAG_18:
        raise Refused("cose-receipt-malformed", "not a tagged COSE_Sign1")
    parts = cbor_decode(data[1:], max_bytes=MAX_RECEIPT)
    if not isinstance(parts, list) or len(parts) != 4:
        raise Refused("cose-receipt-malformed", "not four members")
    protected, unprotected, payload, signature = parts
    if type(protected) is not bytes or type(signature) is not bytes:
        raise Refused("cose-receipt-malformed", "members are not byte strings")
    if payload is not None:
        raise Refused("cose-receipt-malformed", "the root is not detached")
    if not 0 < len(signature) <= _MAX_SIGNATURE:
        raise Refused("cose-receipt-malformed", "signature")
    header = _header(protected)
    proofs = unprotected.get(VDP) if isinstance(unprotected, dict) else None
    if not isinstance(proofs, dict) or unprotected.keys() != {VDP} or len(proofs) != 1:
        raise Refused("cose-receipt-malformed", "unprotected header")
    ((label, listed),) = proofs.items()
    if label not in (INCLUSION, CONSISTENCY):
        raise Refused("cose-receipt-structure", f"proof type {label}"[:64])
    if not isinstance(listed, list) or len(listed) != 1 or type(listed[0]) is not bytes:
        raise Refused("cose-receipt-malformed", "not one proof")
    first, second, path = _proof(listed[0])
    proof: InclusionProof | ConsistencyProof
    if label == INCLUSION:
        proof = InclusionProof(first, second, path)
    else:
        proof = ConsistencyProof(first, second, path)
    return CoseReceipt(data, protected, header, proof, signature)


def is_receipt(data: bytes) -> bool:
    """Whether this claims to be a receipt: a COSE_Sign1 of a verifiable data structure."""
    if data[:1] != _TAG_18 or len(data) > MAX_RECEIPT:
        return False
    try:
        parts = cbor_read(data[1:], max_bytes=MAX_RECEIPT)
        return VDS in cbor_read(parts[0], max_bytes=_MAX_HEADER)
    except (Refused, LookupError, TypeError):
        return False


def _header(protected: bytes) -> dict[int, Any]:
    header = cbor_read(protected, max_bytes=_MAX_HEADER)
    if not isinstance(header, dict) or _encoded(header) != protected:
        raise Refused("cose-receipt-malformed", "protected header")
    if type(header.get(ALG)) is not int or type(header.get(VDS)) is not int:
        raise Refused("cose-receipt-malformed", "algorithm or data structure")
    if header[VDS] != RFC9162_SHA256:
        raise Refused("cose-receipt-structure", f"data structure {header[VDS]}"[:64])
    return header


def _encoded(value: object) -> bytes:
    """In the order read: catches long forms and labels that stand twice."""
    try:
        return cbor2.dumps(value)
    except Exception as error:  # cbor2 lets TypeError, ValueError … through
        raise Refused("cbor-malformed", type(error).__name__) from error


def _proof(data: bytes) -> tuple[int, int, tuple[bytes, ...]]:
    parts = cbor_decode(data, max_bytes=MAX_RECEIPT)
    if not isinstance(parts, list) or len(parts) != 3:
        raise Refused("cose-receipt-malformed", "proof")
    first, second, path = parts
    for number in (first, second):
        if type(number) is not int or not 0 <= number <= MAX_SIZE:
            raise Refused("cose-receipt-malformed", "size or index")
    if not isinstance(path, list) or len(path) > _MAX_HASHES:
        raise Refused("cose-receipt-malformed", "path")
    if any(type(each) is not bytes or len(each) != HASH_SIZE for each in path):
        raise Refused("cose-receipt-malformed", "path")
    return first, second, tuple(path)


# --- checking ----------------------------------------------------------------------------------


def inclusion_root(receipt: CoseReceipt, leaf: bytes) -> bytes:
    """The root that the receipt's path leads to from a leaf hash; no signature is looked at.

    Raises `Refused`: cose-receipt-other-proof, merkle-….
    """
    if not isinstance(receipt.proof, InclusionProof):
        raise Refused("cose-receipt-other-proof", "of consistency")
    size, index, path = receipt.proof
    return root_from_inclusion(index=index, size=size, leaf=leaf, proof=path)


def consistency_root(receipt: CoseReceipt, older_root: bytes) -> bytes:
    """The newer root that the receipt's path leads to; no signature is looked at.

    Raises `Refused`: cose-receipt-other-proof, merkle-root-mismatch and other merkle-….
    """
    if not isinstance(receipt.proof, ConsistencyProof):
        raise Refused("cose-receipt-other-proof", "of inclusion")
    older, size, path = receipt.proof
    if older == size and len(older_root) == HASH_SIZE:
        if path:
            raise Refused("merkle-proof-length", "sizes are equal")
        return older_root
    subproof = path if older & (older - 1) else (older_root, *path)
    found, newer = roots_from_consistency(size1=older, size2=size, subproof=subproof)
    if found != older_root:
        raise Refused("merkle-root-mismatch", "consistency")
    return newer


def check_inclusion_receipt(receipt: CoseReceipt, leaf: bytes, log_key: VerifierKey) -> bytes:
    """The leaf is in the log of `log_key`; returns the root of the receipt's tree.

    1. The receipt's path leads from this leaf to a root.
    2. The protected header is, byte for byte, that of this log and this size.
    3. The log's key signed that root.

    Raises `Refused`: those of `inclusion_root`, cose-receipt-other-log,
    cose-receipt-bad-signature.
    """
    root = inclusion_root(receipt, leaf)  # 1
    _check_signature(receipt, root, log_key)  # 2, 3
    return root


def check_consistency_receipt(
    receipt: CoseReceipt, older_size: int, older_root: bytes, log_key: VerifierKey
) -> bytes:
    """The tree of the receipt begins with the one that the caller knows; returns the newer root.

    Raises `Refused` as `check_inclusion_receipt`, and merkle-out-of-range where the receipt is
    about another older tree.
    """
    if isinstance(receipt.proof, ConsistencyProof) and receipt.proof.older != older_size:
        raise Refused("merkle-out-of-range", f"size {receipt.proof.older}, not {older_size}")
    root = consistency_root(receipt, older_root)
    _check_signature(receipt, root, log_key)
    return root


def _check_signature(receipt: CoseReceipt, root: bytes, log_key: VerifierKey) -> None:
    if receipt.protected != receipt_header(log_key, receipt.proof.size):
        raise Refused("cose-receipt-other-log", log_key.name)
    suite = SUITES[TYPES[log_key.type].cose_alg]
    try:
        suite.verify(log_key.public, to_be_signed(receipt.protected, root), receipt.signature)
    except KeysError as error:
        raise Refused("cose-receipt-bad-signature", error.code) from error


# --- making ------------------------------------------------------------------------------------


def receipt_header(log_key: VerifierKey, size: int) -> bytes:
    """The protected header of every receipt that rests on the log's tree of `size`."""
    if log_key.type != ED25519:
        raise Refused("note-key-type", f"{log_key.type:#04x}")
    suite = SUITES[TYPES[log_key.type].cose_alg]
    return cbor_encode(
        {
            ALG: suite.cose_alg,
            KID: kid(suite, log_key.public),
            CWT_CLAIMS: {ISS: log_key.name, SUB: f"tree/{size}"},
            TYP: RECEIPT_TYP,
            VDS: RFC9162_SHA256,
        }
    )


def sign_root(root: bytes, size: int, log_key: VerifierKey, signer: Signer) -> bytes:
    """The signature that all receipts of one tree share; `signer` has the key of `log_key`."""
    return signer.sign(to_be_signed(receipt_header(log_key, size), root))


def make_receipt(
    proof: InclusionProof | ConsistencyProof, log_key: VerifierKey, signature: bytes
) -> bytes:
    """Encodes a receipt with the signature that `sign_root` gave for the proof's tree.

    In a tree of one leaf the path is empty, which the RFC's grammar has no word for.
    """
    label = INCLUSION if isinstance(proof, InclusionProof) else CONSISTENCY
    content = cbor_encode([proof[0], proof[1], list(proof.path)])
    unprotected = cbor_encode({VDP: {label: [content]}})
    header = byte_string(receipt_header(log_key, proof.size))
    return b"".join((_TAG_18, b"\x84", header, unprotected, b"\xf6", byte_string(signature)))
