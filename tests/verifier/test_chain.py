"""Certificate chains: the good ones of every suite, and each rule with a chain that breaks it."""

import hashlib
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.hashes import SHA224, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import CertificatePoliciesOID, ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.errors import KeysError
from keys.suites import BY_NAME
from keys.suites.sm2 import Sm2
from tests.verifier.certificates import (
    ECDSA,
    NEW_KEY,
    OPENSSL_SM2_CA,
    OPENSSL_SM2_LEAF,
    SM2_SM3,
    T0,
    YEAR,
    Made,
    Sm2Key,
    raw_public,
    root,
    signed,
    signed_sm2,
    tlv,
)
from verifier.certificate import MAX_BYTES, parse
from verifier.chain import MAX_CERTIFICATES, Certificate, anchor_info, check_chain
from verifier.errors import Refused

SUITES = list(NEW_KEY)
ROOT = root(NEW_KEY["es256"]())
MIDDLE = ROOT.ca(NEW_KEY["es256"](), "中级", pathlen=0)
LEAF = MIDDLE.issue(NEW_KEY["es256"](), "行政审批局")


def checked(
    *chain: Made | bytes, anchors: Any = (ROOT.der,), at: int = T0, key: Any = None
) -> Certificate:
    """`check_chain` for the key of the first certificate made."""
    if key is None:
        key = next(made.key for made in chain if isinstance(made, Made))
    name, public = raw_public(key)
    ders = [made.der if isinstance(made, Made) else made for made in chain]
    return check_chain(ders, anchors, suite=BY_NAME[name], public=public, at=at)


def refused(code: str, *chain: Made | bytes, **rest: Any) -> str:
    """The detail of the refusal, which must be this one."""
    with pytest.raises(Refused) as caught:
        checked(*chain, **rest)
    assert caught.value.code == code, str(caught.value)
    return caught.value.detail


# --- what passes --------------------------------------------------------------------------------


@pytest.mark.parametrize("top", SUITES)
@pytest.mark.parametrize("bottom", SUITES)
def test_a_key_of_any_suite_under_a_ca_of_any_suite(top: str, bottom: str) -> None:
    ca = root(NEW_KEY[top](), "甲认证")
    leaf = ca.issue(NEW_KEY[bottom](), "行政审批局")
    found = checked(leaf, anchors=[ca.der])
    assert found == Certificate(
        "CN=行政审批局,C=CN",
        "CN=甲认证,C=CN",
        f"{parse(leaf.der).serial:x}",
        T0 - YEAR,
        T0 + YEAR,
        hashlib.sha256(ca.der).digest(),
    )


def test_the_root_may_be_left_out_or_given() -> None:
    assert checked(LEAF, MIDDLE) == checked(LEAF, MIDDLE, ROOT)


def test_an_intermediate_may_be_the_anchor_and_what_stands_above_it_does_not_matter() -> None:
    old_root = root(NEW_KEY["es256"](), "旧根", end=T0 - 1)
    middle = old_root.ca(NEW_KEY["es256"](), "中级", pathlen=0)
    leaf = middle.issue(NEW_KEY["es256"](), "局")
    for chain in ((leaf,), (leaf, middle), (leaf, middle, old_root)):
        assert checked(*chain, anchors=[middle.der]).issuer == "CN=中级,C=CN"


@pytest.mark.parametrize("digest", [SHA384(), SHA512()])
@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
    ],
)
def test_cas_with_rsa_and_larger_curves(key: Any, digest: Any) -> None:
    ca = root(key, digest=digest)
    assert checked(ca.issue(NEW_KEY["ed25519"](), "局", digest=digest), anchors=[ca.der])


def test_cas_with_larger_ml_dsa() -> None:
    key = mldsa.MLDSA65PrivateKey.generate()
    ca = parse(_self_signed(key))
    assert (ca.suite, ca.public) == ("", b"")


def test_openssl_s_sm2_chain() -> None:
    public = parse(OPENSSL_SM2_LEAF).public
    found = check_chain(
        [OPENSSL_SM2_LEAF], [OPENSSL_SM2_CA], suite=BY_NAME["sm2"], public=public, at=T0
    )
    assert found.subject == "CN=Seal key,O=行政审批局,C=CN"
    assert found.issuer == "CN=Example SM2 CA,O=示例电子认证,C=CN"
    assert found.serial == "2"


