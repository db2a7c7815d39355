"""The journal's records that a state of the database does not have, read while others go on."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from conduit.gateway.ledger.batches import Position
from conduit.gateway.ledger.binding import read_binding
from conduit.gateway.ledger.journal import journal_numbers, journal_path
from conduit.gateway.ledger.reading import JournalDamagedError
from conduit.gateway.ledger.records import BadLineError, decode_line
from conduit.gateway.storage.ledger.statements import LedgerReader


class JournalTail:
    """The files of a folder's journal, open: a file that is deleted meanwhile can still be read."""

    def __init__(self, journals: Path, stack: ExitStack) -> None:
        self._journals = journals
        self._stack = stack
        self._files: dict[int, IO[bytes]] = {}
        self._open()

    def lines_after(self, position: Position) -> list[bytes]:
        """Whole lines behind a position, without a torn last one. Raises JournalDamagedError."""
        self._open()
        lines: list[bytes] = []
        for number in sorted(self._files):
            if number >= position.file:
                file = self._files[number]
                file.seek(position.offset if number == position.file else 0)
                lines += _sound_lines(file.read(), journal_path(self._journals, number))
        return lines

    def _open(self) -> None:
        for number in journal_numbers(self._journals):
            if number not in self._files:
                try:
                    file = open(journal_path(self._journals, number), "rb")  # noqa: SIM115
                except FileNotFoundError:  # applied and deleted in this moment
                    continue
                self._files[number] = self._stack.enter_context(file)


@contextmanager
def open_tail(journals: Path) -> Iterator[JournalTail]:
    """To be opened before the state of the database that its lines follow is read."""
    with ExitStack() as stack:
        yield JournalTail(journals, stack)


def is_bound_to(folder: Path, reader: LedgerReader) -> int | None:
    """The number of the folder's journal, if it is one of this database."""
    binding = read_binding(folder)
    if binding is None or binding.database_ms != reader.created_at_ms():
        return None
    return binding.journal


def _sound_lines(content: bytes, path: Path) -> list[bytes]:
    *whole, _torn = content.split(b"\n")
    lines = [line for line in whole if line]
    for line in lines:
        try:
            decode_line(line)
        except BadLineError as error:
            raise JournalDamagedError(
                f"the journal file {path} is damaged: {error}; conduit doctor ledger says where"
            ) from error
    return lines
