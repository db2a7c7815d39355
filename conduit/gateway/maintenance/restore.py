"""Puts what a backup holds in the place of what a database holds."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from conduit.core.ids import now_ms
from conduit.gateway.ledger.binding import Binding, write_binding
from conduit.gateway.ledger.journal import journal_numbers
from conduit.gateway.ledger.opening import JOURNAL_FOLDER, worker_folders
from conduit.gateway.ledger.records import BadLineError, Record, decode_line
from conduit.gateway.ledger.recovery import replay_copied
from conduit.gateway.maintenance.access import RefusedError, alone, instead_of_a_gateway
from conduit.gateway.maintenance.backup import Progress
from conduit.gateway.storage.archive import Archive, ArchiveError, JournalLine, Rows
from conduit.gateway.storage.copying import Shape, drop_everything, insert_rows, totals_of
from conduit.gateway.storage.engine import (
    PATIENT_S,
    Database,
    Transaction,
    reading,
    take_over,
    writing,
)
from conduit.gateway.storage.installation import become_another
from conduit.gateway.storage.ledger.statements import FIRST_JOURNAL, LedgerReader
from conduit.gateway.storage.ledger.tables import LedgerTables, write_within
from conduit.gateway.storage.migrate import HEAD, is_newer, revision_of, upgrade


@dataclass(frozen=True, slots=True)
class Restored:
    """`journal_kept` is where the journal of what was replaced has been put."""

    schema_before: str | None
    tables: dict[str, int]
    journal_records: int
    journal_kept: Path | None


async def holds_rows(database: Database) -> bool:
    """Whether the database has the tables of an installation. Raises DatabaseError."""
    async with reading(database) as connection:
        return await revision_of(connection) is not None


async def restore(
    database: Database, folder: Path, archive: Archive, progress: Progress
) -> Restored:
    """Replace everything in one transaction, the records of the backup's journal with it.

    It makes another database of it, so that no journal of what was there is applied by itself: the
    one of this folder is put aside, others are refused. Raises RefusedError where a gateway runs,
    ArchiveError, DatabaseError, SQLAlchemy's errors; then the database is as it was. Raises OSError
    where the journal cannot be put aside: the restore is done, and a start refuses that journal.
    """
    if is_newer(archive.header.schema):
        raise RefusedError(
            f"the backup has schema {archive.header.schema}, which is newer than this release of "
            f"Conduit ({HEAD}): restore it with the release that made it, or a later one"
        )
    with instead_of_a_gateway(folder):
        async with alone(database):
            return await _replace(database, folder, archive, progress)


async def _replace(
    database: Database, folder: Path, archive: Archive, progress: Progress
) -> Restored:
    await _take_over(database)
    async with writing(database, PATIENT_S) as connection:
        before = await revision_of(connection)
        before_ms = 0 if before is None else await _database_ms(connection)
        await drop_everything(connection)
        await connection.run_sync(upgrade, None, archive.header.schema)
        records = await _load(connection, archive, progress)
        if archive.header.schema != HEAD:
            await connection.run_sync(upgrade, archive.header.schema, HEAD)
        database_ms = await become_another(connection, before_ms, now_ms())
        # The position that it sets keeps the journal's number for this folder.
        await write_within(connection, lambda writer: replay_copied(writer, records))
    await _make_durable(database)
    # In this order: the old journal must not pass for the one of the new database.
    kept = _put_aside(folder / JOURNAL_FOLDER)
    for each in worker_folders(folder):
        _put_aside(each / JOURNAL_FOLDER)
    write_binding(folder, Binding(database_ms, FIRST_JOURNAL))
    return Restored(before, archive.header.tables, len(records), kept)


async def _take_over(database: Database) -> None:
    """Before anything is changed: it may refuse the database."""
    async with reading(database) as connection:
        await revision_of(connection)
    await take_over(database)


async def _database_ms(connection: Transaction) -> int:
    return await connection.run_sync(lambda sync: LedgerReader(sync).created_at_ms())


async def _make_durable(database: Database) -> None:
    """What was replaced must not come back by a power cut once its journal is put aside."""
    tables = LedgerTables(database)
    try:
        await tables.make_durable()
    finally:
        await tables.close()


async def _load(connection: Transaction, archive: Archive, progress: Progress) -> list[Record]:
    """Fill the tables, and count what is in them then; gives the records of the journal."""
    done, total = 0, sum(archive.header.tables.values())
    records: list[Record] = []
    shapes: list[Shape] = []
    for part in archive.parts():
        match part:
            case Shape():
                shapes.append(part)
                await connection.execute(part.clause.delete())  # what a migration put there
            case Rows(rows):
                await insert_rows(connection, shapes[-1], rows)
                done += len(rows)
                progress(done, total)
            case JournalLine(line):
                records.append(_decoded(line))
    for shape in shapes:
        counted, wanted = await totals_of(connection, shape), archive.header.tables[shape.name]
        if counted.rows != wanted:
            raise RefusedError(f"{counted.rows} rows of {wanted} arrived in {shape.name}")
    return records


def _decoded(line: bytes) -> Record:
    try:
        return decode_line(line)
    except BadLineError as error:
        raise ArchiveError(f"a record of the backup's journal cannot be read: {error}") from error


def _put_aside(journals: Path) -> Path | None:
    """Make room for a journal of the new database; where the one that was there is now."""
    if not journal_numbers(journals):
        return None
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return journals.rename(journals.with_name(f"{journals.name}-before-{at}"))