def test_of_two_certificates_for_one_ca_key_the_one_in_force_is_taken() -> None:
    key = NEW_KEY["es256"]()
    old, new = root(key, end=T0 - 1), root(key)
    leaf = new.issue(NEW_KEY["es256"](), "局")
    for anchors in ([old.der, new.der], [new.der, old.der]):
        assert checked(leaf, anchors=anchors).anchor == hashlib.sha256(new.der).digest()


def test_a_ca_renewing_its_own_key_does_not_use_up_the_path_length() -> None:
    top = root(NEW_KEY["es256"](), "根", pathlen=0)
    renewed = top.ca(NEW_KEY["es256"](), "根", pathlen=0)
    leaf = renewed.issue(NEW_KEY["es256"](), "局")
    assert checked(leaf, renewed, anchors=[top.der])


def test_extensions_that_are_not_critical_and_no_key_usage_at_all() -> None:
    policies = x509.CertificatePolicies(
        [x509.PolicyInformation(CertificatePoliciesOID.ANY_POLICY, None)]
    )
    leaf = ROOT.issue(NEW_KEY["es256"](), "局", ca=None, uses=None, extra=[(policies, False)])
    assert checked(leaf)
    assert checked(ROOT.issue(NEW_KEY["es256"](), "局", uses=["content_commitment"]))


# --- 1: form ------------------------------------------------------------------------------------


def test_an_empty_chain_and_a_certificate_twice() -> None:
    refused("chain-malformed", key=LEAF.key)
    refused("chain-malformed", LEAF, MIDDLE, ROOT, ROOT)


def test_a_chain_of_more_certificates_than_allowed() -> None:
    cas = [ROOT]
    while len(cas) < MAX_CERTIFICATES:
        cas.append(cas[-1].ca(NEW_KEY["ed25519"](), f"第{len(cas)}级"))
    leaf = cas[-1].issue(NEW_KEY["ed25519"](), "局")
    assert checked(leaf, *reversed(cas[1:]))
    refused("chain-too-long", leaf, *reversed(cas))


@pytest.mark.parametrize("der", [b"", b"\x30\x00", LEAF.der + b"\x00", LEAF.der[:-1], b"a" * 9])
def test_bytes_that_are_no_certificate(der: bytes) -> None:
    refused("chain-malformed", der, key=LEAF.key)
    refused("chain-malformed", LEAF, der)


def test_a_certificate_that_is_too_large() -> None:
    filler = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(MAX_BYTES))
    leaf = ROOT.issue(NEW_KEY["es256"](), "局", extra=[(filler, False)])
    assert "16384" in refused("chain-malformed", leaf)


def test_a_long_length_is_not_der() -> None:
    assert LEAF.der[1] == 0x82
    refused("chain-malformed", b"\x30\x83\x00" + LEAF.der[2:], key=LEAF.key)


def test_a_certificate_of_version_1() -> None:
    plain = ROOT.issue(NEW_KEY["es256"](), "局", ca=None, uses=None)
    body = _cut(parse(plain.der).x509.tbs_certificate_bytes, bytes.fromhex("a003020102"), b"")
    assert "version" in refused("chain-malformed", signed_sm2(body, Sm2Key()), key=plain.key)


def test_names_that_are_missing_or_endless() -> None:
    refused("chain-malformed", _self_signed(LEAF.key, name=x509.Name([])), key=LEAF.key)
    endless = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "a" * 60)] * 8)
    refused("chain-malformed", _self_signed(LEAF.key, name=endless), key=LEAF.key)


def test_names_of_no_text_and_with_control_characters() -> None:
    name = x509.Name.from_rfc4514_string("CN=abcd")
    der, plain = _self_signed(LEAF.key, name=name), b"\x0c\x04abcd"
    assert parse(der).subject == "CN=abcd"
    for other in (b"\x03\x04\x00bcd", b"\x0c\x04\xff\xfe\xff\xfe", b"\x0c\x04ab\nd"):
        refused("chain-malformed", der.replace(plain, other), key=LEAF.key)


def test_an_extension_that_cannot_be_read() -> None:
    names = x509.ObjectIdentifier("2.5.29.17")
    address = x509.UnrecognizedExtension(names, bytes.fromhex("3004a3020500"))  # X.400
    refused("chain-malformed", ROOT.issue(LEAF.key, "局", extra=[(address, False)]))


def test_a_serial_number_of_21_octets() -> None:
    whole = parse(LEAF.der).x509
    serial = b"\x02\x01" + bytes([whole.serial_number % 256])
    assert whole.serial_number < 128
    body = _cut(whole.tbs_certificate_bytes, serial, b"\x02\x15\x01" + bytes(20))
    assert "serial" in refused("chain-malformed", signed_sm2(body, Sm2Key()), key=LEAF.key)


