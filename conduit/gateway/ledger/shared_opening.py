"""Opens a ledger for several processes of this machine: for the parent, and for each worker."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from conduit.core.ids import now_ms
from conduit.gateway.ledger.applier import BATCH_RECORDS, Applier, apply, delete_before
from conduit.gateway.ledger.batches import Position
from conduit.gateway.ledger.binding import ForeignJournalError, bind, read_binding
from conduit.gateway.ledger.journal import Journal, Sync, journal_numbers
from conduit.gateway.ledger.lock import FILE_NAME, LOOK_S, LedgerLock, LedgerLockedError
from conduit.gateway.ledger.opening import (
    JOURNAL_FOLDER,
    LedgerLimits,
    claim,
    replay_workers,
    worker_folder,
    worker_folders,
)
from conduit.gateway.ledger.reading import JournalReader
from conduit.gateway.ledger.recovery import Recovery, recover, settle_own
from conduit.gateway.ledger.shared import SharedLedger, SharedParts
from conduit.gateway.ledger.shared_terms import SharedTerms
from conduit.gateway.storage.engine import PATIENT_S
from conduit.gateway.storage.ledger.shared_tables import SharedTables
from conduit.gateway.storage.ledger.statements import Engine
from conduit.gateway.storage.ledger.tables import LedgerTables, LedgerTakenError

_ENDING_S = 10.0
"""For workers of a gateway that has ended without them."""
_APPLIED_EVERY_S = 0.02
"""Held money comes back to the other processes when a settlement is applied."""


@dataclass(frozen=True, slots=True)
class SharedClaim:
    """A ledger that this process has taken for its workers: they write while the epoch lasts."""

    tables: LedgerTables
    epoch: int
    recovery: Recovery


@asynccontextmanager
async def take_for_workers(
    engine: Engine, folder: Path, workers: int
) -> AsyncIterator[SharedClaim]:
    """Take the ledger, recover what was left of the last run, and number the workers' journals.

    Raises LedgerLockedError where another process has it, ForeignJournalError, JournalDamagedError,
    StorageFailedError, OSError.
    """
    journals = folder / JOURNAL_FOLDER
    journals.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = LedgerLock(folder / FILE_NAME, wait_s=LOOK_S)
    tables = LedgerTables(engine)
    try:
        LedgerLock(
            *(each / FILE_NAME for each in worker_folders(folder)), wait_s=_ENDING_S
        ).release()
        await claim(tables, folder, by_epoch=True)
        epoch = await tables.write(lambda writer: writer.raise_epoch())
        await tables.remember()
        await replay_workers(tables, folder)
        recovery, *_ = await recover(tables, journals, now_ms())
        for number in range(1, workers + 1):
            await _number(tables, worker_folder(folder, number))
        yield SharedClaim(tables, epoch, recovery)
    except LedgerTakenError as error:
        raise LedgerLockedError(str(error)) from error
    finally:
        await tables.close()
        lock.release()


async def _number(tables: LedgerTables, folder: Path) -> None:
    """Give the journal of a worker its number, which no other journal of the database has."""
    journals = folder / JOURNAL_FOLDER
    journals.mkdir(mode=0o700, parents=True, exist_ok=True)
    binding = await tables.read(lambda reader: bind(reader, folder, journals, is_worker=True))
    own = tables.journal
    tables.journal = binding.journal
    try:
        if await tables.read(lambda reader: reader.position()) is None:
            await tables.write(lambda writer: writer.set_position(0, 0))
    finally:
        tables.journal = own


async def open_shared(
    engine: Engine,
    folder: Path,
    epoch: int,
    sync: Sync = "interval",
    *,
    clock_ms: Callable[[], int] = now_ms,
    limits: LedgerLimits = LedgerLimits(apply_interval_s=_APPLIED_EVERY_S),  # noqa: B008
) -> SharedLedger:
    """The ledger of one worker, whose folder this is; its parent has taken it for `epoch`.

    What the last process with this folder left is recovered: its journal is applied, and the holds
    that it had open are charged as `recovery` says. Errors as of `open_ledger`.
    """
    journals = folder / JOURNAL_FOLDER
    lock = LedgerLock(folder / FILE_NAME, wait_s=LOOK_S)
    tables: SharedTables | None = None
    try:
        binding = read_binding(folder)
        if binding is None:
            raise ForeignJournalError(f"{folder} has no journal of a worker: start its gateway")
        terms = SharedTerms(clock_ms)
        owner = (binding.database_ms, epoch)
        tables = SharedTables(engine, binding.journal, owner, terms)
        holding = SharedTables(engine, binding.journal, owner, terms, "holds")
        # Before anything is recovered: what the last process had under way has ended then.
        await holding.write(lambda _: None)
        recovery, position = await _recover(tables, terms, journals, clock_ms())
        number = max(position.file, *journal_numbers(journals), 0) + 1
        delete_before(journals, number)
        journal = Journal(journals, number, sync=sync, rotate_bytes=limits.rotate_bytes)
        await tables.write(lambda writer: writer.set_position(number, 0))
    except BaseException as error:
        if tables is not None:
            await tables.close()
        lock.release()
        if isinstance(error, LedgerTakenError):
            raise LedgerLockedError(str(error)) from error
        raise
    applier = Applier(
        tables,
        journal,
        terms.counting,
        on_budget_opened=lambda _budget_id, _spent: None,
        interval_s=limits.apply_interval_s,
    )
    journal.on_written = applier.wake
    return SharedLedger(
        SharedParts(journal, applier, recovery, lock, tables, holding, terms),
        sync=sync,
        most_unapplied_bytes=limits.most_unapplied_bytes,
        clock_ms=clock_ms,
    )


async def _recover(
    tables: SharedTables, terms: SharedTerms, journals: Path, at_ms: int
) -> tuple[Recovery, Position]:
    """Replay the journal, then settle what its process had open, while others go on."""
    position = Position(*(await tables.read(lambda reader: reader.position()) or (0, 0)))
    reader = JournalReader(journals, position, mend=True)
    replayed = 0
    while (batch := reader.read(BATCH_RECORDS)).records:
        await apply(tables, terms.counting, batch)
        replayed += len(batch.records)
    settled = await tables.write(
        lambda writer: settle_own(writer, terms.counting, at_ms), PATIENT_S
    )
    return Recovery(replayed, *settled), reader.position
