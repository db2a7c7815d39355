"""The search units that a ranking was charged for."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ledger", sa.Column("search_units", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("ledger", "search_units")
