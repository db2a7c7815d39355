"""The journal on a real disk, full ones too."""

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.ledger import journal as journal_module
from conduit.gateway.ledger.batches import Position, WrittenRecords
from conduit.gateway.ledger.journal import (
    Journal,
    JournalUnwritableError,
    journal_numbers,
)
from conduit.gateway.ledger.reading import JournalReader
from conduit.gateway.ledger.records import ProgressRecord, Record, storable_line


def note(number: int) -> ProgressRecord:
    return ProgressRecord(f"att_{number:04d}", number)


def stored(folder: Path) -> tuple[Record, ...]:
    return JournalReader(folder, Position(1, 0)).read(10_000).records


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Writes beyond `size` are cut short, then fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def failing(journal: Journal) -> bool:
    return journal.failure is not None


def written_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each write from now on."""
    sizes: list[int] = []
    write = os.write

    def counted(descriptor: int, data: bytes) -> int:
        sizes.append(len(data))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", counted)
    return sizes


async def test_records_of_one_turn_leave_in_one_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, 1, sync="off")
    writes = written_sizes(monkeypatch)
    for number in range(5):
        journal.append(note(number))
    assert stored(tmp_path) == ()
    await journal.drained()
    assert len(writes) == 1
    assert stored(tmp_path) == tuple(note(n) for n in range(5))
    await journal.close()


async def test_append_now_has_written_all_that_waited_when_it_returns(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, sync="off")
    journal.append(note(1))
    journal.append_now(note(2))
    assert stored(tmp_path) == (note(1), note(2))
    assert journal.position == (1, journal.path.stat().st_size)
    await journal.close()


async def test_those_who_wait_for_their_records_share_one_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, 1, sync="off")
    counted = written_sizes(monkeypatch)
    asked = [journal.append_awaited(note(number)) for number in range(5)]
    assert not any(each.done() for each in asked)
    await asyncio.gather(*asked)
    assert len(counted) == 1
    assert stored(tmp_path) == tuple(note(n) for n in range(5))
    await journal.close()


async def test_a_record_that_has_no_line_keeps_no_other_from_being_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path, 1, sync="off")
    wrong = ProgressRecord("att_wrong", cast(int, object()))
    journal.append(note(1))
    journal.append(wrong)
    refused, written = journal.append_awaited(wrong), journal.append_awaited(note(2))
    assert journal.waiting == 4
    with pytest.raises(JournalUnwritableError):
        await refused
    await written
    with pytest.raises(JournalUnwritableError):
        journal.append_now(wrong)
    journal.append_now(note(3))
    assert journal.waiting == 0
    assert not failing(journal)
    assert stored(tmp_path) == (note(1), note(2), note(3))
    assert [each.message for each in caplog.records] == [
        "a ProgressRecord has no line in the journal"
    ] * 3
    await journal.close()


async def test_a_full_disk_refuses_only_what_somebody_waits_for(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, sync="off")
    with files_no_larger_than(5):
        first, gone = (journal.append_awaited(note(number)) for number in (1, 2))
        journal.append(note(3))
        last = journal.append_awaited(note(4))
        gone.cancel()
        for refused in (first, last, journal.append_awaited(note(5))):
            with pytest.raises(JournalUnwritableError):
                await refused
        assert journal.waiting == 2
    await journal.drained()
    await journal.append_awaited(note(6))
    assert stored(tmp_path) == (note(2), note(3), note(6))
    await journal.close()


async def test_a_disk_that_was_full_for_awaited_records_alone_is_tried_again(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path, 1, sync="off")
    with files_no_larger_than(5):
        for refused in [journal.append_awaited(note(number)) for number in (1, 2)]:
            with pytest.raises(JournalUnwritableError):
                await refused
        assert failing(journal)
    await journal.drained()
    assert not failing(journal)
    await journal.append_awaited(note(3))
    assert stored(tmp_path) == (note(3),)
    await journal.close()


async def test_a_full_disk_refuses_the_record_and_leaves_no_torn_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, sync="off")
    journal.append_now(note(1))
    size = journal.path.stat().st_size
    with files_no_larger_than(size + 10):
        with pytest.raises(JournalUnwritableError):
            journal.append_now(note(2))
        assert journal.path.stat().st_size == size
        assert failing(journal)
        with pytest.raises(JournalUnwritableError):
            journal.append_now(note(3))
        first = journal._timers["retry"]
        while journal._timers["retry"] is first:  # it fails too, and there is another one
            await asyncio.sleep(0.01)
        assert failing(journal)
    await journal.drained()
    assert not failing(journal)
    journal.append_now(note(4))
    assert stored(tmp_path) == (note(1), note(4))
    await journal.close()


async def test_what_was_appended_on_a_full_disk_is_written_once_there_is_room(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path, 1, sync="off")
    with files_no_larger_than(5):
        journal.append(note(1))
        journal.flush()
        journal.append(note(2))
        waiting = asyncio.ensure_future(journal.drained())
        gone = asyncio.ensure_future(journal.drained())
        await asyncio.sleep(0)
        gone.cancel()
        assert journal.waiting == 2
    await waiting
    assert stored(tmp_path) == (note(1), note(2))
    await journal.close()


async def test_more_than_one_write_takes_wait_for_room_and_stay_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, sync="off")
    start = journal.position
    count = 2 * journal_module._MOST_TOGETHER + 7
    with files_no_larger_than(5):
        for number in range(count):
            journal.append(note(number))
        journal.flush()
        assert (journal.waiting, failing(journal)) == (count, True)
    first = b"".join(storable_line(note(n))[1] for n in range(journal_module._MOST_TOGETHER))
    with files_no_larger_than(len(first) + 5):  # room for a part of them
        journal.flush()
        assert journal.waiting == count - journal_module._MOST_TOGETHER
        with pytest.raises(JournalUnwritableError):
            journal.append_now(note(count))
    await journal.drained()
    journal.append_now(note(count))
    everything = tuple(note(n) for n in range(count + 1))
    assert stored(tmp_path) == everything
    batch = journal.written.after(start, 10_000)
    assert batch is not None
    assert (batch.records, batch.position) == (everything, journal.position)
    await journal.close()


class FailingDisk:
    """Takes all of a write, none of it, or so many bytes, as it is told."""

    def __init__(self) -> None:
        self.room: int | None = None

    def write(self, descriptor: int, data: bytes, *, write: Any = os.write) -> int:
        if self.room == 0:
            raise OSError(28, "No space left on device")
        return int(write(descriptor, data if self.room is None else data[: self.room]))


steps = st.lists(
    st.sampled_from(["append", "await", "now", "cancel", "turn", "flush", "full", "short", "room"]),
    max_size=60,
)


@given(steps, st.sampled_from([1, 2, 500]))
def test_whatever_the_disk_does_a_record_is_there_once_or_its_caller_hears_that_it_is_not(
    tmp_path_factory: pytest.TempPathFactory, taken: list[str], together: int
) -> None:
    folder, disk = tmp_path_factory.mktemp("journal"), FailingDisk()
    kept: list[int] = []  # those that nobody waits for, or that somebody did not wait for any more
    asked: dict[int, asyncio.Future[None]] = {}

    async def play() -> None:
        journal = Journal(folder, 1, sync="off", rotate_bytes=300)
        for number, step in enumerate(taken):
            if step == "append":
                journal.append(note(number))
                kept.append(number)
            elif step == "await":
                asked[number] = journal.append_awaited(note(number))
            elif step == "now":
                with suppress(JournalUnwritableError):
                    journal.append_now(note(number))
                    kept.append(number)
            elif step == "cancel" and asked:
                asked[max(asked)].cancel()
            elif step == "turn":
                await asyncio.sleep(0)
            elif step == "flush":
                journal.flush()
            else:
                disk.room = {"full": 0, "short": number + 1}.get(step)
        disk.room = None
        await journal.drained()
        await journal.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", disk.write)
        patch.setattr(journal_module, "_MOST_TOGETHER", together)
        asyncio.run(play())
    told = [n for n, each in asked.items() if each.cancelled() or each.exception() is None]
    refused = [n for n, each in asked.items() if not each.cancelled() and each.exception()]
    there = [int(record.output_tokens) for record in stored(folder)]  # type: ignore[union-attr]
    assert there == sorted({*kept, *told})
    assert not {*refused} & {*there}


async def test_a_refused_record_does_not_take_those_with_it_that_wait(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, sync="off")
    journal.append(note(1))
    with files_no_larger_than(5), pytest.raises(JournalUnwritableError):
        journal.append_now(note(2))
    await journal.drained()
    assert stored(tmp_path) == (note(1),)
    await journal.close()


async def test_a_torn_line_that_cannot_be_truncated_at_once_is_truncated_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, 1, sync="off")
    journal.append_now(note(1))
    truncate = os.ftruncate

    def broken(_descriptor: int, _size: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "ftruncate", broken)
    with (
        files_no_larger_than(journal.position.offset + 10),
        pytest.raises(JournalUnwritableError),
    ):
        journal.append_now(note(2))
    assert journal.path.stat().st_size == journal.position.offset + 10
    monkeypatch.setattr(os, "ftruncate", truncate)
    await journal.drained()
    journal.append_now(note(3))
    assert stored(tmp_path) == (note(1), note(3))
    await journal.close()


async def test_what_cannot_be_written_at_the_end_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path, 1, sync="interval")
    with files_no_larger_than(5):
        journal.append(note(1))
        await journal.close()
    assert "1 journal records could not be written" in caplog.text


async def test_a_file_that_is_large_enough_is_followed_by_another(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, sync="interval", rotate_bytes=100)
    for number in range(10):
        journal.append_now(note(number))
    await journal.synced()
    assert len(journal_numbers(tmp_path)) > 2
    assert stored(tmp_path) == tuple(note(n) for n in range(10))
    await journal.close()


async def test_where_no_new_file_can_be_made_the_present_one_serves_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, 1, sync="off", rotate_bytes=10)
    (tmp_path / "00000002.log").mkdir()
    journal.append_now(note(1))
    assert journal.position.file == 1
    (tmp_path / "00000002.log").rmdir()
    journal.append_now(note(2))
    assert journal.position == (2, 0)
    await journal.close()


async def test_one_sync_serves_all_who_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(journal_module, "_fdatasync", syncs.append)
    journal = Journal(tmp_path, 1, sync="always")

    async def written(number: int) -> None:
        journal.append_now(note(number))
        await journal.synced()

    await asyncio.gather(*(written(number) for number in range(50)))
    assert 1 <= len(syncs) <= 3
    await journal.close()


async def test_a_sync_follows_a_write_within_the_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(
        journal_module, "_fdatasync", lambda _: loop.call_soon_threadsafe(synced.set)
    )
    journal = Journal(tmp_path, 1, sync="interval")
    journal.append(note(1))
    await asyncio.wait_for(synced.wait(), 5)
    await journal.close()


async def test_a_disk_that_cannot_sync_is_a_failure_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    journal = Journal(tmp_path, 1, sync="always")
    journal.append_now(note(1))
    monkeypatch.setattr(journal_module, "_fdatasync", broken)
    with pytest.raises(JournalUnwritableError, match="Input/output error"):
        await journal.synced()
    with pytest.raises(JournalUnwritableError):
        journal.append_now(note(2))
    monkeypatch.setattr(journal_module, "_fdatasync", os.fsync)
    while failing(journal):
        await asyncio.sleep(0.01)
    journal.append_now(note(3))
    await journal.close()
    assert stored(tmp_path) == (note(1), note(3))


def followed(journal: Journal, position: Position, limit: int) -> tuple[list[Record], Position]:
    """What a follower takes from a position on, and how far it has come then."""
    kept: list[Record] = []
    while (batch := journal.written.after(position, limit)) is not None:
        kept += batch.records
        assert position.file != batch.position.file or batch.size == batch.position.offset - (
            position.offset
        )
        position = batch.position
    return kept, position


@given(
    writes=st.lists(st.integers(1, 4), max_size=30),
    looks=st.sets(st.integers(0, 29)),
    limit=st.integers(1, 9),
    most=st.integers(1, 40),
    rotate_bytes=st.integers(100, 2000),
)
def test_what_is_kept_of_the_written_is_what_the_files_hold(
    tmp_path_factory: pytest.TempPathFactory,
    writes: list[int],
    looks: set[int],
    limit: int,
    most: int,
    rotate_bytes: int,
) -> None:
    folder = tmp_path_factory.mktemp("journal")

    async def follow() -> None:
        journal = Journal(folder, 1, sync="off", rotate_bytes=rotate_bytes)
        journal.written = WrittenRecords(most)
        number, position = 0, journal.position
        for turn, count in enumerate(writes):
            for _ in range(count):
                number += 1
                journal.append(note(number))
            journal.flush()
            if turn in looks:
                kept, reached = followed(journal, position, limit)
                read = JournalReader(folder, position).read(10_000, journal.position).records
                assert tuple(kept) == read[: len(kept)]
                assert (
                    not kept
                    or reached == journal.position
                    or reached.file < (journal.position.file)
                )
                position = reached if kept else position
        await journal.close()
        assert len(stored(folder)) == sum(writes)

    asyncio.run(follow())


async def test_a_follower_that_is_close_needs_no_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, sync="off")
    start = journal.position
    for number in range(5):
        journal.append_now(note(number))
    journal.path.unlink()
    batch = journal.written.after(start, 3)
    assert batch is not None
    assert batch.records == (note(0), note(1), note(2))
    rest = journal.written.after(batch.position, 3)
    assert rest is not None
    assert (rest.records, rest.position) == ((note(3), note(4)), journal.position)
    assert journal.written.after(rest.position, 3) is None
    await journal.close()


async def test_a_record_that_was_refused_is_not_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, sync="off")
    start = journal.position
    journal.append_now(note(1))
    with files_no_larger_than(journal.position.offset), pytest.raises(JournalUnwritableError):
        journal.append_now(note(2))
    await journal.drained()
    journal.append_now(note(3))
    batch = journal.written.after(start, 10)
    assert batch is not None
    assert (batch.records, batch.position) == ((note(1), note(3)), journal.position)
    assert stored(tmp_path) == (note(1), note(3))
    await journal.close()


async def test_what_cannot_be_stored_is_kept_as_it_is_stored(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, sync="off")
    start = journal.position
    journal.append_now(ProgressRecord("att_\0\ud800", 1))
    batch = journal.written.after(start, 1)
    assert batch is not None
    assert batch.records == stored(tmp_path)
    await journal.close()
