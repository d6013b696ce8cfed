"""X.509 chains of department keys: from the key's certificate to a recognised licensed CA.

A department's key may carry a certificate of an electronic certification service licensed under
the 电子签名法 (Electronic Signature Law) articles 16 to 18. The chain adds the CA's word to the
ledger's; it never replaces the enrolment. Rules: RFC 5280 §6.1, the part that needs no policy
tree and no name constraints; a certificate that asks for either, critically, is refused.
Revocation by the CA is not looked up here (no I/O): whoever learns of it suspends the key.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from keys.suites.base import Suite
from verifier.errors import Refused

if TYPE_CHECKING:
    from verifier.certificate import Parsed

MAX_CERTIFICATES = 5
WITH_CERTIFICATES = frozenset({"ed25519", "es256", "ml-dsa-44", "sm2"})
"""The suites whose keys a certificate can hold."""


class Certificate(NamedTuple):
    """What a good chain says. Names in RFC 4514 text; times in Unix seconds, of the leaf.

    `issuer` names the recognised CA at the end of the chain, `anchor` is the SHA-256 of its DER.
    """

    subject: str
    issuer: str
    serial: str
    not_before: int
    not_after: int
    anchor: bytes


def check_chain(
    chain: Sequence[bytes], anchors: Iterable[bytes], *, suite: Suite, public: bytes, at: int
) -> Certificate:
    """Checks a chain (DER, leaf first, the root may be left out) at Unix time `at`.

    1. One to five different certificates, each strict DER of version 3 and at most 16 KiB, with a
       key this program can check: RSA of 2048 to 8192 bits, P-256/384/521, Ed25519, ML-DSA, SM2
       (chain-malformed, chain-too-long, chain-weak, chain-suite-unsupported).
    2. The leaf's key is `public` of `suite` (chain-key-differs).
    3. Each is issued by the next, by name and by signature (chain-not-issued), with SHA-256, -384
       or -512, or a suite that brings its own hash (chain-weak).
    4. One above the leaf is an anchor, or the last is issued by one (chain-untrusted). What stands
       above the first anchor is not needed and no longer matters.
    5. From the leaf to the anchor, each is in its validity at `at` (chain-out-of-date).
    6. None of them has a critical extension unknown here (chain-critical-extension).
    7. The leaf is no CA, and its keyUsage, if present, allows digitalSignature or nonRepudiation;
       so the encryption half of a GM pair of certificates is refused (chain-usage).
    8. Each issuer is a CA whose keyUsage has keyCertSign (chain-not-ca), and its path length
       allows what lies between it and the leaf (chain-too-long).
    """
    from verifier.certificate import check_issued, parse

    if suite.name not in WITH_CERTIFICATES:
        raise Refused("chain-suite-unsupported", suite.name)
    if len(chain) > MAX_CERTIFICATES:  # 1
        raise Refused("chain-too-long", f"at most {MAX_CERTIFICATES}")
    if not chain or len(set(chain)) != len(chain):
        raise Refused("chain-malformed", "empty, or a certificate twice")
    certificates = [parse(der) for der in chain]
    leaf = certificates[0]
    if (leaf.suite, leaf.public) != (suite.name, public):  # 2
        raise Refused("chain-key-differs", leaf.subject)
    for child, parent in pairwise(certificates):  # 3
        check_issued(child, parent)
    path = _to_anchor(certificates, anchors, at)  # 4
    for certificate in path:
        if not certificate.not_before <= at <= certificate.not_after:  # 5
            raise Refused("chain-out-of-date", certificate.subject)
        _check_extensions(certificate)  # 6
    if leaf.is_ca or not leaf.signs:  # 7
        raise Refused("chain-usage", "a CA's certificate" if leaf.is_ca else "keyUsage")
    between = 0
    for issuer in path[1:]:  # 8
        _check_ca(issuer)
        if issuer.path_length is not None and issuer.path_length < between:
            raise Refused("chain-too-long", f"{issuer.subject}: path length")
        between += not issuer.self_issued
    return Certificate(
        leaf.subject,
        path[-1].subject,
        f"{leaf.serial:x}",
        leaf.not_before,
        leaf.not_after,
        hashlib.sha256(path[-1].der).digest(),
    )


@dataclass(frozen=True)
class CertifiedKey:
    """A key with a chain that is checked when it is first relied on: the arguments of
    `check_chain`, and its answer. Loading a hundred keys need not check a hundred chains."""

    chain: tuple[bytes, ...]
    anchors: tuple[bytes, ...]
    suite: Suite
    public: bytes
    at: int

    @cached_property
    def certificate(self) -> Certificate:
        """Raises the `Refused` of `check_chain`."""
        return check_chain(
            self.chain, self.anchors, suite=self.suite, public=self.public, at=self.at
        )

    def run(self) -> None:
        """The check alone, as one of those that a statement rests on."""
        _ = self.certificate


def anchor_info(der: bytes) -> tuple[str, int, int]:
    """Subject (RFC 4514 text), first and last Unix second of a CA's certificate.

    Refuses one that could never anchor a chain: codes of rules 1, 6 and 8 above.
    """
    from verifier.certificate import parse

    anchor = parse(der)
    _check_extensions(anchor)
    _check_ca(anchor)
    return anchor.subject, anchor.not_before, anchor.not_after


def _to_anchor(certificates: list["Parsed"], anchors: Iterable[bytes], at: int) -> list["Parsed"]:
    """The certificates from the leaf to the first that is recognised, that one included."""
    from verifier.certificate import check_issued, parse

    known = dict.fromkeys(anchors)
    for position, certificate in enumerate(certificates[1:], 1):
        if certificate.der in known:
            return certificates[: position + 1]
    last = certificates[-1]
    fitting: list[Parsed] = []
    for anchor in map(parse, known):
        if anchor.x509.subject != last.x509.issuer:
            continue
        try:
            check_issued(last, anchor)
        except Refused as refused:
            if refused.code != "chain-not-issued":
                raise
            continue
        fitting.append(anchor)
    if not fitting:
        raise Refused("chain-untrusted", last.subject)
    # A CA may have two certificates for one key, an old and a renewed one.
    in_force = (anchor for anchor in fitting if anchor.not_before <= at <= anchor.not_after)
    return [*certificates, next(in_force, fitting[0])]


def _check_extensions(certificate: "Parsed") -> None:
    if certificate.unknown_critical:
        raise Refused(
            "chain-critical-extension", f"{certificate.subject}: {certificate.unknown_critical}"
        )


def _check_ca(certificate: "Parsed") -> None:
    if not certificate.is_ca or not certificate.certifies:
        raise Refused("chain-not-ca", certificate.subject)
