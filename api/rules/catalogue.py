"""The catalogue: what may be issued, recorded and asked, as data read from TOML.

    departments.toml         who signs                          Department
    holder_code_types.toml   what a holder's code is            HolderCodeType
    licences/*.toml          one licence type each              LicenceType
    credits/*.toml           one credit-entry type each         CreditType
    predicates.toml          questions, and who may ask them    Predicate, Term
    reasons.toml             why a state changes                Reason
    rulesets.toml            publication periods by grade       RuleSet

Reading is strict: an unknown key, a wrong type or a reference that leads nowhere is
`catalogue-invalid` and names the file and the key.
"""

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from api.catalogue import FOLDER
from api.errors import ServiceError
from api.rules.coherence import contradictions
from api.rules.fields import Field, Value, group_fields, read_fields
from api.rules.model import (
    Catalogue,
    CreditType,
    Department,
    HolderCodeType,
    LicenceType,
    Parameter,
    Predicate,
    PublishRule,
    Reason,
    RecordType,
    Term,
)
from api.rules.rulesets import RuleSet, Transition
from api.rules.workdays import PeriodRule

__all__ = [
    "Catalogue",
    "CreditType",
    "Department",
    "Field",
    "HolderCodeType",
    "LicenceType",
    "Parameter",
    "Predicate",
    "PublishRule",
    "Reason",
    "RecordType",
    "RuleSet",
    "Term",
    "Value",
    "disclosure_groups",
    "load_catalogue",
    "validate_fields",
]


def validate_fields(type_: RecordType, raw: Mapping[str, object]) -> dict[str, Value]:
    """Canonical values of one record, in dictionary order.

    Collects all faults and raises one `fields-invalid` with `.extra["errors"]`, a list of
    `{field, code, zh, en, detail}`.
    """
    return read_fields(type_.readers, type_.require_one, raw)


def disclosure_groups(
    type_: RecordType, values: Mapping[str, Value]
) -> list[tuple[str, dict[str, Value]]]:
    """`(group, {field: value})` in stable order: what becomes one disclosure each."""
    return group_fields(type_.fields, values)


# ---- reading -------------------------------------------------------------------------------------

Model = TypeVar("Model")


@dataclass(frozen=True)
class _Listing:
    """A file that holds tables of entries."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class _Departments(_Listing):
    departments: tuple[Department, ...]


@dataclass(frozen=True)
class _HolderCodeTypes(_Listing):
    holder_code_types: tuple[HolderCodeType, ...]


@dataclass(frozen=True)
class _Predicates(_Listing):
    roles: tuple[Term, ...]
    legal_bases: tuple[Term, ...]
    purposes: tuple[Term, ...]
    predicates: tuple[Predicate, ...]


@dataclass(frozen=True)
class _Reasons(_Listing):
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class _RuleSets(_Listing):
    transition: Transition
    period_rule: PeriodRule
    rulesets: tuple[RuleSet, ...]


def _invalid(file: str, key: str, reason: str) -> ServiceError:
    return ServiceError(
        "catalogue-invalid", f"{file}: {key}: {reason}", extra={"file": file, "key": key}
    )


def _read(path: Path, folder: Path, adapter: TypeAdapter[Model]) -> Model:
    file = path.relative_to(folder).as_posix()
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise _invalid(file, "-", str(fault)) from None
    try:
        # through JSON, where strict means: lists are tuples, dates are texts, nothing else bends
        return adapter.validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"])) or "-"
        raise _invalid(file, key, first["msg"]) from None


def load_catalogue(folder: Path | None = None) -> Catalogue:
    """Read and check a catalogue; the built-in one if `folder` is absent."""
    folder = FOLDER if folder is None else folder
    departments = _read(folder / "departments.toml", folder, TypeAdapter(_Departments))
    holder_codes = _read(folder / "holder_code_types.toml", folder, TypeAdapter(_HolderCodeTypes))
    predicates = _read(folder / "predicates.toml", folder, TypeAdapter(_Predicates))
    reasons = _read(folder / "reasons.toml", folder, TypeAdapter(_Reasons))
    rules = _read(folder / "rulesets.toml", folder, TypeAdapter(_RuleSets))
    licences = _read_each(folder, "licences", TypeAdapter(LicenceType))
    credits_ = _read_each(folder, "credits", TypeAdapter(CreditType))

    def table(
        file: str, entries: Iterable[Model], name: Callable[[Model], str]
    ) -> dict[str, Model]:
        found: dict[str, Model] = {}
        for entry in entries:
            if name(entry) in found:
                raise _invalid(file, name(entry), "occurs twice")
            found[name(entry)] = entry
        return found

    catalogue = Catalogue(
        departments=table("departments.toml", departments.departments, lambda d: d.slug),
        holder_code_types=table(
            "holder_code_types.toml", holder_codes.holder_code_types, lambda h: h.code
        ),
        licence_types=table("licences", licences.values(), lambda t: t.slug),
        credit_types=table("credits", credits_.values(), lambda t: t.code),
        predicates=table("predicates.toml", predicates.predicates, lambda p: p.id),
        legal_bases=table("predicates.toml", predicates.legal_bases, lambda t: t.id),
        purposes=table("predicates.toml", predicates.purposes, lambda t: t.id),
        roles=table("predicates.toml", predicates.roles, lambda t: t.id),
        reasons=table("reasons.toml", reasons.reasons, lambda r: r.code),
        rulesets=tuple(sorted(rules.rulesets, key=lambda r: r.in_force_from)),
        transition=rules.transition,
        period_rule=rules.period_rule,
    )
    for file, key, reason in contradictions(catalogue, licences, credits_):
        raise _invalid(file, key, reason)
    return catalogue


def _read_each(folder: Path, name: str, adapter: TypeAdapter[Model]) -> dict[str, Model]:
    paths = sorted((folder / name).glob("*.toml"))
    return {path.relative_to(folder).as_posix(): _read(path, folder, adapter) for path in paths}
