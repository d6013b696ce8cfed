"""How each predicate is answered: one function each, in one table.

An evaluator reads what it needs and returns yes, no or unknown; nothing else leaves it. `unknown`
is said when no source of this city can say, never to soften a no.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any, Literal

from sqlalchemy import Row

from api.city import City
from api.credits import Credits
from api.errors import ServiceError
from api.licences import Licences
from api.rules.catalogue import LicenceType
from api.rules.days import china_day, day_number
from api.rules.workdays import add_months
from verifier.disclosure import parse_disclosure
from verifier.states import RESCINDED, VALID

Answer = Literal["yes", "no", "unknown"]
Evaluator = Callable[[City, Licences, Credits, Mapping[str, str], int], Answer]
SEVERE = 3
"""The fixed grade of lists of severe dishonesty (严重失信主体名单)."""
_ADULT_MONTHS = 18 * 12


def holds_valid_licence(
    city: City, licences: Licences, _credits: Credits, params: Mapping[str, str], now: int
) -> Answer:
    """A licence of the type is in force today. Unknown where it may be held without a code."""
    type_ = city.catalogue.licence_type(params["type"])
    rows = [row for row in licences.by_holder(params["subject"]) if row.type_code == type_.code]
    if any(_in_force(licences, row, now) for row in rows):
        return "yes"
    known = rows or _every_holder_has_code(type_)
    return "no" if known and _has_source(city, type_) else "unknown"


def licence_number_valid(
    city: City, licences: Licences, _credits: Credits, params: Mapping[str, str], now: int
) -> Answer:
    """The licence of this number is in force today."""
    type_ = city.catalogue.licence_type(params["type"])
    rows = [licences.row(held.record_id) for held in licences.by_number(type_, params["number"])]
    if any(_in_force(licences, row, now) for row in rows):
        return "yes"
    return "no" if _has_source(city, type_) else "unknown"


def number_belongs_to_name(
    city: City, licences: Licences, _credits: Credits, params: Mapping[str, str], _now: int
) -> Answer:
    """The name on the latest identity or business licence of this number is this one."""
    names = {
        str(fields[type_.holder_field])
        for type_, fields in _documents(city, licences, params["subject"], "number-belongs-to-name")
    }
    if not names:
        return "unknown"
    return "yes" if params["name"] in names else "no"


def over_18(
    city: City, licences: Licences, _credits: Credits, params: Mapping[str, str], now: int
) -> Answer:
    """By the day of birth on the identity card; full age is reached as periods end by our rule."""
    births = {
        str(fields["birth"])
        for _, fields in _documents(city, licences, params["subject"], "over-18")
        if "birth" in fields
    }
    if len(births) != 1:
        return "unknown"
    born = date.fromisoformat(births.pop())
    last_day_of_minority = add_months(born, _ADULT_MONTHS, city.catalogue.period_rule)
    return "yes" if china_day(now) > last_day_of_minority else "no"


def no_severe_dishonesty(
    city: City, _licences: Licences, credit_entries: Credits, params: Mapping[str, str], _now: int
) -> Answer:
    """No list entry is in force. A disputed one still counts; a repaired one leaves no hint."""
    types = [t.code for t in city.catalogue.credit_types.values() if t.fixed_grade == SEVERE]
    if not types:
        return "unknown"
    nym = city.vault.pseudonym("subject", params["subject"])
    return "no" if credit_entries.in_force(nym, types) else "yes"


def no_source(
    _city: City, _licences: Licences, _credits: Credits, _params: Mapping[str, str], _now: int
) -> Answer:
    """No register of this city answers it yet."""
    return "unknown"


EVALUATORS: Mapping[str, Evaluator] = {
    "holds-valid-licence": holds_valid_licence,
    "licence-number-valid": licence_number_valid,
    "number-belongs-to-name": number_belongs_to_name,
    "over-18": over_18,
    "no-severe-dishonesty": no_severe_dishonesty,
    "married-to": no_source,
    "resident-here": no_source,
}


def _in_force(licences: Licences, row: Row[Any], now: int) -> bool:
    """Valid by state and dates. A renewed licence counts until its renewal begins."""
    today = day_number(china_day(now))
    if row.state != VALID or row.valid_from > today:
        return False
    if row.valid_until is not None and row.valid_until < today:
        return False
    if row.renewed_by is None:
        return True
    renewal = licences.row(row.renewed_by)
    return bool(renewal.state == VALID and renewal.valid_from > today)


def _has_source(city: City, type_: LicenceType) -> bool:
    """Whether the department that issues the type signs in this city."""
    issuer = city.issuer(city.acting(type_.issuer))
    return any(key.issuer == issuer for key in city.authorities.keys.values())


def _every_holder_has_code(type_: LicenceType) -> bool:
    return any(each.required for each in type_.fields if each.code == type_.holder_code_field)


def _documents(
    city: City, licences: Licences, subject: str, predicate: str
) -> Iterator[tuple[LicenceType, Mapping[str, Any]]]:
    """Fields of the subject's latest documents whose type may answer the predicate."""
    for row in licences.by_holder(subject):
        type_ = city.catalogue.licence_type(row.type_code)
        superseded = row.renewed_by is not None or row.state == RESCINDED
        if predicate not in type_.predicates or superseded:
            continue
        fields: dict[str, Any] = {}
        try:
            _, disclosures = licences.content(row)
        except ServiceError as error:
            if error.code != "record-erased":
                raise
            continue
        for raw in disclosures:
            fields.update(parse_disclosure(raw).fields)
        yield type_, fields
