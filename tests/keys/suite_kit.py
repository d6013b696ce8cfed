"""What the tests of suites share: keys, bad public keys and other spellings, suite by suite.

Values: the small-order points of edwards25519; P-256 and the SM2 curve by their equations.
"""

from collections.abc import Callable, Mapping

import nacl.bindings as sodium
import pytest

from keys.errors import KeysError
from keys.suites import BY_NAME, SUITES
from keys.suites.base import Suite

L = 2**252 + 27742317777372353535851937790883648493
P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
SM2_N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
SM2_P = 2**256 - 2**224 - 2**96 + 2**64 - 1
SMALL_ORDER = [
    "01" + "00" * 31,
    "00" * 32,
    "00" * 31 + "80",
    "ec" + "ff" * 30 + "7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]
every_suite = pytest.mark.parametrize("suite", SUITES.values(), ids=BY_NAME)


def private_of(suite: Suite, seed: int = 7) -> bytes:
    return bytes([seed]) * suite.private_size


def public_of(suite: Suite, seed: int = 7) -> bytes:
    return suite.public_from_private(private_of(suite, seed))


def refuses(code: str) -> "pytest.RaisesExc[KeysError]":
    return pytest.raises(KeysError, match=f"^{code}")


def number(value: int) -> bytes:
    return value.to_bytes(32, "big")


# --- public keys that are no keys ----------------------------------------------------------------


def _bad_ed25519(good: bytes) -> dict[str, bytes]:
    bad = {
        f"small order {number}": bytes.fromhex(point) for number, point in enumerate(SMALL_ORDER)
    }
    return bad | {
        "off the curve": b"\x02" + bytes(31),
        "the identity, not reduced": bytes.fromhex("ee" + "ff" * 30 + "7f"),
        "zero, not reduced": bytes.fromhex("ed" + "ff" * 30 + "7f"),
        "all ones": b"\xff" * 32,
        "of mixed order": sodium.crypto_core_ed25519_add(good, bytes.fromhex(SMALL_ORDER[3])),
    }


def _bad_weierstrass(good: bytes, prime: int, root_of_zero: int) -> dict[str, bytes]:
    """`root_of_zero`: the y of the point with x = 0, so that x = prime is that point unreduced."""
    return {
        "empty": bytes(64),
        "all ones": b"\xff" * 64,
        "a bit off the curve": good[:63] + bytes([good[63] ^ 1]),
        "coordinates exchanged": good[32:] + good[:32],
        "x not reduced": number(prime) + number(root_of_zero),
        "y beyond the prime": good[:32] + number(2**256 - 1),
    }


def _root(square: int, prime: int) -> int:
    root = pow(square, (prime + 1) // 4, prime)
    assert root * root % prime == square
    return root


P256_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
SM2_B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93


def bad_publics(suite: Suite) -> dict[str, bytes]:
    """Descriptions and bytes of the right length that `check_public` must refuse."""
    good = public_of(suite)
    table: Mapping[str, Callable[[], dict[str, bytes]]] = {
        "ed25519": lambda: _bad_ed25519(good),
        "es256": lambda: _bad_weierstrass(good, P256_P, _root(P256_B, P256_P)),
        "ml-dsa-44": lambda: {"empty": bytes(1_312), "t1 is zero": good[:32] + bytes(1_280)},
        "sm2": lambda: _bad_weierstrass(good, SM2_P, _root(SM2_B, SM2_P)),
    }
    return table[suite.name]()


def bad_privates(suite: Suite) -> list[bytes]:
    """Private keys of the right length that must be refused; of seeds, there are none."""
    table = {
        "ed25519": [],
        "es256": [0, P256_N, P256_N + 1, 2**256 - 1],
        "ml-dsa-44": [],
        "sm2": [0, SM2_N - 1, SM2_N, SM2_N + 1, 2**256 - 1],
    }
    return [number(scalar) for scalar in table[suite.name]]


# --- other spellings of a good signature ---------------------------------------------------------


def _respelt_pair(signature: bytes, n: int) -> dict[str, bytes]:
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    pairs = {
        "negative s": (r, n - s),
        "negative r": (n - r, s),
        "r and s exchanged": (s, r),
        "r = 0": (0, s),
        "s = 0": (r, 0),
        "both zero": (0, 0),
        "r = n": (n, s),
        "s = n": (r, n),
        "r + s = n": (r, (n - r) % n),
        "r and s all ones": (2**256 - 1, 2**256 - 1),
    }
    if r + n < 2**256:
        pairs["r + n"] = (r + n, s)
    if s + n < 2**256:
        pairs["s + n"] = (r, s + n)
    return {name: number(a) + number(b) for name, (a, b) in pairs.items()}


def _respelt_ed25519(signature: bytes) -> dict[str, bytes]:
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    return {
        "S + L": r + (s + L).to_bytes(32, "little"),
        "S + 8 L": r + (s + 8 * L).to_bytes(32, "little"),
        "L - S": r + (L - s).to_bytes(32, "little"),
        "S = 0": r + bytes(32),
        "identity and zero": b"\x01" + bytes(63),
    }


_OMEGA, _K = 80, 4  # at most 80 hints; their positions, then four running counts


def _respelt_mldsa(signature: bytes) -> dict[str, bytes]:
    """The same hints written otherwise (FIPS 204, algorithm 21 refuses all), and z at its end."""
    head, hints = signature[: -_OMEGA - _K], signature[-_OMEGA - _K :]
    counts = hints[_OMEGA:]
    swapped, padded, repeated = bytearray(hints), bytearray(hints), bytearray(hints)
    assert counts[0] >= 2
    assert counts[3] < _OMEGA - 1
    swapped[0], swapped[1] = hints[1], hints[0]
    padded[_OMEGA - 1] = 1
    repeated[counts[3]] = hints[counts[3] - 1]
    repeated[-1] += 1
    return {
        "hints out of order": head + swapped,
        "padding not zero": head + padded,
        "a hint written twice": head + repeated,
        "more hints than there may be": head + hints[:-1] + bytes([_OMEGA + 1]),
        "counts that fall": head + hints[:_OMEGA] + bytes([counts[1], counts[0], *counts[2:]]),
        "z at the end of its range": signature[:32] + bytes(3) + signature[35:],
        "no hints at all": head + bytes(_OMEGA + _K),
    }


def respelt(suite: Suite, sign: Callable[[], bytes]) -> dict[str, bytes]:
    """Descriptions of, and other spellings of, a good signature; `sign` makes one each time."""
    signature = sign()
    if suite.name == "ml-dsa-44":
        while signature[-4] < 2 or signature[-1] >= _OMEGA - 1:
            signature = sign()
    table: Mapping[str, Callable[[], dict[str, bytes]]] = {
        "ed25519": lambda: _respelt_ed25519(signature),
        "es256": lambda: _respelt_pair(signature, P256_N),
        "ml-dsa-44": lambda: _respelt_mldsa(signature),
        "sm2": lambda: _respelt_pair(signature, SM2_N),
    }
    return table[suite.name]()
