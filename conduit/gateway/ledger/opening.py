"""Opens the ledger of this machine: lock, recovery, journal, applier."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from conduit.core.ids import now_ms
from conduit.gateway.ledger.applier import INTERVAL_S, Applier, delete_before
from conduit.gateway.ledger.binding import bind, read_binding
from conduit.gateway.ledger.journal import ROTATE_BYTES, Journal, Sync, journal_numbers
from conduit.gateway.ledger.journalled import LedgerParts
from conduit.gateway.ledger.local import MOST_UNAPPLIED_BYTES, LocalLedger
from conduit.gateway.ledger.lock import (
    FILE_NAME,
    LOOK_S,
    LedgerLock,
    LedgerLockedError,
    lock_files_beside,
)
from conduit.gateway.ledger.recovery import load_balances, recover, replay
from conduit.gateway.storage.engine import is_local
from conduit.gateway.storage.ledger.statements import Engine
from conduit.gateway.storage.ledger.tables import LedgerTables, LedgerTakenError

JOURNAL_FOLDER = "journal"
WORKERS_FOLDER = "workers"


class LedgerLimits(NamedTuple):
    """Sizes and times that only tests have reason to change."""

    rotate_bytes: int = ROTATE_BYTES
    most_unapplied_bytes: int = MOST_UNAPPLIED_BYTES
    apply_interval_s: float = INTERVAL_S


async def open_ledger(
    engine: Engine,
    folder: Path,
    sync: Sync = "interval",
    *,
    clock_ms: Callable[[], int] = now_ms,
    limits: LedgerLimits = LedgerLimits(),  # noqa: B008  # immutable
) -> LocalLedger:
    """The ledger of the database behind `engine`, with its journal and lock in `folder`.

    Raises LedgerLockedError where another process has it, ForeignJournalError where the journal is
    not that of the database, JournalDamagedError where it cannot be replayed, StorageFailedError,
    OSError.
    """
    journals = folder / JOURNAL_FOLDER
    journals.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = LedgerLock(folder / FILE_NAME, *lock_files_beside(engine), wait_s=LOOK_S)
    tables = LedgerTables(engine)
    try:
        await claim(tables, folder)
        if not is_local(engine):
            await tables.write(lambda writer: writer.raise_epoch())
        await replay_workers(tables, folder)
        recovery, budgets, position = await recover(tables, journals, clock_ms())
        balances = await load_balances(tables)
        latest_ms = await tables.read(lambda reader: reader.latest_held_at_ms())
        number = max(position.file, *journal_numbers(journals), 0) + 1
        if await tables.make_durable():
            delete_before(journals, number)
        journal = Journal(journals, number, sync=sync, rotate_bytes=limits.rotate_bytes)
        # Written even where nothing was replayed: it tells others that this ledger was in use.
        await tables.write(lambda writer: writer.set_position(number, 0))
    except BaseException as error:
        await tables.close()
        lock.release()
        if isinstance(error, LedgerTakenError):
            raise LedgerLockedError(str(error)) from error
        raise
    applier = Applier(
        tables,
        journal,
        budgets,
        on_budget_opened=lambda budget_id, spent: ledger.count_opened(budget_id, spent),
        interval_s=limits.apply_interval_s,
    )
    journal.on_written = applier.wake
    ledger = LocalLedger(
        LedgerParts(journal, applier, recovery, lock),
        balances,
        sync=sync,
        latest_ms=latest_ms,
        most_unapplied_bytes=limits.most_unapplied_bytes,
        clock_ms=clock_ms,
    )
    return ledger


def worker_folder(folder: Path, number: int) -> Path:
    """Where a worker has its journal and its lock."""
    return folder / WORKERS_FOLDER / str(number)


def worker_folders(folder: Path) -> list[Path]:
    """Those of all workers that there ever were."""
    found = (each for each in (folder / WORKERS_FOLDER).glob("*") if each.name.isdigit())
    return sorted(found, key=lambda each: int(each.name))


async def replay_workers(tables: LedgerTables, folder: Path) -> None:
    """Apply what the journals of workers hold and the database does not have; settle nothing.

    With the ledger claimed, and no worker running.
    """
    own = tables.journal
    database_ms = await tables.read(lambda reader: reader.created_at_ms())
    try:
        for each in worker_folders(folder):
            binding = read_binding(each)
            if binding is not None and binding.database_ms == database_ms:
                tables.journal = binding.journal
                await replay(tables, each / JOURNAL_FOLDER)
    finally:
        tables.journal = own


async def claim(tables: LedgerTables, folder: Path, *, by_epoch: bool = False) -> None:
    """Be the only writer of the tables, on behalf of the journal in `folder`.

    `by_epoch`: or on behalf of others, who write while the ledger's epoch lasts. The locks on files
    are held. Raises LedgerTakenError, ForeignJournalError, StorageFailedError.
    """
    await tables.claim(by_epoch=by_epoch)
    binding = await tables.read(lambda reader: bind(reader, folder, folder / JOURNAL_FOLDER))
    tables.journal = binding.journal
