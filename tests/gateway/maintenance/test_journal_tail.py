"""The journal is read while it is written, applied and deleted."""

from pathlib import Path

import pytest

from conduit.gateway.ledger.batches import Position
from conduit.gateway.ledger.journal import journal_path
from conduit.gateway.ledger.reading import JournalDamagedError
from conduit.gateway.ledger.records import ProgressRecord, storable_line
from conduit.gateway.maintenance.journal_tail import open_tail

ONE, TWO, THREE = (storable_line(ProgressRecord(f"att_{n}", n))[1] for n in (1, 2, 3))


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    """Two files, of which the last ends in the midst of a record."""
    journal_path(tmp_path, 4).write_bytes(ONE + TWO)
    journal_path(tmp_path, 5).write_bytes(THREE + ONE[:10])
    return tmp_path


def test_whole_records_behind_a_position_are_read(journals: Path) -> None:
    with open_tail(journals) as tail:
        assert tail.lines_after(Position(4, len(ONE))) == [TWO[:-1], THREE[:-1]]
        assert tail.lines_after(Position(5, len(THREE))) == []
        assert tail.lines_after(Position(0, 0)) == [ONE[:-1], TWO[:-1], THREE[:-1]]


def test_files_that_are_deleted_meanwhile_are_still_read(journals: Path) -> None:
    with open_tail(journals) as tail:
        journal_path(journals, 4).unlink()
        assert tail.lines_after(Position(4, 0)) == [ONE[:-1], TWO[:-1], THREE[:-1]]


def test_files_that_are_begun_meanwhile_are_read_too(journals: Path) -> None:
    with open_tail(journals) as tail:
        journal_path(journals, 6).write_bytes(TWO)
        assert tail.lines_after(Position(5, 0)) == [THREE[:-1], TWO[:-1]]


def test_empty_lines_of_a_full_disk_are_passed_over(journals: Path) -> None:
    journal_path(journals, 5).write_bytes(b"\n\n" + THREE)
    with open_tail(journals) as tail:
        assert tail.lines_after(Position(5, 0)) == [THREE[:-1]]


def test_a_damaged_record_is_told(journals: Path) -> None:
    journal_path(journals, 5).write_bytes(THREE.replace(b"att_3", b"att_4"))
    with open_tail(journals) as tail, pytest.raises(JournalDamagedError, match="doctor ledger"):
        tail.lines_after(Position(5, 0))
