"""What was replied under each Idempotency-Key, sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotent_replies",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_idempotent_replies"),
    )
    op.create_index("ix_idempotent_replies_at_ms", "idempotent_replies", ["at_ms"])


def downgrade() -> None:
    op.drop_table("idempotent_replies")
