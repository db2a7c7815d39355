"""A journal belongs to one database, and a database may have had several journals."""

import shutil
from pathlib import Path

import pytest

from conduit.gateway.ledger.binding import (
    FILE_NAME,
    Binding,
    ForeignJournalError,
    bound_journal,
    read_binding,
    write_binding,
)
from conduit.gateway.storage.engine import Database, create_engine
from conduit.gateway.storage.ledger.statements import LedgerReader
from conduit.gateway.storage.ledger.tables import LedgerTables
from conduit.gateway.storage.migrate import migrate
from tests import postgresql
from tests.gateway.ledger.building import (
    AT_MS,
    attempts,
    claim,
    ending,
    opened,
    terms,
    violations,
)


async def test_a_folder_is_bound_once(engine: Database, tmp_path: Path) -> None:
    await (await opened(engine, tmp_path)).close()
    binding = read_binding(tmp_path)
    assert binding is not None
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    await (await opened(engine, tmp_path)).close()
    assert read_binding(tmp_path) == binding
    assert bound_journal(tmp_path) == binding.journal == 1


async def test_a_folder_that_comes_back_is_applied_from_where_it_had_been(
    engine: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The gateway moves to another machine after a crash, and back."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    ledger = await opened(engine, here, terms(), apply_interval_s=60.0)
    done, cut = await ledger.hold(claim(500)), await ledger.hold(claim(70))
    await ledger.caught_up()
    ledger.settle(done, ending(400))
    late = await ledger.hold(claim(30))
    ledger.settle(late, ending(20))
    await ledger._applier.stop()  # a crash: what follows the first two holds is in `here` alone
    await ledger._journal.close()
    ledger._lock.release()
    async with await opened(engine, there) as ledger:
        assert "new to the database" in caplog.text
        assert ledger.recovery.attempts == 2  # charged at their holds
        other = await ledger.hold(claim(5))
        ledger.settle(other, ending(5))
    assert bound_journal(there) == 2
    async with await opened(engine, here) as ledger:
        assert ledger.recovery.replayed == 3
        assert ledger.balance_of("bud_1", AT_MS) == (500 + 70 + 5 + 20, 0, 0)
    rows = await attempts(engine)
    assert rows[done.claim.attempt_id].outcome == "recovered"
    assert rows[cut.claim.attempt_id].outcome == "recovered"
    assert rows[late.claim.attempt_id].cost_nanodollars == 20
    assert await violations(engine) == []
    positions = await LedgerTables(engine).read(LedgerReader.positions)
    assert set(positions) == {1, 2}


async def test_a_journal_of_another_database_is_refused(
    engine: Database, kind: str, tmp_path: Path
) -> None:
    async with await opened(engine, tmp_path) as ledger:
        await ledger.hold(claim())
    async with postgresql.database_url(kind, tmp_path / "other.db") as url:
        other = create_engine(url)
        await migrate(other)
        with pytest.raises(ForeignJournalError, match="conduit db convert"):
            await opened(other, tmp_path)
        shutil.rmtree(tmp_path / "journal")
        async with await opened(other, tmp_path) as ledger:
            await ledger.hold(claim())
            await ledger.caught_up()
        assert len(await attempts(other)) == 1
        await other.dispose()


async def test_a_folder_from_before_there_were_bindings_has_the_first_journal(
    engine: Database, tmp_path: Path
) -> None:
    async with await opened(engine, tmp_path) as ledger:
        await ledger.hold(claim())
    (tmp_path / FILE_NAME).unlink()
    async with await opened(engine, tmp_path) as ledger:
        assert ledger.recovery.replayed == 0
    assert bound_journal(tmp_path) == 1


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"database_ms": "x", "journal": 1}'])
def test_a_binding_that_cannot_be_read_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(ForeignJournalError, match=r"ledger\.json"):
        read_binding(tmp_path)


def test_a_binding_is_written_whole(tmp_path: Path) -> None:
    write_binding(tmp_path, Binding(5, 1))
    write_binding(tmp_path, Binding(7, 2))
    assert read_binding(tmp_path) == Binding(7, 2)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
