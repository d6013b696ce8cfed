"""Without the wheel for SM2 everything else works, and the error says which extra to install."""

import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT = """
import sys
sys.modules["gmssl_pyx"] = None  # what an import of it then raises is ImportError
from keys.errors import KeysError
from keys.names import cose_key_bytes, kid, parse_cose_key
from keys.signer import SoftwareSigner
from keys.suites import BY_NAME, SUITES
from tests.keys.test_suites_sm2 import D, MESSAGE, PRIVATE, PUBLIC, SIGNATURE

sm2 = BY_NAME["sm2"]
assert SUITES[-70501] is sm2


def refused(use):
    try:
        use()
    except KeysError as error:
        assert error.code == "key-suite-missing", error
        assert "pip install zhenglian[sm2]" in str(error)
        return
    raise SystemExit("not refused")
"""
USES = {
    "generate": "sm2.generate()",
    "derive": "sm2.public_from_private(PRIVATE)",
    "sign": "sm2.sign(PRIVATE, MESSAGE)",
    "prepare": "sm2.prepare(PRIVATE)",
    "open": "SoftwareSigner(sm2, PRIVATE)",
    "verify": "sm2.verify(PUBLIC, MESSAGE, SIGNATURE)",
}


def run(repo: Path, script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + script],
        cwd=repo,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_any_signing_or_verifying_names_the_extra(repo: Path, use: str) -> None:
    run(repo, f"refused(lambda: {use})")


def test_keys_still_have_names_and_bad_ones_are_still_refused(repo: Path) -> None:
    """So that a counter without the wheel reads a trust pack with an SM2 department in it."""
    run(
        repo,
        """
data = cose_key_bytes(sm2, PUBLIC)
assert parse_cose_key(data) == (sm2, PUBLIC)
assert len(kid(sm2, PUBLIC)) == 8 and sm2.jwk(PUBLIC)["crv"] == "SM2"
for bad in (bytes(64), PUBLIC[:63] + b"!", PUBLIC[1:]):
    try:
        sm2.check_public(bad)
    except KeysError as error:
        assert error.code == "key-bad-public", error
    else:
        raise SystemExit("not refused")
""",
    )


def test_the_other_suites_work(repo: Path) -> None:
    run(
        repo,
        """
for suite in SUITES.values():
    if suite is not sm2:
        private = suite.generate()
        suite.verify(suite.public_from_private(private), b"m", suite.sign(private, b"m"))
""",
    )


def test_a_signed_document_is_unchecked_rather_than_forged(repo: Path) -> None:
    """`suite-missing` passes where "bad signature" would be said of what nobody looked at."""
    run(
        repo,
        """
from verifier.cose import Sign1
from verifier.errors import Refused

signed = Sign1(b"", {1: -70501}, b"", SIGNATURE)
try:
    signed.check_signature(PUBLIC)
except Refused as error:
    assert error.code == "suite-missing", error
    assert "pip install zhenglian[sm2]" in str(error)
else:
    raise SystemExit("not refused")
""",
    )


def test_with_the_wheel_the_same_uses_are_not_refused(repo: Path) -> None:
    """So that the script above is known to fail when nothing is missing."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            WITHOUT.replace('sys.modules["gmssl_pyx"] = None', "")
            + "refused(lambda: sm2.verify(PUBLIC, MESSAGE, SIGNATURE))",
        ],
        cwd=repo,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "not refused\n"
