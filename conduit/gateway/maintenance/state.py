"""How a database stands: its schema, its size, its journal and whether it is sound."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from conduit.gateway.ledger.binding import bound_journal
from conduit.gateway.ledger.checks import check_journal, unapplied_bytes
from conduit.gateway.ledger.opening import JOURNAL_FOLDER, worker_folders
from conduit.gateway.maintenance.access import gateway_runs
from conduit.gateway.storage.engine import Database, name_of, reading
from conduit.gateway.storage.ledger.tables import LedgerTables
from conduit.gateway.storage.migrate import HEAD, is_newer, revision_of
from conduit.gateway.storage.upkeep import problems_of, size_of

SchemaState = Literal["current", "behind", "newer", "empty"]


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """`problems` are lines for the operator; none where all is well."""

    engine: str
    location: str
    schema: str | None
    newest_schema: str
    schema_state: SchemaState
    size_bytes: int
    gateway_runs: bool
    journal_file: int | None
    journal_offset: int | None
    journal_unapplied_bytes: int
    problems: tuple[str, ...]

    @property
    def is_well(self) -> bool:
        return self.schema_state == "current" and not self.problems


async def state_of(database: Database, folder: Path) -> DatabaseState:
    """Read all of it; nothing is changed. Raises DatabaseError."""
    async with reading(database) as connection:
        revision = await revision_of(connection)
    state = _schema_state(revision)
    runs = gateway_runs(folder)
    problems: list[str] = []
    position: tuple[int, int] | None = None
    backlog = 0
    if state in ("current", "behind"):
        journal = LedgerTables(database, bound_journal(folder))
        position = await journal.read(lambda reader: reader.position())
        await journal.close()
        journals = folder / JOURNAL_FOLDER
        for each in (journals, *(own / JOURNAL_FOLDER for own in worker_folders(folder))):
            backlog += await unapplied_bytes(database, each)
            if not runs:  # of a journal that is being written the end is not whole
                finding = await check_journal(database, each)
                problems += finding.violations
    if state == "current":
        problems += await problems_of(database)
    return DatabaseState(
        engine=database.dialect.name,
        location=name_of(database),
        schema=revision,
        newest_schema=HEAD,
        schema_state=state,
        size_bytes=await size_of(database),
        gateway_runs=runs,
        journal_file=position[0] if position is not None else None,
        journal_offset=position[1] if position is not None else None,
        journal_unapplied_bytes=backlog,
        problems=tuple(problems),
    )


def _schema_state(revision: str | None) -> SchemaState:
    if revision == HEAD:
        return "current"
    if revision is None:
        return "empty"
    return "newer" if is_newer(revision) else "behind"
