"""A backup holds all there is, and comes back on either engine."""

import asyncio
import gzip
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from conduit.core.errors import LedgerUnavailableError
from conduit.gateway.ledger.binding import ForeignJournalError, bound_journal
from conduit.gateway.ledger.checks import check_database
from conduit.gateway.ledger.journal import journal_numbers
from conduit.gateway.ledger.lock import LedgerLock
from conduit.gateway.ledger.reading import JournalDamagedError
from conduit.gateway.maintenance import work
from conduit.gateway.maintenance.access import RefusedError
from conduit.gateway.maintenance.backup import BackedUp, back_up_to
from conduit.gateway.maintenance.restore import holds_rows, restore
from conduit.gateway.storage.archive import Archive, ArchiveError
from conduit.gateway.storage.copying import POSITIONS, shapes_of
from conduit.gateway.storage.engine import Database, create_engine, reading
from conduit.gateway.storage.ledger.statements import LedgerReader
from conduit.gateway.storage.ledger.tables import LedgerTables
from conduit.gateway.storage.migrate import HEAD, migrate
from conduit.gateway.storage.schema import metadata
from tests import postgresql
from tests.gateway.ledger.building import (
    AT_MS,
    attempts,
    claim,
    ending,
    opened,
    store_budget,
    terms,
    violations,
)
from tests.gateway.maintenance.conftest import Installation, calls, silent


async def all_rows(database: Database) -> dict[str, list[tuple[str, ...]]]:
    """Every table but the positions, as Python values in the order of their keys.

    Without when the database was made: a restore makes another one.
    """
    made = metadata.tables["installation"].c.created_at_ms
    async with reading(database) as connection:
        return {
            name: sorted(
                [
                    tuple(map(repr, row))
                    for row in await connection.execute(
                        select(*(column for column in table.c if column is not made))
                    )
                ]
            )
            for name, table in metadata.tables.items()
            if name != POSITIONS
        }


async def backed_up(of: Installation, path: Path) -> BackedUp:
    return await back_up_to(of.database, of.folder, path, silent)


async def test_everything_comes_back_on_either_engine(
    installation: Installation, target: Database, tmp_path: Path
) -> None:
    done = await backed_up(installation, tmp_path / "b.gz")
    assert done.schema == HEAD
    assert done.tables["requests"] == done.tables["ledger"] == 5
    assert (tmp_path / "b.gz").stat().st_mode & 0o777 == 0o600
    elsewhere = tmp_path / "elsewhere"
    archive = Archive(tmp_path / "b.gz")
    assert archive.sha256 == done.sha256
    restored = await restore(target, elsewhere, archive, silent)
    assert (restored.schema_before, restored.journal_kept) == (None, None)
    assert await all_rows(target) == await all_rows(installation.database)
    async with await opened(target, elsewhere) as ledger:
        assert ledger.recovery.attempts == 0
        assert ledger.balance_of("bud_1", AT_MS) == (3_000, 0, 0)
        await calls(ledger, 1)
        await ledger.caught_up()
        assert await violations(target) == []


async def test_what_only_the_journal_has_is_in_it_while_the_gateway_runs(
    installation: Installation, target: Database, tmp_path: Path
) -> None:
    async with await installation.ledger() as ledger:
        await calls(ledger, 3)
        held = await ledger.hold(claim(700))
        await ledger._journal.drained()
        assert len(await attempts(installation.database)) == 5
        done = await backed_up(installation, tmp_path / "b.gz")
    assert done.journal_records == 3 * 3 + 1
    elsewhere = tmp_path / "elsewhere"
    restored = await restore(target, elsewhere, Archive(tmp_path / "b.gz"), silent)
    assert restored.journal_records == 10
    assert len(await attempts(target)) == 9
    async with await opened(target, elsewhere) as ledger:
        assert ledger.recovery.attempts == 1  # what ran then, as after a crash
        assert ledger.balance_of("bud_1", AT_MS) == (8 * 600 + 700, 0, 0)
        assert (await attempts(target))[held.claim.attempt_id].outcome == "recovered"
        findings, _ = await check_database(target)
        assert all(finding.ok for finding in findings)