def test_an_extension_twice() -> None:
    filler = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"aa")
    other = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.5"), b"aa")
    made = ROOT.issue(NEW_KEY["es256"](), "局", extra=[(filler, False), (other, False)])
    doubled = made.der.replace(b"\x06\x03\x2a\x03\x05", b"\x06\x03\x2a\x03\x04")
    refused("chain-malformed", doubled, key=made.key)


def test_keys_that_are_too_weak() -> None:
    small = root(rsa.generate_private_key(65537, 1024))  # noqa: S505
    refused("chain-weak", small.issue(LEAF.key, "局"), anchors=[small.der])
    key = NEW_KEY["ed25519"]()
    made = ROOT.issue(key, "局")
    # The neutral element, a point of order one.
    small_order = made.der.replace(raw_public(key)[1], b"\x01" + bytes(31))
    refused("chain-weak", small_order, key=key)


def test_keys_nobody_here_checks() -> None:
    for key in (ed448.Ed448PrivateKey.generate(), ec.generate_private_key(ec.BrainpoolP256R1())):
        refused("chain-suite-unsupported", LEAF, _self_signed(key))
    sm2 = root(Sm2Key())
    other = bytes.fromhex("2a811ccf5501822e")  # one beside the SM2 curve
    unknown = sm2.der.replace(bytes.fromhex("2a811ccf5501822d"), other)
    assert refused("chain-suite-unsupported", LEAF, unknown) == "curve"
    gost = LEAF.der.replace(bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d0209"))
    assert refused("chain-suite-unsupported", gost, key=LEAF.key) == "key"


def test_an_sm2_point_that_is_compressed_or_off_the_curve() -> None:
    made = ROOT.issue(NEW_KEY["es256"](), "局")
    point = raw_public(made.key)[1]
    sm2 = Sm2Key()
    leaf = root(sm2, "局", ca=False, uses=["digital_signature"])
    refused("chain-weak", leaf.der.replace(sm2.raw, point), key=sm2)
    refused("chain-malformed", leaf.der.replace(b"\x04" + sm2.raw, b"\x02" + sm2.raw), key=sm2)


def test_a_suite_no_certificate_holds() -> None:
    class Other(Sm2):
        name = "other"

    with pytest.raises(Refused) as caught:
        check_chain([LEAF.der], [ROOT.der], suite=Other(), public=bytes(64), at=T0)
    assert caught.value.code == "chain-suite-unsupported"


# --- 2 to 4: the key, the links, the anchor -------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_a_leaf_for_another_key(suite: str) -> None:
    leaf = ROOT.issue(NEW_KEY[suite](), "局")
    refused("chain-key-differs", leaf, key=NEW_KEY[suite]())


def test_the_same_point_on_another_curve_is_another_key() -> None:
    leaf = ROOT.issue(Sm2Key(), "局", signer=Sm2Key())
    with pytest.raises(Refused) as caught:
        check_chain([leaf.der], [], suite=BY_NAME["es256"], public=leaf.key.raw, at=T0)
    assert caught.value.code == "chain-key-differs"


@pytest.mark.parametrize("suite", SUITES)
def test_a_signature_by_another_key_of_the_ca_s_name(suite: str) -> None:
    ca = root(NEW_KEY[suite](), "甲")
    forged = ca.issue(NEW_KEY["es256"](), "局", signer=NEW_KEY[suite]())
    assert "signature" in refused("chain-not-issued", forged, ca, anchors=[ca.der])
    refused("chain-untrusted", forged, anchors=[ca.der])


def test_a_signature_of_another_kind_than_the_ca_s_key() -> None:
    by_sm2 = root(Sm2Key(), "甲")
    forged = by_sm2.issue(NEW_KEY["es256"](), "局", signer=NEW_KEY["es256"]())
    refused("chain-not-issued", forged, by_sm2, anchors=[by_sm2.der])
    by_p256 = root(NEW_KEY["es256"](), "甲")
    forged = by_p256.issue(NEW_KEY["es256"](), "局", signer=Sm2Key())
    refused("chain-not-issued", forged, by_p256, anchors=[by_p256.der])


def test_a_link_left_out_or_out_of_order() -> None:
    assert "name" in refused("chain-not-issued", LEAF, ROOT)
    refused("chain-not-issued", LEAF, ROOT, MIDDLE)
    refused("chain-untrusted", LEAF)


def test_one_bit_of_an_sm2_body_changed() -> None:
    ca = root(Sm2Key(), "甲")
    leaf = ca.issue(NEW_KEY["es256"](), "Bureau A")
    changed = leaf.der.replace(b"Bureau A", b"Bureau B")
    refused("chain-not-issued", changed, ca, anchors=[ca.der], key=leaf.key)


def test_an_sm2_signature_that_names_two_algorithms() -> None:
    ca = root(Sm2Key(), "甲")
    leaf = ca.issue(NEW_KEY["es256"](), "局")
    body = parse(leaf.der).x509.tbs_certificate_bytes
    inside = body.replace(SM2_SM3, bytes.fromhex("2a811ccf55018376"), 1)
    assert inside != body
    two = signed_sm2(inside, ca.key)
    assert "algorithm" in refused("chain-malformed", two, ca, anchors=[ca.der], key=leaf.key)


def test_an_sm2_signature_that_is_not_der() -> None:
    ca = root(Sm2Key(), "甲")
    leaf = ca.issue(NEW_KEY["es256"](), "局")
    signature = parse(leaf.der).x509.signature
    broken = leaf.der.replace(signature, b"\x31" + signature[1:])
    refused("chain-not-issued", broken, ca, anchors=[ca.der], key=leaf.key)


def test_sm2_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    ca = root(Sm2Key(), "甲")
    leaf = ca.issue(Sm2Key(), "局")

    def missing(*_: object) -> None:
        raise KeysError("key-suite-missing", "pip install zhenglian[sm2]")

    monkeypatch.setattr(Sm2, "verify", missing)
    assert "zhenglian[sm2]" in refused("chain-suite-unsupported", leaf, anchors=[ca.der])


def test_no_anchor_or_another_of_the_same_name() -> None:
    refused("chain-untrusted", LEAF, MIDDLE, anchors=[])
    refused("chain-untrusted", LEAF, MIDDLE, ROOT, anchors=[root(NEW_KEY["es256"]()).der])


def test_a_department_cannot_recognise_itself() -> None:
    refused("chain-untrusted", Made(LEAF.key, "局").issue(LEAF.key, "局"))
    listed = Made(LEAF.key, "局").issue(LEAF.key, "局")
    refused("chain-not-ca", listed, anchors=[listed.der])
    self_made = root(LEAF.key, "局")
    refused("chain-usage", self_made, anchors=[self_made.der])


def test_weak_signature_hashes() -> None:
    weak = ROOT.issue(LEAF.key, "局", digest=SHA224())
    assert "sha224" in refused("chain-weak", weak)
    sha1 = bytes.fromhex("2a8648ce3d0401")  # ecdsa-with-SHA1
    whole = parse(LEAF.der).x509
    body = _cut(whole.tbs_certificate_bytes, tlv(0x30, tlv(6, ECDSA)), tlv(0x30, tlv(6, sha1)))
    old = signed(body, sha1, whole.signature)
    assert "sha1" in refused("chain-weak", old, MIDDLE, key=LEAF.key)


# --- 5 to 8: time, extensions, uses, path length --------------------------------------------------


@pytest.mark.parametrize("late", range(3))
def test_each_certificate_has_to_be_in_force(late: int) -> None:
    def made(start: int, end: int) -> tuple[list[Made], bytes]:
        when: list[dict[str, Any]] = [{}, {}, {}]
        when[late] = {"start": start, "end": end}
        top = root(NEW_KEY["es256"](), "根", **when[2])
        middle = top.ca(NEW_KEY["es256"](), "中级", **when[1])
        return [middle.issue(NEW_KEY["es256"](), "局", **when[0]), middle], top.der

    chain, anchor = made(T0 - 10, T0)
    for at in (T0 - 10, T0):
        assert checked(*chain, anchors=[anchor], at=at)
    for at in (T0 - 11, T0 + 1):
        refused("chain-out-of-date", *chain, anchors=[anchor], at=at)


@pytest.mark.parametrize(
    "extension",
    [
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.NameConstraints([x509.DNSName("example.cn")], None),
        x509.PolicyConstraints(0, None),
    ],
)
def test_critical_extensions_unknown_here(extension: x509.ExtensionType) -> None:
    extra = [(extension, True)]
    detail = refused("chain-critical-extension", ROOT.issue(LEAF.key, "局", extra=extra))
    assert extension.oid.dotted_string in detail
    middle = ROOT.ca(NEW_KEY["es256"](), "中级", extra=extra)
    refused("chain-critical-extension", middle.issue(LEAF.key, "局"), middle)
    top = root(NEW_KEY["es256"](), extra=extra)
    refused("chain-critical-extension", top.issue(LEAF.key, "局"), anchors=[top.der])
    with pytest.raises(Refused, match="chain-critical-extension"):
        anchor_info(top.der)
    assert checked(ROOT.issue(LEAF.key, "局", extra=[(extension, False)]))


@pytest.mark.parametrize("uses", [["key_encipherment"], ["key_agreement"], ["key_cert_sign"]])
def test_a_leaf_not_for_signing(uses: list[str]) -> None:
    assert refused("chain-usage", ROOT.issue(LEAF.key, "局", uses=uses)) == "keyUsage"


def test_a_leaf_that_is_a_ca() -> None:
    both = ROOT.ca(LEAF.key, "局", uses=["digital_signature", "key_cert_sign"])
    assert refused("chain-usage", both) == "a CA's certificate"


@pytest.mark.parametrize(
    "changes",
    [
        {"ca": False},
        {"ca": None},
        {"uses": None},
        {"uses": ["digital_signature", "crl_sign"]},
    ],
)
def test_an_issuer_that_is_no_ca(changes: dict[str, Any]) -> None:
    middle = ROOT.ca(NEW_KEY["es256"](), "中级", **changes)
    refused("chain-not-ca", middle.issue(LEAF.key, "局"), middle)
    top = root(NEW_KEY["es256"](), **changes)
    refused("chain-not-ca", top.issue(LEAF.key, "局"), anchors=[top.der])
    with pytest.raises(Refused, match="chain-not-ca"):
        anchor_info(top.der)


def test_path_lengths() -> None:
    def chain(length: int | None) -> tuple[list[Made], bytes]:
        top = root(NEW_KEY["es256"](), "根", pathlen=length)
        first = top.ca(NEW_KEY["es256"](), "一级")
        second = first.ca(NEW_KEY["es256"](), "二级")
        return [second.issue(LEAF.key, "局"), second, first], top.der

    for length in (None, 2, 3):
        made, anchor = chain(length)
        assert checked(*made, anchors=[anchor])
    for length in (0, 1):
        made, anchor = chain(length)
        assert "path length" in refused("chain-too-long", *made, anchors=[anchor])


# --- anchors, and hostile bytes -------------------------------------------------------------------


def test_what_an_anchor_says() -> None:
    assert anchor_info(ROOT.der) == ("CN=根证书,C=CN", T0 - YEAR, T0 + YEAR)
    assert anchor_info(MIDDLE.der)[0] == "CN=中级,C=CN"
    assert anchor_info(OPENSSL_SM2_CA)[0] == "CN=Example SM2 CA,O=示例电子认证,C=CN"
    for der in (b"", LEAF.der, ROOT.der + b"\x00"):
        with pytest.raises(Refused):
            anchor_info(der)


SM2_LEAF = root(Sm2Key(), "甲").issue(Sm2Key(), "局")


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@settings(max_examples=400)
@given(st.data())
def test_bytes_changed_anywhere_are_refused_or_change_nothing(data: st.DataObject) -> None:
    made, anchor = data.draw(
        st.sampled_from([(LEAF, MIDDLE.der), (SM2_LEAF, None)]), label="certificate"
    )
    der = bytearray(made.der)
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    if bytes(der) == made.der:
        return
    with pytest.raises(Refused):
        checked(bytes(der), anchors=[anchor or MIDDLE.der], key=made.key)


def test_the_library_is_loaded_only_when_a_chain_is_checked() -> None:
    code = "import sys, verifier.chain, verifier.cli; sys.exit('cryptography.x509' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- faults cut by hand ---------------------------------------------------------------------------


def _self_signed(key: Any, name: x509.Name | None = None) -> bytes:
    name = name if name is not None else x509.Name.from_rfc4514_string("CN=x")
    pure = (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey, mldsa.MLDSA65PrivateKey)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 5)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, None if isinstance(key, pure) else SHA384())
    )
    return bytes(made.public_bytes(Encoding.DER))


def _cut(body: bytes, old: bytes, new: bytes) -> bytes:
    """A SEQUENCE in which the first `old` became `new`; its own length follows."""
    header = 2 + (body[1] & 0x7F if body[1] & 0x80 else 0)
    assert old in body
    return tlv(0x30, body[header:].replace(old, new, 1))
