"""Codes of the domain: one canonical spelling each, checked to the last character.

Every function takes a text as people write it (blanks, full-width characters, lower case), returns
the canonical value and raises `ServiceError` otherwise. What a refusal tells is the reason, never
the value: citizen numbers must not reach a log through an error.

Sources: GB 32100-2015, GB 11714, GB 11643, GB/T 36904-2018, GB/T 17710 (ISO 7064), GB 16735.
The texts of the standards were not at hand; each algorithm was confirmed on published codes.
"""

import re
import unicodedata
from collections.abc import Container
from datetime import date
from functools import lru_cache
from operator import mul
from typing import NamedTuple, NoReturn

from stdnum.cn import ric
from stdnum.iso7064 import mod_11_10

from api.errors import ServiceError

LICENCE_ROOT = "1.2.156.3005.2"
"""OID of 电子证照标识 (GB/T 36904)."""

EARLIEST_BIRTH = date(1880, 1, 1)
"""Nobody born before this day holds a citizen number."""

_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"))


def _refuse(code: str, detail: str = "") -> NoReturn:
    raise ServiceError(code, detail)


def canonical_text(value: str) -> str:
    """NFKC, invisible characters dropped, runs of blanks made one, trimmed."""
    if not value.isascii():
        value = unicodedata.normalize("NFKC", value)
        if not value.isprintable():
            value = unicodedata.normalize("NFKC", value.translate(_INVISIBLE))
    return " ".join(value.split())


def canonical_code(value: str) -> str:
    """As `canonical_text`, with every blank removed and letters in upper case."""
    if not isinstance(value, str):
        _refuse("code-not-text", type(value).__name__)
    if not value.isascii():
        value = unicodedata.normalize("NFKC", value)
        if not value.isprintable():
            value = unicodedata.normalize("NFKC", value.translate(_INVISIBLE))
    return "".join(value.split()).upper()


# ---- organisations -------------------------------------------------------------------------------

# GB 32100: 31 symbols, no I O S V Z. stdnum.cn.uscc is not used: it refuses letters in the first
# eight places (N2 rural collectives), does not look at the organisation code, and takes 26 µs.
_USCC = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_VALUE = {c: i for i, c in enumerate(_USCC)}
_USCC_WEIGHTS = tuple(pow(3, i, 31) for i in range(17))
_USCC_CHECK = {(31 - r) % 31: _USCC[r] for r in range(31)}

