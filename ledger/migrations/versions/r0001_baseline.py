"""The first release: entries, tiles, the head of an empty tree, the published checkpoint."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# SQLite numbers rows by INTEGER PRIMARY KEY alone.
INDEX = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "entries",
        sa.Column("idx", INDEX, primary_key=True, autoincrement=False),
        sa.Column("leaf_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("dept", sa.Text(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("leaf_hash", name="entries_leaf").ddl_if(dialect="postgresql"),
    )
    if op.get_bind().dialect.name == "sqlite":  # see ledger.stores.leaves
        epoch = sa.text("(idx >> 14)")
        op.create_index("entries_leaf", "entries", [epoch, "leaf_hash"], unique=True)
    op.create_table(
        "tiles",
        sa.Column("level", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("n", INDEX, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    head = op.create_table(
        "head",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "checkpoint",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
    )
    empty_root = hashlib.sha256().digest()  # RFC 9162 §2.1.1
    op.bulk_insert(head, [{"id": 1, "size": 0, "root": empty_root, "frontier": b""}])
