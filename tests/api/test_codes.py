import csv
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from stdnum.cn import uscc as stdnum_uscc
from stdnum.iso7064 import mod_11_2, mod_37_36

from api.errors import ServiceError
from api.rules import codes

Shared = Callable[[str], Path]

ISSUER = "11430000006122244L"
TYPE = "11100000000013338W011"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def refused(function: Callable[[str], object], value: str) -> str:
    with pytest.raises(ServiceError) as caught:
        function(value)
    return caught.value.code


# ---- published codes -----------------------------------------------------------------------------


def test_published_licence_identifiers(shared: Shared) -> None:
    """Three of the four hold under ISO 7064 MOD 37,36, as stdnum computes it too.

    The fourth, the specimen in an interface description, should end in D and ends in M: refused.
    """
    found = rows(shared("data/check_vectors/dzzz_identifiers.csv"))
    faulty = []
    for row in found:
        parts = (row["type_code"], row["issuer_code"], row["serial"], row["version"])
        made = codes.make_licence_identifier(*parts)
        assert mod_37_36.calc_check_digit("".join(parts)) == made.check
        if made.check == row["check"]:
            assert codes.parse_licence_identifier(row["identifier"]) == (*parts, row["check"])
            assert str(made) == row["identifier"]
        else:
            code = refused(codes.parse_licence_identifier, row["identifier"])
            assert code == "code-licence-identifier-invalid"
            faulty.append((row["serial"], made.check, row["check"]))
    assert len(found) == 4
    assert faulty == [("209FA4E88F9E4C878F3E9BED2CE7EA49", "D", "M")]


@pytest.mark.parametrize(
    "identifier",
    [
        "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.002.S",
        "1.2.156.3005.2.11100000000013338W087.11370800MB28559184.37080001202411010001.001.3",
    ],
)
def test_specimen_identifiers_of_other_interfaces(identifier: str) -> None:
    """Examples printed in two other interface descriptions."""
    assert str(codes.parse_licence_identifier(identifier)) == identifier


def test_published_food_licence_numbers(shared: Shared) -> None:
    found = rows(shared("data/check_vectors/food_licence_numbers.csv"))
    verdicts = []
    for row in found:
        if row["valid_mod11_10"] == "Y":
            assert codes.food_licence_number(row["number"]) == row["number"]
            assert codes.complete_food_licence_number(row["number"][:-1]) == row["number"]
        else:
            assert refused(codes.food_licence_number, row["number"]) == "code-food-licence-invalid"
        verdicts.append(row["valid_mod11_10"])
    assert sorted(verdicts) == ["N", "Y", "Y", "Y"]


def test_published_registration_numbers(shared: Shared) -> None:
    found = rows(shared("data/check_vectors/reg_number_15_digit.csv"))
    assert len(found) == 3385
    for row in found:
        number = row["registration_number"]
        assert codes.registration_number(number) == number


def test_published_companies_are_valid(shared: Shared) -> None:
    found = [row["统一社会信用代码"] for row in rows(shared("data/shanghai_2004.csv"))]
    assert len(found) == 11_023
    assert [codes.uscc(code) for code in found] == found


def test_published_faulty_codes(shared: Shared) -> None:
    """4,799 codes that are not valid as published; upper case mends 207 of them, no other."""
    mended = 0
    found = rows(shared("data/uscc_invalid_all.csv"))
    assert len(found) == 4799
    for row in found:
        code = row["code_as_published"]
        if row["valid_after_uppercase"] == "Y":
            assert codes.uscc(code) == code.upper() != code
            mended += 1
        else:
            assert refused(codes.uscc, code) == "code-uscc-invalid"
    assert mended == 207


def test_stdnum_agrees_where_it_applies(shared: Shared) -> None:
    """Whatever we accept stdnum accepts, but for letters in the first eight places."""
    found = [row["统一社会信用代码"] for row in rows(shared("data/shanghai_2004.csv"))][:2000]
    assert all(stdnum_uscc.is_valid(code) for code in found)
    rural = codes.make_uscc("N2310118", "MF812345")
    assert codes.uscc(rural) == rural
    assert not stdnum_uscc.is_valid(rural)


# ---- unified social credit code ------------------------------------------------------------------

USCC_SYMBOLS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
uscc_codes = st.builds(
    codes.make_uscc,
    st.text(USCC_SYMBOLS, min_size=8, max_size=8),
    st.text(USCC_SYMBOLS, min_size=8, max_size=8),
)


@given(uscc_codes)
def test_uscc_made_is_valid(code: str) -> None:
    assert codes.uscc(code) == code
    assert stdnum_uscc.calc_check_digit(code[:17]) == code[17]


@given(uscc_codes, st.integers(0, 17), st.sampled_from(USCC_SYMBOLS))
def test_uscc_one_changed_character(code: str, place: int, symbol: str) -> None:
    assume(code[place] != symbol)
    assert refused(codes.uscc, code[:place] + symbol + code[place + 1 :]) == "code-uscc-invalid"


