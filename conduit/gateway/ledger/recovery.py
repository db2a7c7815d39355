"""What a start does about the last run: replay its journal, settle what it left open."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from conduit.core.money import cost_of_units
from conduit.gateway.ledger.applier import BATCH_RECORDS, apply, apply_copied, open_balance
from conduit.gateway.ledger.balances import Account, Balance, Balances
from conduit.gateway.ledger.batches import Position
from conduit.gateway.ledger.budgets import SCOPE_KINDS, BudgetTerms, OpenBudgets, Scope
from conduit.gateway.ledger.entries import AttemptOutcome, UsageSource
from conduit.gateway.ledger.journal import journal_numbers
from conduit.gateway.ledger.reading import JournalReader
from conduit.gateway.ledger.records import INT64_MAX, BudgetOpened, Record, bounded
from conduit.gateway.storage.engine import PATIENT_S
from conduit.gateway.storage.ledger.statements import (
    LedgerBudget,
    LedgerReader,
    LedgerWriter,
    StoredAttempt,
    StoredBalance,
    StoredLimit,
)
from conduit.gateway.storage.ledger.tables import LedgerTables

log = logging.getLogger(__name__)

# Tokens that may have come since the last progress note.
_UNNOTED_TOKENS = 256
# A request without a record is looked for among the attempts of this long before the crash.
_LOST_REQUESTS_MS = 600_000


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a start found: records replayed, attempts settled and what was charged for them."""

    replayed: int = 0
    attempts: int = 0
    nanodollars: int = 0
    requests: int = 0


async def recover(
    tables: LedgerTables, folder: Path, at_ms: int
) -> tuple[Recovery, OpenBudgets, Position]:
    """Replay the journal in `folder`, then settle every open attempt in one transaction.

    Killed at any point it can run again with the same result. Returns also the budgets that
    count and where the journal has been applied to. Raises JournalDamagedError,
    StorageFailedError, LedgerTakenError.
    """
    replayed, stored_budgets, budgets, position = await replay(tables, folder)
    attempts, nanodollars, requests = await tables.write(
        lambda writer: _settle_open(writer, stored_budgets, budgets, at_ms), PATIENT_S
    )
    return Recovery(replayed, attempts, nanodollars, requests), budgets, position


async def replay(
    tables: LedgerTables, folder: Path
) -> tuple[int, list[LedgerBudget], OpenBudgets, Position]:
    """Apply what the database does not have of the journal in `folder`, and settle nothing.

    Returns how many records that were, the budgets, those of them that count, and the position.
    """
    position, stored_budgets, budgets = await tables.read(_stored)
    _warn_of_gap(folder, position)
    reader = JournalReader(folder, position, mend=True)
    replayed = 0
    while (batch := reader.read(BATCH_RECORDS)).records:
        await apply(tables, budgets, batch)
        replayed += len(batch.records)
    return replayed, stored_budgets, budgets, reader.position


def replay_copied(writer: LedgerWriter, records: Sequence[Record]) -> None:
    """Apply what a copy of the tables lacks, within the transaction; settle nothing."""
    apply_copied(writer, _counting(writer.budgets(), writer.balances()), records)


def _warn_of_gap(folder: Path, position: Position) -> None:
    """Only a database that was put back from a copy, or deleted files, can have a gap."""
    numbers = journal_numbers(folder)
    if position.file and not numbers:
        log.warning("the journal files from %d on are missing in %s", position.file, folder)
    elif position.file and numbers[0] > position.file + 1:
        log.warning(
            "the journal files %d to %d are missing: attempts that they held are not in this "
            "database",
            position.file + 1,
            numbers[0] - 1,
        )


async def load_balances(tables: LedgerTables) -> Balances:
    """The accounts of all budgets, as the database has them."""
    stored, stored_budgets = await tables.read(lambda reader: (reader.balances(), reader.budgets()))
    periods: dict[str, dict[int, Balance]] = {}
    for budget_id, start_ms, spent, held in stored:
        periods.setdefault(budget_id, {})[start_ms] = Balance(spent, held)
    balances = Balances()
    for budget in stored_budgets:
        if (of_budget := periods.get(budget.id)) is not None:
            first_ms, latest_ms = min(of_budget), max(of_budget)
            balances.add(
                Account(terms_of(budget), first_ms, latest_ms, {latest_ms: of_budget[latest_ms]})
            )
    return balances


def terms_of(budget: LedgerBudget) -> BudgetTerms:
    return BudgetTerms(
        id=budget.id,
        scope_kind=budget.scope_kind,
        scope_id=budget.scope_id,
        period=budget.period,
        timezone=budget.timezone,
        limit_nanodollars=budget.limit_nanodollars,
        mode=budget.mode,
        scope_name=budget.scope_name,
        since_ms=budget.since_ms,
        spent_before=budget.spent_before_nanodollars,
    )


def _stored(reader: LedgerReader) -> tuple[Position, list[LedgerBudget], OpenBudgets]:
    stored_budgets = reader.budgets()
    budgets = _counting(stored_budgets, reader.balances())
    return Position(*(reader.position() or (0, 0))), stored_budgets, budgets


def _counting(stored: list[LedgerBudget], balances: list[StoredBalance]) -> OpenBudgets:
    """The budgets that have a balance: opening one makes it."""
    first_ms: dict[str, int] = {}
    for balance in balances:
        known = first_ms.get(balance.budget_id, balance.period_start_ms)
        first_ms[balance.budget_id] = min(known, balance.period_start_ms)
    budgets = OpenBudgets()
    for budget in stored:
        if budget.id in first_ms:
            budgets.add(terms_of(budget), first_ms[budget.id])
    return budgets


