"""baseline."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "acts",
        sa.Column(
            "idx",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("idx"),
    )
    op.create_index("acts_record", "acts", ["record_id"], unique=False)
    op.create_table(
        "changes",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("concerns", sa.String(), nullable=False),
        sa.Column("proposal", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("proposer", sa.String(), nullable=False),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False),
        sa.Column("before", sa.BigInteger(), nullable=False),
        sa.Column("approver", sa.String(), nullable=True),
        sa.Column("approval", sa.LargeBinary(), nullable=True),
        sa.Column("idx", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id", name="changes_id"),
    )
    op.create_index("changes_state", "changes", ["state", "number"], unique=False)
    op.create_table(
        "clients",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("department", sa.String(), nullable=True),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("subject_nym", sa.LargeBinary(length=32), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "consents",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("subject_nym", sa.LargeBinary(length=32), nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("predicate", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("consents_subject", "consents", ["subject_nym", "created_at"], unique=False)
    op.create_table(
        "credits",
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("department", sa.String(), nullable=False),
        sa.Column("type_code", sa.String(), nullable=False),
        sa.Column("subject_nym", sa.LargeBinary(length=32), nullable=False),
        sa.Column("key_nym", sa.LargeBinary(length=32), nullable=True),
        sa.Column("organisation", sa.Boolean(), nullable=False),
        sa.Column("grade", sa.SmallInteger(), nullable=True),
        sa.Column("rule_set", sa.String(), nullable=False),
        sa.Column("document_day", sa.Integer(), nullable=False),
        sa.Column("until_day", sa.Integer(), nullable=False),
        sa.Column("phase", sa.SmallInteger(), nullable=False),
        sa.Column("last_kind", sa.SmallInteger(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=True),
        sa.Column("record_leaf", sa.LargeBinary(length=32), nullable=False),
        sa.Column("record_index", sa.BigInteger(), nullable=False),
        sa.Column("head_leaf", sa.LargeBinary(length=32), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("box", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("record_id"),
        sa.UniqueConstraint("key_nym", name="credits_key"),
    )
    op.create_index("credits_department", "credits", ["department", "record_index"], unique=False)
    op.create_index("credits_due", "credits", ["phase", "until_day"], unique=False)
    op.create_index("credits_subject", "credits", ["subject_nym", "record_index"], unique=False)
    op.create_table(
        "documents",
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("department", sa.String(), nullable=False),
        sa.Column("type_code", sa.String(), nullable=True),
        sa.Column("head_leaf", sa.LargeBinary(length=32), nullable=False),
        sa.Column("head_index", sa.BigInteger(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("record_id"),
    )
    op.create_table(
        "enrolments",
        sa.Column(
            "idx",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("idx"),
    )
    op.create_table(
        "idempotency",
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_nym", sa.LargeBinary(length=32), nullable=False),
        sa.Column("records", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("box", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("client", "key"),
    )
    op.create_table(
        "import_errors",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("import_errors_job", "import_errors", ["job", "line"], unique=False)
    op.create_table(
        "import_jobs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("department", sa.String(), nullable=False),
        sa.Column("type_code", sa.String(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("file_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("map_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("map_text", sa.Text(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("fault", sa.String(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("work_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "import_jobs_file", "import_jobs", ["file_hash", "type_code", "map_hash"], unique=False
    )
    op.create_table(
        "licences",
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("department", sa.String(), nullable=False),
        sa.Column("type_code", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("identifier_nym", sa.LargeBinary(length=32), nullable=False),
        sa.Column("number_nym", sa.LargeBinary(length=32), nullable=False),
        sa.Column("holder_nym", sa.LargeBinary(length=32), nullable=False),
        sa.Column("valid_from", sa.Integer(), nullable=False),
        sa.Column("valid_until", sa.Integer(), nullable=True),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("status_list", sa.Integer(), nullable=False),
        sa.Column("status_index", sa.Integer(), nullable=False),
        sa.Column("issue_leaf", sa.LargeBinary(length=32), nullable=False),
        sa.Column("issue_index", sa.BigInteger(), nullable=False),
        sa.Column("head_leaf", sa.LargeBinary(length=32), nullable=False),
        sa.Column("renewed_by", sa.String(), nullable=True),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("box", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("record_id"),
        sa.UniqueConstraint("identifier_nym", name="licences_identifier"),
    )
    op.create_index("licences_holder", "licences", ["holder_nym"], unique=False)
    op.create_index("licences_number", "licences", ["number_nym"], unique=False)
    op.create_index(
        "licences_status",
        "licences",
        ["department", "status_list", "state", "status_index"],
        unique=False,
    )
    op.create_table(
        "questions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("subject_nym", sa.LargeBinary(length=32), nullable=True),
        sa.Column("other_nym", sa.LargeBinary(length=32), nullable=True),
        sa.Column("replay_nym", sa.LargeBinary(length=32), nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("box", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("questions_other", "questions", ["other_nym", "idx"], unique=False)
    op.create_index("questions_replay", "questions", ["replay_nym", "expires_at"], unique=False)
    op.create_index("questions_subject", "questions", ["subject_nym", "idx"], unique=False)
    op.create_table(
        "status_counters",
        sa.Column("department", sa.String(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("department"),
    )