def test_uscc_organisation_check_is_asked() -> None:
    """The last character may be right while the organisation code is not."""
    good = "91310000757904992P"
    for symbol in USCC_SYMBOLS:
        body = good[:16] + symbol
        code = body + stdnum_uscc.calc_check_digit(body)
        assert stdnum_uscc.is_valid(code)
        if code == good:
            assert codes.uscc(code) == good
        else:
            with pytest.raises(ServiceError, match="organisation code"):
                codes.uscc(code)


@pytest.mark.parametrize(
    "dirty",
    [
        " 91310000757904992P\n",
        "91310000 7579 04992p",
        "９１３１００００７５７９０４９９２Ｐ",
        "\ufeff91310000757904992P",
        "91310000757904992P\u3000\u200b",
    ],
)
def test_uscc_dirty_spellings(dirty: str) -> None:
    assert codes.uscc(dirty) == "91310000757904992P"


@pytest.mark.parametrize(
    "code", ["", "9131", "91310000757904992O", "91310000757904992PP", "91310000757904992é"]
)
def test_uscc_refused(code: str) -> None:
    assert refused(codes.uscc, code) == "code-uscc-invalid"


def test_refusal_does_not_tell_the_value() -> None:
    with pytest.raises(ServiceError) as caught:
        codes.citizen_number("110105194912310021")
    assert "19491231" not in str(caught.value)
    assert caught.value.status == 422


def test_code_must_be_text() -> None:
    assert refused(codes.uscc, 91310000) == "code-not-text"  # type: ignore[arg-type]


def test_make_uscc_refuses() -> None:
    with pytest.raises(ServiceError, match="31 symbols"):
        codes.make_uscc("1133990I", "MB990001")


# ---- citizen number ------------------------------------------------------------------------------


@st.composite
def citizen_numbers(draw: st.DrawFn) -> str:
    born = draw(st.dates(date(1900, 1, 1), date(2025, 12, 31)))
    area = draw(st.integers(110000, 659999))
    body = f"{area}{born:%Y%m%d}{draw(st.integers(0, 999)):03d}"
    return body + str(mod_11_2.calc_check_digit(body))


@given(citizen_numbers())
def test_citizen_number_made_is_valid(number: str) -> None:
    assert codes.citizen_number(number.lower()) == number
    assert f"{codes.born_on(number):%Y%m%d}" == number[6:14]


@given(citizen_numbers(), st.integers(0, 17), st.sampled_from("0123456789X"))
def test_citizen_number_one_changed_character(number: str, place: int, symbol: str) -> None:
    assume(number[place] != symbol)
    changed = number[:place] + symbol + number[place + 1 :]
    assert refused(codes.citizen_number, changed) == "code-citizen-number-invalid"


def with_check(body: str) -> str:
    return body + str(mod_11_2.calc_check_digit(body))


@pytest.mark.parametrize(
    "number",
    [
        with_check("11010519491331002"),
        with_check("11010520230229002"),
        with_check("11010517991231002"),
        "110105491231002",
        "",
        "11010519491231002Ⅹx",
    ],
)
def test_citizen_number_refused(number: str) -> None:
    assert refused(codes.citizen_number, number) == "code-citizen-number-invalid"


def test_citizen_number_from_the_future() -> None:
    number = with_check("11010520261123002")
    assert codes.citizen_number(number) == number
    assert codes.citizen_number(number, today=date(2026, 11, 23)) == number
    with pytest.raises(ServiceError, match="plausible"):
        codes.citizen_number(number, today=date(2026, 11, 22))


def test_citizen_number_address_history(shared: Shared) -> None:
    """A code abolished long ago is good; one that never was is not."""
    history = rows(shared("data/cn_divisions/gb2260_history_198012_201904.csv"))
    ever = {row["code"] for row in history}
    abolished = sorted(row["code"] for row in history if row["current"] == "N")
    assert len(abolished) > 1000
    for area in abolished[::97]:
        number = with_check(area + "19800101" + "001")
        assert codes.citizen_number(number, address_codes=ever) == number
    assert "999999" not in ever
    with pytest.raises(ServiceError, match="never in use"):
        codes.citizen_number(with_check("99999919800101001"), address_codes=ever)


# ---- licence identifier, numbers -----------------------------------------------------------------


@given(
    st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=32),
    st.integers(1, 999),
    st.sampled_from([ISSUER, "340100"]),
    st.data(),
)
def test_identifier_one_changed_character(
    serial: str, version: int, issuer: str, data: st.DataObject
) -> None:
    made = codes.make_licence_identifier(TYPE, issuer, serial, f"{version:03d}")
    text = str(made)
    assert codes.parse_licence_identifier(" " + text.lower()) == made
    place = data.draw(st.integers(len(codes.LICENCE_ROOT) + 1, len(text) - 1))
    symbol = data.draw(st.sampled_from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ."))
    assume(text[place] != symbol)
    changed = text[:place] + symbol + text[place + 1 :]
    code = refused(codes.parse_licence_identifier, changed)
    assert code == "code-licence-identifier-invalid"


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "1.2.156.3005.2",
        f"1.2.156.3005.3.{TYPE}.{ISSUER}.20230000403.001.U",
        f"1.2.156.3005.2.{TYPE}.{ISSUER}.20230000403.001",
        f"1.2.156.3005.2.{TYPE}.{ISSUER}.20230000403.000.U",
        f"1.2.156.3005.2.{TYPE}.{ISSUER}.2023-403.001.U",
        f"1.2.156.3005.2.{TYPE}.3401000.20230000403.001.U",
        f"1.2.156.3005.2.{TYPE}.{ISSUER}.20230000403.001.U.1",
    ],
)
def test_identifier_refused(identifier: str) -> None:
    assert refused(codes.parse_licence_identifier, identifier) == "code-licence-identifier-invalid"


