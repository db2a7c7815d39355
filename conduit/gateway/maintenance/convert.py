"""Copies everything from one database to another, of the same engine or the other one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from conduit.gateway.ledger.opening import JOURNAL_FOLDER, claim, replay_workers
from conduit.gateway.ledger.recovery import replay
from conduit.gateway.maintenance.access import (
    RefusedError,
    alone,
    file_alone,
    instead_of_a_gateway,
)
from conduit.gateway.maintenance.backup import Progress
from conduit.gateway.storage.copying import (
    Shape,
    Totals,
    insert_rows,
    rows_of,
    shapes_of,
    totals_of,
)
from conduit.gateway.storage.engine import (
    PATIENT_S,
    Database,
    Transaction,
    name_of,
    reading,
    take_over,
    writing,
)
from conduit.gateway.storage.ledger.tables import LedgerTables, LedgerTakenError
from conduit.gateway.storage.migrate import HEAD, revision_of, upgrade

MONEY = "nanodollars"


@dataclass(frozen=True, slots=True)
class Converted:
    """`tables` are what source and target agree on."""

    tables: dict[str, Totals]
    journal_records: int


async def convert(
    source: Database, target: Database, folder: Path, progress: Progress
) -> Converted:
    """Apply the journal to the source, then copy all of it in one transaction of the target.

    Counts and sums are compared before that is committed. The source stays as it is. Raises
    RefusedError, DatabaseError, JournalDamagedError, SQLAlchemy's errors, OSError.
    """
    with instead_of_a_gateway(folder):
        await _refuse_unsuitable(source, target)
        async with _claimed(source, folder) as claimed, alone(target):
            # So that the tables are all there is.
            applied, *_ = await replay(claimed, folder / JOURNAL_FOLDER)
            await replay_workers(claimed, folder)
            await take_over(target)
            tables = await _copy_all(source, target, progress, claimed)
    return Converted(tables, applied)


@asynccontextmanager
async def _claimed(source: Database, folder: Path) -> AsyncIterator[LedgerTables]:
    """Be the only writer of the source: what came into it later would not be in the target."""
    (folder / JOURNAL_FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    tables = LedgerTables(source)
    with file_alone(source):
        try:
            await claim(tables, folder)
            yield tables
        except LedgerTakenError as error:
            raise RefusedError(str(error)) from error
        finally:
            await tables.close()


async def _copy_all(
    source: Database, target: Database, progress: Progress, claimed: LedgerTables
) -> dict[str, Totals]:
    async with writing(target, PATIENT_S) as writer:
        if await revision_of(writer) is not None:
            raise _not_empty(target)
        await writer.run_sync(upgrade, None, HEAD)
        async with reading(source, PATIENT_S) as reader:
            tables = await _copy(reader, writer, progress)
        # Fails where the claim was lost meanwhile: another gateway may have been there.
        await claimed.write(lambda writer: writer.positions())
    return tables


async def _refuse_unsuitable(source: Database, target: Database) -> None:
    async with reading(source) as connection:
        revision = await revision_of(connection)
    if revision != HEAD:
        raise RefusedError(
            f"{name_of(source)} has schema {revision or 'none'}, and {HEAD} is what can be "
            "copied: run conduit db migrate first"
        )
    async with reading(target) as connection:
        if await revision_of(connection) is not None:
            raise _not_empty(target)


def _not_empty(target: Database) -> RefusedError:
    return RefusedError(f"{name_of(target)} is not empty: give the copy a database of its own")


async def _copy(reader: Transaction, writer: Transaction, progress: Progress) -> dict[str, Totals]:
    shapes = await shapes_of(reader)
    wanted = {shape.name: await totals_of(reader, shape) for shape in shapes}
    done, total = 0, sum(totals.rows for totals in wanted.values())
    for shape in shapes:
        await writer.execute(shape.clause.delete())  # what a migration put there
        async for rows in rows_of(reader, shape):
            await insert_rows(writer, shape, rows)
            done += len(rows)
            progress(done, total)
    for shape in shapes:
        _compare(shape, wanted[shape.name], await totals_of(writer, shape))
    return wanted


def _compare(shape: Shape, source: Totals, target: Totals) -> None:
    if source.rows != target.rows:
        raise RefusedError(
            f"{target.rows} rows of {source.rows} arrived in {shape.name}: nothing was kept"
        )
    for name, total in source.sums.items():
        if target.sums.get(name) != total:
            raise RefusedError(
                f"the sum of {name} in {shape.name} is {target.sums.get(name)} instead of "
                f"{total}: nothing was kept"
            )
