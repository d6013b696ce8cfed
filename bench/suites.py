"""Signing and verifying with each suite, beside the bare call of the library underneath.

Ours adds the checks of ranges and keys, the raw form of signatures and, for SM2, the binding of
user id and key with SM3. Both sides see the same messages by turns; the median of each counts.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import gmssl_pyx
import nacl.bindings as sodium
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from keys.suites import SUITES
from keys.suites.base import Suite
from keys.suites.sm2 import to_der

MESSAGES = [number.to_bytes(4, "big") * 64 for number in range(400)]  # 256 bytes each
BOUND = 0.8
Row = dict[str, Any]
Call = Callable[[bytes], object]


def bench() -> list[Row]:
    rows = []
    for suite in SUITES.values():
        private = b"\x07" * suite.private_size
        raw_sign, raw_verify = RAW[suite.name](private)
        sign, public = suite.prepare(private), suite.public_from_private(private)
        signatures = {message: sign(message) for message in MESSAGES}
        rows.append(_row(f"{suite.name}: sign", sign, raw_sign))
        rows.append(_row(f"{suite.name}: verify", _verify(suite, public, signatures), raw_verify))
    return [*rows, *_sm2_messages()]


def _verify(suite: Suite, public: bytes, signatures: dict[bytes, bytes]) -> Call:
    return lambda message: suite.verify(public, message, signatures[message])


def _ed25519(private: bytes) -> tuple[Call, Call]:
    public, expanded = sodium.crypto_sign_seed_keypair(private)
    signed = {message: sodium.crypto_sign(message, expanded) for message in MESSAGES}
    return (
        lambda message: sodium.crypto_sign(message, expanded),
        lambda message: sodium.crypto_sign_open(signed[message], public),
    )


def _es256(private: bytes) -> tuple[Call, Call]:
    ecdsa = ec.ECDSA(SHA256())
    key = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
    public = key.public_key()
    signed = {message: key.sign(message, ecdsa) for message in MESSAGES}
    return (
        lambda message: key.sign(message, ecdsa),
        lambda message: public.verify(signed[message], message, ecdsa),
    )


def _mldsa44(private: bytes) -> tuple[Call, Call]:
    key = MLDSA44PrivateKey.from_seed_bytes(private)
    public = key.public_key()
    signed = {message: key.sign(message) for message in MESSAGES}
    return key.sign, lambda message: public.verify(signed[message], message)


def _sm2(private: bytes) -> tuple[Call, Call]:
    """The digest calls, on 32 bytes of each message."""
    public = SUITES[-70501].public_from_private(private)
    signed = {
        message: gmssl_pyx.sm2_sign_sm3_digest(private, message[-32:]) for message in MESSAGES
    }
    return (
        lambda message: gmssl_pyx.sm2_sign_sm3_digest(private, message[-32:]),
        lambda message: gmssl_pyx.sm2_verify_sm3_digest(public, message[-32:], signed[message]),
    )


def _sm2_messages() -> list[Row]:
    """Our signatures of messages beside those of the library's own call for messages."""
    suite, private = SUITES[-70501], b"\x07" * 32
    public, sign = suite.public_from_private(private), suite.prepare(private)
    message = MESSAGES[0]
    if not gmssl_pyx.sm2_verify(public, message, to_der(sign(message))):
        raise RuntimeError("the library does not verify ours, so the comparison means nothing")

    def raw(message: bytes) -> object:
        return gmssl_pyx.sm2_sign(private, public, message)

    return [_row("sm2: sign, beside the library's message call", sign, raw)]


RAW: dict[str, Callable[[bytes], tuple[Call, Call]]] = {
    "ed25519": _ed25519,
    "es256": _es256,
    "ml-dsa-44": _mldsa44,
    "sm2": _sm2,
}


def _row(name: str, ours: Call, raw: Call) -> Row:
    times: tuple[list[int], list[int]] = ([], [])
    for message in MESSAGES:
        for call, spent in zip((ours, raw), times, strict=True):
            begun = time.perf_counter_ns()
            call(message)
            spent.append(time.perf_counter_ns() - begun)
    value, bare = (1e9 / statistics.median(spent) for spent in times)
    return {
        "name": name,
        "value": value,
        "unit": "/s",
        "raw": bare,
        "raw_name": "the library's call",
        "ratio": value / bare,
        "bound": f"≥ {BOUND} × the library's own call",
        "holds": value / bare >= BOUND,
    }
