"""Where keys may be used from."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("keys", sa.Column("allowed_ips", sa.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("keys", "allowed_ips")
