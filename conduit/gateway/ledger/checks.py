"""The invariants of the ledger, checked over the tables of one database and its journal."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from conduit.core.ids import now_ms
from conduit.core.money import format_usd
from conduit.gateway.ledger.batches import Position
from conduit.gateway.ledger.binding import bound_journal
from conduit.gateway.ledger.budgets import BudgetTerms
from conduit.gateway.ledger.entries import Finding
from conduit.gateway.ledger.journal import journal_numbers, journal_path
from conduit.gateway.ledger.reading import JournalDamagedError, JournalReader
from conduit.gateway.ledger.records import INT64_MAX, BadLineError, decode_line
from conduit.gateway.ledger.recovery import is_in_force, terms_of
from conduit.gateway.storage.ledger.statements import (
    Engine,
    LedgerBudget,
    LedgerReader,
    Spending,
    StoredBalance,
    StoredLimit,
)
from conduit.gateway.storage.ledger.tables import LedgerTables
from conduit.gateway.storage.spend import CorrectedAttempt

# A call that is not streamed may last this long, and its settlement a minute more.
_DEADLINE_MS = 660_000
# Streams have no total deadline; one that is open for a day was lost.
_STREAM_DEADLINE_MS = 86_400_000
_MOST_VIOLATIONS = 100
_CHECK_S = 600.0
_JOURNAL = "journal"
_JOURNAL_TITLE = "what the database does not have yet can be read from the journal"

_TITLES = {
    "I1": (
        "what a budget has spent is the sum of its attempts' costs and its adjustments, and what "
        "was prepaid that of its transactions"
    ),
    "I2": "what a budget holds is the sum of its open holds",
    "I3": "each attempt has one row, and the row is sound",
    "I4": "every call that reached a provider has a row",
    "I5": "no hard budget was overshot by more than its attempts cost beyond their holds",
    "I6": "no attempt is open for longer than a call can last",
}


async def check_database(
    engine: Engine, *, seen: Iterable[str] | None = None, at_ms: int | None = None
) -> tuple[list[Finding], dict[str, int]]:
    """Findings for I1 to I6 and counts, of one consistent state of the tables.

    `seen` are attempt ids that reached a provider; without them I4 is left out. Of a running
    ledger, call `caught_up` first. Raises StorageFailedError.
    """
    now = now_ms() if at_ms is None else at_ms
    return await LedgerTables(engine).read(lambda reader: _check(reader, seen, now), _CHECK_S)


async def unapplied_bytes(engine: Engine, folder: Path) -> int:
    """Bytes of the journal files in `folder` that the database does not have yet."""
    file, offset = await _applied_to(engine, folder)
    sizes = {
        number: journal_path(folder, number).stat().st_size for number in journal_numbers(folder)
    }
    later = sum(size for number, size in sizes.items() if number > file)
    return later + max(sizes.get(file, 0) - offset, 0)


async def check_journal(engine: Engine, folder: Path) -> Finding:
    """Whether the next start can replay what the database does not have yet; nothing is changed.

    Only for a journal that nobody writes to. Raises StorageFailedError, OSError.
    """
    records, torn, damage = _read_through(folder, await _applied_to(engine, folder))
    detail = _counted(records, "record") + " to apply"
    if torn:
        detail += "; the next start cuts a torn end off"
    if damage is not None:
        detail += ", then damage: no start until it is mended"
    return Finding(
        _JOURNAL,
        _JOURNAL_TITLE,
        damage is None,
        detail,
        () if damage is None else (damage,),
    )


def _read_through(folder: Path, position: Position) -> tuple[int, bool, str | None]:
    """How many records can be read, whether an end is torn, and what stops the reading."""
    records, torn = 0, False
    reader = JournalReader(folder, position)
    while True:
        try:
            batch = reader.read(1)
        except JournalDamagedError as error:
            if _is_damage(folder, reader.position):
                return records, torn, str(error)
            # As the start does: it cuts the end off, and goes on with the next file.
            torn = True
            reader = JournalReader(folder, Position(reader.position.file + 1, 0))
            continue
        if not batch.size:
            return records, torn, None
        records += len(batch.records)


def _is_damage(folder: Path, position: Position) -> bool:
    """Whether a bad line is more than the torn end of a file: a readable one follows it."""
    with open(journal_path(folder, position.file), "rb") as file:
        file.seek(position.offset)
        file.readline()
        return any(_is_readable(line.rstrip(b"\n")) for line in file)


def _is_readable(line: bytes) -> bool:
    try:
        decode_line(line)
    except BadLineError:
        return False
    return True


async def _applied_to(engine: Engine, folder: Path) -> Position:
    journal = bound_journal(folder.parent)
    position = await LedgerTables(engine, journal).read(lambda reader: reader.position())
    return Position(*position) if position is not None else Position(0, 0)


def _check(
    reader: LedgerReader, seen: Iterable[str] | None, at_ms: int
) -> tuple[list[Finding], dict[str, int]]:
    violations: dict[str, list[str]] = {name: [] for name in _TITLES}
    counts = reader.counts()
    corrected = reader.corrected() if counts["corrections"] else []
    counts["budgets"], unsettled = _check_budgets(reader, corrected, violations)
    violations["I3"] = [*reader.repeated(), *reader.malformed()]
    if seen is None:
        del violations["I4"]
    else:
        ids = sorted(set(seen))
        violations["I4"] = sorted(set(ids) - reader.known(ids))
        counts["seen"] = len(ids)
    violations["I6"] = _check_ages(reader, at_ms)
    findings = [_finding(name, found, counts, unsettled) for name, found in violations.items()]
    return findings, counts


def _finding(name: str, violations: list[str], counts: dict[str, int], unsettled: int) -> Finding:
    if violations:
        detail = _counted(len(violations), "violation")
    elif name == "I5":
        detail = f"{_counted(counts['budgets'] - unsettled, 'budget')} checked"
        if unsettled:
            detail += f"; {_counted(unsettled, 'limit')} about to change"
    elif name in ("I1", "I2"):
        detail = f"{_counted(counts['budgets'], 'budget')} checked"
    else:
        detail = f"{_counted(counts['attempts'], 'attempt')} checked"
    return Finding(
        name, _TITLES[name], not violations, detail, tuple(violations[:_MOST_VIOLATIONS])
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _check_ages(reader: LedgerReader, at_ms: int) -> list[str]:
    return [
        *reader.stale(at_ms - _DEADLINE_MS, stream=False),
        *reader.stale(at_ms - _STREAM_DEADLINE_MS, stream=True),
    ]


def _check_budgets(
    reader: LedgerReader, corrected: Sequence[CorrectedAttempt], violations: dict[str, list[str]]
) -> tuple[int, int]:
    """I1, I2 and I5, a balance at a time; the number of budgets, of which those that are not open
    yet have none, and of those whose stored limit has not come into force: I5 is not known of them.
    """
    balances: dict[str, list[StoredBalance]] = {}
    for balance in reader.balances():
        balances.setdefault(balance.budget_id, []).append(balance)
    totals: dict[str, dict[str, Spending]] = {}
    adjusted, paid_in = reader.adjusted(), reader.paid_in()
    in_force, unsettled = reader.limits_in_force(), 0
    for budget in reader.budgets():
        of_budget = balances.get(budget.id)
        if of_budget is None:
            continue
        limit = in_force[budget.id] if is_in_force(budget, in_force) else None
        unsettled += limit is None
        terms = terms_of(budget)
        if terms.prepaid and (paid := paid_in.get(terms.scope_id, 0)) != terms.limit_nanodollars:
            violations["I1"].append(
                f"the prepaid balance of {terms.label}: it says "
                f"${format_usd(terms.limit_nanodollars)} were paid in, its transactions "
                f"${format_usd(paid)}"
            )
        if terms.period == "total":
            if terms.scope_kind not in totals:
                totals[terms.scope_kind] = _totals(reader, terms.scope_kind, corrected)
            scope_id = "" if terms.scope_kind == "gateway" else terms.scope_id
            sums = {0: totals[terms.scope_kind].get(scope_id, _NOTHING)}
        else:
            first_ms = min(balance.period_start_ms for balance in of_budget)
            sums = _sums_by_period(reader, terms, first_ms, corrected)
        found = {balance.period_start_ms: balance for balance in of_budget}
        for start_ms in sorted(sums.keys() | found.keys()):
            balance = found.get(start_ms, StoredBalance(budget.id, start_ms, 0, 0))
            added = adjusted.get((budget.id, start_ms), 0)
            _compare(budget, balance, sums.get(start_ms, _NOTHING).plus(added), limit, violations)
    return len(balances), unsettled


def _totals(
    reader: LedgerReader, scope_kind: str, corrected: Sequence[CorrectedAttempt]
) -> dict[str, Spending]:
    """The sums of all time by scope; of what was corrected the excess by now."""
    sums = reader.spending_by(scope_kind)
    for attempt in corrected:
        ids = {"key": attempt.key_id, "group": attempt.group_id, "mapping": attempt.alias}
        scope_id = ids.get(scope_kind) or ""
        sums[scope_id] = _with_corrections(sums[scope_id], attempt)
    return sums


def _sums_by_period(
    reader: LedgerReader,
    terms: BudgetTerms,
    first_ms: int,
    corrected: Sequence[CorrectedAttempt],
) -> dict[int, Spending]:
    sums: dict[int, Spending] = {}
    rows = reader.amounts(terms.scope_kind, terms.scope_id, first_ms)
    for held_at_ms, state, hold, cost, billed, is_attempt in rows:
        start_ms = terms.start_ms(held_at_ms)
        taken = terms.taken_by(cost, billed)
        so_far = sums.get(start_ms, _NOTHING)
        done = state == "done"
        sums[start_ms] = Spending(
            so_far.spent + (taken if done else 0),
            so_far.held + (0 if done else hold),
            so_far.excess + (max(taken - hold, 0) if done and is_attempt else 0),
        )
    for attempt in () if terms.prepaid else corrected:  # what is billed stays
        covered = terms.covers(attempt.key_id, attempt.alias, attempt.group_id)
        if covered and attempt.held_at_ms >= first_ms:
            start_ms = terms.start_ms(attempt.held_at_ms)
            sums[start_ms] = _with_corrections(sums[start_ms], attempt)
    return sums


def _with_corrections(sums: Spending, attempt: CorrectedAttempt) -> Spending:
    """Sums that have the excess of an attempt as it was settled, with what it is by now."""
    settled = max(attempt.cost - attempt.hold, 0)
    return sums._replace(excess=sums.excess - settled + attempt.excess)


def _compare(
    budget: LedgerBudget,
    balance: StoredBalance,
    sums: Spending,
    limit: StoredLimit | None,
    violations: dict[str, list[str]],
) -> None:
    name = f"budget {budget.id} of {budget.scope_kind} {budget.scope_name or budget.scope_id}"
    if balance.period_start_ms:
        name += f", period {balance.period_start_ms}"
    # A balance stops at what 64 bits hold.
    for invariant, stored, counted in (
        ("I1", balance.spent_nanodollars, min(sums.spent, INT64_MAX)),
        ("I2", balance.held_nanodollars, min(sums.held, INT64_MAX)),
    ):
        if stored != counted:
            violations[invariant].append(
                f"{name}: the balance says ${format_usd(stored)}, "
                f"the attempts ${format_usd(counted)}"
            )
    if limit is not None and (over := _over(limit, balance.period_start_ms, sums)) > 0:
        violations["I5"].append(f"{name}: ${format_usd(over)} over its limit")


def _over(limit: StoredLimit, start_ms: int, sums: Spending) -> int:
    """How much was held beyond the limit since that is in force; of a period before it, nothing.

    It may have been set below what had been taken.
    """
    if limit.limit_nanodollars is None or start_ms < limit.period_start_ms:
        return 0
    before = limit.taken_nanodollars if start_ms == limit.period_start_ms else 0
    return sums.spent + sums.held - max(limit.limit_nanodollars, before) - sums.excess


_NOTHING = Spending(0, 0, 0)
