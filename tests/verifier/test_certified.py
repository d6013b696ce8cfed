"""Keys that carry a certificate: what is enrolled with them, shown of them, and put off."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keys.signer import SoftwareSigner
from keys.suites import suite_named
from tests.city import BUSINESS, ISSUED_AT, NOW, City
from tests.verifier.certificates import NEW_KEY, Made, root
from tests.verifier.helpers import refused
from verifier import kinds
from verifier.change import parse_proposal, sign_approval
from verifier.judge import judge
from verifier.pack import open_pack
from verifier.statement import Content

OPERATORS = ("first", "second")


class Certified:
    """A city that recognises a CA, and a key of `market` that the CA certified."""

    def __init__(self) -> None:
        self.city = City()
        self.ca = root(NEW_KEY["es256"](), "示例市电子认证")
        private = Ed25519PrivateKey.generate()
        self.key = SoftwareSigner(suite_named("ed25519"), private.private_bytes_raw())
        self.leaf = self.ca.issue(private, "市场监督管理局")

    def recognise(self, ca: Made | None = None, at: int = ISSUED_AT) -> None:
        cert = (ca or self.ca).der
        facts = {"cert": cert, "zh": "示例认证", "en": "Example CA"}
        self.city.enrol(Content(kinds.CA, facts=facts), issued_at=at, by=OPERATORS)

    def enrol(self, *chain: bytes, at: int = ISSUED_AT, **facts: Any) -> None:
        chain_ = list(chain) or [self.leaf.der]
        content = self.city.key_content("market", self.key, [BUSINESS], x5c=chain_, **facts)
        self.city.enrol(content, issued_at=at)


@pytest.fixture
def made() -> Certified:
    return Certified()


def test_the_verdict_shows_who_certified_the_key(made: Certified) -> None:
    made.recognise()
    made.enrol()
    enrolled = made.city.authorities.key(made.key.kid)
    assert enrolled is not None
    assert enrolled.chain == (made.leaf.der,)
    licence = made.city.issue(by=made.key)
    verdict = judge(licence.qr(), made.city.trust(), NOW)
    assert (verdict.colour, verdict.code) == ("green", "valid")
    assert verdict.key is not None
    assert verdict.key.certificate is not None
    assert verdict.key.certificate.subject == "CN=市场监督管理局,C=CN"
    assert verdict.key.ca == ("示例认证", "Example CA")
    shown = verdict.to_json()["key"]["certificate"]
    assert (shown["ca_zh"], shown["serial"]) == ("示例认证", verdict.key.certificate.serial)
    plain = judge(made.city.issue().qr(), made.city.trust(), NOW)
    assert plain.key is not None
    assert plain.key.certificate is None
    assert plain.to_json()["key"]["certificate"] is None


def test_a_chain_is_checked_when_its_key_is_enrolled(made: Certified) -> None:
    before = dict(made.city.authorities.keys)
    with refused("chain-untrusted"):
        made.enrol()
    made.recognise()
    other = made.ca.issue(Ed25519PrivateKey.generate(), "another")
    for chain, code in [
        ([other.der], "chain-key-differs"),
        ([made.leaf.der[:-1]], "chain-malformed"),
        ([made.leaf.der] * 2, "chain-malformed"),
    ]:
        with refused(code):
            made.enrol(*chain)
    with refused("chain-malformed"):
        content = made.city.key_content("market", made.key, [BUSINESS], x5c=[])
        made.city.enrol(content, issued_at=ISSUED_AT)
    late = made.ca.issue(made.leaf.key, "late", start=NOW, end=NOW + 9)
    with refused("chain-out-of-date"):
        made.enrol(late.der)
    assert made.city.authorities.keys == before
    made.enrol()


def test_a_ca_is_recognised_until_it_is_withdrawn(made: Certified) -> None:
    with refused("chain-not-ca"):
        made.recognise(made.leaf)
    with refused("chain-malformed"):
        made.recognise(Made(None, "", b"no certificate"))
    assert made.city.authorities.anchors == {}
    made.recognise()
    with refused("enrolment-repeated"):
        made.recognise()
    made.enrol()
    (name,) = made.city.authorities.anchors
    withdraw = Content(kinds.CA_WITHDRAWN, facts={"cert": name})
    made.city.enrol(withdraw, issued_at=ISSUED_AT, by=OPERATORS)
    assert made.city.authorities.anchors[name].withdrawn is not None
    with refused("enrolment-malformed"):
        made.city.enrol(withdraw, issued_at=ISSUED_AT, by=OPERATORS)
    with refused("enrolment-malformed"):
        facts = {"cert": bytes(32)}
        made.city.enrol(Content(kinds.CA_WITHDRAWN, facts=facts), issued_at=ISSUED_AT, by=OPERATORS)
    first, made.key = made.key, SoftwareSigner(suite_named("es256"), bytes(31) + b"\x07")
    with refused("chain-untrusted", "chain-key-differs"):
        made.enrol()
    key = made.city.authorities.key(first.kid)  # what was enrolled before stays so
    assert key is not None
    assert key.certificate is not None
    made.recognise()
    assert made.city.authorities.anchors[name].withdrawn is None


def test_a_counter_puts_chains_off(made: Certified) -> None:
    """A false one comes out when its key is used, or when the pack is opened thoroughly."""
    made.recognise()
    made.enrol()
    city, index = made.city, made.city.enrolments[-1]
    hidden = City()
    hidden.entries, hidden.enrolments = city.entries[:], city.enrolments[:]
    stranger = root(NEW_KEY["es256"](), "陌生认证")
    leaf = stranger.issue(made.leaf.key, "陌生").der
    content = city.key_content("market", made.key, [BUSINESS], x5c=[leaf])
    hidden.entries[index] = city.sign(
        city.decided(content, issued_at=ISSUED_AT), "operator", issued_at=ISSUED_AT
    )
    hidden.departments, hidden.states = city.departments, city.states
    licence, plain = city.issue(by=made.key), city.issue()
    pack = hidden.pack()
    trust = open_pack(pack)
    for _ in range(2):
        verdict = judge(licence.qr(), trust, NOW)
        assert (verdict.colour, verdict.code) == ("red", "chain-untrusted")
    assert judge(plain.qr(), trust, NOW).code == "valid"
    with refused("chain-untrusted"):
        open_pack(pack, thorough=True)


def test_a_ca_is_not_called_what_nobody_approved(made: Certified) -> None:
    """Recognised once more under another name, by signatures that no officer made."""
    made.recognise()
    made.enrol()
    city = made.city
    licence = city.issue(by=made.key)
    (name,) = city.authorities.anchors
    other = {"cert": made.ca.der, "zh": "另一认证", "en": "Another CA"}
    for kind, facts in ((kinds.CA_WITHDRAWN, {"cert": name}), (kinds.CA, other)):
        decided = city.decided(Content(kind, facts=facts), issued_at=ISSUED_AT, by=OPERATORS).facts
        proposal = decided["proposal"]
        forged = {**decided, "proposal": proposal[:-1] + bytes([proposal[-1] ^ 1])}
        forged["approval"] = sign_approval(
            parse_proposal(forged["proposal"]), at=ISSUED_AT, signer=city.officers["second"]
        )
        entry = city.sign(Content(kind, facts=forged), "operator", issued_at=ISSUED_AT)
        city.enrolments.append(city.append(entry))
    verdict = judge(licence.qr(), open_pack(city.pack()), NOW)
    assert (verdict.colour, verdict.code) == ("red", "change-bad-signature")
    assert verdict.key is None


def test_loading_a_pack_reads_no_certificate(made: Certified, tmp_path: Path) -> None:
    made.recognise()
    made.enrol()
    (tmp_path / "pack").write_bytes(made.city.pack())
    code = (
        "import sys; from pathlib import Path; from verifier.pack import open_pack;"
        "open_pack(Path(sys.argv[1]).read_bytes()); sys.exit('cryptography.x509' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "pack")], check=True)
