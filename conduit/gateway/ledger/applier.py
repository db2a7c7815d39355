"""Moves what the journal holds into the database; the only writer of the ledger's tables."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from conduit.core.errors import LedgerUnavailableError
from conduit.core.ids import new_id
from conduit.gateway.ledger.batches import Batch, Position
from conduit.gateway.ledger.budgets import BudgetTerms, OpenBudgets
from conduit.gateway.ledger.journal import Journal, journal_numbers, journal_path
from conduit.gateway.ledger.postings import attempt_ids, earlier_attempt_ids, post
from conduit.gateway.ledger.reading import JournalDamagedError, JournalReader
from conduit.gateway.ledger.records import (
    INT64_MAX,
    AdjustRecord,
    AttemptRecord,
    BudgetClosed,
    BudgetOpened,
    Claim,
    CorrectRecord,
    LimitRecord,
    ProgressRecord,
    Record,
    ReplyRecord,
    RequestRecord,
    SettleRecord,
    TopUpRecord,
)
from conduit.gateway.storage.ledger.shared_tables import SharedTables
from conduit.gateway.storage.ledger.statements import (
    AlreadyStoredError,
    LedgerWriter,
    StorageFailedError,
    StoredAdjustment,
    StoredBalance,
    StoredLimit,
)
from conduit.gateway.storage.ledger.tables import LedgerTables, LedgerTakenError
from conduit.gateway.storage.spend import StoredCorrection

log = logging.getLogger(__name__)

BATCH_RECORDS = 1000
INTERVAL_S = 0.1
_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 5.0
_BATCH_S = 30.0
_BEGINNING = Position(0, 0)

_IN_A_RUN = (Claim, SettleRecord, RequestRecord, TopUpRecord, ProgressRecord)

Tables = LedgerTables | SharedTables
OnBudgetOpened = Callable[[str, int], None]
AttemptIds = Callable[[Sequence[AttemptRecord | RequestRecord]], set[str]]


async def apply(tables: Tables, budgets: OpenBudgets, batch: Batch) -> dict[str, int]:
    """Apply a batch and its position in one transaction; what was spent in each opened budget.

    Raises LedgerTakenError, and StorageFailedError, after which the same batch can be applied again
    even if it was: opening a budget sets its balance, so that it does not matter what `budgets` has
    learnt from the first time.
    """
    try:
        return await tables.write(
            lambda writer: _apply(writer, budgets, batch, earlier_attempt_ids), _BATCH_S
        )
    except AlreadyStoredError:
        # Only a position that was lost, or a commit of which the news was, brings a hold back:
        # nobody looks for its row before.
        return await tables.write(
            lambda writer: _apply(writer, budgets, batch, attempt_ids), _BATCH_S
        )


def _apply(
    writer: LedgerWriter, budgets: OpenBudgets, batch: Batch, looked_up: AttemptIds
) -> dict[str, int]:
    """`looked_up` are the attempts of a run that may be in the ledger already."""
    opened: dict[str, int] = {}
    run: list[AttemptRecord | RequestRecord] = []
    replies: list[ReplyRecord] = []
    for record in batch.records:
        if isinstance(record, _IN_A_RUN):  # as nearly all are
            run.append(record)
            continue
        match record:
            case ReplyRecord():
                replies.append(record)
            case BudgetOpened():
                _apply_run(writer, budgets, run, looked_up)
                run = []
                opened[record.budget_id] = open_balance(writer, budgets, record)
            case _:
                _apply_run(writer, budgets, run, looked_up)
                run = []
                _apply_alone(writer, budgets, record)
    _apply_run(writer, budgets, run, looked_up)
    writer.put_replies([msgspec.structs.astuple(reply) for reply in replies])
    writer.set_position(*batch.position)
    return opened


def open_balance(writer: LedgerWriter, budgets: OpenBudgets, opened: BudgetOpened) -> int:
    """Begin a budget's balance with what the ledger holds of its period; returns what was spent.

    Only where a position that was lost brings the opening back are attempts of later periods there,
    or adjustments.
    """
    terms = BudgetTerms(
        opened.budget_id,
        opened.scope_kind,
        opened.scope_id,
        opened.period,
        opened.timezone,
        limit_nanodollars=0,
        since_ms=opened.since_ms,
    )
    start_ms = terms.start_ms(opened.at_ms)
    until_ms = terms.end_ms(opened.at_ms)
    sums = writer.scope_spending(
        opened.scope_kind, opened.scope_id, start_ms, until_ms, billed=terms.prepaid
    )
    adjusted = writer.adjusted().get((terms.id, start_ms), 0)
    spent, held = min(sums.spent + adjusted, INT64_MAX), min(sums.held, INT64_MAX)
    writer.set_balance(StoredBalance(terms.id, start_ms, spent, held))
    budgets.add(terms, start_ms)
    return spent


def _apply_alone(
    writer: LedgerWriter,
    budgets: OpenBudgets,
    record: BudgetClosed | LimitRecord | AdjustRecord | CorrectRecord,
) -> None:
    match record:
        case BudgetClosed():
            budgets.remove(record.budget_id)
            writer.delete_balances(record.budget_id)
        case LimitRecord():
            limit = StoredLimit._make(msgspec.structs.astuple(record))
            _, _, spent, held = writer.balance(limit.budget_id, limit.period_start_ms)
            # More than the ledger knew of while the opening of the budget was on its way here.
            taken = max(limit.taken_nanodollars, spent + held)
            writer.put_in_force(limit._replace(taken_nanodollars=min(taken, INT64_MAX)))
        case AdjustRecord():
            writer.add_adjustment(StoredAdjustment._make(msgspec.structs.astuple(record)))
        case CorrectRecord():
            _apply_correction(writer, budgets, record)


def _apply_run(
    writer: LedgerWriter,
    budgets: OpenBudgets,
    records: Sequence[AttemptRecord | RequestRecord],
    looked_up: AttemptIds,
) -> None:
    if not records:
        return
    stored = {row.attempt_id: row for row in writer.attempts(looked_up(records))}
    postings = post(records, stored, budgets, writer.journal)
    writer.insert_attempts(postings.inserts)
    writer.settle_attempts(postings.settles)
    writer.note_attempts(postings.notes)
    writer.insert_requests([msgspec.structs.astuple(row) for row in postings.requests])
    writer.add_to_balances(postings.balances)
    for attempt_id in postings.orphans:
        log.error("the journal tells of attempt %s, whose hold it does not have", attempt_id)


def _apply_correction(writer: LedgerWriter, budgets: OpenBudgets, record: CorrectRecord) -> None:
    """Add the difference wherever the attempt itself counted; once, however often it is read.

    A budget that was set to nothing since would stand below nothing by it, and let more through
    than its limit: it gets no more back than it has spent.
    """
    found = writer.correct(StoredCorrection._make(msgspec.structs.astuple(record)))
    if found is None:
        return
    # What is billed stays, and with it what was paid in.
    scopes = [scope for scope in budgets.scopes_of(*found) if not budgets.terms(scope[0]).prepaid]
    writer.add_to_balances([(*scope, record.nanodollars, 0) for scope in scopes])
    if record.nanodollars >= 0:
        return
    for budget_id, start_ms, spent, _ in writer.below_nothing(scopes):
        adjustment_id = new_id("adj", record.at_ms)
        writer.add_adjustment(
            StoredAdjustment(adjustment_id, budget_id, start_ms, -spent, record.at_ms)
        )


def apply_copied(writer: LedgerWriter, budgets: OpenBudgets, records: Sequence[Record]) -> None:
    """Apply records that came with a copy of the tables, in the transaction that fills them.

    No file has them, so that the journal which is begun then has been applied to its beginning.
    """
    for start in range(0, len(records), BATCH_RECORDS):
        some = tuple(records[start : start + BATCH_RECORDS])
        _apply(writer, budgets, Batch(some, _BEGINNING, 0), attempt_ids)
    writer.set_position(*_BEGINNING)


class Applier:
    """Follows a running journal; waits a moment after each write so that batches form."""

    def __init__(
        self,
        tables: Tables,
        journal: Journal,
        budgets: OpenBudgets,
        *,
        on_budget_opened: OnBudgetOpened,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._tables = tables
        self._folder = journal.folder
        self._journal = journal
        self._budgets = budgets
        self._on_budget_opened = on_budget_opened
        self._interval_s = interval_s
        self._loop = asyncio.get_running_loop()
        self._position = journal.position
        self._reader = JournalReader(journal.folder, self._position)
        self._batch: Batch | None = None  # read, and not applied yet
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[Position, asyncio.Future[None]]] = []
        self._oldest_file = min(journal_numbers(journal.folder))
        self.bytes_applied = 0
        self.trouble: str | None = None  # why the database is behind
        self.damage: str | None = None  # why it will stay behind
        self._stopping = asyncio.Event()
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(self._ended)
        tables.watch(self._give_up)

    @property
    def lost(self) -> str | None:
        """Why another gateway may take the database at this moment; None while none can."""
        return self._tables.lost

    def wake(self) -> None:
        """The journal has grown."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._interval_s, self._hurry)

    async def caught_up(self) -> None:
        """Wait until all that was written before this call is in the database.

        Raises LedgerUnavailableError where that will never be.
        """
        target = self._journal.position
        if self._position >= target:
            return
        if self.damage is not None:
            raise LedgerUnavailableError(self.damage)
        applied = self._loop.create_future()
        self._waiting.append((target, applied))
        self._hurry()
        await applied

    async def stop(self) -> None:
        """End the task; what is not applied stays in the journal."""
        if self._timer is not None:
            self._timer.cancel()
        self._stopping.set()
        self._due.set()
        # Not cancelled: a transaction may be under way in its thread.
        await asyncio.wait([self._task])
        await self._tables.close()

    def _hurry(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due.set()

    async def _run(self) -> None:
        backoff_s = _FIRST_BACKOFF_S
        while self.damage is None:
            await self._due.wait()
            self._due.clear()
            if self._stopping.is_set():
                return
            try:
                await self._apply_all()
            except (JournalDamagedError, LedgerTakenError) as error:
                self._give_up(str(error))
            except (StorageFailedError, OSError) as error:
                if self.trouble is None:
                    log.error("the journal waits for the database: %s", error)
                self.trouble = str(error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(backoff_s):
                        await self._stopping.wait()
                backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
                self._due.set()
            else:
                backoff_s = _FIRST_BACKOFF_S
                if self.trouble is not None:
                    log.warning("the database takes the journal again")
                    self.trouble = None

    async def _apply_all(self) -> None:
        # What is written from now on waits for its turn: running after it would make batches of
        # a few records, each at the price of a transaction.
        written = self._journal.position
        while self._position < written and not self._stopping.is_set():
            if self._batch is None:
                self._batch = self._next()
            batch = self._batch
            if batch.records:
                for budget_id, spent in (await apply(self._tables, self._budgets, batch)).items():
                    self._on_budget_opened(budget_id, spent)
            self._batch = None
            self._applied(batch)
            if not batch.size:
                break
        await self._delete_applied()

    def _next(self) -> Batch:
        """What follows the position: as it was written, or read back where that is forgotten."""
        batch = self._journal.written.after(self._position, BATCH_RECORDS)
        if batch is not None:
            return batch
        if self._reader.position != self._position:
            self._reader = JournalReader(self._folder, self._position)
        return self._reader.read(BATCH_RECORDS, self._journal.position)

    def _applied(self, batch: Batch) -> None:
        self._position = batch.position
        self.bytes_applied += batch.size
        self._journal.written.forget(self._position)
        still = []
        for target, waiting in self._waiting:
            if self._position < target:
                still.append((target, waiting))
            elif not waiting.done():
                waiting.set_result(None)
        self._waiting = still

    async def _delete_applied(self) -> None:
        """Delete the files whose records the database is sure to keep."""
        if self._oldest_file < self._position.file and await self._tables.make_durable():
            delete_before(self._folder, self._position.file)
            self._oldest_file = self._position.file

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Without this task no money may be held; only a fault of this program ends it so."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._give_up(f"the journal is not applied any more: {error!r}")

    def _give_up(self, damage: str) -> None:
        if self.damage is not None:
            return
        log.critical("%s", damage)
        self.damage = damage
        self._due.set()
        for _, waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(LedgerUnavailableError(damage))
        self._waiting.clear()


def delete_before(folder: Path, number: int) -> None:
    """Delete the journal files of lower numbers."""
    for lower in journal_numbers(folder):
        if lower < number:
            journal_path(folder, lower).unlink()
