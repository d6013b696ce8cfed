"""The contract: what every signature suite promises, run over the table of suites."""

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.errors import KeysError
from keys.names import KID_SIZE, cose_key_bytes, kid, parse_cose_key
from keys.signer import SoftwareSigner
from keys.suites import BY_NAME, SUITES, suite_for, suite_named
from keys.suites.base import Suite
from tests.keys.suite_kit import (
    bad_privates,
    bad_publics,
    every_suite,
    private_of,
    public_of,
    refuses,
    respelt,
)
from verifier.codec import cbor_encode

JWK = {
    "ed25519": {"kty": "OKP", "crv": "Ed25519", "x": 32},
    "es256": {"kty": "EC", "crv": "P-256", "x": 32, "y": 32},
    "ml-dsa-44": {"kty": "AKP", "alg": "ML-DSA-44", "pub": 1_312},
    "sm2": {"kty": "EC", "crv": "SM2", "x": 32, "y": 32},
}


@every_suite
class TestSigning:
    def test_has_its_place_in_both_tables(self, suite: Suite) -> None:
        assert suite_for(suite.cose_alg) is suite
        assert suite_named(suite.name) is suite

    def test_signs_and_verifies(self, suite: Suite) -> None:
        private, public = private_of(suite), public_of(suite)
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

    def test_a_prepared_key_signs_as_the_key_does(self, suite: Suite) -> None:
        private, public = private_of(suite), public_of(suite)
        sign = suite.prepare(private)
        for message in (b"", b"m", b"another"):
            suite.verify(public, message, sign(message))
        once, again = sign(b"m"), suite.sign(private, b"m")
        assert (once == again) == (suite.name == "ed25519")  # the others draw fresh randomness

    @settings(max_examples=30)
    @given(message=st.binary(max_size=300))
    def test_whatever_is_signed_verifies_under_the_signer(
        self, suite: Suite, message: bytes
    ) -> None:
        signer = SoftwareSigner(suite, private_of(suite))
        suite.verify(signer.public, message, signer.sign(message))

    def test_four_threads_with_keys_of_their_own_and_one_shared(self, suite: Suite) -> None:
        shared = SoftwareSigner(suite, private_of(suite))

        def work(seed: int) -> int:
            own = SoftwareSigner(suite, private_of(suite, seed))
            for turn in range(15):
                message = f"{seed} {turn}".encode()
                for signer in (own, shared):
                    signature = signer.sign(message)
                    suite.verify(signer.public, message, signature)
                    with refuses("key-bad-signature"):
                        suite.verify(signer.public, message + b"!", signature)
            return seed

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(work, range(1, 5))) == [1, 2, 3, 4]

    def test_a_signer_never_shows_its_key(self, suite: Suite) -> None:
        private = private_of(suite, 0x5A)
        signer = SoftwareSigner(suite, private)
        texts = [repr(signer), str(signer), f"{signer}", repr(suite.prepare(private))]
        assert not hasattr(signer, "__dict__")
        for text in texts:
            assert private.hex() not in text
            assert repr(private)[2:-1] not in text
        assert signer.kid.hex() in repr(signer)


@every_suite
class TestRefusing:
    def test_every_altered_byte_of_a_signature(self, suite: Suite) -> None:
        public, signature = public_of(suite), suite.sign(private_of(suite), b"message")
        step = 1 if len(signature) < 100 else 7
        for at in (*range(0, len(signature), step), len(signature) - 1):
            for flip in (1, 0x80):
                bad = bytearray(signature)
                bad[at] ^= flip
                with refuses("key-bad-signature"):
                    suite.verify(public, b"message", bytes(bad))

    def test_another_message_or_key(self, suite: Suite) -> None:
        signature = suite.sign(private_of(suite), b"message")
        with refuses("key-bad-signature"):
            suite.verify(public_of(suite), b"message ", signature)
        with refuses("key-bad-signature"):
            suite.verify(public_of(suite, 8), b"message", signature)

    @pytest.mark.parametrize("change", [-64, -32, -1, 1, 32, 64])
    def test_signatures_of_another_length(self, suite: Suite, change: int) -> None:
        signature = suite.sign(private_of(suite), b"m") + b"\x00" * 64
        signature = signature[: suite.signature_size + change]
        with refuses("key-bad-signature"):
            suite.verify(public_of(suite), b"m", signature)

    def test_an_empty_signature(self, suite: Suite) -> None:
        with refuses("key-bad-signature"):
            suite.verify(public_of(suite), b"m", b"")

    def test_other_spellings_of_a_good_signature(self, suite: Suite) -> None:
        private, public = private_of(suite), public_of(suite)
        others = respelt(suite, lambda: suite.sign(private, b"m"))
        assert len(others) >= 5
        for name, other in others.items():
            assert len(other) == suite.signature_size, name
            with refuses("key-bad-signature"):
                suite.verify(public, b"m", other)

    def test_keys_of_another_length(self, suite: Suite) -> None:
        private, public = private_of(suite), public_of(suite)
        signature = suite.sign(private, b"m")
        for bad in (b"", public[:-1], public + b"\x00", b"\x04" + public):
            with refuses("key-bad-public"):
                suite.check_public(bad)
            with pytest.raises(KeysError):
                suite.verify(bad, b"m", signature)
        for bad in (b"", private[:-1], private + b"\x00"):
            for use in _uses(suite):
                with refuses("key-bad-private"):
                    use(bad)

    def test_private_keys_out_of_range_never_sign(self, suite: Suite) -> None:
        for bad in bad_privates(suite):
            for use in _uses(suite):
                with refuses("key-bad-private"):
                    use(bad)

    def test_public_keys_that_are_no_keys(self, suite: Suite) -> None:
        signature = suite.sign(private_of(suite), b"m")
        for name, bad in bad_publics(suite).items():
            assert len(bad) == suite.public_size, name
            with refuses("key-bad-public"):
                suite.check_public(bad)
            with refuses("key-bad-public"):
                parse_cose_key(cbor2.dumps(suite.cose_key(bad), canonical=True))
            with pytest.raises(KeysError):
                suite.verify(bad, b"m", signature)


