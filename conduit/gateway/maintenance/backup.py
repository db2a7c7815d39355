"""One portable file of all that a database and its journal hold at a moment."""

import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from conduit import __version__
from conduit.core.ids import now_ms
from conduit.gateway.ledger.batches import Position
from conduit.gateway.ledger.opening import JOURNAL_FOLDER, worker_folders
from conduit.gateway.maintenance.access import RefusedError
from conduit.gateway.maintenance.journal_tail import JournalTail, is_bound_to, open_tail
from conduit.gateway.storage.archive import ArchiveWriter, Header, Target
from conduit.gateway.storage.copying import POSITIONS, Shape, rows_of, shapes_of, totals_of
from conduit.gateway.storage.engine import PATIENT_S, Database, Transaction, reading
from conduit.gateway.storage.ledger.statements import LedgerReader
from conduit.gateway.storage.migrate import revision_of

Progress = Callable[[int, int], None]
"""Told how many rows are done, of how many."""


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup holds."""

    schema: str
    engine: str
    tables: dict[str, int]
    journal_records: int
    sha256: str
    bytes: int


async def back_up(database: Database, folder: Path, target: Target, progress: Progress) -> BackedUp:
    """Write a backup while a gateway may run: one state of all tables, and the journal after it.

    Raises RefusedError, DatabaseError, JournalDamagedError, SQLAlchemy's errors, OSError.
    """
    counted = _Counted(target)
    with ExitStack() as stack:
        tails = [
            (each, stack.enter_context(open_tail(each / JOURNAL_FOLDER)))
            for each in (folder, *worker_folders(folder))
        ]
        async with reading(database, PATIENT_S) as connection:
            revision = await revision_of(connection)
            if revision is None:
                raise RefusedError("the database is empty: there is nothing to back up")
            lines = [
                line for each, tail in tails for line in await _lines_after(connection, each, tail)
            ]
            shapes = [shape for shape in await shapes_of(connection) if shape.name != POSITIONS]
            rows = {shape.name: (await totals_of(connection, shape)).rows for shape in shapes}
            header = Header(
                schema=revision,
                engine=database.dialect.name,
                release=__version__,
                created_at_ms=now_ms(),
                tables=rows,
                journal_records=len(lines),
            )
            writer = ArchiveWriter(counted, header)
            await _write_tables(connection, writer, shapes, header, progress)
    writer.journal(lines)
    digest = writer.finish()
    return BackedUp(revision, header.engine, rows, len(lines), digest, counted.written)


async def back_up_to(database: Database, folder: Path, path: Path, progress: Progress) -> BackedUp:
    """Write a backup into a file for its owner alone, which is there only once it is whole."""
    making = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            done = await back_up(database, folder, file, progress)
            file.flush()
            os.fsync(file.fileno())
        making.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            making.unlink()
        raise
    return done


async def _lines_after(connection: Transaction, folder: Path, tail: JournalTail) -> list[bytes]:
    """The records of the folder's journal that these tables do not have."""
    journal = await connection.run_sync(lambda sync: is_bound_to(folder, LedgerReader(sync)))
    if journal is None:
        return []
    position = await connection.run_sync(lambda sync: LedgerReader(sync, journal).position())
    return tail.lines_after(Position(*(position or (0, 0))))


async def _write_tables(
    connection: Transaction,
    writer: ArchiveWriter,
    shapes: list[Shape],
    header: Header,
    progress: Progress,
) -> None:
    done, total = 0, sum(header.tables.values())
    for shape in shapes:
        writer.begin_table(shape)
        async for rows in rows_of(connection, shape):
            writer.rows(rows)
            done += len(rows)
            progress(done, total)


class _Counted:
    """Counts the bytes that pass."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.written = 0

    def write(self, data: bytes, /) -> object:
        self.written += len(data)
        return self._target.write(data)

    def flush(self) -> None:
        self._target.flush()
