"""Former secrets of keys, adjustments of balances, and how far request records were purged."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("keys", sa.Column("former_digest", sa.LargeBinary(32)))
    op.add_column("keys", sa.Column("former_expires_at_ms", sa.BigInteger()))
    op.create_index("ix_keys_former_digest", "keys", ["former_digest"])
    op.add_column("installation", sa.Column("requests_purged_before_ms", sa.BigInteger()))
    op.create_table(
        "adjustments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("budget_id", sa.Text(), nullable=False),
        sa.Column("period_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("nanodollars", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_adjustments"),
    )
    op.create_index("ix_adjustments_budget_id", "adjustments", ["budget_id"])


def downgrade() -> None:
    op.drop_table("adjustments")
    op.drop_column("installation", "requests_purged_before_ms")
    op.drop_index("ix_keys_former_digest", "keys")
    op.drop_column("keys", "former_expires_at_ms")
    op.drop_column("keys", "former_digest")
