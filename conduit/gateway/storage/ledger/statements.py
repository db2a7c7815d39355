"""Statements for attempts, balances, request records and the position of the journal.

Those that run for every request are in batches.py.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    delete,
    func,
    insert,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from conduit.core.ids import first_id
from conduit.gateway.storage import spend
from conduit.gateway.storage.ledger.batches import BatchStatements, Row
from conduit.gateway.storage.requests import ID_PREFIX
from conduit.gateway.storage.schema import (
    adjustments,
    balances,
    budgets,
    group_transactions,
    groups,
    installation,
    journal_position,
    keys,
    ledger,
    limits_in_force,
    requests,
)
from conduit.gateway.storage.spend import CorrectedAttempt, StoredCorrection

Engine = AsyncEngine
FIRST_JOURNAL = 1

# Sums of many 64-bit numbers are made in two halves: an engine's own sum would overflow.
_BILLION = 1_000_000_000


class StorageFailedError(Exception):
    """The database refused or could not be reached; the transaction has changed nothing."""


class AlreadyStoredError(StorageFailedError):
    """A row that was to be inserted is there, or is not one that the table takes."""


class StoredAttempt(NamedTuple):
    """What applying and recovery need to know of an attempt in the ledger."""

    attempt_id: str
    state: str
    hold_nanodollars: int
    progress_tokens: int
    key_id: str
    alias: str
    held_at_ms: int
    request_id: str
    stream: bool
    input_tokens: int
    input_nanodollars: int
    output_rate: int
    group_id: str | None


class LedgerBudget(NamedTuple):
    """A budget as it is stored, with the name of its key or group."""

    id: str
    scope_kind: str
    scope_id: str
    period: str
    timezone: str
    limit_nanodollars: int
    mode: str
    created_at_ms: int
    updated_at_ms: int
    since_ms: int
    spent_before_nanodollars: int
    scope_name: str | None


class StoredBalance(NamedTuple):
    budget_id: str
    period_start_ms: int
    spent_nanodollars: int
    held_nanodollars: int


class StoredLimit(NamedTuple):
    """The limit that is in force, None where it only alerts, and what had been taken then."""

    budget_id: str
    limit_nanodollars: int | None
    period_start_ms: int
    taken_nanodollars: int


class StoredAdjustment(NamedTuple):
    """What was added to the spent money of a balance without an attempt."""

    id: str
    budget_id: str
    period_start_ms: int
    nanodollars: int
    at_ms: int


class Fence(NamedTuple):
    """What tells a writer whether the ledger is still its own, and what it knows still so."""

    database_ms: int
    epoch: int
    revision: int


class Spending(NamedTuple):
    """Sums over attempts: cost of the done ones, holds of the open ones, cost beyond holds.

    Corrections are in the cost alone: see `LedgerReader.corrected`.
    """

    spent: int
    held: int
    excess: int

    def plus(self, nanodollars: int) -> "Spending":
        """The same with an adjustment of what is spent."""
        return self._replace(spent=self.spent + nanodollars)


# In the words of the partial index, which a parameter would keep from being used.
_OPEN = ledger.c.state == text("'open'")

_STORED_ATTEMPT = tuple(ledger.c[name] for name in StoredAttempt._fields)


def stored_attempt() -> Select[Any]:
    """A select of what `StoredAttempt` holds."""
    return select(*_STORED_ATTEMPT)


class LedgerReader:
    """Reads within one transaction; `journal` is the number of the one that is applied."""

    def __init__(self, connection: Connection, journal: int = FIRST_JOURNAL) -> None:
        self.connection = connection
        self.journal = journal

    def position(self) -> tuple[int, int] | None:
        """Number of the journal file and bytes of it that have been applied."""
        return self.positions().get(self.journal)

    def positions(self) -> dict[int, tuple[int, int]]:
        """How far each journal has been applied that ever was: a data folder has one."""
        found = self.connection.execute(select(journal_position))
        return {row.id: (row.file, row.offset) for row in found}

    def created_at_ms(self) -> int:
        """When this database was made or last restored, which tells it from others."""
        return int(self.connection.execute(select(installation.c.created_at_ms)).scalar_one())

    def fence(self) -> "Fence":
        """Which gateway the ledger belongs to, and the revision of the configuration."""
        row = self.connection.execute(
            select(
                installation.c.created_at_ms,
                func.coalesce(installation.c.ledger_epoch, 0),
                installation.c.revision,
            )
        ).one()
        return Fence._make(map(int, row))

    def budgets(self) -> list[LedgerBudget]:
        of_key = (budgets.c.scope_kind == "key") & (budgets.c.scope_id == keys.c.id)
        of_group = (budgets.c.scope_kind == "group") & (budgets.c.scope_id == groups.c.id)
        statement = select(
            *(budgets.c[name] for name in LedgerBudget._fields[:-1]),
            func.coalesce(keys.c.name, groups.c.name),
        ).select_from(budgets.outerjoin(keys, of_key).outerjoin(groups, of_group))
        rows = self.connection.execute(statement)
        return [LedgerBudget._make(row) for row in rows]

    def balances(self) -> list[StoredBalance]:
        statement = select(*(balances.c[name] for name in StoredBalance._fields))
        return [StoredBalance(*row) for row in self.connection.execute(statement)]

    def balance(self, budget_id: str, start_ms: int) -> StoredBalance:
        """Of nothing where the budget has not counted in that period."""
        statement = select(*(balances.c[name] for name in StoredBalance._fields)).where(
            balances.c.budget_id == budget_id, balances.c.period_start_ms == start_ms
        )
        row = self.connection.execute(statement).first()
        return StoredBalance(budget_id, start_ms, 0, 0) if row is None else StoredBalance(*row)

    def limits_in_force(self) -> dict[str, StoredLimit]:
        """By the budget's id."""
        statement = select(*(limits_in_force.c[name] for name in StoredLimit._fields))
        return {row[0]: StoredLimit(*row) for row in self.connection.execute(statement)}

    def below_nothing(self, scopes: Iterable[tuple[str, int]]) -> list[StoredBalance]:
        """Those of the balances, by budget and period start, that have spent less than nothing."""
        wanted = tuple_(balances.c.budget_id, balances.c.period_start_ms).in_(list(scopes))
        statement = select(*(balances.c[name] for name in StoredBalance._fields)).where(
            wanted, balances.c.spent_nanodollars < 0
        )
        return [StoredBalance(*row) for row in self.connection.execute(statement)]

    def adjusted(self) -> dict[tuple[str, int], int]:
        """What was added to each balance without an attempt, by budget and period start."""
        sums: dict[tuple[str, int], int] = {}
        for row in self.connection.execute(select(adjustments)):
            balance = (row.budget_id, row.period_start_ms)
            sums[balance] = sums.get(balance, 0) + int(row.nanodollars)
        return sums

    def paid_in(self) -> dict[str, int]:
        """What the transactions of each group add up to, by the group's id."""
        amount = group_transactions.c.amount_nanodollars
        sums: dict[str, int] = {}
        for group_id, nanodollars in self.connection.execute(
            select(group_transactions.c.group_id, amount)
        ):
            sums[group_id] = sums.get(group_id, 0) + int(nanodollars)
        return sums

    def requests_purged_before_ms(self) -> int | None:
        """The records of requests that began before it have been deleted; None: of none."""
        found = self.connection.execute(select(installation.c.requests_purged_before_ms))
        return found.scalar()

    def open_attempts(self, journal: int | None = None) -> list[StoredAttempt]:
        """The oldest first; only those that a journal settles, where one is named."""
        # By the column of the index first, or SQLite reads the whole table in the other order.
        in_order = (ledger.c.held_at_ms, ledger.c.attempt_id)
        statement = select(*_STORED_ATTEMPT).where(_OPEN).order_by(*in_order)
        if journal is not None:
            statement = statement.where(ledger.c.journal == journal)
        return [StoredAttempt(*row) for row in self.connection.execute(statement)]

    def latest_held_at_ms(self) -> int:
        """When the youngest attempt was held; 0 with none."""
        # By way of every key that has attempts, which is two steps of an index for each.
        key = select(func.min(ledger.c.key_id).label("id")).cte("key", recursive=True)
        later = select(func.min(ledger.c.key_id)).where(ledger.c.key_id > key.c.id)
        key = key.union_all(select(later.scalar_subquery()).where(key.c.id.is_not(None)))
        latest = select(func.max(ledger.c.held_at_ms)).where(ledger.c.key_id == key.c.id)
        statement = select(func.max(latest.scalar_subquery())).select_from(key)
        return self.connection.execute(statement).scalar() or 0

    def spending_by(self, scope_kind: str) -> dict[str, Spending]:
        """The sums over all attempts by key, group, mapping's alias or, under "", over all."""
        group = _COLUMNS_OF_SCOPES.get(scope_kind)
        named: ColumnElement[str] = func.min("") if group is None else group
        statement = select(named, *_SUMS)
        if group is not None:
            statement = statement.group_by(group)
        rows = self.connection.execute(statement)
        return {name or "": _spending(row) for name, *row in rows}

    def corrected(self) -> list[CorrectedAttempt]:
        """The done attempts that have corrections: a look at all rows."""
        return spend.corrected(self.connection)

    def amounts(
        self, scope_kind: str, scope_id: str, since_ms: int
    ) -> list[tuple[int, str, int, int, int, bool]]:
        """(held at, state, hold, cost, billed, no correction) of a scope's rows since a moment."""
        statement = select(
            ledger.c.held_at_ms,
            ledger.c.state,
            ledger.c.hold_nanodollars,
            ledger.c.cost_nanodollars,
            ledger.c.billed_nanodollars,
            ledger.c.adjusts.is_(None),
        ).where(_covered(scope_kind, scope_id), ledger.c.held_at_ms >= since_ms)
        return [tuple(row) for row in self.connection.execute(statement)]

    def scope_spending(
        self,
        scope_kind: str,
        scope_id: str,
        since_ms: int,
        until_ms: int | None = None,
        *,
        billed: bool = False,
    ) -> Spending:
        """The sums over a scope's attempts held since a moment, and before another; of what is
        `billed` in the place of what they cost.
        """
        statement = select(*(_BILLED_SUMS if billed else _SUMS)).where(
            _covered(scope_kind, scope_id), ledger.c.held_at_ms >= since_ms
        )
        if until_ms is not None:
            statement = statement.where(ledger.c.held_at_ms < until_ms)
        return _spending((self.connection.execute(statement)).one())

    def stale(self, before_ms: int, *, stream: bool) -> list[str]:
        """Open attempts held before a moment."""
        statement = select(ledger.c.attempt_id).where(
            _OPEN, ledger.c.stream == stream, ledger.c.held_at_ms < before_ms
        )
        return list((self.connection.execute(statement)).scalars())

    def repeated(self) -> list[str]:
        """Attempts that have several rows, which only a damaged index would let in."""
        statement = select(ledger.c.attempt_id).group_by(ledger.c.attempt_id)
        return list(self.connection.execute(statement.having(func.count() > 1)).scalars())

    def malformed(self) -> list[str]:
        """Attempts whose row contradicts itself: a state unknown, a negative sum, half an end.

        A correction may be negative, but has to be one of an attempt that there is.
        """
        amounts = (
            ledger.c.hold_nanodollars,
            ledger.c.cost_nanodollars,
            ledger.c.billed_nanodollars,
        )
        wrong: ColumnElement[bool] = ledger.c.state.not_in(("open", "done"))
        for amount in amounts:
            wrong |= (amount < 0) & ledger.c.adjusts.is_(None)
        attempt = ledger.alias()
        corrected = (
            select(attempt.c.attempt_id).where(attempt.c.attempt_id == ledger.c.adjusts).exists()
        )
        wrong |= ledger.c.adjusts.is_not(None) & ~corrected
        wrong |= (ledger.c.state == "done") & ledger.c.settled_at_ms.is_(None)
        wrong |= (ledger.c.state == "open") & (ledger.c.settled_at_ms.is_not(None))
        wrong |= (ledger.c.state == "open") & (ledger.c.cost_nanodollars != 0)
        statement = select(ledger.c.attempt_id).where(wrong)
        return list((self.connection.execute(statement)).scalars())

    def known(self, attempt_ids: Sequence[str]) -> set[str]:
        """Those of the ids that have a row."""
        found: set[str] = set()
        for start in range(0, len(attempt_ids), 1000):
            some = attempt_ids[start : start + 1000]
            statement = select(ledger.c.attempt_id).where(ledger.c.attempt_id.in_(some))
            found.update((self.connection.execute(statement)).scalars())
        return found

    def counts(self) -> dict[str, int]:
        """How many attempts, by state, recovered, ambiguous, and how many requests."""
        done = ledger.c.state == "done"
        counted = {
            "attempts": func.count().filter(ledger.c.adjusts.is_(None)),
            "corrections": func.count(ledger.c.adjusts),
            "open": func.count().filter(ledger.c.state == "open"),
            "recovered": func.count().filter(done & (ledger.c.outcome == "recovered")),
            "ambiguous": func.count().filter(ledger.c.ambiguous.is_(True)),
        }
        row = (self.connection.execute(select(*counted.values()).select_from(ledger))).one()
        counts = dict(zip(counted, map(int, row), strict=True))
        requested = self.connection.execute(select(func.count()).select_from(requests))
        counts["requests"] = int(requested.scalar_one())
        return counts


