"""The price book in the data folder, which counts while it is newer than the shipped one."""

import os
from pathlib import Path
from typing import Final

import msgspec

from conduit.gateway.pricing.book import PriceBook

FILE_NAME: Final = "prices.json"


class BookError(ValueError):
    """A price book that cannot be used; the message says why."""


class InstalledBook:
    """The file that an operator's update of the price book is kept in."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME

    def load(self) -> PriceBook | None:
        """The book of the file; None without one. Raises BookError and OSError."""
        try:
            encoded = self.path.read_bytes()
        except FileNotFoundError:
            return None
        return book_in(encoded)

    def keep(self, encoded: bytes) -> None:
        """Put a book there, whole or not at all. Raises OSError."""
        part = self.path.with_name(f".{FILE_NAME}.{os.getpid()}")
        try:
            with part.open("wb") as file:
                file.write(encoded)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        finally:
            part.unlink(missing_ok=True)

    def forget(self) -> None:
        """Raises OSError."""
        self.path.unlink(missing_ok=True)


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
