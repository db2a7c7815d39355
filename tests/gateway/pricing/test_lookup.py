"""Which price wins: the operator's for a model, then for a provider, then the book's."""

import pytest

from conduit.gateway.pricing import Rates
from conduit.gateway.pricing.book import PriceBook
from conduit.gateway.pricing.lookup import rates_for

EXACT = Rates(input=1, output=1, source="override")
EVERY = Rates(input=2, output=2, source="override")
OVERRIDES = {("work", "gpt-4o"): EXACT, ("work", "*"): EVERY, ("other", "gpt-4o"): EVERY}


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.load()


def test_an_override_of_the_model_wins(book: PriceBook) -> None:
    assert rates_for(OVERRIDES, book, "work", "openai", "gpt-4o") is EXACT


def test_an_override_of_every_model_holds_for_the_others_of_its_provider(book: PriceBook) -> None:
    assert rates_for(OVERRIDES, book, "work", "openai", "gpt-4o-mini") is EVERY
    assert rates_for(OVERRIDES, book, "work", None, "unheard-of") is EVERY


def test_an_override_of_another_provider_says_nothing(book: PriceBook) -> None:
    rates = rates_for(OVERRIDES, book, "third", "openai", "gpt-4o")
    assert rates is not None
    assert rates.source == "book"


def test_there_is_no_price_without_an_override_and_a_vendor(book: PriceBook) -> None:
    assert rates_for({}, book, "work", None, "gpt-4o") is None
    assert rates_for({}, book, "work", "openai", "unheard-of-model") is None