async def test_a_restore_replaces_what_was_there_and_keeps_its_journal(
    installation: Installation, tmp_path: Path
) -> None:
    await backed_up(installation, tmp_path / "b.gz")
    before = await all_rows(installation.database)
    async with await installation.ledger() as ledger:
        await calls(ledger, 2)
    assert await holds_rows(installation.database)
    archive = Archive(tmp_path / "b.gz")
    done = await restore(installation.database, installation.folder, archive, silent)
    assert done.schema_before == HEAD
    assert done.journal_kept is not None
    assert journal_numbers(done.journal_kept)
    assert await all_rows(installation.database) == before
    async with await installation.ledger() as ledger:
        assert ledger.balance_of("bud_1", AT_MS) == (3_000, 0, 0)
        await calls(ledger, 1)
    assert await violations(installation.database) == []


async def test_the_journal_that_was_kept_brings_back_what_came_after_the_backup(
    installation: Installation, tmp_path: Path
) -> None:
    await backed_up(installation, tmp_path / "b.gz")
    async with await installation.ledger() as ledger:
        await calls(ledger, 2)
    archive = Archive(tmp_path / "b.gz")
    done = await restore(installation.database, installation.folder, archive, silent)
    assert done.journal_kept is not None
    done.journal_kept.rename(installation.folder / "journal")
    async with await installation.ledger() as ledger:
        assert ledger.balance_of("bud_1", AT_MS) == (7 * 600, 0, 0)
    assert await violations(installation.database) == []


async def taken_in_the_first_file(database: Database, folder: Path, path: Path) -> None:
    """A gateway that never started again: 5 calls applied, 3 more in the backup's journal, 7 later.

    Records of several lengths, so that a position in one file is none in another.
    """
    await store_budget(database, terms(100_000))
    async with await opened(database, folder, apply_interval_s=60.0) as ledger:
        await calls(ledger, 5)
        await ledger.caught_up()
        for length in (11, 14, 17):
            ledger.settle(await ledger.hold(claim(1000, alias="a" * length)), ending(600))
        await ledger._journal.drained()
        done = await back_up_to(database, folder, path, silent)
        assert done.journal_records == 6
        await calls(ledger, 7)
    assert len(await attempts(database)) == 15


async def test_a_first_journal_that_was_kept_is_not_taken_for_the_one_of_the_restored_database(
    database: Database, tmp_path: Path
) -> None:
    await taken_in_the_first_file(database, tmp_path / "data", tmp_path / "b.gz")
    done = await restore(database, tmp_path / "data", Archive(tmp_path / "b.gz"), silent)
    assert len(await attempts(database)) == 8
    assert await LedgerTables(database).read(LedgerReader.positions) == {1: (0, 0)}
    assert done.journal_kept is not None
    done.journal_kept.rename(tmp_path / "data" / "journal")
    async with await opened(database, tmp_path / "data") as ledger:
        assert ledger.balance_of("bud_1", AT_MS) == (15 * 600, 0, 0)
    assert len(await attempts(database)) == 15
    assert await violations(database) == []


async def test_after_a_restore_from_elsewhere_a_folder_has_to_part_from_its_journal(
    database: Database, tmp_path: Path
) -> None:
    """Nor do the two folders take each other's position for their own afterwards."""
    own, other = tmp_path / "data", tmp_path / "elsewhere"
    await taken_in_the_first_file(database, own, tmp_path / "b.gz")
    await restore(database, other, Archive(tmp_path / "b.gz"), silent)
    with pytest.raises(ForeignJournalError, match="before a restore"):
        await opened(database, own)
    assert len(await attempts(database)) == 8
    (own / "journal").rename(own / "journal-before")
    async with await opened(database, own) as ledger:
        assert ledger.balance_of("bud_1", AT_MS) == (8 * 600, 0, 0)
        await calls(ledger, 1)
    assert (bound_journal(own), bound_journal(other)) == (2, 1)
    async with await opened(database, other) as ledger:
        assert ledger.recovery.replayed == 0
        assert ledger.balance_of("bud_1", AT_MS) == (9 * 600, 0, 0)
    assert await violations(database) == []


