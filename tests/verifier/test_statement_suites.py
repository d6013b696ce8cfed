"""A department of every suite, end to end: enrolled, issuing, packed, judged at a counter."""

import pytest

from keys.names import kid
from keys.suites import SUITES
from keys.suites.base import Suite
from tests.city import BUSINESS, FACE, NOW, City
from tests.keys.suite_kit import every_suite
from tests.verifier.helpers import refused
from verifier.judge import judge
from verifier.qr import MAX_CHARACTERS
from verifier.statement import check_statement, parse_statement
from verifier.verdict import Colour


@pytest.fixture(scope="module")
def city() -> City:
    """One department of each suite, named after it; the sample city has two of the classic ones."""
    city = City()
    for suite in SUITES.values():
        city.add_department(suite.name, f"部门 {suite.name}", suite.name, [BUSINESS], suite.name)
    return city


@every_suite
class TestEverySuite:
    def test_a_statement_is_signed_parsed_and_checked(self, city: City, suite: Suite) -> None:
        licence, signer = city.issue(suite.name), city.departments[suite.name]
        statement = parse_statement(licence.statement)
        assert statement.sign1.alg == suite.cose_alg
        assert statement.kid == kid(suite, signer.public)
        assert len(statement.sign1.signature) == suite.signature_size
        assert check_statement(statement, signer.public).statement is statement

    def test_altered_anywhere_it_is_refused(self, city: City, suite: Suite) -> None:
        raw, public = city.issue(suite.name).statement, city.departments[suite.name].public
        payload = raw.index(BUSINESS.encode())
        for at in (payload, len(raw) - 1, len(raw) - suite.signature_size):
            bad = bytearray(raw)
            bad[at] ^= 1
            with refused("statement-bad-signature"):
                check_statement(parse_statement(bytes(bad)), public)
        for other in SUITES.values():
            if other is not suite:
                with refused("statement-bad-signature"):
                    check_statement(parse_statement(raw), city.departments[other.name].public)

    def test_a_compact_code_is_green(self, city: City, suite: Suite) -> None:
        """As text; whether a QR image holds it is the question of another test."""
        licence = city.issue(suite.name)
        verdict = judge(licence.qr(), city.trust(), NOW)
        assert (verdict.colour, verdict.code) == (Colour.GREEN, "valid")

    def test_its_status_list_is_signed_with_the_same_key(self, city: City, suite: Suite) -> None:
        city.issue(suite.name)
        tokens = {token.issuer: token for token in city.tokens()}
        token = tokens[f"{city.origin}/{suite.name}"]
        assert token.sign1.alg == suite.cose_alg
        token.sign1.check_signature(city.departments[suite.name].public)


def test_what_a_qr_code_holds(city: City) -> None:
    """ML-DSA-44 does not fit version 40, whatever is left out; the others do."""
    fits = {name: len(city.issue(name, face=FACE).qr()) <= MAX_CHARACTERS for name in NAMES}
    assert fits == {"ed25519": True, "es256": True, "ml-dsa-44": False, "sm2": True}


NAMES = [suite.name for suite in SUITES.values()]
