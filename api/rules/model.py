"""The kinds of entries a catalogue has. See `api.rules.catalogue` for the files they come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import ClassVar, Literal, TypeVar

from pydantic import ConfigDict

from api.errors import ServiceError
from api.rules import codes
from api.rules.fields import Field, Readers, Value, compile_readers
from api.rules.rulesets import RuleSet, Transition, in_force, pick
from api.rules.workdays import PeriodRule
from verifier.states import BY_NAME, LegalState

HolderKind = Literal["organisation", "person"]


@dataclass(frozen=True)
class Department:
    """A signing department. `demo` departments are enrolled in the embedded city."""

    slug: str
    zh: str
    en: str
    uscc: str
    demo: bool = True


@dataclass(frozen=True)
class HolderCodeType:
    """持证主体代码类型 (GB/T 36903, annex A)."""

    code: str
    zh: str
    en: str
    holder: HolderKind


@dataclass(frozen=True)
class Term:
    """A legal basis, a purpose or a role. `roles` of a basis: who may rely on it."""

    id: str
    zh: str
    en: str
    source: str | None = None
    roles: tuple[str, ...] = ()
    consent: bool = False


@dataclass(frozen=True)
class Parameter:
    """One value a question needs. `validation` names a validator, or it is plain text."""

    name: str
    zh: str
    en: str
    validation: str | None = None
    required: bool = True
    personal: bool = False


@dataclass(frozen=True)
class Predicate:
    """A question with the answer yes, no or unknown; nothing else leaves.

    `sources` are the departments whose records answer it. A question is allowed when its role,
    legal basis and purpose are all listed here and the basis is open to the role.
    """

    id: str
    zh: str
    en: str
    parameters: tuple[Parameter, ...]
    sources: tuple[str, ...]
    legal_bases: tuple[str, ...]
    purposes: tuple[str, ...]
    roles: tuple[str, ...]
    needs_consent: bool
    note: str | None = None


@dataclass(frozen=True)
class Reason:
    """Why a licence changes state, or why a credit entry ends. `two_person`: two must sign."""

    code: str
    zh: str
    en: str
    article: str
    applies: Literal["licence", "credit", "erasure"]
    state: str | None = None
    two_person: bool = False

    @property
    def legal_state(self) -> LegalState | None:
        return None if self.state is None else BY_NAME[self.state]


@dataclass(frozen=True)
class PublishRule:
    """双公示: whose entries are public, and how many working days after the decision."""

    organisations: bool
    persons: bool
    within_workdays: int


@dataclass(frozen=True)
class LicenceType:
    """A licence type. `code` is the 证照类型代码; `number_field` holds the 证照编号, which is the
    serial of the licence identifier. `validity` in years; `states` are the legal states it may
    reach beside 有效. Fields that come from a law stand in the order they are printed."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    code: str
    slug: str
    zh: str
    en: str
    issuer: str
    holder: HolderKind
    holder_field: str
    holder_code_field: str
    holder_code_type: str
    number_field: str
    from_field: str
    validity: int | Literal["long"]
    states: tuple[str, ...]
    retention_years: int
    predicates: tuple[str, ...]
    legal_basis: str
    fields: tuple[Field, ...]
    fictional: bool = False
    until_field: str | None = None
    validity_choices: tuple[int | Literal["long"], ...] = ()
    multi_instance: bool = False
    renewal_window_days: int = 0
    deemed_renewal: bool = False
    joint_holder_field: str | None = None
    joint_holder_code_field: str | None = None
    require_one: tuple[tuple[str, ...], ...] = ()
    note: str | None = None

    @cached_property
    def readers(self) -> Readers:
        return compile_readers(self.fields)

    @property
    def validity_years(self) -> int | None:
        """Years, or `None` for 长期."""
        return None if self.validity == "long" else self.validity

    def identifier(
        self, issuer: str, values: Mapping[str, Value], version: int = 1
    ) -> codes.LicenceIdentifier:
        """电子证照标识 of a licence with these values, issued by `issuer` (code or adcode)."""
        serial = codes.licence_serial(str(values[self.number_field]))
        return codes.make_licence_identifier(self.code, issuer, serial, f"{version:03d}")


