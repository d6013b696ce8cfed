"""Claims over HTTP: the questions that may be asked, asking, receipts, consents, who asked."""

import json
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, cast

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from api.claims import Answered, Asked
from api.consents import MAX_MINUTES, MAX_USES, Consent
from api.context import Caller, IdempotencyKey, Services, Use
from api.idempotency import Slot
from api.routes.claim_models import (
    ANSWER_WORDS,
    AnswerName,
    ClaimAnswer,
    ConsentShown,
    ConsentsShown,
    PredicatesShown,
    QuestionsShown,
    ReceiptRead,
)
from api.routes.parts import ID_PATTERN, Cursor, answer_once, before, proof_path, with_finality
from api.rules.catalogue import Term
from api.rules.days import iso_time
from verifier.codec import b64decode, b64encode

router = APIRouter()
_CLAIMS: list[str | Enum] = ["核验提问 claims"]
_OWN: list[str | Enum] = ["本人 my own file"]
_MAX_RECEIPT = 8_192
ConsentId = Annotated[str, Path(pattern=ID_PATTERN, description="Consent id")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ClaimRequest(_Body):
    """A question. Purpose, legal basis and case number are mandatory; each says so by its code."""

    predicate: str = Field(max_length=64, examples=["over-18"])
    parameters: dict[str, Any] = Field(description="See `GET /v1/predicates`", max_length=16)
    purpose: str | None = Field(None, max_length=64)
    legal_basis: str | None = Field(None, max_length=64)
    consent: str | None = Field(None, max_length=64, description="Id of a consent object")
    case_number: str | None = Field(None, max_length=200, description="办件编号")


class ReceiptRequest(_Body):
    """A receipt as handed out."""

    receipt: str = Field(max_length=_MAX_RECEIPT * 2, description="Base64")


class ConsentRequest(_Body):
    """Lets one client ask one thing for one purpose."""

    client: str = Field(max_length=64, description="Id of the caller that may ask")
    predicate: str = Field(max_length=64)
    purpose: str = Field(max_length=64)
    minutes: int = Field(10, ge=1, le=MAX_MINUTES)
    uses: int = Field(1, ge=1, le=MAX_USES)


@router.get(
    "/v1/predicates",
    tags=_CLAIMS,
    summary="可提问题目录 What may be asked",
    response_model=PredicatesShown,
)
def predicates(use: Use) -> dict[str, Any]:
    """Each question with who may ask it, for what, on which basis. No account."""
    catalogue = use.city.catalogue
    return {
        "predicates": [
            {
                **_term(each),
                "parameters": [
                    {
                        "name": one.name,
                        "zh": one.zh,
                        "en": one.en,
                        "validation": one.validation,
                        "required": one.required,
                        "personal": one.personal,
                    }
                    for one in each.parameters
                ],
                "sources": list(each.sources),
                "purposes": list(each.purposes),
                "legal_bases": list(each.legal_bases),
                "roles": list(each.roles),
                "needs_consent": each.needs_consent,
                "note": each.note,
            }
            for each in catalogue.predicates.values()
        ],
        "purposes": [_term(each) for each in catalogue.purposes.values()],
        "legal_bases": [
            {
                **_term(each),
                "source": each.source,
                "roles": list(each.roles),
                "consent": each.consent,
            }
            for each in catalogue.legal_bases.values()
        ],
        "roles": [_term(each) for each in catalogue.roles.values()],
    }


@router.post("/v1/claims", tags=_CLAIMS, summary="提问 Ask a question", response_model=ClaimAnswer)
def ask(
    body: ClaimRequest, use: Use, caller: Caller, response: Response, key: IdempotencyKey = None
) -> dict[str, Any]:
    """The answer is yes, no or unknown. The question is in the ledger before it is answered, and
    its subject sees it. The same question under the same case number has the same receipt."""
    fresh: list[Answered] = []

    def write(slot: Slot | None) -> Mapping[str, Any]:
        def remember(connection: Connection, question_id: str) -> None:
            if slot is not None:
                slot.remember(connection, {"question_id": question_id})

        answered = use.claims.ask(
            caller,
            predicate=body.predicate,
            parameters=body.parameters,
            purpose=body.purpose,
            legal_basis=body.legal_basis,
            case_number=body.case_number,
            consent=body.consent,
            effects=remember,
        )
        fresh.append(answered)
        return {"question_id": answered.question_id}

    request = ["ask", json.dumps(body.model_dump())]  # JSON, for floats have no one CBOR
    kept, repeated = answer_once(use, caller, key, request, write, response)
    answered = use.claims.answered(caller, kept["question_id"]) if repeated else fresh[0]
    return with_finality(use, _answered_json(answered))


@router.post(
    "/v1/receipts/verify",
    tags=_CLAIMS,
    summary="核验回执 Check a receipt",
    response_model=ReceiptRead,
)
def verify_receipt(body: ReceiptRequest, use: Use) -> dict[str, Any]:
    """Whether this city signed it and its minutes are not over. `zhenglian verify` does the same
    with no network. No account."""
    receipt = use.claims.verify(b64decode(body.receipt, max_bytes=_MAX_RECEIPT))
    predicate = use.city.catalogue.predicates.get(receipt.predicate)
    return {
        "question_id": receipt.question_id,
        "predicate": receipt.predicate,
        "predicate_zh": receipt.predicate if predicate is None else predicate.zh,
        "predicate_en": receipt.predicate if predicate is None else predicate.en,
        **_answer(receipt.answer),
        "asker": receipt.audience,
        "issued_at": iso_time(receipt.issued_at),
        "expires_at": iso_time(receipt.expires_at),
        "question_leaf": receipt.question.hex(),
        "asked": receipt.asked.hex(),
    }


# ---- the subject itself --------------------------------------------------------------------------


@router.post(
    "/v1/me/consents",
    status_code=201,
    tags=_OWN,
    summary="给予同意 Give a consent",
    response_model=ConsentShown,
)
def give_consent(
    body: ConsentRequest, use: Use, caller: Caller, response: Response, key: IdempotencyKey = None
) -> dict[str, Any]:
    """For one client, one question, one purpose; it ends by itself and may be withdrawn."""

    def write(slot: Slot | None) -> Mapping[str, Any]:
        def remember(connection: Connection, consent_id: str) -> None:
            if slot is not None:
                slot.remember(connection, {"id": consent_id})

        given = use.claims.consents.give(
            caller,
            client=body.client,
            predicate=use.city.catalogue.predicate(body.predicate),
            purpose=body.purpose,
            minutes=body.minutes,
            uses=body.uses,
            effects=remember,
        )
        return {"id": given.id}

    request = ["consent", json.dumps(body.model_dump())]
    kept, _ = answer_once(use, caller, key, request, write, response)
    return _consent_json(use, use.claims.consents.one(caller, kept["id"]))


@router.get(
    "/v1/me/consents",
    tags=_OWN,
    summary="我的同意 My consents",
    response_model=ConsentsShown,
)
def my_consents(use: Use, caller: Caller) -> dict[str, Any]:
    """Newest first, ended ones included."""
    return {"consents": [_consent_json(use, c) for c in use.claims.consents.of_subject(caller)]}


@router.post(
    "/v1/me/consents/{consent_id}/withdraw",
    tags=_OWN,
    summary="撤回同意 Withdraw a consent",
    response_model=ConsentShown,
)
def withdraw_consent(consent_id: ConsentId, use: Use, caller: Caller) -> dict[str, Any]:
    """Effective at once; receipts given before stay valid."""
    return _consent_json(use, use.claims.consents.withdraw(caller, consent_id))


@router.get(
    "/v1/me/questions",
    tags=_OWN,
    summary="谁查询过我 Who asked about me",
    response_model=QuestionsShown,
)
def my_questions(
    use: Use,
    caller: Caller,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Every question about the caller, with who asked it and under which right."""
    asked = use.claims.of_subject(caller, before=before(cursor), limit=limit + 1)
    return {
        "questions": [_asked_json(use, one) for one in asked[:limit]],
        "next": str(asked[limit - 1].index) if len(asked) > limit else None,
    }


# ---- shapes --------------------------------------------------------------------------------------


def _term(term: Any) -> dict[str, Any]:
    return {"id": term.id, "zh": term.zh, "en": term.en}


def _answer(answer: str) -> dict[str, str]:
    return {"answer": answer, "answer_zh": ANSWER_WORDS[cast(AnswerName, answer)]}


def _answered_json(answered: Answered) -> dict[str, Any]:
    return {
        "question_id": answered.question_id,
        "predicate": answered.predicate,
        **_answer(answered.answer),
        "receipt": b64encode(answered.receipt),
        "disclosure": b64encode(answered.disclosure),
        "salt": b64encode(answered.salt),
        "issued_at": iso_time(answered.issued_at),
        "expires_at": iso_time(answered.expires_at),
        "replayed": answered.replayed,
        "index": answered.index,
        "proof": proof_path(answered.index),
    }


def _words(table: Mapping[str, Term], name: str) -> Term:
    """The words of a term, also where the catalogue has lost it since."""
    return table.get(name) or Term(name, name, name)


def _consent_json(use: Services, consent: Consent) -> dict[str, Any]:
    catalogue = use.city.catalogue
    predicate = catalogue.predicates.get(consent.predicate)
    question_zh = consent.predicate if predicate is None else predicate.zh
    question_en = consent.predicate if predicate is None else predicate.en
    purpose = _words(catalogue.purposes, consent.purpose)
    until = iso_time(consent.expires_at)
    live = consent.withdrawn_at is None and use.city.now() <= consent.expires_at
    return {
        "id": consent.id,
        "client": consent.client,
        "predicate": consent.predicate,
        "purpose": consent.purpose,
        "uses_left": consent.uses_left,
        "created_at": iso_time(consent.created_at),
        "expires_at": until,
        "withdrawn_at": None if consent.withdrawn_at is None else iso_time(consent.withdrawn_at),
        "usable": live and consent.uses_left > 0,
        "text_zh": f"同意 {consent.client} 为“{purpose.zh}”核验“{question_zh}”，"
        f"只得到是、否或无法确认，至 {until} 止；可随时撤回。",
        "text_en": f"{consent.client} may ask, for “{purpose.en}”: “{question_en}”. It learns yes, "
        f"no or unknown, nothing else, until {until}. Consent may be withdrawn at any time.",
    }


def _asked_json(use: Services, asked: Asked) -> dict[str, Any]:
    catalogue = use.city.catalogue
    predicate = catalogue.predicates.get(asked.predicate)
    return {
        "question_id": asked.question_id,
        "at": iso_time(asked.at),
        "client": asked.client,
        "client_name": asked.client_name,
        "predicate": asked.predicate,
        "predicate_zh": asked.predicate if predicate is None else predicate.zh,
        "predicate_en": asked.predicate if predicate is None else predicate.en,
        "purpose": asked.purpose,
        "purpose_zh": _words(catalogue.purposes, asked.purpose).zh,
        "legal_basis": asked.basis,
        "legal_basis_zh": _words(catalogue.legal_bases, asked.basis).zh,
        "case_number": asked.case_number,
        "consent": asked.consent,
        **_answer(asked.answer),
        "index": asked.index,
        "proof": proof_path(asked.index),
    }
