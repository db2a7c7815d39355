"""Which journal settles an attempt, and which gateway a ledger belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("installation", sa.Column("ledger_epoch", sa.BigInteger(), server_default="0"))
    op.add_column("ledger", sa.Column("journal", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("ledger", "journal")
    op.drop_column("installation", "ledger_epoch")
