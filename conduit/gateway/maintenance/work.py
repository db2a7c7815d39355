"""The work of `conduit db`, each piece a function of where the database and its folder are."""

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from conduit.gateway.ledger.binding import ForeignJournalError
from conduit.gateway.ledger.checks import check_database, check_journal, unapplied_bytes
from conduit.gateway.ledger.entries import Finding
from conduit.gateway.ledger.opening import JOURNAL_FOLDER, worker_folders
from conduit.gateway.ledger.reading import JournalDamagedError
from conduit.gateway.maintenance import backup, restore
from conduit.gateway.maintenance.access import (
    Named,
    RefusedError,
    alone,
    instead_of_a_gateway,
    named,
    opened,
)
from conduit.gateway.maintenance.backup import BackedUp, Progress
from conduit.gateway.maintenance.convert import Converted, convert
from conduit.gateway.maintenance.restore import Restored
from conduit.gateway.maintenance.state import DatabaseState, state_of
from conduit.gateway.storage.archive import Archive, ArchiveError
from conduit.gateway.storage.engine import (
    DatabaseError,
    DatabaseUnreachableError,
    name_of,
    reading,
    sqlite_path,
)
from conduit.gateway.storage.ledger.statements import StorageFailedError
from conduit.gateway.storage.migrate import HEAD, migrate, revision_of, sql_of_upgrade
from conduit.gateway.storage.postgresql import is_postgresql
from conduit.gateway.storage.upkeep import (
    TableSize,
    give_space_back,
    size_of,
    sizes_of_tables,
    span_of_requests,
    spare_bytes_of,
)

T = TypeVar("T")
Kind = Literal["local_config", "database_unreachable", "conflict", "damaged", "failed"]


class WorkFailedError(Exception):
    """What cannot be done, as it is told; `kind` becomes the code and the exit code."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Migrated:
    location: str
    before: str | None
    schema: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """`tables` are the largest first; the moments are of requests that have a record."""

    size_bytes: int
    oldest_request_ms: int | None
    newest_request_ms: int | None
    tables: list[TableSize]


@dataclass(frozen=True, slots=True)
class Vacuumed:
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True, slots=True)
class SpareSpace:
    """What a database takes, and how much of that holds nothing; None where it does not tell."""

    bytes: int
    spare_bytes: int | None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a piece of work to its end. Raises WorkFailedError."""
    with _failures_told():
        return asyncio.run(work)


def checked_archive(path: Path) -> Archive:
    """A backup that is whole. Raises WorkFailedError."""
    with _failures_told():
        return Archive(path)


def database_at(location: str) -> Named:
    """What is meant by a URL or a path. Raises WorkFailedError."""
    with _failures_told():
        return named(location)


@contextmanager
def _failures_told() -> Iterator[None]:
    try:
        yield
    except DatabaseUnreachableError as error:
        raise WorkFailedError("database_unreachable", str(error)) from error
    except DatabaseError as error:
        raise WorkFailedError("local_config", str(error)) from error
    except RefusedError as error:
        raise WorkFailedError("conflict", str(error)) from error
    except (ArchiveError, JournalDamagedError, ForeignJournalError) as error:
        raise WorkFailedError("damaged", str(error)) from error
    except StorageFailedError as error:
        raise WorkFailedError("failed", f"the database cannot be used: {error}") from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise WorkFailedError("failed", f"{where}{error.strerror or error}") from error


def is_there(location: str) -> bool:
    """Whether there is a database to look at; a server's always is, or says why not."""
    return is_postgresql(location) or sqlite_path(location).exists()


async def status(location: str, folder: Path) -> DatabaseState:
    async with opened(location) as database:
        return await state_of(database, folder)


async def check_ledger(location: str, folder: Path) -> tuple[list[Finding], dict[str, int]]:
    """The invariants of the ledger and its journal, with no gateway running."""
    journals = folder / JOURNAL_FOLDER
    with instead_of_a_gateway(folder):
        async with opened(location) as database, alone(database):
            findings, counts = await check_database(database)
            findings.append(await check_journal(database, journals))
            unapplied = await unapplied_bytes(database, journals)
            for each in worker_folders(folder):
                of_worker = await check_journal(database, each / JOURNAL_FOLDER)
                findings.append(replace(of_worker, title=f"worker {each.name}: {of_worker.title}"))
                unapplied += await unapplied_bytes(database, each / JOURNAL_FOLDER)
            counts["journal_bytes_unapplied"] = unapplied
            return findings, counts


async def upgrade(location: str, folder: Path, to: str | None) -> Migrated:
    """Bring the schema up, with no gateway running."""
    with instead_of_a_gateway(folder):
        async with opened(location, may_be_new=True) as database:
            async with reading(database) as connection:
                before = await revision_of(connection)
            async with alone(database):
                await migrate(database, to or HEAD)
            return Migrated(name_of(database), before, to or HEAD)


async def upgrade_as_sql(location: str, to: str | None) -> str:
    async with opened(location) as database:
        return await sql_of_upgrade(database, to or HEAD)


async def back_up(location: str, folder: Path, path: Path | None, progress: Progress) -> BackedUp:
    """Write a backup into a file, or to standard output where there is no path."""
    async with opened(location) as database:
        if path is None:
            done = await backup.back_up(database, folder, sys.stdout.buffer, progress)
            sys.stdout.buffer.flush()
            return done
        return await backup.back_up_to(database, folder, path, progress)


async def holds_rows(location: str) -> bool:
    """Whether there is something to lose."""
    if not is_there(location):
        return False
    async with opened(location) as database:
        return await restore.holds_rows(database)


async def restore_from(
    location: str, folder: Path, archive: Archive, progress: Progress
) -> Restored:
    async with opened(location, may_be_new=True) as database:
        return await restore.restore(database, folder, archive, progress)


async def convert_to(location: str, target: str, folder: Path, progress: Progress) -> Converted:
    async with opened(location) as source, opened(target, may_be_new=True) as database:
        return await convert(source, database, folder, progress)


async def vacuum(location: str) -> Vacuumed:
    async with opened(location) as database:
        before = await size_of(database)
        await give_space_back(database)
        return Vacuumed(before, await size_of(database))


async def spare_space(location: str) -> SpareSpace:
    async with opened(location) as database:
        return SpareSpace(await size_of(database), await spare_bytes_of(database))


async def statistics(location: str) -> Statistics:
    async with opened(location) as database:
        oldest, newest = await span_of_requests(database)
        return Statistics(await size_of(database), oldest, newest, await sizes_of_tables(database))
