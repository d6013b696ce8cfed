"""What every signature suite promises, run over the table; then what is particular to each.

Values: RFC 8032 §7.1 (Ed25519, tests 1 to 3), RFC 6979 §A.2.5 (P-256 with SHA-256, "sample"; its
s is the higher of the two), the small-order points of Curve25519's twist-secure Edwards form.
"""

import base64

import nacl.bindings as sodium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import KeysError
from keys.names import KID_SIZE, cose_key_bytes, kid, parse_cose_key
from keys.signer import SoftwareSigner
from keys.suites import BY_NAME, SUITES, suite_for, suite_named
from keys.suites.base import Suite
from verifier.codec import cbor_encode

ED25519, ESP256 = SUITES[-19], SUITES[-9]
L = 2**252 + 27742317777372353535851937790883648493
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
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


def refuses(code: str) -> "pytest.RaisesExc[KeysError]":
    return pytest.raises(KeysError, match=f"^{code}")


@every_suite
class TestEverySuite:
    def test_has_its_place_in_both_tables(self, suite: Suite) -> None:
        assert suite_for(suite.cose_alg) is suite
        assert suite_named(suite.name) is suite

    def test_signs_and_verifies(self, suite: Suite) -> None:
        private = private_of(suite)
        public = suite.public_from_private(private)
        assert len(public) == suite.public_size
        suite.check_public(public)
        for message in (b"", b"x", b"\x00" * 5000):
            signature = suite.sign(private, message)
            assert len(signature) == suite.signature_size
            suite.verify(public, message, signature)

    def test_generates_different_keys_that_work(self, suite: Suite) -> None:
        one, two = suite.generate(), suite.generate()
        assert one != two
        assert len(one) == suite.private_size
        suite.verify(suite.public_from_private(one), b"m", suite.sign(one, b"m"))

    def test_every_altered_byte_of_a_signature_is_refused(self, suite: Suite) -> None:
        private = private_of(suite)
        public, signature = suite.public_from_private(private), suite.sign(private, b"message")
        for at in range(len(signature)):
            for flip in (1, 0x80):
                bad = bytearray(signature)
                bad[at] ^= flip
                with refuses("key-bad-signature"):
                    suite.verify(public, b"message", bytes(bad))

    def test_another_message_or_key_is_refused(self, suite: Suite) -> None:
        private, other = private_of(suite), suite.public_from_private(private_of(suite, 8))
        signature = suite.sign(private, b"message")
        with refuses("key-bad-signature"):
            suite.verify(suite.public_from_private(private), b"message ", signature)
        with refuses("key-bad-signature"):
            suite.verify(other, b"message", signature)

    @pytest.mark.parametrize("change", [-64, -1, 1, 64])
    def test_signatures_of_another_length_are_refused(self, suite: Suite, change: int) -> None:
        private = private_of(suite)
        signature = suite.sign(private, b"m") + b"\x00" * 64
        signature = signature[: suite.signature_size + change]
        with refuses("key-bad-signature"):
            suite.verify(suite.public_from_private(private), b"m", signature)

    def test_keys_of_another_length_are_refused(self, suite: Suite) -> None:
        private = private_of(suite)
        public, signature = suite.public_from_private(private), suite.sign(private, b"m")
        for bad in (b"", public[:-1], public + b"\x00"):
            with refuses("key-bad-public"):
                suite.check_public(bad)
            with pytest.raises(KeysError):
                suite.verify(bad, b"m", signature)
        for bad in (b"", private[:-1], private + b"\x00"):
            for use in (suite.public_from_private, suite.prepare):
                with refuses("key-bad-private"):
                    use(bad)

    def test_cose_key_round_trip(self, suite: Suite) -> None:
        public = suite.public_from_private(private_of(suite))
        assert parse_cose_key(cose_key_bytes(suite, public)) == (suite, public)

    def test_cose_keys_that_say_it_otherwise_are_refused(self, suite: Suite) -> None:
        public = suite.public_from_private(private_of(suite))
        key = suite.cose_key(public)
        data = cose_key_bytes(suite, public)
        wrong = [
            b"",
            b"\xa0",
            b"\x80",
            data[:-1],
            data + b"\x00",
            b"\xbf" + data[1:] + b"\xff",
            data.replace(b"\x01", b"\x18\x01", 1),
            cbor_encode({**key, 3: suite.cose_alg}),
            cbor_encode({**key, 1: 4}),
            cbor_encode({**key, -1: 9}),
            cbor_encode({**key, -2: "x" * 32}),
            cbor_encode({**key, -2: public[:31]}),
            cbor_encode({label: value for label, value in key.items() if label != -2}),
        ]
        for bad in wrong:
            with pytest.raises(KeysError) as caught:
                parse_cose_key(bad)
            assert caught.value.code in {"key-bad-public", "key-unknown-suite"}, bad.hex()

    def test_jwk_is_the_public_key(self, suite: Suite) -> None:
        public = suite.public_from_private(private_of(suite))
        jwk = suite.jwk(public)
        assert set(jwk) == ({"kty", "crv", "x"} if suite.cose_alg == -19 else set(jwk))
        parts = [jwk[name] for name in ("x", "y") if name in jwk]
        decoded = b"".join(base64.urlsafe_b64decode(part + "=") for part in parts)
        assert decoded == public
        assert not {"d", "k"} & set(jwk)

    def test_key_ids_differ_and_have_eight_bytes(self, suite: Suite) -> None:
        publics = [suite.public_from_private(private_of(suite, seed)) for seed in range(1, 9)]
        ids = {kid(suite, public) for public in publics}
        assert len(ids) == 8
        assert {len(one) for one in ids} == {KID_SIZE}

    @given(message=st.binary(max_size=300))
    def test_whatever_is_signed_verifies_under_the_signer(
        self, suite: Suite, message: bytes
    ) -> None:
        signer = SoftwareSigner(suite, private_of(suite))
        suite.verify(signer.public, message, signer.sign(message))

    def test_a_signer_never_shows_its_key(self, suite: Suite) -> None:
        private = private_of(suite, 0x5A)
        signer = SoftwareSigner(suite, private)
        texts = [repr(signer), str(signer), f"{signer}", repr(suite.prepare(private))]
        assert not hasattr(signer, "__dict__")
        for text in texts:
            assert private.hex() not in text
            assert repr(private)[2:-1] not in text
        assert signer.kid.hex() in repr(signer)


