"""Names of keys: key ids, and public keys in COSE and JOSE form.

A C2SP verifier key (vkey) belongs to signed notes and lives in `verifier.note`.
"""

import hashlib
from typing import Any

import cbor2

from keys.errors import KeysError
from keys.suites import suite_for
from keys.suites.base import Suite

KID_SIZE = 8
_AKP = 7  # the key type that names its algorithm (RFC 9964); of others the curve decides
_ED25519 = bytes.fromhex("a3010120062158 20")
"""How the COSE_Key of every Ed25519 key begins, in deterministic CBOR; 32 bytes follow."""
_CURVES = {(1, 6): -19, (2, 1): -9, (2, -70301): -70501}  # (kty, crv) → COSE algorithm


def cose_key_bytes(suite: Suite, public: bytes) -> bytes:
    """The COSE_Key of a public key, in deterministic CBOR."""
    return cbor2.dumps(suite.cose_key(public), canonical=True)


def kid(suite: Suite, public: bytes) -> bytes:
    """Key id: the first 8 bytes of the COSE Key Thumbprint with SHA-256 (RFC 9679)."""
    return hashlib.sha256(cose_key_bytes(suite, public)).digest()[:KID_SIZE]


def parse_cose_key(data: bytes, *, proper: bool = True) -> tuple[Suite, bytes]:
    """Strict inverse of `cose_key_bytes`: (suite, public key), checked to be a proper point.

    Without `proper` the caller calls `check_public` before the key is first used.
    """
    if data[:8] == _ED25519 and len(data) == 40:
        suite, public = suite_for(-19), data[8:]
        if proper:
            suite.check_public(public)
        return suite, public
    try:
        key = cbor2.loads(data)
    except Exception as error:  # cbor2 lets ValueError, TypeError … through
        raise KeysError("key-bad-public", "not CBOR") from error
    if not isinstance(key, dict):
        raise KeysError("key-bad-public", "not a map")
    suite = suite_for(_algorithm(key))
    public = suite.public_from_cose(key, proper=proper)
    if cose_key_bytes(suite, public) != data:
        raise KeysError("key-bad-public", "not deterministic CBOR")
    return suite, public


def _algorithm(key: dict[Any, Any]) -> object:
    kty, curve = key.get(1), key.get(-1)
    if type(kty) is not int:
        return None
    if kty == _AKP:
        return key.get(3)
    return _CURVES.get((kty, curve)) if type(curve) is int else None