@pytest.mark.parametrize("kind", ["postgresql"])
async def test_a_gateway_that_had_no_connection_writes_nothing_into_a_restored_database(
    database: Database, location: str, tmp_path: Path
) -> None:
    await taken_in_the_first_file(database, tmp_path / "data", tmp_path / "b.gz")
    there = create_engine(location)
    async with await opened(database, tmp_path / "data") as ledger:
        held = await ledger.hold(claim(1000))
        await ledger.caught_up()
        tables = ledger._applier._tables
        assert isinstance(tables, LedgerTables)
        session = tables._session
        assert session is not None
        assert session._backend is not None
        async with session._turn:  # it comes to its next look, or write, only after this
            pid = session._backend.pid
            ended = f"SELECT pg_terminate_backend({pid}, 10000)"
            await postgresql.execute(postgresql.SERVER, ended)
            await restore(there, tmp_path / "elsewhere", Archive(tmp_path / "b.gz"), silent)
        ledger.settle(held, ending(600))
        with pytest.raises(LedgerUnavailableError, match="restored from a backup"):
            await ledger.caught_up()
        with pytest.raises(LedgerUnavailableError):
            await ledger.hold(claim(1000))
    assert len(await attempts(there)) == 8
    assert await violations(there) == []
    with pytest.raises(ForeignJournalError):
        await opened(there, tmp_path / "data")
    await there.dispose()


async def test_two_restores_at_once_of_a_clock_make_two_databases(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conduit.gateway.maintenance.restore.now_ms", lambda: AT_MS)
    await backed_up(installation, tmp_path / "b.gz")
    seen = []
    for _ in range(3):
        archive = Archive(tmp_path / "b.gz")
        await restore(installation.database, installation.folder, archive, silent)
        seen.append(await LedgerTables(installation.database).read(LedgerReader.created_at_ms))
    assert len(set(seen)) == 3


_KILLED_IN_A_RESTORE = """
import asyncio, os, signal, sys
from pathlib import Path
from conduit.gateway.maintenance import restore as work
from conduit.gateway.storage.archive import Archive
from conduit.gateway.storage.engine import create_engine

url, folder, archive, where = sys.argv[1:]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def die_later(*_):
    die()

if where == "rows":
    progress = die
else:
    progress = lambda *_: None
    setattr(work, where, die_later if where in ("write_within", "_make_durable") else die)
asyncio.run(work.restore(create_engine(url), Path(folder), Archive(Path(archive)), progress))
"""


@pytest.mark.parametrize(
    ("where", "rows", "starts"),
    [
        ("rows", 15, True),
        ("write_within", 15, True),
        ("_make_durable", 8, False),
        ("_put_aside", 8, False),
        ("write_binding", 8, True),
    ],
)
async def test_a_restore_that_is_killed_leaves_the_old_or_the_new_state(
    database: Database, location: str, tmp_path: Path, where: str, rows: int, starts: bool
) -> None:
    folder, path = tmp_path / "data", tmp_path / "b.gz"
    await taken_in_the_first_file(database, folder, path)
    arguments = (location, str(folder), str(path), where)
    command = [sys.executable, "-c", _KILLED_IN_A_RESTORE, *arguments]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    if not starts:
        with pytest.raises(ForeignJournalError, match="before a restore"):
            await opened(database, folder)
        (folder / "journal").rename(folder / "journal-before")
    async with await opened(database, folder) as ledger:
        assert ledger.recovery.replayed == 0
        assert ledger.balance_of("bud_1", AT_MS) == (rows * 600, 0, 0)
        await calls(ledger, 1)
    assert len(await attempts(database)) == rows + 1
    assert await violations(database) == []


async def test_a_running_gateway_refuses_a_restore(
    installation: Installation, tmp_path: Path
) -> None:
    await backed_up(installation, tmp_path / "b.gz")
    archive = Archive(tmp_path / "b.gz")
    async with await installation.ledger():
        with pytest.raises(RefusedError, match="stop it first"):
            await restore(installation.database, installation.folder, archive, silent)
    LedgerLock(installation.folder / "ledger.lock").release()


async def test_a_gateway_with_another_data_folder_refuses_it_too(
    installation: Installation, location: str, tmp_path: Path
) -> None:
    await backed_up(installation, tmp_path / "b.gz")
    here = create_engine(location)
    async with await installation.ledger() as ledger:
        await ledger.hold(claim(700))
        with pytest.raises(RefusedError, match="another gateway"):
            await restore(here, tmp_path / "here", Archive(tmp_path / "b.gz"), silent)
        for refused in (
            work.upgrade(location, tmp_path / "here", None),
            work.check_ledger(location, tmp_path / "here"),
        ):
            with pytest.raises(RefusedError, match="another gateway"):
                await refused
        await ledger.caught_up()
        assert len(await attempts(here)) == 6
    await restore(here, tmp_path / "here", Archive(tmp_path / "b.gz"), silent)
    await here.dispose()


async def test_a_restore_that_fails_leaves_everything_as_it_was(
    installation: Installation, tmp_path: Path
) -> None:
    await backed_up(installation, tmp_path / "b.gz")
    before = await all_rows(installation.database)

    class StopError(Exception):
        pass

    def stop(_done: int, _total: int) -> None:
        raise StopError

    with pytest.raises(StopError):
        await restore(installation.database, installation.folder, Archive(tmp_path / "b.gz"), stop)
    assert await all_rows(installation.database) == before
    async with await installation.ledger() as ledger:
        assert ledger.balance_of("bud_1", AT_MS) == (3_000, 0, 0)


async def test_a_damaged_journal_is_not_backed_up_in_silence(
    installation: Installation, tmp_path: Path
) -> None:
    async with await installation.ledger() as ledger:
        await calls(ledger, 1)
        await ledger._journal.drained()
        path = installation.folder / "journal" / ledger.state().journal_file
        sound = path.read_bytes()
        path.write_bytes(sound.replace(b'"settle"', b'"sattle"', 1))
        with pytest.raises(JournalDamagedError, match="damaged"):
            await backed_up(installation, tmp_path / "b.gz")
        assert not list(tmp_path.glob("*b.gz*"))
        path.write_bytes(sound)


async def test_an_empty_database_has_no_backup(target: Database, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="empty"):
        await back_up_to(target, tmp_path, tmp_path / "b.gz", silent)


def _rewritten(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(change(lines))))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:-1], "ends early"),
        (lambda lines: [*lines[:2], *lines[3:]], "SHA-256"),
        (lambda lines: [lines[0].replace(b'"0', b'"9'), *lines[1:]], "SHA-256"),
        (lambda lines: [b'{"conduit-backup":2}\n', *lines[1:]], "later release"),
        (lambda lines: [b"{}\n"], "not a backup"),
        (lambda lines: [], "ends early"),
        (lambda lines: [b"nonsense"], "not a backup"),
    ],
)
async def test_a_file_that_is_not_whole_is_refused_before_anything_is_changed(
    tmp_path: Path, database: Database, change: Callable[[list[bytes]], list[bytes]], said: str
) -> None:
    path = tmp_path / "b.gz"
    await back_up_to(database, tmp_path, path, silent)
    _rewritten(path, change)
    with pytest.raises(ArchiveError, match=said):
        Archive(path)


