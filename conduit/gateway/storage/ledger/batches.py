"""The statements that apply a batch of the journal, as texts for tuples of plain values.

They are compiled once: the text is SQLAlchemy's for the dialect in use, only its handling of each
row's parameters is saved.
"""

from typing import Any

from sqlalchemy import Dialect, Executable, bindparam, insert, text, update
from sqlalchemy.sql import ClauseElement

from conduit.gateway.storage.rows import insert_of
from conduit.gateway.storage.schema import (
    balances,
    idempotent_replies,
    journal_position,
    ledger,
    requests,
)

Row = tuple[Any, ...]

SETTLED_COLUMNS = (
    "state",
    "outcome",
    "status",
    "error_code",
    "ambiguous",
    "hold_nanodollars",
    "cost_nanodollars",
    "billed_nanodollars",
    "usage_source",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_tokens",
    "progress_tokens",
    "settled_at_ms",
    "search_units",
    "cache_write_1h_tokens",
    "output_audio_tokens",
)
NOTED_COLUMNS = ("hold_nanodollars", "progress_tokens")


class BatchStatements:
    """The statements of every batch, for one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        make = insert_of(dialect)
        identified = ledger.c.attempt_id == bindparam("id_")

        def change(names: tuple[str, ...]) -> str:
            # The names of parameters must differ from those of columns.
            statement = (
                update(ledger)
                .ordered_values(*((ledger.c[name], bindparam(f"new_{name}")) for name in names))
                .where(identified, ledger.c.state == text("'open'"))
            )
            return statement_text(statement, dialect, (*(f"new_{name}" for name in names), "id_"))

        adding = make(balances)
        positioning = make(journal_position)
        replying = make(idempotent_replies)
        self.insert_attempts = statement_text(insert(ledger), dialect, tuple(ledger.c.keys()))
        self.settle_attempts = change(SETTLED_COLUMNS)
        self.note_attempts = change(NOTED_COLUMNS)
        self.insert_requests = statement_text(
            make(requests).on_conflict_do_nothing(), dialect, tuple(requests.c.keys())
        )
        self.add_to_balances = statement_text(
            adding.on_conflict_do_update(
                index_elements=[balances.c.budget_id, balances.c.period_start_ms],
                set_={
                    name: balances.c[name] + adding.excluded[name]
                    for name in ("spent_nanodollars", "held_nanodollars")
                },
            ),
            dialect,
            tuple(balances.c.keys()),
        )
        # Nothing but a journal that is read again brings an earlier reply after a later one.
        self.put_replies = statement_text(
            replying.on_conflict_do_update(
                index_elements=[idempotent_replies.c.digest],
                set_={name: replying.excluded[name] for name in ("key_id", "at_ms", "content")},
                where=replying.excluded.at_ms >= idempotent_replies.c.at_ms,
            ),
            dialect,
            tuple(idempotent_replies.c.keys()),
        )
        self.set_position = statement_text(
            positioning.on_conflict_do_update(
                index_elements=[journal_position.c.id],
                set_={name: positioning.excluded[name] for name in ("file", "offset")},
            ),
            dialect,
            tuple(journal_position.c.keys()),
        )


def statement_text(statement: Executable, dialect: Dialect, names: tuple[str, ...]) -> str:
    """The statement as text, whose parameters stand in the order of `names`."""
    assert isinstance(statement, ClauseElement)
    compiled = statement.compile(dialect=dialect)
    ordered = getattr(compiled, "positiontup", None)
    if ordered is None or tuple(ordered) != names:
        raise ValueError(f"{dialect.name} wants other parameters than {names}: {ordered}")
    return str(compiled)
