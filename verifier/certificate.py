"""One X.509 certificate, read strictly; and whether one was issued by another.

`cryptography` parses DER and knows RSA, ECDSA, Ed25519 and ML-DSA. It reads certificates of the
national profile too (GM/T 0015, GB/T 20518: key on curve 1.2.156.10197.1.301, signature
1.2.156.10197.1.501, SM2 with SM3), but not their keys and signatures: those are taken out with its
ASN.1 reader and checked with our own SM2 suite under the standard's default user id. Names are
compared as encoded (RFC 5280 §7.1 would also let case and blanks differ; CAs copy them).

Importing this costs as much as a small program's start, so `verifier.chain` does it only when
there is a chain to check.
"""

from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.x509.oid import ExtensionOID

from keys.errors import KeysError
from keys.suites import BY_NAME
from keys.suites.sm2 import from_der
from verifier.errors import Refused

MAX_BYTES = 16_384
MAX_NAME = 400
MAX_SERIAL = 1 << 160
MIN_RSA_BITS, MAX_RSA_BITS = 2_048, 8_192
HASHES = frozenset({"sha256", "sha384", "sha512"})
CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_UNDERSTOOD = frozenset({ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE})
_EC_KEY = "1.2.840.10045.2.1"
_SM2_WITH_SM3 = "1.2.156.10197.1.501"
# The contents of two AlgorithmIdentifiers: id-ecPublicKey on the SM2 curve; SM2 with SM3, whose
# parameters some CAs leave out and others write as NULL.
_SM2_KEY = bytes.fromhex("06072a8648ce3d020106082a811ccf5501822d")
_SM2_SIGNATURE = bytes.fromhex("06082a811ccf55018375")
_SM2_SIGNATURES = frozenset({_SM2_SIGNATURE, _SM2_SIGNATURE + b"\x05\x00"})
_UNREADABLE = (
    ValueError,
    TypeError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@asn1.sequence
class _KeyInfo:
    algorithm: asn1.TLV
    point: asn1.BitString


@asn1.sequence
class _ToBeSigned:
    """TBSCertificate (RFC 5280 §4.1) of version 3 without the unique ids nobody may write."""

    version: asn1.TLV
    serial: asn1.TLV
    algorithm: asn1.TLV
    issuer: asn1.TLV
    validity: asn1.TLV
    subject: asn1.TLV
    key: _KeyInfo
    extensions: asn1.TLV


@asn1.sequence
class _Signed:
    body: _ToBeSigned
    algorithm: asn1.TLV
    signature: asn1.BitString


@dataclass(frozen=True, slots=True)
class Parsed:
    """A certificate whose form is in order; nothing about it is trusted yet.

    Names in RFC 4514 text, times in Unix seconds. `suite` is the name of our suite and `public`
    its raw key, or "" and b"" for a key that none of our suites has (RSA and larger curves).
    `signs`: keyUsage, if there, allows signing documents. `certifies`: keyUsage is there and allows
    signing certificates.
    """

    der: bytes
    x509: x509.Certificate
    subject: str
    serial: int
    not_before: int
    not_after: int
    is_ca: bool
    path_length: int | None
    signs: bool
    certifies: bool
    unknown_critical: str
    suite: str
    public: bytes

    @property
    def self_issued(self) -> bool:
        return self.x509.issuer == self.x509.subject


def parse(der: bytes) -> Parsed:
    """Strict DER, version 3, bounded; a key that is strong enough. Else `Refused`.

    chain-malformed, chain-weak (the key), chain-suite-unsupported (a kind of key nobody here
    checks).
    """
    if type(der) is not bytes or not 0 < len(der) <= MAX_BYTES:
        raise Refused("chain-malformed", f"a certificate of 1 to {MAX_BYTES} bytes")
    try:
        certificate = x509.load_der_x509_certificate(der)
        if certificate.version is not x509.Version.v3:
            raise Refused("chain-malformed", "not version 3")
        extensions = {extension.oid: extension for extension in certificate.extensions}
        subject = certificate.subject.rfc4514_string()
        issuer = certificate.issuer.rfc4514_string()
        not_before = int(certificate.not_valid_before_utc.timestamp())
        not_after = int(certificate.not_valid_after_utc.timestamp())
    except _UNREADABLE as error:
        raise Refused("chain-malformed", type(error).__name__) from error
    if not subject or not issuer or max(len(subject), len(issuer)) > MAX_NAME:
        raise Refused("chain-malformed", f"a name of 1 to {MAX_NAME} characters")
    if not (subject + issuer).isprintable():
        raise Refused("chain-malformed", "a control character in a name")
    if not 0 < certificate.serial_number < MAX_SERIAL:
        raise Refused("chain-malformed", "serial number")
    basic = _value(extensions.get(ExtensionOID.BASIC_CONSTRAINTS))
    usage = _value(extensions.get(ExtensionOID.KEY_USAGE))
    unknown = [
        oid.dotted_string
        for oid, extension in extensions.items()
        if extension.critical and oid not in _UNDERSTOOD
    ]
    suite, public = _checked_key(certificate)
    return Parsed(
        der=der,
        x509=certificate,
        subject=subject,
        serial=certificate.serial_number,
        not_before=not_before,
        not_after=not_after,
        is_ca=basic is not None and basic.ca,
        path_length=None if basic is None else basic.path_length,
        signs=usage is None or usage.digital_signature or usage.content_commitment,
        certifies=usage is not None and usage.key_cert_sign,
        unknown_critical=", ".join(unknown),
        suite=suite,
        public=public,
    )


def check_issued(child: Parsed, parent: Parsed) -> None:
    """`parent`'s name and key stand behind `child`; the signature is strong. Else `Refused`.

    chain-not-issued, chain-weak, chain-suite-unsupported.
    """
    if child.x509.issuer != parent.x509.subject:
        raise Refused("chain-not-issued", f"{child.subject}: name")
    if child.x509.signature_algorithm_oid.dotted_string == _SM2_WITH_SM3:
        _check_sm2(child, parent)
        return
    if parent.suite == "sm2":
        raise Refused("chain-not-issued", f"{child.subject}: signature")
    try:
        digest = child.x509.signature_hash_algorithm
        if digest is not None and digest.name not in HASHES:
            raise Refused("chain-weak", f"{child.subject}: {digest.name}")
        child.x509.verify_directly_issued_by(parent.x509)
    except UnsupportedAlgorithm as error:
        raise Refused("chain-suite-unsupported", child.subject) from error
    except (InvalidSignature, ValueError, TypeError) as error:
        raise Refused("chain-not-issued", f"{child.subject}: signature") from error


def _check_sm2(child: Parsed, parent: Parsed) -> None:
    if parent.suite != "sm2":
        raise Refused("chain-not-issued", f"{child.subject}: signature")
    try:
        signed = asn1.decode_der(_Signed, child.der)
    except ValueError as error:
        raise Refused("chain-malformed", f"{child.subject}: unique ids") from error
    named = signed.algorithm.data
    if named not in _SM2_SIGNATURES or signed.body.algorithm.data != named:
        raise Refused("chain-malformed", f"{child.subject}: algorithm")
    try:
        signature = from_der(signed.signature.as_bytes())
        BY_NAME["sm2"].verify(parent.public, child.x509.tbs_certificate_bytes, signature)
    except KeysError as error:
        if error.code == "key-suite-missing":
            raise Refused("chain-suite-unsupported", str(error)) from error
        raise Refused("chain-not-issued", f"{child.subject}: signature") from error


def _checked_key(certificate: x509.Certificate) -> tuple[str, bytes]:
    """The name of our suite and the raw public key; two empty values for a CA's other keys."""
    suite, public = _key(certificate)
    if suite:
        try:
            BY_NAME[suite].check_public(public)
        except KeysError as error:
            raise Refused("chain-weak", str(error)) from error
    return suite, public


def _key(certificate: x509.Certificate) -> tuple[str, bytes]:
    try:
        key = certificate.public_key()
    except UnsupportedAlgorithm:
        return "sm2", _sm2_key(certificate)
    except (ValueError, TypeError) as error:
        raise Refused("chain-malformed", "public key") from error
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519", key.public_bytes_raw()
    if isinstance(key, mldsa.MLDSA44PublicKey):
        return "ml-dsa-44", key.public_bytes_raw()
    if isinstance(key, mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey):
        return "", b""
    if isinstance(key, rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise Refused("chain-weak", f"RSA {key.key_size}")
        return "", b""
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES:
        if key.curve.name != "secp256r1":
            return "", b""
        point = key.public_numbers()
        return "es256", point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")
    raise Refused("chain-suite-unsupported", type(key).__name__)


def _sm2_key(certificate: x509.Certificate) -> bytes:
    if certificate.public_key_algorithm_oid.dotted_string != _EC_KEY:
        raise Refused("chain-suite-unsupported", "key")
    try:
        key = asn1.decode_der(_ToBeSigned, certificate.tbs_certificate_bytes).key
    except ValueError as error:
        raise Refused("chain-malformed", "unique ids") from error
    if key.algorithm.data != _SM2_KEY:
        raise Refused("chain-suite-unsupported", "curve")
    point = key.point.as_bytes()
    if len(point) != 65 or point[0] != 4:
        raise Refused("chain-malformed", "an SM2 key is 04, x and y")
    return point[1:]


def _value(extension: x509.Extension[Any] | None) -> Any:
    return None if extension is None else extension.value
