"""The shapes of the main answers, for OpenAPI and for whoever writes a client.

Times are ISO 8601 in UTC unless named otherwise, days ISO dates, bytes base64, hashes hex.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field

StateName = Literal[
    "valid", "suspended", "lapsed", "recalled", "rescinded", "deregistered", "revoked",
    "transferred",
]  # fmt: skip


FinalityName = Literal["final", "pending"]
FINALITY_WORDS = "`pending` until a quorum of witnesses has cosigned a checkpoint that covers it"


class IssuedLicence(BaseModel):
    """What the holder is handed."""

    record_id: str
    identifier: str = Field(description="电子证照标识 GB/T 36904 licence identifier")
    index: int = Field(description="Ledger index")
    leaf: str = Field(description="RFC 6962 leaf hash")
    statement: str = Field(description="The signed statement (COSE_Sign1), the ledger's entry")
    disclosures: list[str] = Field(description="Everything the statement holds a digest of")
    qr: str = Field(description="Compact QR text that shows the face")
    proof: str = Field(description="Path of its inclusion proof")
    finality: FinalityName = Field(description=FINALITY_WORDS)


class IssuedLicences(BaseModel):
    """In the order in which they were asked for."""

    licences: list[IssuedLicence]


class LicenceSummary(BaseModel):
    """What a list says of a licence: no content, nothing about its holder."""

    record_id: str
    type: str = Field(description="证照类型代码")
    type_zh: str
    type_en: str
    version: int = Field(description="1, and one more with each renewal")
    state: StateName
    state_zh: str
    state_code: str = Field(description="证照状态代码, as of the MOHURD interface")
    valid_from: str | None
    valid_until: str | None = Field(description="Inclusive; null is 长期")
    renewed_by: str | None = Field(description="Record id of the licence that renewed this one")
    issued_at: str
    index: int


class LicencePage(BaseModel):
    """Newest first."""

    licences: list[LicenceSummary]
    next: str | None = Field(description="`cursor` of the next page; null at the end")


class LicencesFound(BaseModel):
    licences: list[LicenceSummary]


class OwnLicence(LicenceSummary):
    """A licence for its own holder."""

    identifier: str
    fields: dict[str, Any]


class OwnLicences(BaseModel):
    """All licences of one holder."""

    licences: list[OwnLicence]


class Act(BaseModel):
    """A change of state, in ledger order."""

    index: int
    state: StateName | None
    zh: str | None
    reason: str | None
    at: str


class LicenceWhole(LicenceSummary):
    """For the issuing department and the holder alone."""

    identifier: str
    fields: dict[str, Any]
    renews: str | None = Field(description="Record id of the licence that this one renewed")
    statement: str
    disclosures: list[str]
    acts: list[Act]


class ChangedState(BaseModel):
    record_id: str
    state: StateName
    zh: str
    reason: str
    index: int
    leaf: str
    proof: str
    finality: FinalityName = Field(description=FINALITY_WORDS)


class CheckAnswer(BaseModel):
    """One of the numbered checks."""

    number: int
    zh: str
    en: str
    outcome: Literal["passed", "failed", "not-checked"]
    outcome_zh: str
    code: str
    reason_zh: str
    reason_en: str
    detail: str


class ShownField(BaseModel):
    code: str
    zh: str
    en: str
    value: Any


class Names(BaseModel):
    zh: str
    en: str


class LicenceRead(BaseModel):
    """What the code is about, as far as it could be read."""

    type: str
    type_zh: str
    type_en: str
    issuer: str
    issuer_zh: str
    issuer_en: str
    issuer_now: Names | None = Field(
        description="The department that acts for the issuer today, where it was renamed or merged"
    )
    issued_at: int = Field(description="Unix seconds")
    valid_from: str | None
    valid_until: str | None
    fields: list[ShownField]
    undisclosed: int = Field(description="How many disclosures were not shown")


class RecordPlace(BaseModel):
    leaf: str
    index: int | None
    size: int | None
    witnesses: list[str]


class StatusKnown(BaseModel):
    state: int | None = Field(description="Token Status List value; null is unknown")
    as_of: int | None = Field(description="Unix seconds")
    age_seconds: int | None


class CertificateShown(BaseModel):
    """The certificate that a recognised CA gave the key; names as in RFC 4514."""

    subject: str
    issuer: str
    serial: str = Field(description="Hexadecimal")
    not_before: int = Field(description="Unix seconds")
    not_after: int = Field(description="Unix seconds")
    ca_zh: str | None
    ca_en: str | None


class SigningKeyShown(BaseModel):
    """The key that signed, and the rule about its life that let the signature count."""

    kid: str
    suite: str
    rule: str | None
    certificate: CertificateShown | None


class VerdictAnswer(BaseModel):
    """One colour, one sentence, and the numbered checks behind it."""

    colour: Literal["green", "amber", "red"]
    code: str
    zh: str
    en: str
    judged_at: int = Field(description="Unix seconds")
    checks: list[CheckAnswer]
    licence: LicenceRead | None
    key: SigningKeyShown | None
    record: RecordPlace | None
    status: StatusKnown


class FieldShown(BaseModel):
    """One row of a field dictionary."""

    code: str
    zh: str
    en: str
    json_: str = Field(alias="json", description="JSON type")
    required: bool
    disclosure: str = Field(description="Which fields are shown together")
    sensitive: bool
    validation: str | None
    max_length: int


class TypeShown(BaseModel):
    code: str
    slug: str
    zh: str
    en: str
    issuers: list[str] = Field(description="Departments; empty for any of them")
    fields: list[FieldShown]


class TypesShown(BaseModel):
    licences: list[TypeShown]
    credits: list[TypeShown]


class ReasonShown(BaseModel):
    code: str
    zh: str
    en: str
    article: str = Field(description="The article of law that it rests on")
    applies: Literal["licence", "credit", "erasure"]
    state: StateName | None = Field(description="The legal state it leads to")


class ReasonsShown(BaseModel):
    reasons: list[ReasonShown]


class ClientRegistered(BaseModel):
    id: str
    api_key: str = Field(description="Shown in this answer and never again")


class Myself(BaseModel):
    client: str
    name: str
    department: str | None
    roles: list[str]


class Readiness(BaseModel):
    status: Literal["ready", "not-ready"]
    checks: dict[str, str] = Field(description="`failed` says why it is not ready")


class FinalityShown(BaseModel):
    """`final`: a quorum of the witnesses cosigned a checkpoint of at least this size."""

    size: int
    finality: FinalityName
    signed_size: int = Field(description="Entries acknowledged")
    final_size: int = Field(description="Entries under the final checkpoint")


class ConsistencyProof(BaseModel):
    old: int
    new: int
    hashes: list[str] = Field(description="RFC 9162 §2.1.4, base64")


class EntryShown(BaseModel):
    """A statement as far as it is public."""

    index: int
    leaf: str
    issuer: str
    subject: str = Field(description="Record id: the same for every act of a record")
    issued_at: int = Field(description="Unix seconds")
    key: str = Field(description="Key id")
    content: dict[str, Any] = Field(description="Payload by label, see docs/formats.md")
    bytes_: str = Field(alias="bytes", description="The entry, base64")
