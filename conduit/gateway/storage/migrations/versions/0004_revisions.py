"""The history of the configuration, begun with the state that the migration finds."""

import sqlalchemy as sa
from alembic import op

from conduit.core.ids import now_ms

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    revisions = op.create_table(
        "revisions",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("client", sa.Text()),
        sa.Column("address", sa.Text()),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text()),
        sa.Column("name", sa.Text()),
        sa.Column("change_count", sa.Integer(), nullable=False),
        sa.Column("rolled_back_to", sa.BigInteger()),
        sa.Column("restorable", sa.Boolean(), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_revisions"),
    )
    present = sa.table("installation", sa.column("revision", sa.BigInteger()))
    beginning = {
        "at_ms": sa.literal(now_ms(), sa.BigInteger()),
        "actor": sa.literal("gateway", sa.Text()),
        "operation": sa.literal("upgraded", sa.Text()),
        "change_count": sa.literal(0, sa.Integer()),
        "restorable": sa.literal(True, sa.Boolean()),
        "changes": sa.literal_column("'[]'"),  # JSON values have no form in a printed script
    }
    # Nothing in a new database, which has no such row yet.
    op.execute(
        sa.insert(revisions).from_select(
            ["number", *beginning], sa.select(present.c.revision, *beginning.values())
        )
    )


def downgrade() -> None:
    op.drop_table("revisions")
