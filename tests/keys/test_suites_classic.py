"""Published values of Ed25519 and of ECDSA with P-256.

RFC 8032 §7.1 (tests 1 to 3), RFC 6979 §A.2.5 (P-256 with SHA-256, "sample"; its s is the higher of
the two).
"""

import pytest

from keys.names import parse_cose_key
from keys.suites import SUITES
from tests.keys.suite_kit import P256_N, SMALL_ORDER, private_of, refuses
from verifier.codec import cbor_encode

ED25519, ESP256 = SUITES[-19], SUITES[-9]
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701c"
            "f9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0"
            "f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f76098"
            "4dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]
P256_PRIVATE = bytes.fromhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
P256_PUBLIC = bytes.fromhex(
    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
)
P256_R = bytes.fromhex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716")
P256_HIGH_S = 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8


@pytest.mark.parametrize(("private", "public", "message", "signature"), RFC_8032)
def test_rfc_8032(private: str, public: str, message: str, signature: str) -> None:
    secret, text = bytes.fromhex(private), bytes.fromhex(message)
    assert ED25519.public_from_private(secret).hex() == public
    assert ED25519.sign(secret, text).hex() == signature
    ED25519.verify(bytes.fromhex(public), text, bytes.fromhex(signature))


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_ed25519_small_order_points_are_refused(point: str) -> None:
    with refuses("key-bad-public"):
        ED25519.check_public(bytes.fromhex(point))
    forged = bytes.fromhex("01" + "00" * 63)  # R is the identity and S is 0
    with refuses("key-bad-signature"):
        ED25519.verify(bytes.fromhex(point), b"any message", forged)


def test_p256_public_key_and_signature_of_rfc_6979() -> None:
    assert ESP256.public_from_private(P256_PRIVATE) == P256_PUBLIC
    low = (P256_N - P256_HIGH_S).to_bytes(32, "big")
    ESP256.verify(P256_PUBLIC, b"sample", P256_R + low)


def test_p256_high_s_is_another_spelling_and_refused() -> None:
    with refuses("key-bad-signature"):
        ESP256.verify(P256_PUBLIC, b"sample", P256_R + P256_HIGH_S.to_bytes(32, "big"))


@pytest.mark.parametrize("seed", range(1, 20))
def test_p256_always_signs_with_the_low_s(seed: int) -> None:
    private = private_of(ESP256, seed)
    assert int.from_bytes(ESP256.sign(private, b"m")[32:], "big") <= P256_N // 2


def test_p256_coordinates_of_unequal_length_are_refused() -> None:
    key = {1: 2, -1: 1, -2: P256_PUBLIC[:31], -3: P256_PUBLIC[31:]}
    with refuses("key-bad-public"):
        parse_cose_key(cbor_encode(key))
