"""Reading journals, torn and damaged ones too."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.ledger.batches import BATCH_BYTES, Position
from conduit.gateway.ledger.journal import journal_path
from conduit.gateway.ledger.reading import JournalDamagedError, JournalReader
from conduit.gateway.ledger.records import ProgressRecord, ReplyRecord, storable_line

NOTES = [ProgressRecord(f"att_{n}", n) for n in range(6)]
LINES = [storable_line(note)[1] for note in NOTES]


def write(folder: Path, number: int, content: bytes) -> None:
    journal_path(folder, number).write_bytes(content)


def test_files_are_read_in_order_and_in_batches(tmp_path: Path) -> None:
    write(tmp_path, 3, b"".join(LINES[:2]))
    write(tmp_path, 4, b"\n" + LINES[2])
    write(tmp_path, 7, b"".join(LINES[3:]))
    reader = JournalReader(tmp_path, Position(0, 0))
    batches = [reader.read(4), reader.read(4), reader.read(4)]
    assert [list(b.records) for b in batches] == [NOTES[:4], NOTES[4:], []]
    assert sum(b.size for b in batches) == sum(map(len, LINES)) + 1
    assert batches[-1].position == (7, sum(map(len, LINES[3:])))


def test_records_that_are_large_are_read_a_few_at_a_time(tmp_path: Path) -> None:
    replies = [ReplyRecord(b"d", "key_1", n, bytes(1 << 20)) for n in range(9)]
    lines = [storable_line(reply)[1] for reply in replies]
    write(tmp_path, 1, b"".join(lines[:3]))
    write(tmp_path, 2, b"".join(lines[3:]) + b"\n" * BATCH_BYTES + LINES[0] + LINES[1])
    reader = JournalReader(tmp_path, Position(0, 0))
    batches = []
    while (batch := reader.read(1_000)).records:
        batches.append(batch)
    assert [len(batch.records) for batch in batches] == [6, 3, 2]
    assert [each for batch in batches for each in batch.records] == [*replies, *NOTES[:2]]
    assert max(batch.size for batch in batches[:1]) < BATCH_BYTES + 2 * len(lines[0])


def test_nothing_behind_the_end_of_a_running_journal_is_read(tmp_path: Path) -> None:
    write(tmp_path, 1, LINES[0] + LINES[1] + LINES[2][:7])
    write(tmp_path, 2, LINES[3])
    reader = JournalReader(tmp_path, Position(1, 0))
    end = Position(1, len(LINES[0]))
    assert reader.read(9, end).records == (NOTES[0],)
    assert reader.read(9, Position(1, len(LINES[0] + LINES[1]))).records == (NOTES[1],)
    assert reader.read(9, Position(1, len(LINES[0] + LINES[1]))).records == ()


def test_an_offset_behind_the_end_of_a_file_reads_on_with_the_next(tmp_path: Path) -> None:
    write(tmp_path, 1, LINES[0])
    write(tmp_path, 2, LINES[1])
    assert JournalReader(tmp_path, Position(1, 10_000)).read(9).records == (NOTES[1],)


@given(st.integers(1, len(LINES[2]) - 1), st.sampled_from([b"", b"\x00" * 40, b"\xff\n\x00"]))
def test_a_torn_end_is_cut_off(
    tmp_path_factory: pytest.TempPathFactory, cut: int, garbage: bytes
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    write(folder, 1, LINES[0] + LINES[1] + LINES[2][:cut] + garbage)
    write(folder, 2, LINES[3])
    reader = JournalReader(folder, Position(1, 0), mend=True)
    assert reader.read(9).records == (NOTES[0], NOTES[1], NOTES[3])
    assert journal_path(folder, 1).read_bytes() == LINES[0] + LINES[1]


def test_damage_before_readable_records_stops_with_the_file_and_the_offset(
    tmp_path: Path,
) -> None:
    content = LINES[0] + LINES[1].replace(b"att", b"tta") + LINES[2]
    write(tmp_path, 1, content)
    with pytest.raises(JournalDamagedError) as caught:
        JournalReader(tmp_path, Position(1, 0), mend=True).read(9)
    assert str(journal_path(tmp_path, 1)) in str(caught.value)
    assert f"at byte {len(LINES[0])}" in str(caught.value)
    assert "1 readable records follow" in str(caught.value)
    assert journal_path(tmp_path, 1).read_bytes() == content


def test_what_the_message_advises_gives_up_the_damaged_record_alone(tmp_path: Path) -> None:
    write(tmp_path, 1, LINES[0] + LINES[1][5:] + LINES[2])
    lines = journal_path(tmp_path, 1).read_bytes().splitlines(keepends=True)
    write(tmp_path, 1, lines[0] + lines[2])
    reader = JournalReader(tmp_path, Position(1, 0), mend=True)
    assert reader.read(9).records == (NOTES[0], NOTES[2])


def test_a_running_journal_is_never_mended(tmp_path: Path) -> None:
    write(tmp_path, 1, LINES[0] + LINES[1][:9])
    end = Position(1, len(LINES[0]) + 9)
    with pytest.raises(JournalDamagedError):
        JournalReader(tmp_path, Position(1, 0), mend=True).read(9, end)
    with pytest.raises(JournalDamagedError):
        JournalReader(tmp_path, Position(1, 0)).read(9)


def test_a_folder_without_files_has_no_records(tmp_path: Path) -> None:
    assert JournalReader(tmp_path, Position(0, 0)).read(9).records == ()
