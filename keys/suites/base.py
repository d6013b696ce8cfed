"""What a signature suite promises."""

from collections.abc import Callable
from typing import Protocol


class Suite(Protocol):
    """One signature algorithm with fixed-length raw keys and signatures.

    `verify` and `check_public` raise `KeysError` and return nothing. Every signature has exactly
    one accepted encoding; a key that is not a proper point is refused wherever it appears.
    """

    name: str
    cose_alg: int
    jose_alg: str
    public_size: int
    private_size: int
    signature_size: int

    def generate(self) -> bytes:
        """A new private key from the operating system's random source."""

    def public_from_private(self, private: bytes) -> bytes: ...

    def sign(self, private: bytes, message: bytes) -> bytes: ...

    def prepare(self, private: bytes) -> Callable[[bytes], bytes]:
        """Loads a private key once, for a signer that signs often."""

    def verify(self, public: bytes, message: bytes, signature: bytes) -> None: ...

    def check_public(self, public: bytes) -> None: ...

    def cose_key(self, public: bytes) -> dict[int, object]:
        """COSE_Key map (RFC 9052 §7) with the required members only."""

    def public_from_cose(self, key: dict[int, object], *, proper: bool = True) -> bytes:
        """The raw public key; with `proper`, after `check_public`."""

    def jwk(self, public: bytes) -> dict[str, str]:
        """Public JWK (RFC 7517) with the required members only."""