class LedgerWriter(LedgerReader):
    """Writes within one transaction."""

    def __init__(
        self, connection: Connection, batch: BatchStatements, journal: int = FIRST_JOURNAL
    ) -> None:
        super().__init__(connection, journal)
        self._batch = batch

    def attempts(self, attempt_ids: Iterable[str]) -> list[StoredAttempt]:
        if not (wanted := list(attempt_ids)):
            return []
        statement = select(*_STORED_ATTEMPT).where(ledger.c.attempt_id.in_(wanted))
        return [StoredAttempt(*row) for row in self.connection.execute(statement)]

    def insert_attempts(self, rows: list[Row]) -> None:
        """Rows of all columns in the order of the table; their journal is this one."""
        self._many(self._batch.insert_attempts, rows)

    def settle_attempts(self, rows: list[Row]) -> None:
        """Rows of SETTLED_COLUMNS and the attempt's id."""
        self._many(self._batch.settle_attempts, rows)

    def note_attempts(self, rows: list[Row]) -> None:
        """Rows of NOTED_COLUMNS and the attempt's id."""
        self._many(self._batch.note_attempts, rows)

    def insert_requests(self, rows: list[Row]) -> None:
        """Rows of all columns in the order of the table; ids that are there stay."""
        self._many(self._batch.insert_requests, rows)

    def put_replies(self, rows: list[Row]) -> None:
        """Rows of all columns in the order of the table; later ones take the place of earlier."""
        self._many(self._batch.put_replies, rows)

    def add_to_balances(self, rows: list[Row]) -> None:
        """Rows of budget id, period start, change of spent, change of held."""
        self._many(self._batch.add_to_balances, rows)

    def add_adjustment(self, adjustment: StoredAdjustment) -> None:
        """Add to what a balance has spent; one that is stored already changes nothing."""
        known = select(adjustments.c.id).where(adjustments.c.id == adjustment.id)
        if self.connection.execute(known).first() is not None:
            return
        self.connection.execute(insert(adjustments).values(adjustment._asdict()))
        balance = (adjustment.budget_id, adjustment.period_start_ms)
        self.add_to_balances([(*balance, adjustment.nanodollars, 0)])

    def correct(self, correction: StoredCorrection) -> tuple[str, str, int, str | None] | None:
        """Correct an attempt that is done; its key's id, its alias, when it was held, its group.

        The balances stay. None where this has been done already, or there is no such attempt.
        """
        row = spend.post(self.connection, correction)
        if row is None:
            return None
        return row.key_id, row.alias, int(row.held_at_ms), row.group_id

    def raise_epoch(self) -> int:
        """Take the ledger: what was opened for the former epoch can write no more. The new one."""
        epoch = func.coalesce(installation.c.ledger_epoch, 0) + 1
        self.connection.execute(update(installation).values(ledger_epoch=epoch))
        return self.fence().epoch

    def set_position(self, file: int, offset: int) -> None:
        self._many(self._batch.set_position, [(self.journal, file, offset)])

    def set_balance(self, balance: StoredBalance) -> None:
        self.connection.execute(
            delete(balances).where(
                balances.c.budget_id == balance.budget_id,
                balances.c.period_start_ms == balance.period_start_ms,
            )
        )
        self.connection.execute(insert(balances).values(tuple(balance)))

    def put_in_force(self, limit: StoredLimit) -> None:
        """In the place of the limit that was in force before."""
        of_budget = limits_in_force.c.budget_id == limit.budget_id
        self.connection.execute(delete(limits_in_force).where(of_budget))
        self.connection.execute(insert(limits_in_force).values(tuple(limit)))

    def delete_balances(self, budget_id: str) -> None:
        """And the limit that was in force."""
        for of_budgets in (balances, limits_in_force):
            self.connection.execute(delete(of_budgets).where(of_budgets.c.budget_id == budget_id))

    def delete_orphaned_balances(self) -> None:
        """Those of budgets that are no more, and their limits."""
        for of_budgets in (balances, limits_in_force):
            gone = of_budgets.c.budget_id.not_in(select(budgets.c.id))
            self.connection.execute(delete(of_budgets).where(gone))

    def record_lost_requests(self, since_ms: int, journal: int | None = None) -> int:
        """Make a record for each request that has none and an attempt held since then.

        None is made of a request whose record may have been purged; where a journal is named, only
        of those whose attempts it settles: others may be running.
        """
        recorded = select(requests.c.id).where(requests.c.id == ledger.c.request_id).exists()
        lost = (
            select(ledger.c.request_id)
            .where(ledger.c.state == "done", ledger.c.held_at_ms >= since_ms, ~recorded)
            .distinct()
        )
        if journal is not None:
            lost = lost.where(ledger.c.journal == journal)
        if (purged_ms := self.requests_purged_before_ms()) is not None:
            lost = lost.where(ledger.c.request_id >= first_id(ID_PREFIX, purged_ms))
        statement = (
            select(ledger, keys.c.name.label("key_name"), groups.c.name.label("group_name"))
            .select_from(
                ledger.outerjoin(keys, keys.c.id == ledger.c.key_id).outerjoin(
                    groups, groups.c.id == ledger.c.group_id
                )
            )
            .where(ledger.c.request_id.in_(lost))
            .order_by(ledger.c.request_id, ledger.c.held_at_ms)
        )
        attempts_by_request: dict[str, list[Any]] = {}
        for row in self.connection.execute(statement):
            attempts_by_request.setdefault(row.request_id, []).append(row)
        if attempts_by_request:
            self.connection.execute(
                insert(requests), [_lost_request(rows) for rows in attempts_by_request.values()]
            )
        return len(attempts_by_request)

    def _many(self, statement: str, rows: list[Row]) -> None:
        if rows:
            self.connection.exec_driver_sql(statement, rows)


