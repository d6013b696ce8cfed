"""The shapes of the credit answers, for OpenAPI and for whoever writes a client.

Times are ISO 8601 in UTC, days ISO dates in China, bytes base64, hashes hex.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.routes.models import FINALITY_WORDS, FinalityName

CreditState = Literal[
    "recorded", "disputed", "published", "corrected", "published-disputed", "withdrawn",
    "repaired", "expired", "erased",
]  # fmt: skip
STATE_WORDS: dict[CreditState, tuple[str, str]] = {
    "recorded": ("已记录，未公示", "recorded, not published"),
    "disputed": ("未公示，异议处理中", "not published, disputed"),
    "published": ("公示中", "published"),
    "corrected": ("公示中，已更正", "published, corrected"),
    "published-disputed": ("公示中，异议处理中", "published, disputed"),
    "withdrawn": ("已撤回", "withdrawn"),
    "repaired": ("已修复", "repaired"),
    "expired": ("公示期满", "expired"),
    "erased": ("数据已销毁", "erased"),
}


class ActedAnswer(BaseModel):
    """An act, as logged."""

    record_id: str
    act: str = Field(description="Kind of the statement, such as `credit-published`")
    act_zh: str
    state: CreditState
    state_zh: str
    index: int = Field(description="Ledger index")
    leaf: str = Field(description="RFC 6962 leaf hash")
    proof: str = Field(description="Path of its inclusion proof")
    finality: FinalityName = Field(description=FINALITY_WORDS)
    rule_set: str = Field(description="Rule set that the entry follows")
    until: str = Field(description="Last day on which the entry is shown and used")
    due: str | None = Field(None, description="Of a publication: last day on which it was in time")
    late: bool | None = Field(None, description="Of a publication: whether it came after that")


class ErasedAnswer(BaseModel):
    record_id: str
    reason: str
    index: int
    leaf: str
    proof: str
    finality: FinalityName = Field(description=FINALITY_WORDS)


class ExpiredAnswer(BaseModel):
    expired: int = Field(description="How many entries were ended")


class CreditSummary(BaseModel):
    """What a list says of an entry: nothing of what it says, nothing about its subject."""

    record_id: str
    type: str
    type_zh: str
    type_en: str
    department: str
    organisation: bool = Field(description="Whether it is about an organisation")
    grade: int | None = Field(description="1 轻微 minor, 2 一般 ordinary, 3 严重 serious")
    rule_set: str
    document_day: str
    until: str
    state: CreditState
    state_zh: str
    state_en: str
    recorded_at: str
    published_at: str | None
    late: bool | None
    index: int


class CreditPage(BaseModel):
    """Newest first."""

    credits: list[CreditSummary]
    next: str | None = Field(description="`cursor` of the next page; null at the end")


class CreditField(BaseModel):
    code: str
    zh: str
    en: str
    value: Any


class CreditVersion(BaseModel):
    """What the entry said from this act on."""

    index: int
    at: str
    reason: str | None = Field(description="Why it was corrected; null for the first version")
    fields: list[CreditField]
    proof: str


class ProvableVersion(CreditVersion):
    """With what it takes to prove it: the statement, and everything it holds a digest of."""

    statement: str
    disclosures: list[str]


class CreditAct(BaseModel):
    index: int
    act: str
    act_zh: str
    reason: str | None
    at: str
    text: str | None = Field(description="Of a dispute or of the answer to it")
    proof: str


class CreditWhole(CreditSummary):
    """For the department, the subject, and (without sensitive fields) the credit centre."""

    repairable_from: str = Field(description="First day on which it may be repaired")
    versions: list[ProvableVersion]
    acts: list[CreditAct]


class OwnCredit(CreditSummary):
    repairable_from: str = Field(description="First day on which it may be repaired")
    department_zh: str


class OwnCredits(BaseModel):
    """Newest first; entries that ended are listed too: it is the subject's own file."""

    credits: list[OwnCredit]
    next: str | None


class PublicCredit(BaseModel):
    """An entry as published. After a correction the versions before and after stand together."""

    type: str
    type_zh: str
    type_en: str
    department: str
    department_zh: str
    grade: int | None
    rule_set: str
    document_day: str
    published_at: str
    until: str
    disputed: bool = Field(description="异议标注: the subject disputes it")
    versions: list[CreditVersion]


class PublicCredits(BaseModel):
    uscc: str
    as_of: str
    credits: list[PublicCredit]
    next: str | None