@pytest.mark.parametrize("size", [0.5, 0.99])
async def test_a_file_that_was_cut_is_refused(
    tmp_path: Path, database: Database, size: float
) -> None:
    path = tmp_path / "b.gz"
    await back_up_to(database, tmp_path, path, silent)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * size)])
    with pytest.raises(ArchiveError, match="ends early"):
        Archive(path)


async def test_a_backup_of_an_earlier_schema_is_brought_to_the_present_one(
    tmp_path: Path, location: str, target: Database
) -> None:
    early = create_engine(location)
    await migrate(early, "0001")
    done = await back_up_to(early, tmp_path, tmp_path / "b.gz", silent)
    await early.dispose()
    assert done.schema == "0001"
    await restore(target, tmp_path / "there", Archive(tmp_path / "b.gz"), silent)
    await migrate(target)
    async with reading(target) as connection:
        names = {shape.name for shape in await shapes_of(connection)}
    assert names == set(metadata.tables)


async def test_a_backup_of_a_later_schema_is_refused(
    tmp_path: Path, database: Database, target: Database
) -> None:
    path = tmp_path / "b.gz"
    await back_up_to(database, tmp_path, path, silent)
    archive = Archive(path)
    object.__setattr__(archive.header, "schema", "9999")
    with pytest.raises(RefusedError, match="9999, which is newer"):
        await restore(target, tmp_path / "there", archive, silent)


async def test_no_secret_is_in_a_backup_but_as_the_database_has_it(
    installation: Installation, tmp_path: Path
) -> None:
    await backed_up(installation, tmp_path / "b.gz")
    header = json.loads(gzip.decompress((tmp_path / "b.gz").read_bytes()).splitlines()[0])
    assert header["engine"] == installation.database.dialect.name
    assert "sealing" not in gzip.decompress((tmp_path / "b.gz").read_bytes()).decode()
