"""Corrections of what attempts were charged, and tags and metadata of keys."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_DOUBTFUL = sa.text("ambiguous")


def upgrade() -> None:
    op.add_column("ledger", sa.Column("adjusts", sa.Text()))
    op.create_index(
        "ix_ledger_doubtful",
        "ledger",
        ["attempt_id"],
        sqlite_where=_DOUBTFUL,
        postgresql_where=_DOUBTFUL,
    )
    op.create_table(
        "corrections",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("nanodollars", sa.BigInteger(), nullable=False),
        sa.Column("cost_nanodollars", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_corrections"),
    )
    op.create_index("ix_corrections_attempt_id", "corrections", ["attempt_id"])
    for name in ("tags", "metadata"):
        op.add_column("keys", sa.Column(name, sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    for name in ("metadata", "tags"):
        op.drop_column("keys", name)
    op.drop_table("corrections")
    op.drop_index("ix_ledger_doubtful", table_name="ledger")
    op.drop_column("ledger", "adjusts")
