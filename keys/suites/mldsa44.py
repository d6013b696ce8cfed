"""ML-DSA-44 (FIPS 204), pure and with an empty context: COSE and JOSE form of RFC 9964."""

from collections.abc import Callable
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from keys.encoding import b64url
from keys.errors import KeysError

_AKP = 7  # key type "Algorithm Key Pair": the algorithm is part of the key
_RHO = 32  # a public key is ρ (32 bytes) ‖ t1 (1,280 bytes, ten bits a coefficient)
_NO_T1 = bytes(1_280)


class MlDsa44:
    """COSE algorithm -48. Private keys are the 32-byte seeds ξ; signing is hedged.

    A signature has one spelling: OpenSSL refuses hints out of order or padded otherwise
    (FIPS 204, algorithm 21) and z out of range. Every string of 1,312 bytes decodes to a public
    key; the one under which anybody can sign, t1 = 0, is refused.
    """

    name = "ml-dsa-44"
    cose_alg = -48
    jose_alg = "ML-DSA-44"
    public_size = 1_312
    private_size = 32
    signature_size = 2_420

    def generate(self) -> bytes:
        return MLDSA44PrivateKey.generate().private_bytes_raw()

    def public_from_private(self, private: bytes) -> bytes:
        return self._load_private(private).public_key().public_bytes_raw()

    def sign(self, private: bytes, message: bytes) -> bytes:
        return self.prepare(private)(message)

    def prepare(self, private: bytes) -> Callable[[bytes], bytes]:
        """Expands the seed once, for a key that signs often."""
        return MlDsa44Signing(self._load_private(private))

    def verify(self, public: bytes, message: bytes, signature: bytes) -> None:
        key = _load_public(public)
        if len(signature) != self.signature_size:
            raise KeysError("key-bad-signature", "length")
        try:
            key.verify(signature, message)
        except InvalidSignature as error:
            raise KeysError("key-bad-signature") from error

    def check_public(self, public: bytes) -> None:
        _load_public(public)

    def cose_key(self, public: bytes) -> dict[int, object]:
        return {1: _AKP, 3: self.cose_alg, -1: public}

    def public_from_cose(self, key: dict[int, object], *, proper: bool = True) -> bytes:
        public = key.get(-1)
        if set(key) != {1, 3, -1} or key[1] != _AKP or key[3] != self.cose_alg:
            raise KeysError("key-bad-public", "not an ML-DSA-44 COSE_Key")
        if not isinstance(public, bytes):
            raise KeysError("key-bad-public", "pub is not a byte string")
        if proper:
            self.check_public(public)
        return public

    def jwk(self, public: bytes) -> dict[str, str]:
        return {"kty": "AKP", "alg": self.jose_alg, "pub": b64url(public)}

    def _load_private(self, private: bytes) -> MLDSA44PrivateKey:
        if len(private) != self.private_size:
            raise KeysError("key-bad-private", "length")
        return MLDSA44PrivateKey.from_seed_bytes(private)


class MlDsa44Signing:
    """A signing function that holds the expanded key and never shows it."""

    __slots__ = ("_key",)

    def __init__(self, key: MLDSA44PrivateKey) -> None:
        self._key = key

    def __call__(self, message: bytes) -> bytes:
        return self._key.sign(message)


@lru_cache(maxsize=256)
def _load_public(public: bytes) -> MLDSA44PublicKey:
    if len(public) != MlDsa44.public_size:
        raise KeysError("key-bad-public", "length")
    if public[_RHO:] == _NO_T1:
        raise KeysError("key-bad-public", "t1 is zero")
    return MLDSA44PublicKey.from_public_bytes(public)
