"""The alphabet of base45 holds the prefix `ZL1:`, so a good code may have it within by chance."""

import pytest

from tests.city import City
from verifier.codec import base45_decode
from verifier.errors import Refused
from verifier.qr import PREFIX, format_qr, parse_qr

INSIDE = base45_decode(PREFIX + "00", max_bytes=4)


@pytest.mark.parametrize("shift", [b"", b"\0"], ids=["even", "odd"])
def test_a_good_code_may_hold_the_prefix_again(shift: bytes) -> None:
    licence = City().issue()
    disclosures = [shift + INSIDE * 4]
    text = format_qr(licence.statement, disclosures)
    presented = parse_qr(text)
    assert (presented.statement.raw, list(presented.disclosures)) == (
        licence.statement,
        disclosures,
    )


def test_one_of_the_two_holds_it() -> None:
    """So that the test above is not about nothing."""
    statement = City().issue().statement
    texts = [format_qr(statement, [shift + INSIDE * 4]) for shift in (b"", b"\0")]
    assert max(text.count(PREFIX) for text in texts) > 1


@pytest.mark.parametrize("join", ["", " ", "\n"])
def test_two_codes_in_one_text_are_named(join: str) -> None:
    city = City()
    first, second = city.issue().qr(), city.issue().qr()
    for text in (first + join + first, first + join + second):
        with pytest.raises(Refused) as caught:
            parse_qr(text)
        assert caught.value.code == "qr-doubled"
