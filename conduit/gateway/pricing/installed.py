"""The price book in the data folder, which counts while it is newer than the shipped one.

Its file and the history of the configuration tell the same, whatever is cut off and wherever: a
change lays the former content beside the file before it replaces that, and removes it only when the
history has been committed. Content that a start finds there is put back, unless the history has the
book that would be in force without it.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from conduit.gateway.pricing.book import PriceBook
from conduit.gateway.storage import revisions
from conduit.gateway.storage.engine import Database, reading

FILE_NAME: Final = "prices.json"
_NEXT, _FORMER = f".{FILE_NAME}.next", f".{FILE_NAME}.former"

logger = logging.getLogger(__name__)


class BookError(ValueError):
    """A price book that cannot be used; the message says why."""


class BookFileError(Exception):
    """The file of a price book cannot be changed; the message says which, and why."""


class InstalledBook:
    """The file that an operator's update of the price book is kept in."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME

    @property
    def exists(self) -> bool:
        return self.path.exists()

    def load(self) -> PriceBook | None:
        """The book of the file; None without one. Raises BookError and OSError."""
        try:
            encoded = self.path.read_bytes()
        except FileNotFoundError:
            return None
        return book_in(encoded)


class BookChange:
    """One change of the file: prepared, then in force for a block that commits the history.

    A block that fails finds the former content back in its place. A content of no bytes stands for
    none. What cannot be undone or ended is left for the next start, and logged.
    """

    def __init__(self, installed: InstalledBook) -> None:
        self._path = installed.path
        self._next = installed.path.with_name(_NEXT)
        self._former = installed.path.with_name(_FORMER)

    @property
    def was_cut_off(self) -> bool:
        """Whether an earlier change has not been settled."""
        return self._former.exists() or self._next.exists()

    def prepare(self, encoded: bytes | None) -> None:
        """Write the new content, None for no file, and the former one. Raises BookFileError."""
        with _told(self._path):
            if self._former.exists():
                raise BookFileError(
                    f"{self._former} is left of a change that was cut off: "
                    "a restart of the gateway settles that"
                )
            try:
                former = self._path.read_bytes()
            except FileNotFoundError:
                former = b""
            try:
                _write(self._next, encoded or b"")
                _write(self._former, former)
                self.make_durable()
            except OSError:
                self._clear()
                raise

    def make_durable(self) -> None:
        """Have the folder on disk as it is now. Raises BookFileError."""
        if os.name != "posix":
            return
        with _told(self._path):
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def begin(self) -> None:
        """Put the new content in force. Raises BookFileError, and then has changed nothing."""
        with _told(self._path):
            try:
                self._put(self._next)
            except OSError:
                self._clear()
                raise

    def end(self) -> None:
        """Forget the former content. Raises BookFileError."""
        with _told(self._path):
            self._clear()

    def take_back(self) -> None:
        """Put the former content in force again. Raises BookFileError."""
        with _told(self._path):
            if self._former.exists():
                self._put(self._former)
            self._clear()

    def __enter__(self) -> None:
        self.begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.end()
            else:
                self.take_back()
        except BookFileError as failed:
            logger.warning("%s; the next start of the gateway settles it", failed)

    def _put(self, content: Path) -> None:
        if content.stat().st_size:
            content.replace(self._path)
        else:
            self._path.unlink(missing_ok=True)
            content.unlink()

    def _clear(self) -> None:
        self._next.unlink(missing_ok=True)
        self._former.unlink(missing_ok=True)


def book_in(encoded: bytes) -> PriceBook:
    """A book whose every row can be looked up. Raises BookError."""
    try:
        book = PriceBook(encoded)
        book.check()
    except (msgspec.DecodeError, ValueError) as error:
        raise BookError(f"this is no price book: {error}") from error
    return book


def book_in_force(installed: InstalledBook) -> tuple[PriceBook, str | None]:
    """The newer one of the shipped book and the installed one, and what is wrong with that."""
    shipped = PriceBook.load()
    try:
        found = installed.load()
    except (BookError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return shipped, (
            f"{installed.path} is not used, but the shipped price book {shipped.version}: {reason}"
        )
    return (found if found is not None and found.version > shipped.version else shipped), None


async def book_at_start(
    installed: InstalledBook, database: Database
) -> tuple[PriceBook, str | None]:
    """As `book_in_force`, after a change that was cut off has been settled by the history."""
    change = BookChange(installed)
    if not change.was_cut_off:
        return book_in_force(installed)
    async with reading(database) as connection:
        noted = await revisions.newest_state(connection, "price_book")
    book, _ = book_in_force(installed)
    try:
        if noted is not None and noted["version"] == book.version:
            change.end()
        else:
            change.take_back()
    except BookFileError as error:
        logger.warning("%s", error)
    return book_in_force(installed)


def _write(path: Path, content: bytes) -> None:
    """The whole content or none of it."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BookFileError(f"{path} cannot be changed: {error.strerror or error}") from error
