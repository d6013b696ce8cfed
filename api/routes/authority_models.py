"""The shapes of answers about authority: departments, keys, officers, changes.

Times are ISO 8601 in UTC, bytes base64, hashes and key ids hex.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.routes.models import FINALITY_WORDS, FinalityName

KeyState = Literal["in-force", "not-yet", "expired", "suspended", "retired", "compromised"]


class MomentShown(BaseModel):
    """A ledger index and the time of the statement there."""

    index: int
    at: str


class SuspensionShown(BaseModel):
    """From one statement to another; `until` is null while it lasts."""

    since: MomentShown
    until: MomentShown | None


class CompromiseShown(BaseModel):
    """Nothing counts that the key signed since then, or that stands at or after `before`."""

    since: str
    before: int = Field(description="Ledger index")
    count: int = Field(description="Entries that it signed before, which count")
    told: MomentShown


class CertificateShown(BaseModel):
    """Of a chain to a recognised certification authority (X.509)."""

    subject: str
    issuer: str = Field(description="The recognised authority")
    serial: str
    not_before: str
    not_after: str


class KeyShown(BaseModel):
    """An enrolled key and its life. `index`: where its enrolment stands in the ledger."""

    kid: str
    suite: str
    public: str = Field(description="COSE_Key, base64")
    jwk: dict[str, Any]
    scope: list[str] = Field(description="Type codes it may sign")
    valid_from: str
    valid_until: str | None
    index: int
    state: KeyState
    state_zh: str
    suspended: list[SuspensionShown]
    retired: MomentShown | None
    compromise: CompromiseShown | None
    replaces: str | None = Field(description="Key id")
    replaced_by: str | None = Field(description="Key id")
    certificate: CertificateShown | None


class FormerName(BaseModel):
    zh: str
    en: str
    until: str


class DepartmentShown(BaseModel):
    issuer: str
    zh: str
    en: str
    uscc: str = Field(description="统一社会信用代码; empty for the operator")
    former_names: list[FormerName]
    ended: MomentShown | None
    successor: str | None = Field(description="Issuer that it was merged into")
    keys: list[KeyShown]


class DepartmentsShown(BaseModel):
    origin: str
    departments: list[DepartmentShown]


class OfficerShown(BaseModel):
    """Who proposes and approves changes, by duty name."""

    id: str
    of: str = Field(description="Department, or `operator`")
    kid: str
    suite: str
    public: str = Field(description="COSE_Key, base64")
    index: int = Field(description="Where the officer was enrolled")
    left: MomentShown | None = Field(description="Since when out of office")


class OfficersShown(BaseModel):
    officers: list[OfficerShown]


class KeyMade(BaseModel):
    """What a proposal needs to enrol a key that this server keeps."""

    name: str = Field(description="Its name in custody")
    suite: str
    kid: str
    cose_key: str
    pop: str = Field(description="Proof of possession")


class ChangeShown(BaseModel):
    """A change of authority: proposed, perhaps approved and logged."""

    id: str = Field(description="SHA-256 of the proposal")
    kind: str
    kind_zh: str
    concerns: str = Field(description="Department concerned, or `operator`")
    summary_zh: str = Field(description="What it does, in words")
    summary_en: str
    state: Literal["open", "logged", "withdrawn", "lapsed"]
    state_zh: str
    proposer: str = Field(description="Officer")
    proposed_at: str
    before: str = Field(description="It lapses unless approved by then")
    approver: str | None
    decided_at: str | None
    index: int | None = Field(description="Ledger index of the statement")
    finality: FinalityName | None = Field(None, description=FINALITY_WORDS)
    proposal: str = Field(description="The signed proposal (COSE_Sign1), for the approver")


class ChangePage(BaseModel):
    """Newest first."""

    changes: list[ChangeShown]
    next: str | None = Field(description="`cursor` of the next page; null at the end")