@dataclass(frozen=True)
class CreditType:
    """A credit-entry type. `issuers` lists department slugs; empty means every department.

    `subject_code_fields`: the fields that may hold the subject's code, organisations first.
    `ends` says what ends its publication.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    code: str
    slug: str
    zh: str
    en: str
    issuers: tuple[str, ...]
    subjects: tuple[HolderKind, ...]
    subject_field: str
    subject_code_fields: tuple[str, ...]
    number_field: str
    date_field: str
    graded: bool
    ends: Literal[
        "repair", "cure", "removal", "performance", "with-licence", "yearly", "refresh", "paid"
    ]
    publish: PublishRule
    retention_years: int
    legal_basis: str
    fields: tuple[Field, ...]
    until_field: str | None = None
    fixed_grade: int | None = None
    two_person: bool = False
    require_one: tuple[tuple[str, ...], ...] = ()
    note: str | None = None

    @cached_property
    def readers(self) -> Readers:
        return compile_readers(self.fields)


RecordType = LicenceType | CreditType


@dataclass(frozen=True)
class Catalogue:
    """Everything above, looked up by its stable name."""

    departments: Mapping[str, Department]
    holder_code_types: Mapping[str, HolderCodeType]
    licence_types: Mapping[str, LicenceType]
    credit_types: Mapping[str, CreditType]
    predicates: Mapping[str, Predicate]
    legal_bases: Mapping[str, Term]
    purposes: Mapping[str, Term]
    roles: Mapping[str, Term]
    reasons: Mapping[str, Reason]
    rulesets: tuple[RuleSet, ...]
    transition: Transition = "by-document"
    period_rule: PeriodRule = "civil-202"
    _licence_by_code: Mapping[str, LicenceType] = field(init=False, repr=False, compare=False)
    _credit_by_slug: Mapping[str, CreditType] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_code = {kind.code: kind for kind in self.licence_types.values()}
        by_slug = {kind.slug: kind for kind in self.credit_types.values()}
        object.__setattr__(self, "_licence_by_code", by_code)
        object.__setattr__(self, "_credit_by_slug", by_slug)

    def licence_type(self, code_or_slug: str) -> LicenceType:
        """By slug or by 证照类型代码; `catalogue-unknown-type` otherwise."""
        found = self.licence_types.get(code_or_slug) or self._licence_by_code.get(code_or_slug)
        if found is None:
            raise ServiceError("catalogue-unknown-type", code_or_slug[:40])
        return found

    def credit_type(self, code_or_slug: str) -> CreditType:
        """By code (`XZCF`) or by slug; `catalogue-unknown-type` otherwise."""
        found = self.credit_types.get(code_or_slug) or self._credit_by_slug.get(code_or_slug)
        if found is None:
            raise ServiceError("catalogue-unknown-type", code_or_slug[:40])
        return found

    def predicate(self, id_: str) -> Predicate:
        return _look_up(self.predicates, id_)

    def reason(self, code: str) -> Reason:
        return _look_up(self.reasons, code)

    def department(self, slug: str) -> Department:
        return _look_up(self.departments, slug)

    def ruleset_for(self, day: date) -> RuleSet:
        """The rule set in force on `day`; `ruleset-missing` when there is none."""
        return in_force(self.rulesets, day)

    def ruleset_for_entry(self, document_day: date, publish_day: date) -> RuleSet:
        """The rule set of an entry, by the configured transition rule."""
        return pick(self.rulesets, self.transition, document_day, publish_day)


Entry = TypeVar("Entry")


def _look_up(table: Mapping[str, Entry], name: str) -> Entry:
    try:
        return table[name]
    except KeyError:
        raise ServiceError("catalogue-unknown-entry", name[:40]) from None
