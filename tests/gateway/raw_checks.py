"""I1 to I3 of the ledger over the rows of a SQLite file, said a second time and without the engine.

`doctor ledger` checks the same in SQL; this reads plain rows and sums them up, which takes so
little that it can be done after every step of a test.
"""

import sqlite3
from collections import Counter
from pathlib import Path

from conduit.gateway.ledger.budgets import BudgetTerms

_BUDGETS = """
    SELECT id, scope_kind, scope_id, period, timezone, limit_nanodollars, mode, since_ms
    FROM budgets
"""
_TERMS = (
    *("id", "scope_kind", "scope_id", "period", "timezone", "limit_nanodollars", "mode"),
    "since_ms",
)
_ATTEMPTS = """
    SELECT attempt_id, key_id, alias, group_id, held_at_ms, state, hold_nanodollars,
           cost_nanodollars, adjusts, billed_nanodollars
    FROM ledger
"""


def broken(file: Path) -> list[str]:
    """What is wrong in the state of the last commit; of an attempt a row, of a balance its sums."""
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        connection.execute("BEGIN")
        return _broken(connection)
    finally:
        connection.close()


def _broken(connection: sqlite3.Connection) -> list[str]:
    attempts = connection.execute(_ATTEMPTS).fetchall()
    seen = Counter(row[0] for row in attempts)
    wrong = [f"I3: {attempt_id}" for attempt_id, times in seen.items() if times != 1]
    wrong += [
        f"I3: {row[0]}"
        for row in attempts
        if row[5] not in ("open", "done") or (row[8] is None and min(row[6], row[7]) < 0)
    ]
    kept: dict[str, dict[int, tuple[int, int]]] = {}
    for budget_id, start_ms, spent, held in connection.execute("SELECT * FROM balances"):
        kept.setdefault(budget_id, {})[start_ms] = (spent, held)
    adjusted: Counter[tuple[str, int]] = Counter()
    for budget_id, start_ms, amount in connection.execute(
        "SELECT budget_id, period_start_ms, nanodollars FROM adjustments"
    ):
        adjusted[budget_id, start_ms] += amount
    for row in connection.execute(_BUDGETS):
        terms = BudgetTerms(**dict(zip(_TERMS, row, strict=True)))
        balances = kept.get(terms.id, {})
        sums = _sums(terms, attempts, min(balances, default=0)) if balances else {}
        for start_ms in sums.keys() | balances.keys():
            spent, held = sums.get(start_ms, (0, 0))
            told = (spent + adjusted[terms.id, start_ms], held)
            if balances.get(start_ms) != told:
                found = f"{terms.id} of {start_ms}: {balances.get(start_ms)}, the rows {told}"
                wrong.append(f"I1, I2: {found}")
    wrong += [
        f"below nothing: {budget_id} of {start_ms}"
        for budget_id, of_budget in kept.items()
        for start_ms, amounts in of_budget.items()
        if min(amounts) < 0
    ]
    return wrong


def _sums(
    terms: BudgetTerms, attempts: list[tuple[str, ...]], first_ms: int
) -> dict[int, tuple[int, int]]:
    """(spent, held) by the beginnings of the periods, from the first that counts."""
    sums: dict[int, tuple[int, int]] = {}
    for _, key_id, alias, group_id, held_at_ms, state, hold, cost, _, billed in attempts:
        start_ms = terms.start_ms(int(held_at_ms))
        if start_ms >= first_ms and terms.covers(key_id, alias, group_id):
            spent, held = sums.get(start_ms, (0, 0))
            taken = billed if terms.period == "prepaid" else cost
            more = (0, int(hold)) if state == "open" else (int(taken), 0)
            sums[start_ms] = (spent + more[0], held + more[1])
    return sums
