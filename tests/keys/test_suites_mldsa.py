"""ML-DSA-44 against published values.

RFC 9964 (draft-ietf-cose-dilithium): the key of the all-zero seed, with its JWK and COSE key
thumbprints, and the JWS of the draft's examples, made by another implementation.
"""

import base64
import hashlib
import json

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from keys.names import cose_key_bytes, kid
from keys.suites import suite_named
from tests.keys import mldsa_twin as twin
from tests.keys.suite_kit import private_of, public_of, refuses

SUITE = suite_named("ml-dsa-44")
ZERO_SEED = bytes(32)
JWK_THUMBPRINT = "T4xl70S7MT6Zeq6r9V9fPJGVn76wfnXJ21-gyo0Gu6o"
COSE_THUMBPRINT_BEGINS = bytes.fromhex("b8969ab4b37da9f068")
PUBLIC_BEGINS, PUBLIC_ENDS = "unH59k4RuutY-pxvu24U5h8YZD2rSVtH", "DZgbTP07e7gEWzw4MFRrndjbDQ"
SIGNED = (
    "eyJhbGciOiJNTC1EU0EtNDQiLCJraWQiOiJUNHhsNzBTN01UNlplcTZyOVY5ZlBKR1ZuNzZ3Zm5YSjIxLWd5bzBHdTZv"
    "In0.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4"
)
SIGNATURE = (
    "knI1Q_9CIzLH5Xy94Kkc7WVKqZcAgtJ3mNf0GUj1uLA6YXAWFJfXkh-zQxUtEl3UIC7zPCiUwKTDR6ZsuUmFj8Ctb_6a"
    "H64hElN7weS_1m5okCy8GqHNL2lsfclCH3Y2f4QNP-DLVS1XsuboDA7Dw3ir2IdYKIfWJyIU7ROHgd24nuun1zJbxcLJ"
    "C2EKt2M8R0wZudcIE9nm5oPzYXq0z-hPsKoXp9leVYkqgMmO9Lo8SP_1YYIEth3B8v-GuP249KDTFRKPjISmK4aPCknj"
    "tjihHsQVv2XePXxKExatHl4qhsiiW-y-EJXa1Kfw4WYpLA7B4_5Ids--cIJmIx7f6xxAWKh5qoBWq1QIOaaFuzsAraRW"
    "3NOEuzThew1En85gI3GcRTZGp-VDGyxHm0Al04cyWo2bxAVOF0fbDc265iP2mCNw6Qg10jIJeAhGB4OAMYcBUWJAG0l1"
    "MN1U_koEmGh5dXKnQTRl461ea_Cq3DLkcA2Dj2woWUFyDTmQ8oO_yheASfJacyRm7_suj88z5XFNo8F53P8OxTG9xUPl"
    "rwvH-TAq7AH3NU4SNXApyVKTU3zhx1tJ34nlTILcTujXVJVo_f0DZfUxr6JSCYqvy4z1Kl0wDQzd55aopyFtQxvOPhcC"
    "HbAN34g2Ug750Jm835fl7NOxcqoMbuTcgH68kr37M-Pdh2K9WazXUJgCupgdIWW8WjfOjmTiF59CrVtfVtK2qDzF40OE"
    "NCfqtNPQlZe5cN5p0P8arj4USB8HCPh7NdqQBAeWrw0wsYhdiM39lrSkA8mLRYMhZnqKGCTPCrHXDdEjRKYRNaqIUT44"
    "laYl5c27K0v-ozjKPu6tzEhkYSC4XZ3LehEFtmAzOE0mHbhKMgXqjoPJjOrGIPibX3jwK8_Q5RmMOXtXo8R3vXfBaUdQ"
    "oLeeyywNYE0nIcsl4z5a8_utwEFiVf0VK2pdviyiOPVSi3zOMAmqz6gFhVy8aMMQOWZAEAuTyDw7ZWG6diwptmrgSXZo"
    "tW63I19S2ZH7keCXRIq_pFLuYhOuG6dD4MkouILRdC9bXZMLrNDq7COpUOO86aQVlYd0pR935WpUw-V6obSRnHlRFZSm"
    "USIB7h1Q0ImciRzojN93Xhw7qpzGzdzDEO3OOTayXaSG_0YHQyy-eH4hBbmgt_LBx120g1eY4XHeHFRfTfetHkL5ZZus"
    "X1jQ_nk9ez4XBG_6hRtTNSuVBsYlH8-KUuR5-qTP8dkvRf8Wk2hHoUr2sz5YO_xDFCMMTrt8ahiMyfjo5ih5Fwo3riFb"
    "FUGKibniTLXspFd4spcNK_WchlZLRgkPK4jh6Z_X8JJkHxvQhpyouHQFyGxgBrl24x-_EB1zbWMhJthmm8DiKt-nzKaJ"
    "z8Cju1-HwCpg76CRqRsEz2hyKEpbb4M5KQSj3AsENCroVmQ5QIv3K2XNRkve4vjBmP6sV2b6GSY_UeRvPElA7SUgBGTK"
    "bn-c0aYhBuB8plPhRTBa55_cFqAmNmavF1-fdMktJuIaH2f-K0zZCzbHw54998T7kIWgyMsyGCAvynEB_khOqwT7tCjg"
    "5HQ8SIjdnRYW0kjZfjt5LJbGA-PnRo8gPVQVGeYDP2vsSXhNJY94AitKCY1srcSsuYDrhNBKrnoJ1uEsMPVHsgFw_ZHM"
    "yAEaVQughSNW4fm8q6_1Nv4zLutDITzmAL6a6i6-WS6QRIs_4VUtwr5cXXIFDDeHVWeGcNivQ6W9urEUP4crguiq7z_D"
    "TiYaGfUksub-T7mw0zU8ZoOSd5pUTpJLv-IYIUAl6CscHvunnRLEKqpW1Sa1dcFZs5VP4AfR3mg7wX4Vlq1AHnpFxE2L"
    "1LZiKoTc9jDEOvTDkxr86gMkwMm6RdyPF_q48AVJ1br8Qp88-4B84X52zZ5cw-IJYe-HiVJ29LpeYm340_rWivpy-UB5"
    "i9TKlMrxf94y1okzZTPbP3_v1_XX0nE7RTLz98EA96euJ7l3EpbEqks7mh6i1FJNnvvlM_u29sYobJ6PUT-i1VlQnF_J"
    "BARKEz74pBXm1l5Y5Lo15rsIlaQHinUBCO8fHCHI59LAfKusN4JmodDqLYwkWijEL_sfrC6LtrbXqpM1pw09zSrs_tS1"
    "RQ-LnWHuPrU5KLCzv53JKrh8lU_cdBowe_F-Ib_Ui4bQ2FME-0mnyG0XijHUsrGMZ9dfowvIkr83JpqwlFOZAwMmSGPN"
    "PEJRw9kDshjotndUB5S1UCfv_U4IoVn7WgvxeCS-BBxqyWfh7YTdf73EnmGwVYxVjlXaHCeeTZmUacnT4MQUAcbFjTq6"
    "BBlboAQGWP2FZWpd6HNnruv744VeWmfgLk9z5567wFhwuXMkmE2xvDo4wP80xutjUfsePx5YkLxhY1XsWqTZr19tInxJ"
    "WWq8RLZsWPmtq5wZ5ucBMasCLpOABenYZdSAcQNhC73wLS0Z2s1HQhBoIl7lr1p372LZs_Seu1u_8Fo7DoJqRpKaNoc2"
    "_JUMmn7TUZS8zLyzxgeq8R8iNbRP20DwDBNXocsTDBKaQrtB-QiEPySQtJa4G61XeNZyh5aGzfoWZ9OmjZG9pbbehcqw"
    "Irt-ESjPyeT6sfSrvOfTZr7fBXwpUs2rS4BrlNse5g_h8CQiik8aaOTOEPkXiyg4s5DewRlgDZHS-3g-YXPUIBNO62_H"
    "xknkMpkJvKW-tkvDbgtxvy4nG80ul6W_KeRsoEKDTRYNKZWxXjZITNa0h6agnwNCJKEbFg3Qhre394c0i60mfP9YIgKT"
    "XrCX3Yt2eX-6mPzYmLbSbV5jH69v6WZqYV2WAj-9DU0diR4hOfYQaJnBZhTtKb-SQsYiFuN1BDJ3v9eM9K8hq91NBdCH"
    "Va-Thk9Dov-JkcTZnZGRRyW5yXHUV4NOEltBXh8GkjjDvs5Yo3u-2rPCXjK1aGPSI1W8BaUJLQY5sbfAVCAuUHBv-Vlh"
    "5Qamt-lgeKguhqTSuy-tjabOb5kiBOG7xGQt3z-XYXtnWFDCii-5h11XfZsQ-xQxy8gSfdMz4hDK9Nw_VQt6fzWiQY0T"
    "h_dHzVki0MUfVfsDUjgblhD6j0wgbs3zdj-GM3rtt8oit0wXx11bIOaOKgf07tP0wimVXMRqRWe7LCUAKTE5PkRKU1x_"
    "h4iusrzi5uwKDhc4SmRwm6KssNrmCAkiNDZCREVKd3yMnrjA4PAGDzdKWVplcHJ6jKmrsbrEztHd9QAAAAAAAAAAAAAA"
    "ABIfMEQ"
)


