"""SM2 with SM3 (GM/T 0003-2012 = GB/T 32918), the national profile; see docs/formats.md.

What is signed is e = SM3(Z ‖ message), where Z binds the user id, the curve and the public key.

ECDSA's second spelling (r, n - s) does not exist here: r is e plus the x of R = sG + (r + s)Q, and
another s gives another R. One s' gives -R, which has the same x, but s' = -s - 2rd/(1 + d): whoever
can compute it knows d and can sign anyway.
"""

from collections.abc import Callable
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from keys.encoding import b64url
from keys.errors import KeysError
from keys.suites import sm2_wheel
from keys.suites.sm2_curve import A, B, G, N, on_curve, signers

USER_ID = b"1234567812345678"  # the default of GM/T 0009
_EC2, _CRV_SM2 = 2, -70301
_PROBES = (bytes(31) + b"\x01", bytes(31) + b"\x02")


class Sm2:
    """COSE algorithm -70501, private use as none is registered (OID 1.2.156.10197.1.501).

    Public keys are x ‖ y (64 bytes), private keys d (32 bytes) in [1, n-2], signatures r ‖ s
    (64 bytes) with r and s in [1, n-1] and r + s ≠ n.
    """

    name = "sm2"
    cose_alg = -70501
    jose_alg = "SM2"
    public_size = 64
    private_size = 32
    signature_size = 64

    def __init__(self, user_id: bytes = USER_ID) -> None:
        self._user_id = user_id

    def generate(self) -> bytes:
        return sm2_wheel.generate()

    def public_from_private(self, private: bytes) -> bytes:
        """Read off two signatures, as the library has no call for it.

        Multiplying in Python would let d be timed; this touches nothing secret. One signature
        leaves two keys possible, the next one decides.
        """
        if len(private) != self.private_size or not 0 < int.from_bytes(private, "big") < N - 1:
            raise KeysError("key-bad-private", self.name)
        first, second = (sm2_wheel.sign_digest(private, probe) for probe in _PROBES)
        e = int.from_bytes(_PROBES[0], "big")
        for public in signers(e, *decode_dss_signature(first)):
            if sm2_wheel.digest_signed(public, _PROBES[1], second):
                return public
        raise KeysError("key-bad-private", self.name)

    def sign(self, private: bytes, message: bytes) -> bytes:
        return self.prepare(private)(message)

    def prepare(self, private: bytes) -> Callable[[bytes], bytes]:
        return Sm2Signing(private, _bound(self._user_id, self.public_from_private(private)))

    def verify(self, public: bytes, message: bytes, signature: bytes) -> None:
        der = to_der(signature)
        digest = sm2_wheel.sm3(_bound(self._user_id, public) + message)
        if not sm2_wheel.digest_signed(public, digest, der):
            raise KeysError("key-bad-signature")

    def check_public(self, public: bytes) -> None:
        """Refuses what is not a point of the curve; all of those have the full order n."""
        x, y = int.from_bytes(public[:32], "big"), int.from_bytes(public[32:], "big")
        if len(public) != self.public_size or not on_curve(x, y):
            raise KeysError("key-bad-public", self.name)

    def cose_key(self, public: bytes) -> dict[int, object]:
        return {1: _EC2, -1: _CRV_SM2, -2: public[:32], -3: public[32:]}

    def public_from_cose(self, key: dict[int, object], *, proper: bool = True) -> bytes:
        if set(key) != {1, -1, -2, -3} or key[1] != _EC2 or key[-1] != _CRV_SM2:
            raise KeysError("key-bad-public", "not an SM2 COSE_Key")
        x, y = key[-2], key[-3]
        if not isinstance(x, bytes) or not isinstance(y, bytes) or len(x) != 32:
            raise KeysError("key-bad-public", "coordinates are not 32-byte strings")
        if proper:
            self.check_public(x + y)
        return x + y

    def jwk(self, public: bytes) -> dict[str, str]:
        return {"kty": "EC", "crv": "SM2", "x": b64url(public[:32]), "y": b64url(public[32:])}


class Sm2Signing:
    """A signing function that holds the private key and never shows it."""

    __slots__ = ("_bound", "_private")

    def __init__(self, private: bytes, bound: bytes) -> None:
        self._private = private
        self._bound = bound

    def __call__(self, message: bytes) -> bytes:
        digest = sm2_wheel.sm3(self._bound + message)
        return from_der(sm2_wheel.sign_digest(self._private, digest))


def to_der(signature: bytes) -> bytes:
    """The form of signatures in files, SEQUENCE { r, s } (GM/T 0009), of the raw 64 bytes.

    Raises `key-bad-signature` unless r and s are in range, like `from_der`.
    """
    if len(signature) != Sm2.signature_size:
        raise KeysError("key-bad-signature", "length")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    return encode_dss_signature(*_in_range(r, s))


def from_der(der: bytes) -> bytes:
    """The raw 64 bytes r ‖ s of a signature in strict DER."""
    try:
        r, s = _in_range(*decode_dss_signature(der))
    except ValueError as error:
        raise KeysError("key-bad-signature", "not DER") from error
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _in_range(r: int, s: int) -> tuple[int, int]:
    if not 0 < r < N or not 0 < s < N or r + s == N:
        raise KeysError("key-bad-signature", "r or s out of range")
    return r, s


@lru_cache(maxsize=1024)
def _bound(user_id: bytes, public: bytes) -> bytes:
    """Z of a user id and a public key, which is checked (GB/T 32918.2 §5.5)."""
    Sm2().check_public(public)
    curve = b"".join(value.to_bytes(32, "big") for value in (A, B, *G))
    length = (8 * len(user_id)).to_bytes(2, "big")
    return sm2_wheel.sm3(length + user_id + curve + public)
