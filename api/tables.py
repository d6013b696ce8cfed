"""The application's tables, in the same database and the same transactions as the entries.

Nothing here holds a person's or company's data in the clear: contents are sealed per record
(`api.vault`), look-ups go by keyed pseudonyms (columns `…_nym`, 32 bytes). Days count from
1970-01-01, times are Unix seconds.
"""

from pathlib import Path

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

from ledger.stores.migrate import versioned

METADATA = versioned("api", Path(__file__).parent / "migrations")

# SQLite autoincrements INTEGER PRIMARY KEY alone.
_BIG = BigInteger().with_variant(Integer(), "sqlite")


class _Base(SQLModel):
    metadata = METADATA


class EnrolmentRow(_Base, table=True):
    """The statements of authority, to replay at start: their ledger indices, and once more their
    bytes, so that many are read at once and inside the transaction of an append."""

    __tablename__ = "enrolments"
    idx: int = Field(sa_column=Column(_BIG, primary_key=True, autoincrement=False))
    statement: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ChangeRow(_Base, table=True):
    """A change of authority as an officer proposed it, and what became of it.

    `id` is the hex SHA-256 of the proposal; `concerns` the slug of the department concerned, or
    `operator`. `state` is open, logged or withdrawn; an open one whose time `before` is over has
    lapsed. `number` orders the list.
    """

    __tablename__ = "changes"
    __table_args__ = (
        UniqueConstraint("id", name="changes_id"),
        Index("changes_state", "state", "number"),
    )
    number: int | None = Field(default=None, sa_column=Column(_BIG, primary_key=True))
    id: str = Field(sa_column=Column(Text, nullable=False))
    kind: int
    concerns: str
    proposal: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    state: str
    proposer: str
    proposed_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    before: int = Field(sa_column=Column(BigInteger, nullable=False))
    approver: str | None = None
    approval: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    idx: int | None = Field(default=None, sa_column=Column(BigInteger))
    decided_at: int | None = Field(default=None, sa_column=Column(BigInteger))


class ClientRow(_Base, table=True):
    """Who may call: API keys are kept as SHA-256 of their 256-bit random secret."""

    __tablename__ = "clients"
    id: str = Field(primary_key=True)
    name: str
    secret_hash: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    department: str | None = None
    roles: list[str] = Field(sa_column=Column(JSON, nullable=False))
    subject_nym: bytes | None = Field(default=None, sa_column=Column(LargeBinary(32)))
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    revoked_at: int | None = Field(default=None, sa_column=Column(BigInteger))


class LicenceRow(_Base, table=True):
    """One licence: its latest act and legal state. `identifier_nym` is unique over all."""

    __tablename__ = "licences"
    __table_args__ = (
        UniqueConstraint("identifier_nym", name="licences_identifier"),
        Index("licences_number", "number_nym"),
        Index("licences_holder", "holder_nym"),
        Index("licences_status", "department", "status_list", "state", "status_index"),
    )
    record_id: str = Field(primary_key=True)
    department: str
    type_code: str
    version: int
    identifier_nym: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    number_nym: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    holder_nym: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    valid_from: int
    valid_until: int | None = None
    state: int = Field(sa_column=Column(SmallInteger, nullable=False))
    status_list: int
    status_index: int
    issue_leaf: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    issue_index: int = Field(sa_column=Column(BigInteger, nullable=False))
    head_leaf: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    renewed_by: str | None = None
    issued_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    wrapped_key: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    box: bytes | None = Field(default=None, sa_column=Column(LargeBinary))


class ActRow(_Base, table=True):
    """An act after the first on a record, in ledger order."""

    __tablename__ = "acts"
    __table_args__ = (Index("acts_record", "record_id"),)
    idx: int = Field(sa_column=Column(_BIG, primary_key=True, autoincrement=False))
    record_id: str
    kind: int
    state: int | None = None
    reason: str | None = None
    client: str
    at: int = Field(sa_column=Column(BigInteger, nullable=False))


class CreditRow(_Base, table=True):
    """One credit entry: its latest act and where it stands in its life.

    `phase` is a `verifier.credit.Phase`, `last_kind` the kind of its last act. `key_nym` names
    department, type, number and subject, so that nothing is recorded twice; a withdrawn or erased
    entry frees it. Shown and used up to and including `until_day`.
    """

    __tablename__ = "credits"
    __table_args__ = (
        UniqueConstraint("key_nym", name="credits_key"),
        Index("credits_subject", "subject_nym", "record_index"),
        Index("credits_department", "department", "record_index"),
        Index("credits_due", "phase", "until_day"),
    )
    record_id: str = Field(primary_key=True)
    department: str
    type_code: str
    subject_nym: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    key_nym: bytes | None = Field(default=None, sa_column=Column(LargeBinary(32)))
    organisation: bool
    grade: int | None = Field(default=None, sa_column=Column(SmallInteger))
    rule_set: str
    document_day: int
    until_day: int
    phase: int = Field(sa_column=Column(SmallInteger, nullable=False))
    last_kind: int = Field(sa_column=Column(SmallInteger, nullable=False))
    late: bool | None = None
    recorded_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    published_at: int | None = Field(default=None, sa_column=Column(BigInteger))
    record_leaf: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    record_index: int = Field(sa_column=Column(BigInteger, nullable=False))
    head_leaf: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    wrapped_key: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    box: bytes | None = Field(default=None, sa_column=Column(LargeBinary))