def test_the_key_of_the_zero_seed() -> None:
    public = SUITE.public_from_private(ZERO_SEED)
    jwk = SUITE.jwk(public)
    assert jwk["pub"].startswith(PUBLIC_BEGINS)
    assert jwk["pub"].endswith(PUBLIC_ENDS)
    canonical = json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest())
    assert thumbprint.rstrip(b"=").decode() == JWK_THUMBPRINT


def test_its_cose_key_thumbprint_is_the_key_id() -> None:
    public = SUITE.public_from_private(ZERO_SEED)
    digest = hashlib.sha256(cose_key_bytes(SUITE, public)).digest()
    assert digest.startswith(COSE_THUMBPRINT_BEGINS)
    assert kid(SUITE, public) == COSE_THUMBPRINT_BEGINS[:8]


def test_the_published_signature() -> None:
    public = SUITE.public_from_private(ZERO_SEED)
    signature = base64.urlsafe_b64decode(SIGNATURE + "=" * (-len(SIGNATURE) % 4))
    SUITE.verify(public, SIGNED.encode(), signature)
    assert twin.verifies(public, SIGNED.encode(), signature)
    with refuses("key-bad-signature"):
        SUITE.verify(public, SIGNED.encode() + b"?", signature)


def test_the_twin_verifies_what_the_suite_signs() -> None:
    for message in (b"", b"\x00" * 200):
        signature = SUITE.sign(private_of(SUITE), message)
        assert twin.verifies(public_of(SUITE), message, signature)
        assert not twin.verifies(public_of(SUITE), message + b"x", signature)
        assert not twin.verifies(public_of(SUITE, 8), message, signature)


def test_anybody_could_sign_under_a_key_whose_t1_is_zero() -> None:
    """What the check of public keys is for: a forgery that FIPS 204 itself accepts."""
    public = bytes(1_312)
    forged = twin.forge_under_zero_t1(public, b"any message")
    assert twin.verifies(public, b"any message", forged)
    MLDSA44PublicKey.from_public_bytes(public).verify(forged, b"any message")
    with refuses("key-bad-public"):
        SUITE.verify(public, b"any message", forged)