def _settle_open(
    writer: LedgerWriter, stored: list[LedgerBudget], budgets: OpenBudgets, at_ms: int
) -> tuple[int, int, int]:
    """Attempts settled, their cost, and requests that got the record they lacked."""
    writer.delete_orphaned_balances()
    open_uncounted(writer, stored, budgets, at_ms)
    attempts = writer.open_attempts()
    nanodollars = _settle(writer, budgets, attempts, at_ms)
    put_limits_in_force(writer, stored)
    since_ms = min(
        (attempt.held_at_ms for attempt in attempts),
        default=at_ms,
    )
    since_ms = min(since_ms, writer.latest_held_at_ms() - _LOST_REQUESTS_MS)
    return len(attempts), nanodollars, writer.record_lost_requests(since_ms)


def settle_own(writer: LedgerWriter, budgets: OpenBudgets, at_ms: int) -> tuple[int, int, int]:
    """The same for the attempts of the writer's own journal, while other journals are in use."""
    attempts = writer.open_attempts(writer.journal)
    nanodollars = _settle(writer, budgets, attempts, at_ms)
    since_ms = min((attempt.held_at_ms for attempt in attempts), default=at_ms)
    since_ms = min(since_ms, writer.latest_held_at_ms() - _LOST_REQUESTS_MS)
    return len(attempts), nanodollars, writer.record_lost_requests(since_ms, writer.journal)


def open_uncounted(
    writer: LedgerWriter, stored: list[LedgerBudget], budgets: OpenBudgets, at_ms: int
) -> None:
    """Open the budgets that were stored just before a crash could journal their opening."""
    latest_ms = max(at_ms, writer.latest_held_at_ms())
    for budget in stored:
        if budget.id not in budgets and budget.scope_kind in SCOPE_KINDS:
            opened = BudgetOpened(
                budget.id,
                budget.scope_kind,
                budget.scope_id,
                budget.period,
                budget.timezone,
                max(latest_ms, budget.since_ms),
                budget.since_ms,
            )
            open_balance(writer, budgets, opened)


def put_limits_in_force(writer: LedgerWriter, stored: list[LedgerBudget]) -> None:
    """Go by the limits as they are stored from now on, whatever has been taken until now."""
    in_force = writer.limits_in_force()
    changed = {budget.id: budget for budget in stored if not is_in_force(budget, in_force)}
    if not changed:
        return
    latest: dict[str, StoredBalance] = {}
    for balance in sorted(writer.balances()):
        latest[balance.budget_id] = balance
    for budget_id in changed.keys() & latest.keys():
        _, start_ms, spent, held = latest[budget_id]
        limit = terms_of(changed[budget_id]).enforced_nanodollars
        writer.put_in_force(StoredLimit(budget_id, limit, start_ms, min(spent + held, INT64_MAX)))


def is_in_force(budget: LedgerBudget, in_force: Mapping[str, StoredLimit]) -> bool:
    """Whether the ledger goes by the limit that is stored."""
    known = in_force.get(budget.id)
    return known is not None and known.limit_nanodollars == terms_of(budget).enforced_nanodollars


def _settle(
    writer: LedgerWriter, budgets: OpenBudgets, attempts: list[StoredAttempt], at_ms: int
) -> int:
    """Charge each open attempt the most that it may have cost."""
    spent: dict[Scope, int] = {
        (balance.budget_id, balance.period_start_ms): balance.spent_nanodollars
        for balance in writer.balances()
    }
    rows, changes, total = [], [], 0
    for attempt in attempts:
        scopes = tuple(
            budgets.scopes_of(attempt.key_id, attempt.alias, attempt.held_at_ms, attempt.group_id)
        )
        cost = recovered_cost(attempt)
        for scope in scopes:
            cost = min(cost, INT64_MAX - spent.get(scope, 0))
        for scope in scopes:
            taken = budgets.terms(scope[0]).taken_by(cost, 0)
            spent[scope] = spent.get(scope, 0) + taken
            changes.append((*scope, taken, -attempt.hold_nanodollars))
        rows.append(_recovered_row(attempt, cost, at_ms))
        total += cost
    writer.settle_attempts(rows)
    writer.add_to_balances(changes)
    return total


def recovered_cost(attempt: StoredAttempt) -> int:
    """What an attempt that was cut off by a crash is charged.

    A stream that had come to a noted point: its input and the output up to there, with what may
    have come since, at most its hold: what is given away is held before. Anything else may have
    been answered in full: the whole hold.
    """
    if not attempt.stream or not attempt.progress_tokens:
        return attempt.hold_nanodollars
    tokens = attempt.progress_tokens + _UNNOTED_TOKENS
    cost = attempt.input_nanodollars + cost_of_units(tokens, attempt.output_rate)
    return min(cost, attempt.hold_nanodollars)


def _recovered_row(attempt: StoredAttempt, cost: int, at_ms: int) -> tuple[object, ...]:
    """The values of SETTLED_COLUMNS and the id. Nothing is billed: nothing is known delivered."""
    output = bounded(attempt.progress_tokens + _UNNOTED_TOKENS) if attempt.progress_tokens else 0
    return (
        "done",
        AttemptOutcome.RECOVERED.value,
        None,
        None,
        True,
        attempt.hold_nanodollars,
        cost,
        0,
        UsageSource.RECOVERED.value,
        attempt.input_tokens,
        0,
        0,
        output,
        0,
        0,
        attempt.progress_tokens,
        at_ms,
        None,
        0,
        0,
        attempt.attempt_id,
    )