def _sums_of(
    amount: ColumnElement[int], condition: ColumnElement[bool]
) -> list[ColumnElement[Any]]:
    return [
        func.coalesce(func.sum(half).filter(condition), 0)
        for half in (amount // _BILLION, amount % _BILLION)
    ]


_COLUMNS_OF_SCOPES = {
    "key": ledger.c.key_id,
    "group": ledger.c.group_id,
    "mapping": ledger.c.alias,
}
_DONE = ledger.c.state == "done"


def _spending_sums(amount: ColumnElement[int]) -> tuple[ColumnElement[Any], ...]:
    return (
        *_sums_of(amount, _DONE),
        *_sums_of(ledger.c.hold_nanodollars, ledger.c.state == "open"),
        *_sums_of(
            amount - ledger.c.hold_nanodollars,
            _DONE & (amount > ledger.c.hold_nanodollars) & ledger.c.adjusts.is_(None),
        ),
    )


_SUMS = _spending_sums(ledger.c.cost_nanodollars)
_BILLED_SUMS = _spending_sums(ledger.c.billed_nanodollars)


def _spending(row: Sequence[Any]) -> Spending:
    spent, held, excess = (int(row[n]) * _BILLION + int(row[n + 1]) for n in (0, 2, 4))
    return Spending(spent, held, excess)


def _covered(scope_kind: str, scope_id: str) -> ColumnElement[bool]:
    column = _COLUMNS_OF_SCOPES.get(scope_kind)
    return ledger.c.attempt_id.is_not(None) if column is None else column == scope_id


def _lost_request(rows: list[Any]) -> dict[str, Any]:
    """A request record from the attempts of a request that a crash cut off."""
    attempts = [row for row in rows if row.adjusts is None]
    first, last = attempts[0], attempts[-1]
    return {
        "id": first.request_id,
        "at_ms": first.held_at_ms,
        "operation": first.operation,
        "stream": first.stream,
        "status": 0,
        "outcome": "recovered",
        "key_id": first.key_id,
        "key_name": first.key_name,
        "alias": first.alias,
        "provider": last.provider,
        "model": last.model,
        "attempts": len(attempts),
        "duration_ms": 0,
        "input_tokens": sum(a.input_tokens for a in attempts),
        "cached_tokens": sum(a.cache_read_tokens for a in attempts),
        "output_tokens": sum(a.output_tokens for a in attempts),
        "reasoning_tokens": sum(a.reasoning_tokens for a in attempts),
        "cache_write_tokens": sum(a.cache_write_tokens for a in attempts),
        "cache_write_1h_tokens": sum(a.cache_write_1h_tokens for a in attempts),
        "audio_tokens": sum(a.audio_tokens for a in attempts),
        "output_audio_tokens": sum(a.output_audio_tokens for a in attempts),
        "credential_id": last.credential_id,
        "usage_source": last.usage_source,
        "cost_nanodollars": sum(row.cost_nanodollars for row in rows),  # with corrections
        "billed_nanodollars": sum(a.billed_nanodollars for a in attempts),
        "group_id": first.group_id,
        "group_name": first.group_name,
    }
