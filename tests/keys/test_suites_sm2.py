"""SM2 with SM3 against the standard's example, a slow twin, and OpenSSL.

Published values: GB/T 32918.5-2017 annex A (= GM/T 0003.5-2012), the example of a signature with
the recommended curve; GB/T 32905 annex A ("abc").
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keys.errors import KeysError
from keys.suites import sm2_curve, sm2_wheel, suite_named
from keys.suites.sm2 import USER_ID, Sm2, from_der, to_der
from tests.keys import sm2_twin as twin
from tests.keys.suite_kit import private_of, public_of, refuses

SM2 = suite_named("sm2")
D = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
K = 0x59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21
MESSAGE = b"message digest"
PUBLIC = bytes.fromhex(
    "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
    "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
)
Z = bytes.fromhex("B2E14C5C79C6DF5B85F4FE7ED8DB7A262B9DA7E07CCB0EA9F4747B8CCDA8A4F3")
E = 0xF0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640
SIGNATURE = bytes.fromhex(
    "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
    "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
)
R = int.from_bytes(SIGNATURE[:32], "big")
PRIVATE = D.to_bytes(32, "big")
ABC = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
scalars = st.integers(1, twin.N - 2)


class TestPublishedExample:
    def test_key_binding_and_signature(self) -> None:
        assert SM2.public_from_private(PRIVATE) == PUBLIC
        SM2.verify(PUBLIC, MESSAGE, SIGNATURE)

    def test_sm3_of_abc(self) -> None:
        assert sm2_wheel.sm3(b"abc").hex() == ABC

    def test_the_twin_makes_it_from_the_private_key_and_the_random_number(self) -> None:
        assert twin.public(D) == PUBLIC
        assert twin.z(USER_ID, PUBLIC) == Z
        assert twin.digest(USER_ID, PUBLIC, MESSAGE) == E
        assert twin.sign(D, K, USER_ID, MESSAGE) == SIGNATURE
        assert twin.sm3(b"abc").hex() == ABC

    @pytest.mark.parametrize("user_id", [b"", b"1234567812345679", b"ALICE123@YAHOO.COM"])
    def test_another_user_id_is_another_signature(self, user_id: bytes) -> None:
        other = Sm2(user_id)
        with refuses("key-bad-signature"):
            other.verify(PUBLIC, MESSAGE, SIGNATURE)
        signature = other.sign(PRIVATE, MESSAGE)
        other.verify(PUBLIC, MESSAGE, signature)
        assert twin.verifies(PUBLIC, user_id, MESSAGE, signature)
        with refuses("key-bad-signature"):
            SM2.verify(PUBLIC, MESSAGE, signature)


class TestTwin:
    @settings(max_examples=20)
    @given(d=scalars, message=st.binary(max_size=200))
    @example(d=1, message=b"")
    @example(d=twin.N - 2, message=b"\x00")
    def test_verifies_what_the_suite_signs(self, d: int, message: bytes) -> None:
        private = d.to_bytes(32, "big")
        assert SM2.public_from_private(private) == twin.public(d)
        assert twin.verifies(twin.public(d), USER_ID, message, SM2.sign(private, message))

    @settings(max_examples=20)
    @given(d=scalars, k=scalars, message=st.binary(max_size=200))
    @example(d=1, k=1, message=b"")
    def test_signs_what_the_suite_verifies(self, d: int, k: int, message: bytes) -> None:
        key, signature = twin.public(d), twin.sign(d, k, USER_ID, message)
        SM2.verify(key, message, signature)
        assert from_der(to_der(signature)) == signature

    @given(data=st.binary(max_size=300))
    def test_sm3(self, data: bytes) -> None:
        other = hashes.Hash(hashes.SM3())
        other.update(data)
        assert sm2_wheel.sm3(data) == twin.sm3(data) == other.finalize()

    @settings(max_examples=20)
    @given(d=scalars, e=st.integers(0, 2**256 - 1))
    def test_a_signature_leaves_two_keys_and_one_is_the_signers(self, d: int, e: int) -> None:
        der = sm2_wheel.sign_digest(d.to_bytes(32, "big"), e.to_bytes(32, "big"))
        signature = from_der(der)
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        found = sm2_curve.signers(e, r, s)
        assert len(set(found)) == 2
        assert twin.public(d) in found
        for public in found:
            SM2.check_public(public)
            assert sm2_wheel.digest_signed(public, e.to_bytes(32, "big"), der)

    @pytest.mark.parametrize("scalar", [0, 1, 2, 3, twin.N - 1, twin.N - 2, D])
    def test_the_curves_sums(self, scalar: int) -> None:
        """P + P, P - P, P + 0 and multiples at both ends."""
        base = (twin.GX, twin.GY)
        ours = sm2_curve._times(scalar, base)
        for other in (0, 1, 2, twin.N - 1, twin.N - scalar):
            total = sm2_curve._plus(ours, sm2_curve._times(other, base))
            expected = twin.times((scalar + other) % twin.N, base)
            assert (total[2] == 0) == (expected is None)
            if expected is not None:
                assert sm2_curve._encoded(total) == b"".join(
                    v.to_bytes(32, "big") for v in expected
                )


class TestMalleability:
    def test_the_one_other_s_of_an_r_takes_the_private_key(self) -> None:
        """s' = -s - 2rd / (1 + d) gives -R: a signature as good as any that the owner makes."""
        r, s = (int.from_bytes(half, "big") for half in (SIGNATURE[:32], SIGNATURE[32:]))
        other = (-s - 2 * r * D * pow(1 + D, -1, twin.N)) % twin.N
        SM2.verify(PUBLIC, MESSAGE, SIGNATURE[:32] + other.to_bytes(32, "big"))
        for wrong in (twin.N - s, s + 1, (other + 1) % twin.N):
            with refuses("key-bad-signature"):
                SM2.verify(PUBLIC, MESSAGE, SIGNATURE[:32] + wrong.to_bytes(32, "big"))

    def test_a_sum_of_n_is_refused_before_any_arithmetic(self) -> None:
        self.out_of_range(R, twin.N - R)

    @pytest.mark.parametrize("wrong", [0, twin.N, twin.N + 1, 2**256 - 1])
    def test_so_are_r_and_s_out_of_range(self, wrong: int) -> None:
        self.out_of_range(R, wrong)
        self.out_of_range(wrong, R)

    @staticmethod
    def out_of_range(r: int, s: int) -> None:
        with pytest.raises(KeysError, match="out of range"):
            SM2.verify(PUBLIC, MESSAGE, r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        with pytest.raises(KeysError, match="out of range"):
            from_der(encode_dss_signature(r, s))


class TestDer:
    def test_round_trip_with_high_and_low_bytes(self) -> None:
        for signature in (
            SIGNATURE,
            (1).to_bytes(32, "big") * 2,
            (twin.N - 1).to_bytes(32, "big") + (2).to_bytes(32, "big"),
            (0x80).to_bytes(32, "big") + (0x7F).to_bytes(32, "big"),
        ):
            assert from_der(to_der(signature)) == signature
        assert to_der(SIGNATURE)[:5].hex() == "3046022100"

    def test_other_encodings_are_refused(self) -> None:
        der = to_der(SIGNATURE)
        r, s = der[2:37], der[37:]
        wrong = {
            "empty": b"",
            "cut": der[:-1],
            "trailing byte": der + b"\x00",
            "long length": b"\x30\x81\x46" + der[2:],
            "indefinite length": b"\x30\x80" + der[2:] + b"\x00\x00",
            "padded integer": b"\x30\x47" + b"\x02\x22\x00" + r[2:] + s,
            "negative integer": b"\x30\x45" + b"\x02\x20" + r[3:] + s,
            "one integer": b"\x30\x23" + r,
            "three integers": b"\x30\x49" + r + s + b"\x02\x01\x01",
            "a set": b"\x31" + der[1:],
            "raw": SIGNATURE,
            "r = 0": b"\x30\x26\x02\x01\x00" + s,
        }
        for name, bad in wrong.items():
            with refuses("key-bad-signature"):
                raise AssertionError(name, from_der(bad))

    @pytest.mark.parametrize("size", [0, 63, 65, 128])
    def test_raw_signatures_of_another_length_are_refused(self, size: int) -> None:
        with refuses("key-bad-signature"):
            to_der((SIGNATURE * 2)[:size])


class TestQuiet:
    def test_failed_checks_write_nothing_and_python_loses_nothing(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            pytest.skip("the C library's stderr is put aside on glibc only")
        for _ in range(3):
            with refuses("key-bad-signature"):
                SM2.verify(PUBLIC, b"another", SIGNATURE)
        SM2.public_from_private(private_of(SM2))
        assert capfd.readouterr().err == ""
        os.write(2, b"still here\n")
        assert capfd.readouterr().err == "still here\n"

    def test_the_library_alone_is_loud(self, capfd: pytest.CaptureFixture[str]) -> None:
        """So that the test above cannot pass because there was nothing to hear."""
        import gmssl_pyx

        assert not gmssl_pyx.sm2_verify_sm3_digest(PUBLIC, bytes(32), to_der(SIGNATURE))
        assert "sm2_do_verify" in capfd.readouterr().err


class TestOpenSsl:
    """The command line of OpenSSL 3, a third implementation."""

    PARAMETERS = bytes.fromhex("06082a811ccf5501822d")  # OID 1.2.156.10197.1.301
    OPTIONS = ("-rawin", "-digest", "sm3", "-pkeyopt", f"distid:{USER_ID.decode()}")

    @pytest.fixture
    def openssl(self) -> str:
        program = shutil.which("openssl")
        if program is None:
            pytest.skip("openssl is not on this machine")
        listed = subprocess.run(
            [program, "ecparam", "-list_curves"], capture_output=True, text=True, check=True
        )
        if "SM2" not in listed.stdout:
            pytest.skip("openssl is built without SM2")
        return program

    def spki(self, public: bytes) -> bytes:
        algorithm = bytes.fromhex("06072a8648ce3d0201") + self.PARAMETERS
        key = b"\x03\x42\x00\x04" + public
        return b"\x30\x59\x30" + bytes([len(algorithm)]) + algorithm + key

    def ec_private_key(self, private: bytes, public: bytes) -> bytes:
        """RFC 5915."""
        body = b"\x02\x01\x01\x04\x20" + private + b"\xa0\x0a" + self.PARAMETERS
        body += b"\xa1\x44\x03\x42\x00\x04" + public
        return b"\x30" + bytes([len(body)]) + body

    def test_verifies_ours_and_signs_for_us(self, openssl: str, tmp_path: Path) -> None:
        private, public = private_of(SM2, 9), public_of(SM2, 9)
        message, signature = tmp_path / "message", tmp_path / "signature"
        key, whole = tmp_path / "public.der", tmp_path / "private.der"
        message.write_bytes(b"what is signed")
        key.write_bytes(self.spki(public))
        whole.write_bytes(self.ec_private_key(private, public))
        files = ["-in", str(message), "-keyform", "DER"]
        check = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", str(key), *files]
        check += ["-sigfile", str(signature), *self.OPTIONS]
        sign = [openssl, "pkeyutl", "-sign", "-inkey", str(whole), *files]
        sign += ["-out", str(signature), *self.OPTIONS]

        signature.write_bytes(to_der(SM2.sign(private, b"what is signed")))
        assert b"Success" in subprocess.run(check, capture_output=True, check=True).stdout
        signature.write_bytes(to_der(SM2.sign(private, b"something else")))
        assert subprocess.run(check, capture_output=True, check=False).returncode != 0
        subprocess.run(sign, capture_output=True, check=True)
        SM2.verify(public, b"what is signed", from_der(signature.read_bytes()))
