"""A price book that an operator installed: when it counts, and what is refused."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from conduit.gateway.pricing.book import PriceBook
from conduit.gateway.pricing.installed import BookError, InstalledBook, book_in, book_in_force

ROW = {"input": 7, "output": 9, "match": {"equals": ["gpt-4o"]}}


def content(version: str = "2999-01-01", **vendors: Any) -> bytes:
    shipped = json.loads(files("conduit.gateway.pricing").joinpath("prices.json").read_bytes())
    return json.dumps({**shipped, "version": version, "vendors": vendors}).encode()


def vendor(**row: Any) -> dict[str, Any]:
    return {"models": {"gpt-4o": {**ROW, **row}}}


def test_a_newer_book_counts_after_a_restart_and_an_older_one_does_not(tmp_path: Path) -> None:
    installed = InstalledBook(tmp_path)
    assert book_in_force(installed)[0].version == PriceBook.load().version
    installed.keep(content(openai=vendor()))
    book, warning = book_in_force(InstalledBook(tmp_path))
    assert (book.version, warning) == ("2999-01-01", None)
    rates = book.rates("openai", "gpt-4o")
    assert rates is not None
    assert (rates.input, rates.version) == (7, "2999-01-01")
    installed.keep(content("2001-01-01", openai=vendor()))
    assert book_in_force(installed)[0].version == PriceBook.load().version
    installed.forget()
    installed.forget()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_told_of_and_the_shipped_book_counts(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text("{")
    book, warning = book_in_force(InstalledBook(tmp_path))
    assert book.version == PriceBook.load().version
    assert warning is not None
    assert f"{tmp_path / 'prices.json'} is not used" in warning


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