@pytest.mark.parametrize("alg", [-8, -7, 0, None, "-19", True, -19.0])
def test_other_algorithms_are_unknown(alg: object) -> None:
    with refuses("key-unknown-suite"):
        suite_for(alg)
    with refuses("key-unknown-suite"):
        suite_named(str(alg))


@pytest.mark.parametrize(("private", "public", "message", "signature"), RFC_8032)
def test_rfc_8032(private: str, public: str, message: str, signature: str) -> None:
    secret, text = bytes.fromhex(private), bytes.fromhex(message)
    assert ED25519.public_from_private(secret).hex() == public
    assert ED25519.sign(secret, text).hex() == signature
    ED25519.verify(bytes.fromhex(public), text, bytes.fromhex(signature))


def test_ed25519_s_plus_the_group_order_is_another_spelling_and_refused() -> None:
    private = private_of(ED25519)
    signature = ED25519.sign(private, b"m")
    s = int.from_bytes(signature[32:], "little") + L
    with refuses("key-bad-signature"):
        ED25519.verify(
            ED25519.public_from_private(private), b"m", signature[:32] + s.to_bytes(32, "little")
        )


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_ed25519_small_order_points_are_refused(point: str) -> None:
    with refuses("key-bad-public"):
        ED25519.check_public(bytes.fromhex(point))
    forged = bytes.fromhex("01" + "00" * 63)  # R is the identity and S is 0
    with refuses("key-bad-signature"):
        ED25519.verify(bytes.fromhex(point), b"any message", forged)


@pytest.mark.parametrize(
    "point", ["02" + "00" * 31, "ee" + "ff" * 30 + "7f", "ed" + "ff" * 30 + "7f", "ff" * 32]
)
def test_ed25519_off_curve_and_non_canonical_points_are_refused(point: str) -> None:
    with refuses("key-bad-public"):
        ED25519.check_public(bytes.fromhex(point))


def test_ed25519_points_outside_the_prime_order_group_are_refused() -> None:
    public = ED25519.public_from_private(private_of(ED25519))
    mixed = sodium.crypto_core_ed25519_add(public, bytes.fromhex(SMALL_ORDER[3]))
    with refuses("key-bad-public"):
        ED25519.check_public(mixed)


def test_p256_public_key_and_signature_of_rfc_6979() -> None:
    assert ESP256.public_from_private(P256_PRIVATE) == P256_PUBLIC
    low = (N - P256_HIGH_S).to_bytes(32, "big")
    ESP256.verify(P256_PUBLIC, b"sample", P256_R + low)


def test_p256_high_s_is_another_spelling_and_refused() -> None:
    with refuses("key-bad-signature"):
        ESP256.verify(P256_PUBLIC, b"sample", P256_R + P256_HIGH_S.to_bytes(32, "big"))


@pytest.mark.parametrize("seed", range(1, 20))
def test_p256_always_signs_with_the_low_s(seed: int) -> None:
    private = private_of(ESP256, seed)
    assert int.from_bytes(ESP256.sign(private, b"m")[32:], "big") <= N // 2


@pytest.mark.parametrize(("r", "s"), [(0, 1), (1, 0), (N, 1), (1, N), (0, 0), (2**256 - 1, 1)])
def test_p256_r_and_s_out_of_range_are_refused(r: int, s: int) -> None:
    with refuses("key-bad-signature"):
        ESP256.verify(P256_PUBLIC, b"m", r.to_bytes(32, "big") + s.to_bytes(32, "big"))


@pytest.mark.parametrize(
    "point",
    [
        bytes(64),
        b"\xff" * 64,
        P256_PUBLIC[:63] + bytes([P256_PUBLIC[63] ^ 1]),
        P256_PUBLIC[32:] + P256_PUBLIC[:32],
        P.to_bytes(32, "big") + P256_PUBLIC[32:],
    ],
)
def test_p256_points_off_the_curve_are_refused(point: bytes) -> None:
    with refuses("key-bad-public"):
        ESP256.check_public(point)
    with refuses("key-bad-public"):
        ESP256.verify(point, b"m", P256_R + b"\x01".rjust(32, b"\x00"))


@pytest.mark.parametrize("scalar", [0, N, N + 1, 2**256 - 1])
def test_p256_private_scalars_out_of_range_are_refused(scalar: int) -> None:
    with refuses("key-bad-private"):
        ESP256.public_from_private(scalar.to_bytes(32, "big"))


def test_p256_coordinates_of_unequal_length_are_refused() -> None:
    key = {1: 2, -1: 1, -2: P256_PUBLIC[:31], -3: P256_PUBLIC[31:]}
    with refuses("key-bad-public"):
        parse_cose_key(cbor_encode(key))