def test_serial_of_a_number() -> None:
    assert codes.licence_serial("J110101-2010-000001") == "J1101012010000001"
    assert codes.licence_serial("浙（2026）某市不动产权第0000001号") == "20260000001"
    assert refused(codes.licence_serial, "无") == "code-licence-identifier-invalid"


def test_licence_type_code() -> None:
    assert codes.licence_type_code("11100000mb03271699022") == "11100000MB03271699022"
    for wrong in ("11100000MB03271698022", "11100000MB0327169902", "11100000MB0327169902A", ""):
        assert refused(codes.licence_type_code, wrong) == "code-licence-type-invalid"


@given(st.text("0123456789", min_size=14, max_size=14), st.integers(0, 14), st.data())
def test_registration_number_one_changed_digit(body: str, place: int, data: st.DataObject) -> None:
    number = next(
        body + digit
        for digit in "0123456789"
        if not isinstance(attempt(codes.registration_number, body + digit), ServiceError)
    )
    digit = data.draw(st.sampled_from("0123456789"))
    assume(number[place] != digit)
    changed = number[:place] + digit + number[place + 1 :]
    assert refused(codes.registration_number, changed) == "code-registration-number-invalid"


def attempt(function: Callable[[str], str], value: str) -> str | ServiceError:
    try:
        return function(value)
    except ServiceError as fault:
        return fault


@pytest.mark.parametrize("number", ["", "3200000000285951", "32000000002859A", "３２００"])
def test_registration_number_refused(number: str) -> None:
    assert refused(codes.registration_number, number) == "code-registration-number-invalid"


@pytest.mark.parametrize("number", ["", "JY4320281025711", "SC33202810257113", "JY3320281025711"])
def test_food_licence_refused(number: str) -> None:
    assert refused(codes.food_licence_number, number) == "code-food-licence-invalid"


def test_marriage_number() -> None:
    assert codes.marriage_number(" j110101－2010－000001") == "J110101-2010-000001"
    assert codes.marriage_number("BL1101012010000001") == "BL110101-2010-000001"
    for wrong in ("K110101-2010-000001", "J110101-1810-000001", "J110101-2010-00001", "J-", ""):
        assert refused(codes.marriage_number, wrong) == "code-marriage-number-invalid"


def test_adcode() -> None:
    assert codes.adcode(" ３４０１００") == "340100"
    for wrong in ("", "34010", "3401000", "040100", "34010A", "34010〇"):
        assert refused(codes.adcode, wrong) == "code-adcode-invalid"


def test_vin() -> None:
    """The worked example of the North American rule, which GB 16735 shares."""
    assert codes.vin("1m8gdm9axkp042788") == "1M8GDM9AXKP042788"
    assert codes.vin("11111111111111111") == "11111111111111111"
    for wrong in ("1M8GDM9A0KP042788", "1M8GDM9AXKP04278", "1M8GDM9AXKP04278O", ""):
        assert refused(codes.vin, wrong) == "code-vin-invalid"


# ---- dates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02",
        "2026-1-2",
        "2026/1/2",
        "2026/01/02",
        "2026.1.2",
        "2026年1月2日",
        "2026 年 01 月 02 日",
        "20260102",
        "２０２６年１月２日",
        " 2026-01-02 ",
        "2026-01-02T00:00:00.000",
        "2026/1/2 00:00",
    ],
)
def test_date_spellings(text: str) -> None:
    assert codes.parse_date(text) == date(2026, 1, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-02-30",
        "2026-13-01",
        "2025-02-29",
        "2026/1-2",
        "26/1/2",
        "2026-W01-1",
        "2026012",
        "2026-01-02T13:00:00",
        "2026年1月",
        "0000-01-01",
        "-2026-01-02",
        "长期",
        "２０２６-02-30",
    ],
)
def test_date_refused(text: str) -> None:
    assert refused(codes.parse_date, text) == "code-date-invalid"


def test_date_must_be_text() -> None:
    assert refused(codes.parse_date, 20260102) == "code-not-text"  # type: ignore[arg-type]


@given(st.dates(date(1000, 1, 1)))
def test_date_round_trip(day: date) -> None:
    assert codes.parse_date(day.isoformat()) == day
    assert codes.parse_date(f"{day.year}年{day.month}月{day.day}日") == day
    assert codes.parse_date(f"{day:%Y%m%d}") == day
