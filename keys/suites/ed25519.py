"""Ed25519 (RFC 8032) through libsodium, which refuses small-order keys and S >= L."""

import nacl.bindings as sodium
from nacl.exceptions import BadSignatureError, CryptoError

from keys.encoding import b64url
from keys.errors import KeysError

_OKP, _CRV_ED25519 = 1, 6


class Ed25519:
    """COSE algorithm -19, "Ed25519" (RFC 9864); private keys are 32-byte seeds."""

    name = "ed25519"
    cose_alg = -19
    jose_alg = "Ed25519"
    public_size = 32
    private_size = 32
    signature_size = 64

    def generate(self) -> bytes:
        return sodium.randombytes(self.private_size)

    def public_from_private(self, private: bytes) -> bytes:
        if len(private) != self.private_size:
            raise KeysError("key-bad-private", "length")
        return sodium.crypto_sign_seed_keypair(private)[0]

    def sign(self, private: bytes, message: bytes) -> bytes:
        return self.prepare(private)(message)

    def prepare(self, private: bytes) -> "Ed25519Signing":
        """Expands the seed once, for a key that signs often."""
        if len(private) != self.private_size:
            raise KeysError("key-bad-private", "length")
        return Ed25519Signing(sodium.crypto_sign_seed_keypair(private)[1])

    def verify(self, public: bytes, message: bytes, signature: bytes) -> None:
        if len(public) != self.public_size or len(signature) != self.signature_size:
            raise KeysError("key-bad-signature", "length")
        try:
            sodium.crypto_sign_open(signature + message, public)
        except (BadSignatureError, CryptoError) as error:
            raise KeysError("key-bad-signature") from error

    def check_public(self, public: bytes) -> None:
        """Refuses points off the curve, of small order, or outside the prime-order group."""
        if len(public) != self.public_size or not sodium.crypto_core_ed25519_is_valid_point(public):
            raise KeysError("key-bad-public", self.name)

    def cose_key(self, public: bytes) -> dict[int, object]:
        return {1: _OKP, -1: _CRV_ED25519, -2: public}

    def public_from_cose(self, key: dict[int, object], *, proper: bool = True) -> bytes:
        public = key.get(-2)
        if set(key) != {1, -1, -2} or key[1] != _OKP or key[-1] != _CRV_ED25519:
            raise KeysError("key-bad-public", "not an Ed25519 COSE_Key")
        if not isinstance(public, bytes):
            raise KeysError("key-bad-public", "x is not a byte string")
        if proper:
            self.check_public(public)
        return public

    def jwk(self, public: bytes) -> dict[str, str]:
        return {"kty": "OKP", "crv": "Ed25519", "x": b64url(public)}


class Ed25519Signing:
    """A signing function that holds the expanded key and never shows it."""

    __slots__ = ("_expanded",)

    def __init__(self, expanded: bytes) -> None:
        self._expanded = expanded

    def __call__(self, message: bytes) -> bytes:
        return sodium.crypto_sign(message, self._expanded)[:64]
