"""Credit entries as answers: what each reader sees of a row, its acts and its sealed content."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from api.context import Services
from api.credit_rows import VERSIONS, Acted, Part
from api.erasure import Erased
from api.routes.credit_models import STATE_WORDS, CreditState
from api.routes.parts import proof_path
from api.rules.days import iso_day, iso_time
from verifier.codec import b64encode
from verifier.credit import IN_DISPUTE, Phase
from verifier.kinds import (
    CREDIT,
    CREDIT_CORRECTED,
    CREDIT_DISPUTED,
    CREDIT_EXPIRED,
    CREDIT_PUBLISHED,
    CREDIT_REPAIRED,
    CREDIT_UPHELD,
    CREDIT_WITHDRAWN,
    ERASURE,
    KINDS,
)

_SPEAKING = frozenset({CREDIT_DISPUTED, CREDIT_UPHELD})


def state_of(phase: int, last_kind: int) -> CreditState:
    """The state of an entry in one word."""
    ends: Mapping[int, CreditState] = {
        CREDIT_WITHDRAWN: "withdrawn",
        CREDIT_REPAIRED: "repaired",
        CREDIT_EXPIRED: "expired",
        ERASURE: "erased",
    }
    stages: Mapping[int, CreditState] = {
        Phase.RECORDED: "recorded",
        Phase.PUBLISHED: "published",
        Phase.CORRECTED: "corrected",
        Phase.DISPUTED: "disputed",
        Phase.PUBLISHED_DISPUTED: "published-disputed",
    }
    return ends[last_kind] if phase == Phase.ENDED else stages[phase]


def summary_json(use: Services, row: Row[Any]) -> dict[str, Any]:
    type_ = use.city.catalogue.credit_type(row.type_code)
    state = state_of(row.phase, row.last_kind)
    return {
        "record_id": row.record_id,
        "type": type_.code,
        "type_zh": type_.zh,
        "type_en": type_.en,
        "department": row.department,
        "organisation": row.organisation,
        "grade": row.grade,
        "rule_set": row.rule_set,
        "document_day": iso_day(row.document_day),
        "until": iso_day(row.until_day),
        "state": state,
        "state_zh": STATE_WORDS[state][0],
        "state_en": STATE_WORDS[state][1],
        "recorded_at": iso_time(row.recorded_at),
        "published_at": None if row.published_at is None else iso_time(row.published_at),
        "late": row.late,
        "index": row.record_index,
    }


def whole_json(use: Services, row: Row[Any], *, sensitive: bool) -> dict[str, Any]:
    parts = use.credits.parts(row)
    acts = use.credits.acts([row.record_id])[row.record_id]
    brought = _brought(row, acts, parts)
    versions = [
        {
            **_version_json(use, row, act, part, sensitive=sensitive),
            "statement": b64encode(use.city.ledger.entry(act.idx)),
            "disclosures": [b64encode(raw) for raw in part.disclosures] if sensitive else [],
        }
        for act, part in brought
        if part.kind in VERSIONS
    ]
    texts = {act.idx: part.fields["text"] for act, part in brought if part.kind in _SPEAKING}
    return {
        **summary_json(use, row),
        "repairable_from": use.credits.repairable_from(row).isoformat(),
        "versions": versions,
        "acts": [
            {
                "index": act.idx,
                "act": KINDS[act.kind].name,
                "act_zh": KINDS[act.kind].zh,
                "reason": act.reason,
                "at": iso_time(act.at),
                "text": texts.get(act.idx),
                "proof": proof_path(act.idx),
            }
            for act in acts
        ],
    }


def public_json(use: Services, row: Row[Any], acts: Sequence[Row[Any]]) -> dict[str, Any]:
    """Versions that were public: the one at publication, and every one since."""
    type_ = use.city.catalogue.credit_type(row.type_code)
    first = next(act.idx for act in acts if act.kind == CREDIT_PUBLISHED)
    brought = [
        (act, part)
        for act, part in _brought(row, acts, use.credits.parts(row))
        if part.kind in VERSIONS
    ]
    at_first = [pair for pair in brought if pair[0].idx < first][-1:]
    since = [pair for pair in brought if pair[0].idx > first]
    return {
        "type": type_.code,
        "type_zh": type_.zh,
        "type_en": type_.en,
        "department": row.department,
        "department_zh": department_zh(use, row.department),
        "grade": row.grade,
        "rule_set": row.rule_set,
        "document_day": iso_day(row.document_day),
        "published_at": iso_time(row.published_at),
        "until": iso_day(row.until_day),
        "disputed": row.phase in IN_DISPUTE,
        "versions": [
            _version_json(use, row, act, part, sensitive=False) for act, part in [*at_first, *since]
        ],
    }


class _First:
    """The recording of an entry, seen as an act."""

    kind, reason = CREDIT, None

    def __init__(self, row: Row[Any]) -> None:
        self.idx, self.at = row.record_index, row.recorded_at


def _brought(
    row: Row[Any], acts: Sequence[Row[Any]], parts: Sequence[Part]
) -> list[tuple[Any, Part]]:
    """Each part of the content with the act that brought it."""
    bringing = [act for act in acts if act.kind in _SPEAKING | {CREDIT_CORRECTED}]
    return list(zip([_First(row), *bringing], parts, strict=True))


def _version_json(
    use: Services, row: Row[Any], act: Any, part: Part, *, sensitive: bool
) -> dict[str, Any]:
    type_, values = use.city.catalogue.credit_type(row.type_code), part.fields
    return {
        "index": act.idx,
        "at": iso_time(act.at),
        "reason": act.reason,
        "fields": [
            {"code": each.code, "zh": each.zh, "en": each.en, "value": values[each.code]}
            for each in type_.fields
            if each.code in values and (sensitive or not each.sensitive)
        ],
        "proof": proof_path(act.idx),
    }


def department_zh(use: Services, slug: str) -> str:
    """The enrolled name of a department."""
    found = use.city.authorities.departments.get(use.city.issuer(slug))
    return slug if found is None else found.zh


def acted_json(acted: Acted) -> dict[str, Any]:
    kind, state = KINDS[acted.kind], state_of(acted.phase, acted.kind)
    return {
        "record_id": acted.record_id,
        "act": kind.name,
        "act_zh": kind.zh,
        "state": state,
        "state_zh": STATE_WORDS[state][0],
        "index": acted.index,
        "leaf": acted.leaf.hex(),
        "proof": proof_path(acted.index),
        "rule_set": acted.rule_set,
        "until": iso_day(acted.until_day),
        "due": iso_day(acted.due_day),
        "late": acted.late,
    }


def erased_json(erased: Erased) -> dict[str, Any]:
    return {
        "record_id": erased.record_id,
        "reason": erased.reason,
        "index": erased.index,
        "leaf": erased.leaf.hex(),
        "proof": proof_path(erased.index),
    }
