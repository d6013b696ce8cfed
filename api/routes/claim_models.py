"""The shapes of the answers about claims, for OpenAPI and for whoever writes a client.

Times are ISO 8601 in UTC, bytes base64.
"""

from typing import Literal

from pydantic import BaseModel, Field

from api.routes.models import FINALITY_WORDS, FinalityName

AnswerName = Literal["yes", "no", "unknown"]
ANSWER_WORDS: dict[AnswerName, str] = {"yes": "是", "no": "否", "unknown": "无法确认"}


class TermShown(BaseModel):
    id: str
    zh: str
    en: str


class BasisShown(TermShown):
    source: str | None
    roles: list[str] = Field(description="Roles that may rely on it")
    consent: bool = Field(description="Whether a consent object must come with the question")


class ParameterShown(BaseModel):
    name: str
    zh: str
    en: str
    validation: str | None
    required: bool
    personal: bool


class PredicateShown(TermShown):
    """One question. It is allowed where role, purpose and legal basis are all listed here."""

    parameters: list[ParameterShown]
    sources: list[str] = Field(description="Departments whose records answer it")
    purposes: list[str]
    legal_bases: list[str]
    roles: list[str]
    needs_consent: bool
    note: str | None


class PredicatesShown(BaseModel):
    predicates: list[PredicateShown]
    purposes: list[TermShown]
    legal_bases: list[BasisShown]
    roles: list[TermShown]


class ClaimAnswer(BaseModel):
    """Yes, no or unknown, and what proves it was asked and answered."""

    question_id: str
    predicate: str
    answer: AnswerName
    answer_zh: str
    receipt: str = Field(description="Signed by the ledger operator (COSE_Sign1); for others")
    disclosure: str = Field(description="What was asked under which right; its digest is logged")
    salt: str = Field(
        description='Completes the disclosure `[salt, parameters, "parameters"]`, whose digest '
        "is logged too: with the parameters it shows which question was asked"
    )
    issued_at: str
    expires_at: str = Field(description="Until then the receipt is valid")
    replayed: bool = Field(description="The same question had this receipt already")
    index: int = Field(description="Ledger index of the question")
    proof: str
    finality: FinalityName = Field(description=FINALITY_WORDS)


class ReceiptRead(BaseModel):
    """A receipt of this city, within its minutes."""

    question_id: str
    predicate: str
    predicate_zh: str
    predicate_en: str
    answer: AnswerName
    answer_zh: str
    asker: str
    issued_at: str
    expires_at: str
    question_leaf: str = Field(description="RFC 6962 leaf hash of the question in the ledger")
    asked: str = Field(description="Digest of what was asked, hex")


class ConsentShown(BaseModel):
    id: str
    client: str
    predicate: str
    purpose: str
    uses_left: int
    created_at: str
    expires_at: str
    withdrawn_at: str | None
    usable: bool
    text_zh: str = Field(description="What was consented to, in words")
    text_en: str


class ConsentsShown(BaseModel):
    consents: list[ConsentShown]


class QuestionShown(BaseModel):
    """Who asked what about the caller, and what was answered."""

    question_id: str
    at: str
    client: str
    client_name: str
    predicate: str
    predicate_zh: str
    predicate_en: str
    purpose: str
    purpose_zh: str
    legal_basis: str
    legal_basis_zh: str
    case_number: str
    consent: str | None
    answer: AnswerName
    answer_zh: str
    index: int
    proof: str


class QuestionsShown(BaseModel):
    """Newest first."""

    questions: list[QuestionShown]
    next: str | None