class ConsentRow(_Base, table=True):
    """A subject lets one client ask one predicate for one purpose, so many times, until then."""

    __tablename__ = "consents"
    __table_args__ = (Index("consents_subject", "subject_nym", "created_at"),)
    id: str = Field(primary_key=True)
    subject_nym: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    client: str
    predicate: str
    purpose: str
    uses_left: int
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    expires_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    withdrawn_at: int | None = Field(default=None, sa_column=Column(BigInteger))


class QuestionRow(_Base, table=True):
    """One question that was asked and answered; what it was is sealed.

    `replay_nym` names the whole question, so that asking it again within `expires_at` gives the
    same receipt. `other_nym`: the second person, where a question is about two.
    """

    __tablename__ = "questions"
    __table_args__ = (
        Index("questions_subject", "subject_nym", "idx"),
        Index("questions_other", "other_nym", "idx"),
        Index("questions_replay", "replay_nym", "expires_at"),
    )
    id: str = Field(primary_key=True)
    idx: int = Field(sa_column=Column(BigInteger, nullable=False))
    subject_nym: bytes | None = Field(default=None, sa_column=Column(LargeBinary(32)))
    other_nym: bytes | None = Field(default=None, sa_column=Column(LargeBinary(32)))
    replay_nym: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    client: str
    asked_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    expires_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    wrapped_key: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    box: bytes | None = Field(default=None, sa_column=Column(LargeBinary))


class StatusCounterRow(_Base, table=True):
    """How many status indices a department has handed out, over all its lists."""

    __tablename__ = "status_counters"
    department: str = Field(primary_key=True)
    used: int = Field(sa_column=Column(BigInteger, nullable=False))


class IdempotencyRow(_Base, table=True):
    """What was answered to a write, sealed, so that its repetition gets the same answer.

    `records` holds the ids of the records that the answer is about, parted by blanks.
    """

    __tablename__ = "idempotency"
    client: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_nym: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    records: str = Field(sa_column=Column(Text, nullable=False))
    at: int = Field(sa_column=Column(BigInteger, nullable=False))
    wrapped_key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    box: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ImportJobRow(_Base, table=True):
    """One import of one file: how far it came, in the same transactions as its licences.

    `position` counts rows taken, in the order of `api.imports.plan`. `counts` is what the report
    counts (JSON); `state` is running, stopped, done or failed, and with `failed` the refusal's
    code stands in `fault`.
    """

    __tablename__ = "import_jobs"
    __table_args__ = (Index("import_jobs_file", "file_hash", "type_code", "map_hash"),)
    id: str = Field(primary_key=True)
    client: str
    department: str
    type_code: str
    file_name: str
    file_hash: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    map_hash: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    map_text: str = Field(sa_column=Column(Text, nullable=False))
    dry_run: bool = False
    state: str
    fault: str | None = None
    position: int = Field(sa_column=Column(BigInteger, nullable=False))
    total: int = Field(sa_column=Column(BigInteger, nullable=False))
    counts: dict[str, int] = Field(sa_column=Column(JSON, nullable=False))
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    updated_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    work_ms: int = Field(sa_column=Column(BigInteger, nullable=False))


class ImportErrorRow(_Base, table=True):
    """Why a row of a file was not imported. Never the value itself. `line` counts from 1."""

    __tablename__ = "import_errors"
    __table_args__ = (Index("import_errors_job", "job", "line"),)
    id: int | None = Field(default=None, sa_column=Column(_BIG, primary_key=True))
    job: str
    line: int = Field(sa_column=Column(BigInteger, nullable=False))
    field: str
    code: str
    detail: str


class DocumentRow(_Base, table=True):
    """One document that a department's own software logged: the latest of its statements, the
    time that it gives and where it stands."""

    __tablename__ = "documents"
    record_id: str = Field(primary_key=True)
    department: str
    type_code: str | None = None
    head_leaf: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    head_index: int = Field(sa_column=Column(BigInteger, nullable=False))
    issued_at: int = Field(sa_column=Column(BigInteger, nullable=False))


CLIENTS = METADATA.tables["clients"]
ENROLMENTS = METADATA.tables["enrolments"]
CHANGES = METADATA.tables["changes"]
LICENCES = METADATA.tables["licences"]
ACTS = METADATA.tables["acts"]
CREDITS = METADATA.tables["credits"]
CONSENTS = METADATA.tables["consents"]
QUESTIONS = METADATA.tables["questions"]
STATUS_COUNTERS = METADATA.tables["status_counters"]
IDEMPOTENCY = METADATA.tables["idempotency"]
IMPORT_JOBS = METADATA.tables["import_jobs"]
IMPORT_ERRORS = METADATA.tables["import_errors"]
DOCUMENTS = METADATA.tables["documents"]
