"""Everything goes over to another engine, and nothing half-way."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import text

from conduit.gateway.ledger.binding import ForeignJournalError
from conduit.gateway.ledger.lock import LedgerLockedError
from conduit.gateway.maintenance import convert as converting
from conduit.gateway.maintenance.access import RefusedError
from conduit.gateway.maintenance.backup import Progress
from conduit.gateway.maintenance.convert import convert
from conduit.gateway.storage import copying
from conduit.gateway.storage.copying import Row, Shape, Totals
from conduit.gateway.storage.engine import (
    Database,
    Transaction,
    create_engine,
    reading,
    writing,
)
from conduit.gateway.storage.ledger.session import _HOLDER
from conduit.gateway.storage.ledger.statements import StorageFailedError
from conduit.gateway.storage.migrate import migrate, revision_of
from tests.gateway.ledger.building import AT_MS, attempts, claim, opened, violations
from tests.gateway.maintenance.conftest import Installation, calls, crashed, silent
from tests.gateway.maintenance.test_backup import all_rows


async def test_all_rows_and_the_journal_go_over_and_the_gateway_goes_on(
    installation: Installation, target: Database
) -> None:
    ledger = await installation.ledger()
    await calls(ledger, 2)
    await ledger.hold(claim(700))
    await crashed(ledger)
    done = await convert(installation.database, target, installation.folder, silent)
    assert done.journal_records == 7
    assert done.tables["ledger"].rows == 8
    assert done.tables["ledger"].sums["cost_nanodollars"] == 7 * 600
    assert await all_rows(target) == await all_rows(installation.database)
    async with await opened(target, installation.folder) as ledger:
        assert (ledger.recovery.replayed, ledger.recovery.attempts) == (0, 1)
        assert ledger.balance_of("bud_1", AT_MS) == (7 * 600 + 700, 0, 0)
        assert ledger.balance_of("bud_2", AT_MS) == (7 * 600, 0, AT_MS)  # that one was of no group
        await calls(ledger, 1)
        await ledger.caught_up()
        assert len(await attempts(target)) == 9
        assert await violations(target) == []


async def test_a_target_that_is_not_empty_is_refused(
    installation: Installation, target: Database
) -> None:
    await migrate(target)
    with pytest.raises(RefusedError, match="not empty"):
        await convert(installation.database, target, installation.folder, silent)


async def test_a_source_with_an_earlier_schema_is_refused(
    installation: Installation, target: Database
) -> None:
    async with writing(installation.database) as connection:
        await connection.execute(text("update conduit_schema_version set version_num = '0001'"))
    with pytest.raises(RefusedError, match="conduit db migrate first"):
        await convert(installation.database, target, installation.folder, silent)


async def test_a_running_gateway_refuses_it(installation: Installation, target: Database) -> None:
    async with await installation.ledger():
        with pytest.raises(RefusedError, match="stop it first"):
            await convert(installation.database, target, installation.folder, silent)


async def test_nobody_writes_to_the_source_until_the_target_is_there(
    installation: Installation,
    location: str,
    target: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A gateway with another data folder starts when the rows have been read."""
    (tmp_path / "there").mkdir()
    there = create_engine(location)
    really = converting._copy

    async def copying_slowly(
        reader: Transaction, writer: Transaction, progress: Progress
    ) -> dict[str, Totals]:
        tables = await really(reader, writer, progress)
        with pytest.raises(LedgerLockedError, match="another gateway"):
            await opened(there, tmp_path / "there")
        return tables

    monkeypatch.setattr(converting, "_copy", copying_slowly)
    await convert(installation.database, target, installation.folder, silent)
    assert await all_rows(target) == await all_rows(installation.database)
    async with await opened(there, tmp_path / "there") as ledger:
        await calls(ledger, 1)
    await there.dispose()


@pytest.mark.parametrize("kind", ["postgresql"])
async def test_a_claim_on_the_source_that_was_lost_keeps_nothing(
    installation: Installation, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = converting._copy

    async def losing(
        reader: Transaction, writer: Transaction, progress: Progress
    ) -> dict[str, Totals]:
        tables = await really(reader, writer, progress)
        holder = (await reader.execute(_HOLDER)).one()
        ended = await reader.execute(text(f"SELECT pg_terminate_backend({holder.pid}, 10000)"))
        assert ended.scalar_one()
        return tables

    monkeypatch.setattr(converting, "_copy", losing)
    with pytest.raises(StorageFailedError):
        await convert(installation.database, target, installation.folder, silent)
    async with reading(target) as connection:
        assert await revision_of(connection) is None


async def test_rows_that_differ_on_the_other_side_are_noticed_and_nothing_is_kept(
    installation: Installation, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = copying.insert_rows

    async def cheating(connection: Transaction, shape: Shape, rows: Sequence[Row]) -> None:
        await really(connection, shape, rows)
        if shape.name == "ledger":
            await connection.execute(text("update ledger set cost_nanodollars = 601"))

    monkeypatch.setattr(converting, "insert_rows", cheating)
    with pytest.raises(RefusedError, match="the sum of cost_nanodollars in ledger is 3005"):
        await convert(installation.database, target, installation.folder, silent)
    async with reading(target) as connection:
        assert await revision_of(connection) is None


async def test_rows_that_do_not_arrive_are_noticed(
    installation: Installation, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = copying.insert_rows

    async def losing(connection: Transaction, shape: Shape, rows: Sequence[Row]) -> None:
        if shape.name != "keys":
            await really(connection, shape, rows)

    monkeypatch.setattr(converting, "insert_rows", losing)
    with pytest.raises(RefusedError, match="0 rows of 1 arrived in keys"):
        await convert(installation.database, target, installation.folder, silent)


async def test_a_folder_of_another_database_is_refused(
    installation: Installation, target: Database, tmp_path: Path
) -> None:
    await migrate(target)
    with pytest.raises(ForeignJournalError, match="belongs to another database"):
        await opened(target, installation.folder)
