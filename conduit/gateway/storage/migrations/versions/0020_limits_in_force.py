"""What had been taken of each budget when its limit came into force."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "limits_in_force",
        sa.Column("budget_id", sa.Text(), primary_key=True),
        sa.Column("limit_nanodollars", sa.BigInteger(), nullable=True),
        sa.Column("period_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("taken_nanodollars", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("limits_in_force")