# GB 11714: 0-9A-Z count 0..35, whatever the 31 symbols of the whole code count.
_ORG_VALUE = {c: i for i, c in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")}
_ORG_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_ORG_CHECK = "0X987654321"  # by weighted sum mod 11

_REG_NUMBER = re.compile(r"[0-9]{15}", re.ASCII)


def uscc(value: str) -> str:
    """统一社会信用代码, 18 characters: both check characters (positions 17 and 18) must hold."""
    code = canonical_code(value)
    if len(code) != 18:
        _refuse("code-uscc-invalid", f"{len(code)} characters instead of 18")
    try:
        total = sum(map(mul, map(_USCC_VALUE.__getitem__, code[:17]), _USCC_WEIGHTS))
    except KeyError:
        _refuse("code-uscc-invalid", "a character outside the 31 symbols")
    if _USCC_CHECK[total % 31] != code[17]:
        _refuse("code-uscc-invalid", "check character")
    if organisation_check(code[8:16]) != code[16]:
        _refuse("code-uscc-invalid", "check character of the organisation code")
    return code


def organisation_check(body: str) -> str:
    """Check character of the eight characters of an 组织机构代码 (GB 11714)."""
    return _ORG_CHECK[sum(map(mul, map(_ORG_VALUE.__getitem__, body), _ORG_WEIGHTS)) % 11]


def make_uscc(head: str, organisation: str) -> str:
    """Complete `head` (8 characters) and `organisation` (8) to a valid code. For fictional data."""
    if len(head) != 8 or len(organisation) != 8 or not set(head + organisation) <= set(_USCC):
        _refuse("code-uscc-invalid", "8 and 8 characters of the 31 symbols expected")
    body = head + organisation + organisation_check(organisation)
    total = sum(map(mul, map(_USCC_VALUE.__getitem__, body), _USCC_WEIGHTS))
    return body + _USCC_CHECK[total % 31]


def registration_number(value: str) -> str:
    """工商注册号, 15 digits, ISO 7064 MOD 11,10."""
    code = canonical_code(value)
    if not _REG_NUMBER.fullmatch(code):
        _refuse("code-registration-number-invalid", "15 digits expected")
    if not mod_11_10.is_valid(code):
        _refuse("code-registration-number-invalid", "check digit")
    return code


def adcode(value: str) -> str:
    """行政区划代码: six digits, the first not zero (GB/T 2260; assigned or not is not asked)."""
    code = canonical_code(value)
    if len(code) != 6 or not (code.isascii() and code.isdigit()) or code[0] == "0":
        _refuse("code-adcode-invalid", "six digits expected")
    return code


# ---- persons -------------------------------------------------------------------------------------


def citizen_number(
    value: str, *, today: date | None = None, address_codes: Container[str] | None = None
) -> str:
    """公民身份号码, 18 characters: MOD 11-2, a real day of birth, not after `today` if given.

    `address_codes`, if given, holds every six-digit code that was ever in use: codes go out of use
    while the numbers stay.
    """
    code = canonical_code(value)
    if len(code) != 18 or not (code.isascii() and code[:17].isdigit()):
        _refuse("code-citizen-number-invalid", "17 digits and a check character expected")
    if ric.calc_check_digit(code) != code[17]:
        _refuse("code-citizen-number-invalid", "check character")
    try:
        born = date(int(code[6:10]), int(code[10:12]), int(code[12:14]))
    except ValueError:
        _refuse("code-citizen-number-invalid", "the day of birth does not exist")
    if born < EARLIEST_BIRTH or (today is not None and born > today):
        _refuse("code-citizen-number-invalid", "the day of birth is not plausible")
    if address_codes is not None and code[:6] not in address_codes:
        _refuse("code-citizen-number-invalid", "the address code was never in use")
    return code


def born_on(number: str) -> date:
    """Day of birth in a canonical citizen number."""
    return date(int(number[6:10]), int(number[10:12]), int(number[12:14]))


_MARRIAGE = re.compile(r"(B?[JL])([1-9][0-9]{5})-?((?:19|20)[0-9]{2})-?([0-9]{6})", re.ASCII)


def marriage_number(value: str) -> str:
    """婚姻登记证字号 `J110101-2010-000001`: J marriage, L divorce, BJ and BL reissued."""
    found = _MARRIAGE.fullmatch(canonical_code(value))
    if found is None:
        _refuse("code-marriage-number-invalid", "J or L, area, year and serial expected")
    prefix, area, year, serial = found.groups()
    return f"{prefix}{area}-{year}-{serial}"


# ---- licences ------------------------------------------------------------------------------------

_FOOD = re.compile(r"JY[123][1-9][0-9]{12}", re.ASCII)


def food_licence_number(value: str) -> str:
    """食品经营许可证编号: `JY`, business form 1-3, province 2, city 2, area 2, serial 6, check."""
    code = canonical_code(value)
    if not _FOOD.fullmatch(code):
        _refuse("code-food-licence-invalid", "JY and 14 digits expected")
    if not mod_11_10.is_valid(code[2:]):
        _refuse("code-food-licence-invalid", "check digit")
    return code


def complete_food_licence_number(body: str) -> str:
    """Append the check digit to `JY` and 13 digits."""
    return food_licence_number(body + str(mod_11_10.calc_check_digit(body[2:])))


def licence_type_code(value: str) -> str:
    """证照类型代码: the code of the authority that defined the type, and three digits."""
    code = canonical_code(value)
    if len(code) != 21 or not (code.isascii() and code[18:].isdigit()):
        _refuse("code-licence-type-invalid", "18 characters and three digits expected")
    try:
        uscc(code[:18])
    except ServiceError as fault:
        raise ServiceError("code-licence-type-invalid", fault.detail) from None
    return code


class LicenceIdentifier(NamedTuple):
    """Parts of an 电子证照标识 (GB/T 36904)."""

    type_code: str
    issuer: str
    serial: str
    version: str
    check: str

    def __str__(self) -> str:
        return ".".join((LICENCE_ROOT, *self))


_SERIAL = re.compile(r"[0-9A-Z]{1,64}", re.ASCII)
_VERSION = re.compile(r"[0-9]{3}", re.ASCII)


_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _mod_37_36(text: str, state: int = 36) -> int:
    """State of the ISO 7064 hybrid system MOD 37,36 after `text`, which follows `state`."""
    for char in text:
        state = ((state + _ORG_VALUE[char]) % 36 or 36) * 2 % 37
    return state


@lru_cache(maxsize=1024)
def _identifier_head(type_code: str, issuer: str) -> tuple[str, str, int]:
    """Both in canonical form, and the state of the check character after them."""
    try:
        type_code = licence_type_code(type_code)
        issuer = adcode(issuer) if len(canonical_code(issuer)) == 6 else uscc(issuer)
    except ServiceError as fault:
        raise ServiceError("code-licence-identifier-invalid", fault.detail) from None
    return type_code, issuer, _mod_37_36(type_code + issuer)


def licence_serial(number: str) -> str:
    """The 证照编号 as it stands in an identifier: its ASCII letters and digits only."""
    if _SERIAL.fullmatch(number):
        return number
    serial = re.sub(r"[^0-9A-Z]", "", canonical_code(number))
    if not _SERIAL.fullmatch(serial):
        _refuse("code-licence-identifier-invalid", "the number has no letter or digit")
    return serial


def make_licence_identifier(
    type_code: str, issuer: str, serial: str, version: str = "001"
) -> LicenceIdentifier:
    """Build an identifier. `issuer` is a unified social credit code or an adcode.

    The check character is ISO 7064 MOD 37,36 over type, issuer, serial and version, without the
    root and without the dots.
    """
    type_code, issuer, state = _identifier_head(type_code, issuer)
    if not _SERIAL.fullmatch(serial):
        _refuse("code-licence-identifier-invalid", "the serial is not 0-9 A-Z")
    if not _VERSION.fullmatch(version) or version == "000":
        _refuse("code-licence-identifier-invalid", "the version is not 001 to 999")
    check = _ALPHABET[(37 - _mod_37_36(serial + version, state)) % 36]
    return LicenceIdentifier(type_code, issuer, serial, version, check)


def parse_licence_identifier(value: str) -> LicenceIdentifier:
    """Parse and check an identifier; `str()` of the result is its canonical spelling."""
    code = canonical_code(value)
    parts = code.removeprefix(LICENCE_ROOT + ".").split(".")
    if not code.startswith(LICENCE_ROOT + ".") or len(parts) != 5:
        _refuse("code-licence-identifier-invalid", f"{LICENCE_ROOT} and five parts expected")
    made = make_licence_identifier(*parts[:4])
    if made.check != parts[4]:
        _refuse("code-licence-identifier-invalid", "check character")
    return made


# ISO 3779 / GB 16735: letters count without I O Q, position 9 is the check.
_VIN_VALUE = {c: int(c) for c in "0123456789"} | {
    c: int(v) for c, v in zip("ABCDEFGHJKLMNPRSTUVWXYZ", "12345678123457923456789", strict=True)
}
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def vin(value: str) -> str:
    """车辆识别代号, 17 characters, check character in position 9 (GB 16735)."""
    code = canonical_code(value)
    if len(code) != 17 or any(c not in _VIN_VALUE for c in code):
        _refuse("code-vin-invalid", "17 characters without I, O, Q expected")
    total = sum(map(mul, map(_VIN_VALUE.__getitem__, code), _VIN_WEIGHTS))
    if "0123456789X"[total % 11] != code[8]:
        _refuse("code-vin-invalid", "check character")
    return code


# ---- dates ---------------------------------------------------------------------------------------

_DATE = re.compile(
    r"(?:([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"|([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})"
    r"|([0-9]{4})\.([0-9]{1,2})\.([0-9]{1,2})"
    r"|([0-9]{4})年([0-9]{1,2})月([0-9]{1,2})日"
    r"|([0-9]{4})([0-9]{2})([0-9]{2}))"
    r"(?:[T ]?00:00(?::00(?:\.0+)?)?)?",
    re.ASCII,
)


def parse_date(value: str) -> date:
    """`2026-01-02`, `2026/1/2`, `2026.1.2`, `2026年1月2日` or `20260102`; midnight may follow.

    Two-digit years and days that do not exist are refused.
    """
    if not isinstance(value, str):
        _refuse("code-not-text", type(value).__name__)
    if len(value) == 10 and value[4] == value[7] == "-" and value[5] in "01":
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass  # the long way says what is wrong
    found = _DATE.fullmatch("".join(canonical_text(value).split()))
    if found is None:
        _refuse("code-date-invalid", "the form is not one of those known")
    year, month, day = (int(part) for part in found.groups() if part is not None)
    try:
        return date(year, month, day)
    except ValueError:
        _refuse("code-date-invalid", "the day does not exist")
