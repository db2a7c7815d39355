"""Prices with a history and a moment from which they count, and what they have beside tokens.

A price is not changed any more but followed by another one. Those that are there count from the
moment at which they were set.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_RATES = (
    ("input", False),
    ("output", False),
    ("cache_read", True),
    ("cache_write_5m", True),
    ("cache_write_1h", True),
    ("reasoning", True),
    ("input_audio", True),
    ("output_audio", True),
    ("per_request", False),
    ("max_output_tokens", True),
    ("context_tokens", True),
)
_ASIDE = "prices_set_aside"
_NAMED = ("provider", "model")
_NAMES = tuple(name for name, _ in _RATES)


def _rates() -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=nullable) for name, nullable in _RATES]


def upgrade() -> None:
    kept = (*_NAMED, *_NAMES, "updated_at_ms")
    _set_aside(*_rates(), sa.Column("updated_at_ms", sa.BigInteger()))
    op.create_table(
        "prices",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("set_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("effective_from_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger()),
        *_rates(),
        sa.Column("tiers", sa.JSON(), nullable=False),
        sa.Column("service_tiers", sa.JSON(), nullable=False),
        sa.Column("units", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "model", "set_at_ms", name="pk_prices"),
    )
    former = _table(_ASIDE, kept)
    names = (*_NAMED, "set_at_ms", "effective_from_ms", *_NAMES)
    json = ("tiers", "service_tiers", "units")
    prices = sa.table(
        "prices",
        *[sa.column(name) for name in names],
        *[sa.column(name, sa.JSON()) for name in json],
    )
    was = former.c.updated_at_ms
    op.execute(
        sa.insert(prices).from_select(
            [*names, *json],
            sa.select(
                *[former.c[name] for name in _NAMED],
                was,
                was.label("effective_from_ms"),
                *[former.c[name] for name in _NAMES],
                sa.literal_column("'[]'"),
                sa.literal_column("'{}'"),
                sa.literal_column("'{}'"),
            ),
        )
    )
    op.drop_table(_ASIDE)


def downgrade() -> None:
    """To the prices that count now, or would if no other were planned: the rest is lost."""
    moments = ("set_at_ms", "effective_from_ms", "ended_at_ms")
    _set_aside(*_rates(), *[sa.Column(name, sa.BigInteger()) for name in moments])
    op.create_table(
        "prices",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        *_rates(),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "model", name="pk_prices"),
    )
    later = _table(_ASIDE, (*_NAMED, *_NAMES, *moments))
    names = (*_NAMED, *_NAMES, "updated_at_ms", "version")
    op.execute(
        sa.insert(_table("prices", names)).from_select(
            list(names),
            sa.select(
                *[later.c[name] for name in (*_NAMED, *_NAMES)],
                later.c.set_at_ms,
                sa.literal(1, sa.Integer()),
            ).where(later.c.ended_at_ms.is_(None), later.c.effective_from_ms == later.c.set_at_ms),
        )
    )
    op.drop_table(_ASIDE)


def _set_aside(*columns: sa.Column[Any]) -> None:
    """Copy the prices, and take their table away. A table that is renamed would keep the name of
    its key, which the new one is to have.
    """
    names = (*_NAMED, *[each.name for each in columns])
    op.create_table(
        _ASIDE, sa.Column("provider", sa.Text()), sa.Column("model", sa.Text()), *columns
    )
    present = _table("prices", names)
    op.execute(
        sa.insert(_table(_ASIDE, names)).from_select(
            list(names), sa.select(*[present.c[name] for name in names])
        )
    )
    op.drop_table("prices")


def _table(name: str, columns: Sequence[str]) -> sa.TableClause:
    return sa.table(name, *[sa.column(each) for each in columns])
