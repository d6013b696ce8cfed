"""Certificates for tests: any key, any extension, any fault; SM2 too.

`cryptography` makes no SM2 certificates. The object identifiers of P-256 and ECDSA are as long as
those of the SM2 curve and of SM2 with SM3, so the body is made with a P-256 stand-in, identifiers
and key are replaced, and our suite signs it.

The two constants were made by OpenSSL 3.0 (`openssl req -x509 -sm3`, `openssl x509 -req -sm3`, with
the standard's default user id), whose SM2 is not ours.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from keys.suites import BY_NAME
from keys.suites.sm2 import to_der

T0 = 1_800_000_000
"""The moment at which the tests judge: inside every default validity, and OpenSSL's."""
YEAR = 365 * 86_400
P256, SM2_CURVE = bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a811ccf5501822d")
ECDSA, SM2_SM3 = bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a811ccf55018375")
PURE = {
    "ed25519": bytes.fromhex("2b6570"),
    "ml-dsa-44": bytes.fromhex("608648016503040311"),
}
_serials = count(1)

OPENSSL_SM2_CA = base64.b64decode(
    "MIIBujCCAWCgAwIBAgIBATAKBggqgRzPVQGDdTBDMQswCQYDVQQGEwJDTjEbMBkGA1UECgwS56S65L6L55S15a2Q6K6k"
    "6K+BMRcwFQYDVQQDDA5FeGFtcGxlIFNNMiBDQTAeFw0yNjExMjIwNDM2MDFaFw00NjExMTcwNDM2MDFaMEMxCzAJBgNV"
    "BAYTAkNOMRswGQYDVQQKDBLnpLrkvovnlLXlrZDorqTor4ExFzAVBgNVBAMMDkV4YW1wbGUgU00yIENBMFkwEwYHKoZI"
    "zj0CAQYIKoEcz1UBgi0DQgAEhJ+Gs0zu7oxIX/UZnvTuaPHsOWWo0tmUe7g42YtVQ9NpN6H6cOU64t7icDzn6doB9Bfx"
    "Au702mxipmxgBfbiSqNFMEMwEgYDVR0TAQH/BAgwBgEB/wIBADAOBgNVHQ8BAf8EBAMCAQYwHQYDVR0OBBYEFPDtWScp"
    "nSQjES7ne8DE0LcjaDHuMAoGCCqBHM9VAYN1A0gAMEUCIQDBgKz4B2yAmL//73wPFmV/smcCRDmP1Pvej6OnydSRZAIg"
    "QeELz1HgtP9GyUmWrcbQlnysznpVf3vGdMMxNZqKBuo="
)
OPENSSL_SM2_LEAF = base64.b64decode(
    "MIIByTCCAW+gAwIBAgIBAjAKBggqgRzPVQGDdTBDMQswCQYDVQQGEwJDTjEbMBkGA1UECgwS56S65L6L55S15a2Q6K6k"
    "6K+BMRcwFQYDVQQDDA5FeGFtcGxlIFNNMiBDQTAeFw0yNjExMjIwNDM2MDFaFw00NjAxMjEwNDM2MDFaMDoxCzAJBgNV"
    "BAYTAkNOMRgwFgYDVQQKDA/ooYzmlL/lrqHmibnlsYAxETAPBgNVBAMMCFNlYWwga2V5MFkwEwYHKoZIzj0CAQYIKoEc"
    "z1UBgi0DQgAEH/RrVNyQZM3/B1dvaLYTSeezvVUlUQeSf2tG9zZ1STfw1F0AhC0r1S2zJO+0Wzvzya+JRaAWHREmXKQa"
    "e9ZjaKNdMFswCQYDVR0TBAIwADAOBgNVHQ8BAf8EBAMCBsAwHQYDVR0OBBYEFKw4+cZhFO8fwgGydVzD6jThWrZ3MB8G"
    "A1UdIwQYMBaAFPDtWScpnSQjES7ne8DE0LcjaDHuMAoGCCqBHM9VAYN1A0gAMEUCICciFA2hMirU8ppaeEny7yKmae8g"
    "gSxtgdtSMulc5usmAiEAl+RYzNvRx2EuVB9cwfEsclP+TIvpz7FrIcaBRwcyspk="
)


class Sm2Key:
    """An SM2 private key that certificates can be made for and by."""

    def __init__(self) -> None:
        self.private = BY_NAME["sm2"].generate()
        self.raw = BY_NAME["sm2"].public_from_private(self.private)


