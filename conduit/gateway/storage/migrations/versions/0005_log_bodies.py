"""Whether the bodies of a key's requests are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("keys", sa.Column("log_bodies", sa.Boolean(), nullable=True))


def downgrade() -> None:
    op.drop_column("keys", "log_bodies")
