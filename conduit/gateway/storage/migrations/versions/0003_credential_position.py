"""The order in which the credentials of a provider are used."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "credentials", sa.Column("position", sa.Integer(), nullable=False, server_default="0")
    )


def downgrade() -> None:
    op.drop_column("credentials", "position")
