"""Reading a question: is it one of the catalogue, and does its asker name a right to ask it?"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from api.errors import ServiceError
from api.rules.fields import plain_name, plain_text
from api.rules.model import Catalogue, LicenceType, Predicate, Term
from api.rules.validators import VALIDATORS

MAX_CASE = 64
MAX_PARAMETER = 200


@dataclass(frozen=True, slots=True)
class Question:
    """A question as the rules allow it. `parameters` are canonical texts by name."""

    predicate: Predicate
    parameters: Mapping[str, str]
    purpose: Term
    basis: Term
    case_number: str
    consent: str | None


def read_question(
    catalogue: Catalogue,
    roles: Collection[str],
    predicate_id: str,
    parameters: Mapping[str, object],
    *,
    purpose: str | None,
    legal_basis: str | None,
    case_number: str | None,
    consent: str | None,
) -> Question:
    """Checks a question against the catalogue, in the order of the arguments.

    Raises: catalogue-unknown-entry, role-missing, claim-predicate-not-allowed,
    claim-purpose-missing, claim-purpose-not-allowed, claim-basis-missing,
    claim-basis-not-allowed, claim-consent-missing, claim-consent-unexpected,
    claim-case-missing, claim-case-invalid, claim-parameters-invalid.
    """
    predicate = catalogue.predicate(predicate_id)
    asking = set(roles) & catalogue.roles.keys()
    if not asking:
        raise ServiceError("role-missing", " / ".join(predicate.roles))
    asking &= set(predicate.roles)
    if not asking:
        raise ServiceError("claim-predicate-not-allowed", predicate.id)
    return Question(
        predicate,
        _parameters(catalogue, predicate, parameters),
        _purpose(catalogue, predicate, purpose),
        _basis(catalogue, predicate, asking, legal_basis, consent),
        _case_number(case_number),
        consent or None,
    )


def _purpose(catalogue: Catalogue, predicate: Predicate, purpose: str | None) -> Term:
    if not purpose:
        raise ServiceError("claim-purpose-missing", ", ".join(predicate.purposes))
    if purpose not in predicate.purposes:
        raise ServiceError("claim-purpose-not-allowed", purpose[:40])
    return catalogue.purposes[purpose]


def _basis(
    catalogue: Catalogue,
    predicate: Predicate,
    asking: Collection[str],
    legal_basis: str | None,
    consent: str | None,
) -> Term:
    """A basis that the predicate allows and that is open to one of the asker's roles."""
    if not legal_basis:
        raise ServiceError("claim-basis-missing", ", ".join(predicate.legal_bases))
    basis = catalogue.legal_bases.get(legal_basis)
    if basis is None or basis.id not in predicate.legal_bases:
        raise ServiceError("claim-basis-not-allowed", legal_basis[:40])
    if not set(basis.roles) & set(asking):
        raise ServiceError("claim-basis-not-allowed", f"{basis.id}: {', '.join(basis.roles)}")
    if not consent and (basis.consent or predicate.needs_consent):
        raise ServiceError("claim-consent-missing", predicate.id)
    if consent and not basis.consent:
        raise ServiceError("claim-consent-unexpected", basis.id)
    return basis


def _case_number(given: str | None) -> str:
    if given is None or not given.strip():
        raise ServiceError("claim-case-missing")
    if len(given) > 2 * MAX_CASE:
        raise ServiceError("claim-case-invalid", f"more than {MAX_CASE} characters")
    try:
        case_number = plain_text(given)
    except ServiceError as error:
        raise ServiceError("claim-case-invalid", error.detail) from error
    if len(case_number) > MAX_CASE:
        raise ServiceError("claim-case-invalid", f"more than {MAX_CASE} characters")
    return case_number


def _parameters(
    catalogue: Catalogue, predicate: Predicate, raw: Mapping[str, object]
) -> dict[str, str]:
    """Canonical values; every fault at once, and none repeats a value."""
    values: dict[str, str] = {}
    faults: list[dict[str, str]] = []
    for parameter in predicate.parameters:
        try:
            value = _text(raw.get(parameter.name), parameter.required)
            if value is None:
                continue
            if parameter.validation is not None:
                value = VALIDATORS[parameter.validation](value)
            elif parameter.name == "type":
                value = _licence_type(catalogue, predicate, value).code
            else:
                value = plain_name(value)
            values[parameter.name] = value
        except ServiceError as error:
            faults.append(_fault(parameter.name, error))
    known = {parameter.name for parameter in predicate.parameters}
    faults += [
        _fault(name[:40], ServiceError("field-unknown")) for name in raw if name not in known
    ]
    if not faults and {"type", "number"} <= values.keys():
        try:
            values["number"] = _number(catalogue.licence_type(values["type"]), values["number"])
        except ServiceError as error:
            faults.append(_fault("number", error))
    if faults:
        names = ", ".join(fault["field"] for fault in faults)
        raise ServiceError("claim-parameters-invalid", names, extra={"errors": faults})
    return values


def _text(raw: object, required: bool) -> str | None:
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        if required:
            raise ServiceError("field-missing")
        return None
    if not isinstance(raw, str):
        raise ServiceError("field-not-text")
    if len(raw) > MAX_PARAMETER:
        raise ServiceError("field-too-long")
    return raw


def _licence_type(catalogue: Catalogue, predicate: Predicate, given: str) -> LicenceType:
    """A type that the catalogue lets this predicate be asked of."""
    type_ = catalogue.licence_type(given.strip())
    if predicate.id not in type_.predicates:
        raise ServiceError("claim-predicate-not-for-type")
    return type_


def _number(type_: LicenceType, given: str) -> str:
    """The licence number in the spelling in which records of the type hold it."""
    read, _ = type_.readers[type_.number_field]
    return str(read(given))


def _fault(field: str, error: ServiceError) -> dict[str, str]:
    return {"field": field, "code": error.code, "zh": error.zh, "en": error.en}
