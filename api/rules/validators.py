"""Validators a field of the catalogue may name: text as written → canonical value, or refusal."""

import re
from collections.abc import Callable, Mapping

from api.errors import ServiceError
from api.rules import codes

Validator = Callable[[str], str]


def _form(pattern: str, reason: str) -> Validator:
    """A validator for numbers that have a form but no check character we know."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        code = codes.canonical_code(value)
        if not compiled.fullmatch(code):
            raise ServiceError("code-number-invalid", reason)
        return code

    return check


def uscc_or_citizen_number(value: str) -> str:
    """A holder's code, organisation or person."""
    try:
        return codes.uscc(value)
    except ServiceError:
        return codes.citizen_number(value)


def uscc_or_registration_number(value: str) -> str:
    """统一社会信用代码, or the 15-digit 工商注册号 of organisations that never changed."""
    if len(codes.canonical_code(value)) == 15:
        return codes.registration_number(value)
    return codes.uscc(value)


_MASKED = re.compile(r"[1-9][0-9]{9}\*{4}[0-9]{3}[0-9X]", re.ASCII)


def uscc_or_masked_number(value: str) -> str:
    """As printed on a food licence: a sole trader's citizen number has digits 11-14 masked."""
    code = codes.canonical_code(value)
    return code if _MASKED.fullmatch(code) else codes.uscc(code)


def disability_number(value: str) -> str:
    """残疾人证号: citizen number, kind 1-7, grade 1-4, and `B` with a digit when reissued."""
    code = codes.canonical_code(value)
    if not re.fullmatch(r"[1-7][1-4](B[0-9])?", code[18:], re.ASCII):
        raise ServiceError("code-number-invalid", "kind 1-7 and grade 1-4 expected after 18")
    codes.citizen_number(code[:18])
    return code


def discharge_permit_number(value: str) -> str:
    """排污许可证编号: social credit code, three digits, one letter."""
    code = codes.canonical_code(value)
    if not re.fullmatch(r"[0-9]{3}[A-Z]", code[18:], re.ASCII):
        raise ServiceError("code-number-invalid", "three digits and a letter expected after 18")
    codes.uscc(code[:18])
    return code


def licence_identifier(value: str) -> str:
    """电子证照标识 (GB/T 36904)."""
    return str(codes.parse_licence_identifier(value))


VALIDATORS: Mapping[str, Validator] = {
    "uscc": codes.uscc,
    "uscc_or_citizen_number": uscc_or_citizen_number,
    "uscc_or_registration_number": uscc_or_registration_number,
    "uscc_or_masked_number": uscc_or_masked_number,
    "registration_number": codes.registration_number,
    "citizen_number": codes.citizen_number,
    "food_licence_number": codes.food_licence_number,
    "marriage_number": codes.marriage_number,
    "licence_type_code": codes.licence_type_code,
    "licence_identifier": licence_identifier,
    "adcode": codes.adcode,
    "vin": codes.vin,
    "disability_number": disability_number,
    "discharge_permit_number": discharge_permit_number,
    "birth_certificate_number": _form(r"[A-Z][0-9]{9}", "a letter and nine digits expected"),
    "plate_number": _form(
        r"[\u4e00-\u9fff][A-Z][0-9A-Z]{4,6}[挂学警港澳]?", "province, letter and number expected"
    ),
    "real_estate_unit": _form(r"[0-9A-Z]{28}", "28 letters or digits expected"),
    "file_number": _form(r"[0-9]{12}", "12 digits expected"),
    "diploma_number": _form(r"[0-9]{16,18}", "16 to 18 digits expected"),
    "serial_number": _form(
        r"[0-9A-Z\u4e00-\u9fff()\[\]〔〕/._-]*[0-9A-Z][0-9A-Z\u4e00-\u9fff()\[\]〔〕/._-]*",
        "letters, digits and Chinese characters with at least one digit or letter expected",
    ),
}