def raw_public(key: Any) -> tuple[str, bytes]:
    """The name of our suite for a private key, and its raw public key."""
    if isinstance(key, Sm2Key):
        return "sm2", key.raw
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519", key.public_key().public_bytes_raw()
    if isinstance(key, mldsa.MLDSA44PrivateKey):
        return "ml-dsa-44", key.public_key().public_bytes_raw()
    point = key.public_key().public_numbers()
    return "es256", point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")


NEW_KEY = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ml-dsa-44": mldsa.MLDSA44PrivateKey.generate,
    "sm2": Sm2Key,
}


def usage(*names: str) -> x509.KeyUsage:
    """keyUsage with the named bits."""
    all_names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: name in names for name in all_names.split()})


@dataclass
class Made:
    """A certificate with its private key, able to issue others."""

    key: Any
    name: str
    der: bytes = field(default=b"", repr=False)

    def issue(
        self,
        key: Any,
        name: str,
        *,
        ca: bool | None = False,
        pathlen: int | None = None,
        uses: Sequence[str] | None = ("digital_signature",),
        start: int = T0 - YEAR,
        end: int = T0 + YEAR,
        extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
        digest: Any = None,
        signer: Any = None,
    ) -> "Made":
        """`ca=None` leaves basicConstraints out, `uses=None` keyUsage; `signer` signs instead."""
        signer = signer or self.key
        stand_in = ec.generate_private_key(ec.SECP256R1())
        public = (stand_in if isinstance(key, Sm2Key) else key).public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(self.name))
            .public_key(public)
            .serial_number(next(_serials))
            .not_valid_before(datetime.fromtimestamp(start, UTC))
            .not_valid_after(datetime.fromtimestamp(end, UTC))
        )
        if ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(ca, pathlen), critical=True)
        if uses is not None:
            builder = builder.add_extension(usage(*uses), critical=True)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        if isinstance(signer, Sm2Key):
            body = builder.sign(stand_in, SHA256()).tbs_certificate_bytes.replace(ECDSA, SM2_SM3)
            if isinstance(key, Sm2Key):
                body = _with_sm2_key(body, stand_in, key)
            return Made(key, name, signed_sm2(body, signer))
        pure = isinstance(signer, ed25519.Ed25519PrivateKey | mldsa.MLDSA44PrivateKey)
        hashed = None if pure else digest or SHA256()
        made = builder.sign(signer, hashed)
        if not isinstance(key, Sm2Key):
            return Made(key, name, made.public_bytes(Encoding.DER))
        body = _with_sm2_key(made.tbs_certificate_bytes, stand_in, key)
        if isinstance(signer, ec.EllipticCurvePrivateKey):
            signature = signer.sign(body, ec.ECDSA(SHA256()))
            algorithm = ECDSA
        else:
            signature = signer.sign(body)
            algorithm = PURE[raw_public(signer)[0]]
        return Made(key, name, signed(body, algorithm, signature))

    def ca(self, key: Any, name: str, **changes: Any) -> "Made":
        """A CA below this one."""
        return self.issue(
            key, name, **{"ca": True, "uses": ("key_cert_sign", "crl_sign"), **changes}
        )


def root(key: Any, name: str = "根证书", **changes: Any) -> Made:
    """A self-signed CA."""
    return Made(key, name).ca(key, name, **changes)


def signed_sm2(body: bytes, signer: Sm2Key) -> bytes:
    """The certificate with this body, signed with SM2."""
    return signed(body, SM2_SM3, to_der(BY_NAME["sm2"].sign(signer.private, body)))


def signed(body: bytes, algorithm: bytes, signature: bytes) -> bytes:
    """Certificate (RFC 5280 §4.1) of its three parts; the algorithm is an encoded identifier."""
    named = tlv(0x30, tlv(0x06, algorithm))
    return tlv(0x30, body + named + tlv(0x03, b"\x00" + signature))


def _with_sm2_key(body: bytes, stand_in: ec.EllipticCurvePrivateKey, key: Sm2Key) -> bytes:
    _, point = raw_public(stand_in)
    assert body.count(P256) == 1 == body.count(point)
    return body.replace(P256, SM2_CURVE).replace(point, key.raw)


def tlv(tag: int, content: bytes) -> bytes:
    """One DER element."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _name(text: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.COMMON_NAME, text),
        ]
    )
