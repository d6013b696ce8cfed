"""ECDSA with P-256 and SHA-256: COSE ESP256 (RFC 9864), JOSE ES256 (RFC 7518 §3.4)."""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256

from keys.encoding import b64url
from keys.errors import KeysError

_EC2, _CRV_P256 = 2, 1
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ECDSA = ec.ECDSA(SHA256())


class Esp256:
    """COSE algorithm -9. Public keys are x ‖ y (64 bytes), signatures r ‖ s with s ≤ n/2.

    ECDSA accepts (r, s) and (r, n - s) alike; only the lower one is ours, so that nobody can make
    a second valid spelling of a signed statement.
    """

    name = "es256"
    cose_alg = -9
    jose_alg = "ES256"
    public_size = 64
    private_size = 32
    signature_size = 64

    def generate(self) -> bytes:
        numbers = ec.generate_private_key(ec.SECP256R1()).private_numbers()
        return numbers.private_value.to_bytes(self.private_size, "big")

    def public_from_private(self, private: bytes) -> bytes:
        point = self._load_private(private).public_key().public_numbers()
        return point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")

    def sign(self, private: bytes, message: bytes) -> bytes:
        return self.prepare(private)(message)

    def prepare(self, private: bytes) -> "Esp256Signing":
        return Esp256Signing(self._load_private(private))

    def verify(self, public: bytes, message: bytes, signature: bytes) -> None:
        if len(signature) != self.signature_size:
            raise KeysError("key-bad-signature", "length")
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        if not 0 < r < _ORDER or not 0 < s <= _ORDER // 2:
            raise KeysError("key-bad-signature", "r or s out of range")
        try:
            _load_public(public).verify(encode_dss_signature(r, s), message, _ECDSA)
        except InvalidSignature as error:
            raise KeysError("key-bad-signature") from error

    def check_public(self, public: bytes) -> None:
        _load_public(public)

    def cose_key(self, public: bytes) -> dict[int, object]:
        return {1: _EC2, -1: _CRV_P256, -2: public[:32], -3: public[32:]}

    def public_from_cose(self, key: dict[int, object], *, proper: bool = True) -> bytes:
        if set(key) != {1, -1, -2, -3} or key[1] != _EC2 or key[-1] != _CRV_P256:
            raise KeysError("key-bad-public", "not a P-256 COSE_Key")
        x, y = key[-2], key[-3]
        if not isinstance(x, bytes) or not isinstance(y, bytes) or len(x) != 32:
            raise KeysError("key-bad-public", "coordinates are not 32-byte strings")
        if proper:
            self.check_public(x + y)
        return x + y

    def jwk(self, public: bytes) -> dict[str, str]:
        return {"kty": "EC", "crv": "P-256", "x": b64url(public[:32]), "y": b64url(public[32:])}

    def _load_private(self, private: bytes) -> ec.EllipticCurvePrivateKey:
        scalar = int.from_bytes(private, "big")
        if len(private) != self.private_size or not 0 < scalar < _ORDER:
            raise KeysError("key-bad-private", self.name)
        return ec.derive_private_key(scalar, ec.SECP256R1())


def low_s(signature: bytes) -> bytes:
    """r ‖ s by any signer of this curve, as the one spelling that is ours."""
    r, s = signature[:32], int.from_bytes(signature[32:], "big")
    return r + min(s, _ORDER - s).to_bytes(32, "big")


class Esp256Signing:
    """A signing function that holds the loaded key and never shows it."""

    __slots__ = ("_key",)

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    def __call__(self, message: bytes) -> bytes:
        r, s = decode_dss_signature(self._key.sign(message, _ECDSA))
        return r.to_bytes(32, "big") + min(s, _ORDER - s).to_bytes(32, "big")


@lru_cache(maxsize=1024)
def _load_public(public: bytes) -> ec.EllipticCurvePublicKey:
    if len(public) != Esp256.public_size:
        raise KeysError("key-bad-public", "length")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public)
    except ValueError as error:
        raise KeysError("key-bad-public", Esp256.name) from error
