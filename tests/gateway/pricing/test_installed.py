"""A price book that an operator installed: when it counts, and what is refused."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from conduit.gateway.pricing.book import PriceBook
from conduit.gateway.pricing.installed import (
    BookChange,
    BookError,
    BookFileError,
    InstalledBook,
    book_at_start,
    book_in,
    book_in_force,
)
from conduit.gateway.storage.engine import Database

ROW = {"input": 7, "output": 9, "match": {"equals": ["gpt-4o"]}}


def content(version: str = "2999-01-01", **vendors: Any) -> bytes:
    shipped = json.loads(files("conduit.gateway.pricing").joinpath("prices.json").read_bytes())
    return json.dumps({**shipped, "version": version, "vendors": vendors}).encode()


def vendor(**row: Any) -> dict[str, Any]:
    return {"models": {"gpt-4o": {**ROW, **row}}}


def test_a_newer_book_counts_after_a_restart_and_an_older_one_does_not(tmp_path: Path) -> None:
    installed = InstalledBook(tmp_path)
    assert book_in_force(installed)[0].version == PriceBook.load().version
    installed.path.write_bytes(content(openai=vendor()))
    book, warning = book_in_force(InstalledBook(tmp_path))
    assert (book.version, warning) == ("2999-01-01", None)
    rates = book.rates("openai", "gpt-4o")
    assert rates is not None
    assert (rates.input, rates.version) == (7, "2999-01-01")
    installed.path.write_bytes(content("2001-01-01", openai=vendor()))
    assert book_in_force(installed)[0].version == PriceBook.load().version
    installed.path.unlink()
    assert book_in_force(installed)[0].version == PriceBook.load().version


def test_a_damaged_file_is_told_of_and_the_shipped_book_counts(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text("{")
    book, warning = book_in_force(InstalledBook(tmp_path))
    assert book.version == PriceBook.load().version
    assert warning is not None
    assert f"{tmp_path / 'prices.json'} is not used" in warning


def test_a_change_that_was_left_unsettled_allows_no_other(tmp_path: Path) -> None:
    installed = InstalledBook(tmp_path)
    change = BookChange(installed)
    change.prepare(content(openai=vendor()))
    change.begin()
    with pytest.raises(BookFileError, match="a restart of the gateway settles that"):
        BookChange(installed).prepare(None)
    change.take_back()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_prepared_leaves_nothing_behind(tmp_path: Path) -> None:
    installed = InstalledBook(tmp_path)
    installed.path.write_bytes(content(openai=vendor()))
    (tmp_path / ".prices.json.former.part").mkdir()
    with pytest.raises(BookFileError, match=r"prices\.json cannot be changed: Is a directory"):
        BookChange(installed).prepare(None)
    (tmp_path / ".prices.json.former.part").rmdir()
    assert list(tmp_path.iterdir()) == [installed.path]


def test_what_cannot_be_taken_back_is_logged_and_hides_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    installed = InstalledBook(tmp_path)
    installed.path.write_bytes(content(openai=vendor()))
    change = BookChange(installed)
    change.prepare(None)

    def fail() -> None:
        with change:
            installed.path.mkdir()  # in the way of the former content
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert "the next start of the gateway settles it" in caplog.text
    installed.path.rmdir()
    change.take_back()
    assert book_in_force(installed)[0].version == "2999-01-01"


async def test_a_start_outlives_what_it_cannot_settle(database: Database, tmp_path: Path) -> None:
    installed = InstalledBook(tmp_path)
    installed.path.write_bytes(content(openai=vendor()))
    left = tmp_path / ".prices.json.former"
    (left / "more").mkdir(parents=True)
    assert (await book_at_start(installed, database))[0].version == "2999-01-01"
    assert left.is_dir()


def test_another_book_takes_the_place_of_one_with_all_that_was_looked_up() -> None:
    book = book_in(content(openai=vendor()))
    assert book.rates("openai", "gpt-4o") is not None
    assert book.row_count == 1
    book.take_over(book_in(content("2999-01-02", openai=vendor(input=8))))
    rates = book.rates("openai", "gpt-4o")
    assert rates is not None
    assert (rates.input, rates.version, book.version) == (8, "2999-01-02", "2999-01-02")


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"[]", "Expected `object`"),
        (content(openai=vendor(input=-1)), ">= 0"),
        (content(openai=vendor(input=0.5)), "Expected `int"),
        (content(openai=vendor(output=10**16)), "<= 1"),
        (content("latest", openai=vendor()), "its version is a date"),
        (content(openai={**vendor(), "fallback": ["nobody"]}), "falls back to nobody"),
        (content(openai=vendor(match={"regex": ["("]})), "a pattern that is none"),
        (content(openai=vendor(flying=1)), "unknown field"),
    ],
)
def test_what_could_not_be_priced_by_is_refused(encoded: bytes, reason: str) -> None:
    with pytest.raises(BookError, match="this is no price book") as refused:
        book_in(encoded)
    assert reason in str(refused.value)


def test_the_shipped_book_passes_its_own_check() -> None:
    PriceBook.load().check()
