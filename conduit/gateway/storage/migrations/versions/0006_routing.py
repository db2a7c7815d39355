"""What routing is told of mappings, credentials and keys, and what it tells in request records."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mappings", sa.Column("policy", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column(
        "credentials", sa.Column("weight", sa.Integer(), nullable=False, server_default="1")
    )
    op.add_column("credentials", sa.Column("max_in_flight", sa.Integer()))
    op.add_column("credentials", sa.Column("requests_per_minute", sa.Integer()))
    op.add_column(
        "keys", sa.Column("allow_direct", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("requests", sa.Column("route", sa.Text()))
    op.add_column("requests", sa.Column("cache", sa.Text()))
    op.add_column(
        "requests",
        sa.Column("avoided_nanodollars", sa.BigInteger(), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    op.drop_column("requests", "avoided_nanodollars")
    op.drop_column("requests", "cache")
    op.drop_column("requests", "route")
    op.drop_column("keys", "allow_direct")
    op.drop_column("credentials", "requests_per_minute")
    op.drop_column("credentials", "max_in_flight")
    op.drop_column("credentials", "weight")
    op.drop_column("mappings", "policy")
