"""The append-only files that hold every record before anything is sent to a provider."""

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from conduit.gateway.ledger.batches import Position, WrittenRecords
from conduit.gateway.ledger.records import Record, storable_line, storable_lines

log = logging.getLogger(__name__)

Sync = Literal["interval", "always", "off"]

ROTATE_BYTES = 64 << 20
SHARE_FOR_REPLIES = 4
"""The part of the bytes that may wait for the database up to which whole replies are written."""

_MOST_TOGETHER = 500  # in one write: after a failure all that wait is tried again and again
_SYNC_INTERVAL_S = 0.05
_RETRY_S = 0.25
# Neither macOS nor Windows has fdatasync.
_fdatasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


class JournalUnwritableError(Exception):
    """A record could not be written; it is not in the journal."""


def journal_path(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.log"


def journal_numbers(folder: Path) -> list[int]:
    """The numbers of the journal files in a folder, ascending."""
    return sorted(int(path.stem) for path in folder.glob("*.log") if path.stem.isdigit())


class Journal:
    """Appends records to the newest file of a folder; belongs to one event loop.

    Records of one turn of the loop leave in one write at its end; `append_now` writes at once. A
    write that fails or is cut short (a full disk) is undone by truncating to the last good byte:
    the records stay in memory and are tried again every 250 ms until they are written, but for
    those of which somebody waits to hear.
    """

    def __init__(
        self,
        folder: Path,
        number: int,
        *,
        sync: Sync = "interval",
        rotate_bytes: int = ROTATE_BYTES,
    ) -> None:
        self._folder = folder
        self._sync = sync
        self._rotate_bytes = rotate_bytes
        self.on_written: Callable[[], None] = lambda: None
        self.written = WrittenRecords()
        self._loop = asyncio.get_running_loop()
        self._number = number
        self._descriptor = os.open(journal_path(folder, number), _APPEND, 0o600)
        self._offset = os.fstat(self._descriptor).st_size
        self._end = Position(number, self._offset)
        self._retired: list[int] = []  # descriptors of earlier files that are not synced yet
        self._folder_synced = False
        # With the future of who waits to hear of it, if anybody does.
        self._waiting: list[tuple[Record, asyncio.Future[None] | None]] = []
        self._blank = b""  # written where no record waits, to see whether there is room again
        self._scheduled = False
        self._torn = False  # bytes of a failed write may stand behind the last good one
        self._write_failure: str | None = None
        self._sync_failure: str | None = None
        self._bytes = 0
        self._synced_bytes = 0
        self._sync_task: asyncio.Task[None] | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._drained: list[asyncio.Future[None]] = []

    @property
    def position(self) -> Position:
        """The end of what has been written."""
        return self._end

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def path(self) -> Path:
        return journal_path(self._folder, self._number)

    @property
    def bytes_written(self) -> int:
        """Since this object was made, over all files."""
        return self._bytes

    @property
    def waiting(self) -> int:
        """Records in memory that have not been written yet."""
        return len(self._waiting)

    @property
    def failure(self) -> str | None:
        """Why nothing can be written now, None while all is well."""
        return self._write_failure or self._sync_failure

    def append(self, record: Record) -> None:
        """Write the record at the end of this turn of the loop, or as soon as it can be."""
        self._append(record, None)

    def append_awaited(self, record: Record) -> asyncio.Future[None]:
        """Write the record at the end of this turn of the loop; done once it has been written.

        One write for all calls of a turn costs a seventh of a request less than one for each. It
        fails with JournalUnwritableError, and the record is not in the journal then. Who no longer
        waits leaves the record to be written all the same.
        """
        written = self._loop.create_future()
        if (failure := self.failure) is not None:
            written.set_exception(JournalUnwritableError(failure))
            return written
        self._append(record, written)
        return written

    def append_now(self, record: Record) -> None:
        """Write the record, and those that wait, before returning. Raises JournalUnwritableError.

        While earlier records cannot be written the error is raised without trying.
        """
        if (failure := self.failure) is not None:
            raise JournalUnwritableError(failure)
        written = self._loop.create_future()
        self._waiting.append((record, written))
        self.flush()
        written.result()

    def flush(self) -> None:
        """Write all records that wait; a failure is kept in `failure` and tried again."""
        self._scheduled = False
        while self._waiting or self._blank:
            records, lines = self._lines()
            if not lines:
                continue  # none of them has a line: they have been given up
            if not self._write(lines):
                break
            self._written(records, len(lines))

    def sync_soon(self) -> None:
        """Let what is written reach the disk within 50 ms, without anybody waiting for it."""
        self._later("sync", _SYNC_INTERVAL_S, self._start_sync)

    async def synced(self) -> None:
        """Wait until everything written so far is on the disk; one sync serves all who wait.

        Raises JournalUnwritableError when the disk reports an error.
        """
        wanted = self._bytes
        while self._synced_bytes < wanted:
            await asyncio.shield(self._start_sync())
            if self._sync_failure is not None:
                raise JournalUnwritableError(self._sync_failure)

    async def drained(self) -> None:
        """Wait until no record waits in memory."""
        self.flush()
        if self._write_failure is not None:
            written = self._loop.create_future()
            self._drained.append(written)
            await written

    async def close(self) -> None:
        """Write and sync what can be, and close the files."""
        self.flush()
        if self._sync_task is not None:
            await self._sync_task
        if self._sync != "off":
            await self._start_sync()
        for timer in self._timers.values():
            timer.cancel()
        if self._waiting:
            log.error("%d journal records could not be written: %s", self.waiting, self.failure)
        for descriptor in (*self._retired, self._descriptor):
            os.close(descriptor)

    def _append(self, record: Record, written: asyncio.Future[None] | None) -> None:
        self._waiting.append((record, written))
        if not self._scheduled and self._write_failure is None:
            self._scheduled = True
            self._loop.call_soon(self.flush)

    def _lines(self) -> tuple[list[Record], bytes]:
        """The first of the records that wait, as they can be stored, and what is to be written."""
        try:
            records, lines = storable_lines([each for each, _ in self._waiting[:_MOST_TOGETHER]])
        except Exception:  # noqa: BLE001  # told of below
            self._give_up_those_without_a_line()
            records, lines = storable_lines([each for each, _ in self._waiting[:_MOST_TOGETHER]])
        return records, lines or self._blank

    def _write(self, lines: bytes) -> bool:
        """Whether they have been written, which they are all or not at all."""
        try:
            self._mend()
            self._torn = True
            if os.write(self._descriptor, lines) != len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._fail(error, len(lines))
            return False
        self._torn = False
        return True

    def _give_up_those_without_a_line(self) -> None:
        """By a fault of this program, which must not stop the others."""
        waiting, self._waiting = self._waiting, []
        for record, written in waiting:
            try:
                storable_line(record)
            except Exception as error:
                log.exception("a %s has no line in the journal", type(record).__name__)
                if written is not None and not written.done():
                    written.set_exception(JournalUnwritableError(str(error)))
            else:
                self._waiting.append((record, written))

    def _refuse_awaited(self, reason: str) -> None:
        """Take back what somebody waits to hear of; what nobody does is written some time."""
        waiting, self._waiting = self._waiting, []
        for record, written in waiting:
            if written is None or written.done():
                self._waiting.append((record, written))
            else:
                written.set_exception(JournalUnwritableError(reason))

    def _written(self, records: list[Record], size: int) -> None:
        """The first that waited have been written, in so many bytes."""
        before = self._end
        self._offset += size
        self._bytes += size
        self._end = Position(self._number, self._offset)
        self.written.add(before, self._end, records)
        if self._write_failure is not None:
            log.warning("the journal %s can be written again", self.path)
            self._write_failure = None
        self._blank = b""
        waiting, self._waiting = self._waiting[: len(records)], self._waiting[len(records) :]
        for _, written in waiting:
            if written is not None and not written.done():
                written.set_result(None)
        if not self._waiting:
            for drained in self._drained:
                if not drained.done():
                    drained.set_result(None)
            self._drained.clear()
        if self._offset >= self._rotate_bytes:
            self._rotate()
        if self._sync == "interval":
            self.sync_soon()
        self.on_written()

    def _fail(self, error: OSError, size: int) -> None:
        """So many bytes could not be written."""
        if self._write_failure is None:
            log.error("the journal %s cannot be written: %s", self.path, error)
        self._write_failure = _reason(error)
        self._refuse_awaited(self._write_failure)
        if not self._waiting:
            # The retry needs something to write, or nobody would notice that there is room again.
            # Readers skip empty lines.
            self._blank = b"\n" * size
        try:
            self._mend()
        except OSError as second:  # it is tried again before the next write
            log.error("the journal %s cannot be truncated: %s", self.path, second)
        self._later("retry", _RETRY_S, self.flush)

    def _mend(self) -> None:
        """Take away what a failed write has left behind the last good record."""
        if self._torn:
            os.ftruncate(self._descriptor, self._offset)
            self._torn = False

    def _rotate(self) -> None:
        try:
            successor = os.open(journal_path(self._folder, self._number + 1), _APPEND, 0o600)
        except OSError as error:
            # The present file serves on; the next write tries again.
            log.warning("no new journal file can be made: %s", error)
            return
        if self._sync == "off":
            os.close(self._descriptor)
        else:
            self._retired.append(self._descriptor)
        self._descriptor = successor
        self._number += 1
        self._offset = 0
        self._end = Position(self._number, 0)
        self._folder_synced = False

    def _start_sync(self) -> asyncio.Task[None]:
        """The sync that runs, or a new one."""
        if self._sync_task is None:
            self._sync_task = self._loop.create_task(self._sync_once())
        return self._sync_task

    async def _sync_once(self) -> None:
        wanted = self._bytes
        retired = tuple(self._retired)
        folder = None if self._folder_synced else self._folder
        try:
            await self._loop.run_in_executor(None, _sync_all, (*retired, self._descriptor), folder)
        except OSError as error:
            log.error("the journal %s cannot be synced: %s", self.path, error)
            self._sync_failure = _reason(error)
            self._later("sync", _RETRY_S, self._start_sync)
        else:
            self._sync_failure = None
            self._synced_bytes = wanted
            # A file that was begun meanwhile makes the folder new again.
            self._folder_synced = retired == tuple(self._retired)
            for descriptor in retired:
                os.close(descriptor)
            del self._retired[: len(retired)]
        finally:
            self._sync_task = None

    def _later(self, name: str, delay_s: float, action: Callable[[], object]) -> None:
        """Run `action` after a delay, once however often it is asked for."""
        if name not in self._timers:

            def run() -> None:
                del self._timers[name]
                action()

            self._timers[name] = self._loop.call_later(delay_s, run)


def _sync_all(descriptors: tuple[int, ...], folder: Path | None) -> None:
    for descriptor in descriptors:
        _fdatasync(descriptor)
    if folder is not None and os.name == "posix":
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
