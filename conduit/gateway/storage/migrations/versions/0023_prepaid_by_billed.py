"""A prepaid balance falls by what is billed, where it had fallen by what attempts cost."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _count_by("billed_nanodollars")


def downgrade() -> None:
    _count_by("cost_nanodollars")


def _count_by(column: str) -> None:
    op.execute(
        f"""
        UPDATE balances SET spent_nanodollars = (
            SELECT CAST(coalesce(sum(ledger.{column}), 0) AS BIGINT)
            FROM ledger JOIN budgets ON budgets.scope_id = ledger.group_id
            WHERE budgets.id = balances.budget_id
            AND ledger.held_at_ms >= budgets.since_ms AND ledger.state = 'done'
        )
        WHERE budget_id IN (SELECT id FROM budgets WHERE period = 'prepaid')
        """
    )
    # Of what was spent before the last credit no more is known than that it was no more.
    op.execute(
        """
        UPDATE budgets SET spent_before_nanodollars = (
            SELECT min(balances.spent_nanodollars) FROM balances
            WHERE balances.budget_id = budgets.id
        )
        WHERE period = 'prepaid' AND spent_before_nanodollars > (
            SELECT min(balances.spent_nanodollars) FROM balances
            WHERE balances.budget_id = budgets.id
        )
        """
    )
