"""A prepaid balance falls by what is billed, where it had fallen by what attempts cost."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_BUDGETS = sa.table(
    "budgets",
    sa.column("id", sa.Text()),
    sa.column("period", sa.Text()),
    sa.column("scope_id", sa.Text()),
    sa.column("since_ms", sa.BigInteger()),
    sa.column("spent_before_nanodollars", sa.BigInteger()),
)
_BALANCES = sa.table(
    "balances", sa.column("budget_id", sa.Text()), sa.column("spent_nanodollars", sa.BigInteger())
)
_LEDGER = sa.table(
    "ledger",
    sa.column("group_id", sa.Text()),
    sa.column("held_at_ms", sa.BigInteger()),
    sa.column("state", sa.Text()),
    sa.column("cost_nanodollars", sa.BigInteger()),
    sa.column("billed_nanodollars", sa.BigInteger()),
)
_IS_PREPAID = _BUDGETS.c.period == sa.literal_column("'prepaid'")


def upgrade() -> None:
    _count_by("billed_nanodollars")


def downgrade() -> None:
    _count_by("cost_nanodollars")


def _count_by(column: str) -> None:
    total = sa.cast(sa.func.coalesce(sa.func.sum(_LEDGER.c[column]), 0), sa.BigInteger())
    spent = (
        sa.select(total)
        .select_from(_LEDGER.join(_BUDGETS, _BUDGETS.c.scope_id == _LEDGER.c.group_id))
        .where(
            _BUDGETS.c.id == _BALANCES.c.budget_id,
            _LEDGER.c.held_at_ms >= _BUDGETS.c.since_ms,
            _LEDGER.c.state == sa.literal_column("'done'"),
        )
        .correlate(_BALANCES)
        .scalar_subquery()
    )
    prepaid = sa.select(_BUDGETS.c.id).where(_IS_PREPAID)
    op.execute(
        sa.update(_BALANCES)
        .where(_BALANCES.c.budget_id.in_(prepaid))
        .values(spent_nanodollars=spent)
    )
    # Of what was spent before the last credit no more is known than that it was no more.
    present = (
        sa.select(sa.func.min(_BALANCES.c.spent_nanodollars))
        .where(_BALANCES.c.budget_id == _BUDGETS.c.id)
        .correlate(_BUDGETS)
        .scalar_subquery()
    )
    op.execute(
        sa.update(_BUDGETS)
        .where(_IS_PREPAID, _BUDGETS.c.spent_before_nanodollars > present)
        .values(spent_before_nanodollars=present)
    )
