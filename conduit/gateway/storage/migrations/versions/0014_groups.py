"""Groups of keys, their prepaid balances, and the group in ledger and records."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_OF_BUDGETS = ("since_ms", "spent_before_nanodollars")
_OF_A_GROUP = sa.text("group_id IS NOT NULL")


def upgrade() -> None:
    _create_groups()
    _create_transactions()
    op.add_column("keys", sa.Column("group_id", sa.Text()))
    op.create_index("ix_keys_group_id", "keys", ["group_id"])
    for name in _OF_BUDGETS:
        op.add_column(
            "budgets", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
        )
    op.add_column("ledger", sa.Column("group_id", sa.Text()))
    op.create_index(
        "ix_ledger_group_held",
        "ledger",
        ["group_id", "held_at_ms"],
        sqlite_where=_OF_A_GROUP,
        postgresql_where=_OF_A_GROUP,
    )
    for name in ("group_id", "group_name"):
        op.add_column("requests", sa.Column(name, sa.Text()))


def _create_groups() -> None:
    op.create_table(
        "groups",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("allowed_models", sa.JSON(), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at_ms", sa.BigInteger()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_groups"),
    )
    op.create_index("ix_groups_name", "groups", ["name"])


def _create_transactions() -> None:
    op.create_table(
        "group_transactions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount_nanodollars", sa.BigInteger(), nullable=False),
        sa.Column("balance_nanodollars", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("client", sa.Text()),
        sa.Column("address", sa.Text()),
        sa.Column("idempotency_key", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_group_transactions"),
    )
    op.create_index("ix_group_transactions_group_id", "group_transactions", ["group_id", "id"])
    op.create_index(
        "ix_group_transactions_idempotency_key",
        "group_transactions",
        ["group_id", "idempotency_key"],
        unique=True,
    )


def downgrade() -> None:
    for name in ("group_name", "group_id"):
        op.drop_column("requests", name)
    op.drop_index("ix_ledger_group_held", "ledger")
    op.drop_column("ledger", "group_id")
    for name in reversed(_OF_BUDGETS):
        op.drop_column("budgets", name)
    op.drop_index("ix_keys_group_id", "keys")
    op.drop_column("keys", "group_id")
    op.drop_table("group_transactions")
    op.drop_table("groups")