@every_suite
class TestNames:
    def test_cose_key_round_trip(self, suite: Suite) -> None:
        public = public_of(suite)
        data = cose_key_bytes(suite, public)
        assert parse_cose_key(data) == (suite, public)
        assert data == cbor_encode(suite.cose_key(public))

    def test_cose_keys_that_say_it_otherwise_are_refused(self, suite: Suite) -> None:
        public = public_of(suite)
        key, data = suite.cose_key(public), cose_key_bytes(suite, public)
        longest = max(key, key=lambda label: len(str(key[label])))
        value = key[longest]
        assert isinstance(value, bytes)
        wrong = [
            b"",
            b"\xa0",
            b"\x80",
            data[:-1],
            data + b"\x00",
            b"\xbf" + data[1:] + b"\xff",
            data.replace(b"\x01", b"\x18\x01", 1),
            data.replace(b"\x01", b"\xf5", 1),
            cbor_encode({**key, 2: b"kid"}),
            cbor_encode({**key, 3: -7}),
            cbor_encode({**key, 3: suite.cose_alg, 4: [2]}),
            cbor_encode({**key, 1: 4}),
            cbor_encode({**key, 1: "EC2"}),
            cbor_encode({**key, 1: [1]}),
            cbor_encode({**key, -1: 9}),
            cbor_encode({**key, -1: [6]}),
            cbor_encode({**key, -4: private_of(suite)}),
            cbor_encode({**key, longest: "x" * len(value)}),
            cbor_encode({**key, longest: value[:-1]}),
            cbor_encode({label: member for label, member in key.items() if label != longest}),
        ]
        for bad in wrong:
            with pytest.raises(KeysError) as caught:
                parse_cose_key(bad)
            assert caught.value.code in {"key-bad-public", "key-unknown-suite"}, bad.hex()

    def test_a_suite_itself_reads_its_own_keys_only(self, suite: Suite) -> None:
        """Not by the grace of whoever looked up the suite and compares the bytes after."""
        key = suite.cose_key(public_of(suite))
        assert suite.public_from_cose(dict(key)) == public_of(suite)
        kind = 3 if key[1] == 7 else -1  # what names algorithm or curve
        changed: list[dict[int, object]] = [
            {},
            {**key, 1: 4},
            {**key, kind: -99},
            {**key, 2: b"kid"},
            *({label: value for label, value in key.items() if label != one} for one in key),
            *({**key, one: None} for one in key),
        ]
        if -3 in key:
            whole = public_of(suite)
            changed += [{**key, -2: whole[:31], -3: whole[31:]}, {**key, -2: whole[:32] + b"\0"}]
        for bad in changed:
            with refuses("key-bad-public"):
                suite.public_from_cose(bad)

    def test_the_private_half_of_a_cose_key_is_refused(self, suite: Suite) -> None:
        """Label -4 (d), or -2 (priv) of an algorithm key pair."""
        key = suite.cose_key(public_of(suite))
        label = -2 if key[1] == 7 else -4
        assert label not in key
        with refuses("key-bad-public"):
            parse_cose_key(cbor_encode({**key, label: private_of(suite)}))

    def test_jwk_is_the_public_key(self, suite: Suite) -> None:
        public, shape = public_of(suite), JWK[suite.name]
        jwk = suite.jwk(public)
        assert list(jwk) == list(shape)
        decoded = b""
        for name, expected in shape.items():
            if isinstance(expected, str):
                assert jwk[name] == expected
                continue
            part = base64.urlsafe_b64decode(jwk[name] + "=" * (-len(jwk[name]) % 4))
            assert len(part) == expected
            assert "=" not in jwk[name]
            decoded += part
        assert decoded == public

    def test_key_ids_differ_and_have_eight_bytes(self, suite: Suite) -> None:
        ids = {kid(suite, public_of(suite, seed)) for seed in range(1, 9)}
        assert len(ids) == 8
        assert {len(one) for one in ids} == {KID_SIZE}


def _uses(suite: Suite) -> tuple[Callable[[bytes], object], ...]:
    return (suite.public_from_private, suite.prepare, lambda private: suite.sign(private, b"m"))


def test_the_suites() -> None:
    assert {suite.name: number for number, suite in SUITES.items()} == {
        "ed25519": -19,
        "es256": -9,
        "ml-dsa-44": -48,
        "sm2": -70501,
    }
    assert list(BY_NAME) == list(JWK)


@pytest.mark.parametrize("alg", [-8, -7, -49, 0, None, "-19", True, -19.0])
def test_other_algorithms_are_unknown(alg: object) -> None:
    with refuses("key-unknown-suite"):
        suite_for(alg)
    with refuses("key-unknown-suite"):
        suite_named(str(alg))


def test_a_key_of_one_suite_is_none_of_another() -> None:
    """A point of P-256 under the number of the SM2 curve, and the other way round."""
    for suite, other in ((BY_NAME["es256"], BY_NAME["sm2"]), (BY_NAME["sm2"], BY_NAME["es256"])):
        key = {**suite.cose_key(public_of(suite)), -1: other.cose_key(bytes(64))[-1]}
        with refuses("key-bad-public"):
            parse_cose_key(cbor_encode(key))
    for alg in (-19, -9, -70501):
        with refuses("key-bad-public"):
            parse_cose_key(cbor_encode({1: 7, 3: alg, -1: bytes(1_312)}))
