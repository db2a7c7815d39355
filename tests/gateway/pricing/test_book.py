"""The shipped price book."""

from importlib.resources import files

import msgspec
import pytest

from conduit.core.money import parse_usd
from conduit.gateway.conversation import Usage
from conduit.gateway.pricing import Rates
from conduit.gateway.pricing import book as book_module
from conduit.gateway.pricing.book import PriceBook
from conduit.gateway.pricing.cost import cost_of, upper_bound

SMALL_BOOK = msgspec.json.encode(
    {
        "version": "2026-01-31",
        "generated_from": "a test",
        "license": "none",
        "units": "nano-USD per million",
        "vendors": {
            "maker": {
                "models": {
                    "mini": {"input": 1, "output": 2, "match": {"equals": ["mini", "small"]}},
                    "dated": {"input": 3, "output": 4, "match": {"equals": ["dated-2025-12-11"]}},
                    "max": {
                        "input": 5,
                        "output": 6,
                        "cache_read": 1,
                        "match": {"starts_with": ["max"], "ends_with": ["-max"]},
                        "tiers": [[1000, {"input": 10, "cache_read": 2}]],
                    },
                    "vision": {"input": 7, "output": 8, "match": {"contains": ["+vision"]}},
                    "tuned": {"input": 9, "output": 9, "match": {"regex": [r"^ft:\w+$"]}},
                    "unmatched": {"input": 11, "output": 11},
                }
            },
            "reseller": {
                "models": {"own": {"input": 12, "output": 12, "match": {"equals": ["own"]}}},
                "fallback": ["maker"],
            },
        },
    }
)


@pytest.fixture(scope="module")
def shipped() -> PriceBook:
    return PriceBook.load()


@pytest.fixture
def small() -> PriceBook:
    return PriceBook(SMALL_BOOK)


def found(rates: Rates | None) -> Rates:
    assert rates is not None
    return rates


@pytest.mark.parametrize(
    ("name", "price"),
    [
        ("mini", 1),
        ("small", 1),
        ("MINI", 1),
        ("max-2026", 5),
        ("even-max", 5),
        ("a+vision-b", 7),
        ("ft:mine", 9),
        ("dated-2025-12-11", 3),
        ("dated-20251211", 3),
        ("unmatched", 11),
    ],
)
def test_a_model_is_found_by_every_name_its_row_answers_to(
    small: PriceBook, name: str, price: int
) -> None:
    assert found(small.rates("maker", name)).input == price


@pytest.mark.parametrize(
    "name", ["", "minimal", "a-mini", "even-max-b", "ft:mine-2", "dated-20251399", "+visio"]
)
def test_a_name_that_no_row_answers_to_has_no_price(small: PriceBook, name: str) -> None:
    assert small.rates("maker", name) is None


def test_a_full_name_goes_before_a_pattern_of_an_earlier_row() -> None:
    book = msgspec.json.decode(SMALL_BOOK)
    models = book["vendors"]["maker"]["models"]
    models["max-lite"] = {"input": 99, "output": 99, "match": {"equals": ["max-lite"]}}
    assert found(PriceBook(msgspec.json.encode(book)).rates("maker", "max-lite")).input == 99


def test_a_reseller_has_its_own_prices_first_and_then_those_of_the_makers(
    small: PriceBook,
) -> None:
    assert found(small.rates("reseller", "own")).input == 12
    assert found(small.rates("reseller", "mini")).input == 1


@pytest.mark.parametrize(
    ("vendor", "name", "entry"),
    [
        ("maker", "SMALL", ("maker", "mini")),
        ("reseller", "own", ("reseller", "own")),
        ("reseller", "small", ("maker", "mini")),
        ("maker", "minimal", None),
        ("nobody", "mini", None),
    ],
)
def test_an_entry_tells_where_a_price_stands(
    small: PriceBook, vendor: str, name: str, entry: tuple[str, str] | None
) -> None:
    assert small.entry(vendor, name) == entry


def test_an_unknown_vendor_has_no_models_and_no_prices(small: PriceBook) -> None:
    assert small.rates("nobody", "mini") is None
    assert small.models("nobody") == ()


def test_a_tier_takes_from_its_row_what_it_does_not_change(small: PriceBook) -> None:
    (tier,) = found(small.rates("maker", "max")).tiers
    assert tier.over_tokens == 1000
    assert (tier.rates.input, tier.rates.output, tier.rates.cache_read) == (10, 6, 2)
    assert tier.rates.tiers == ()


def test_rates_name_the_book_that_they_came_from(small: PriceBook) -> None:
    rates = found(small.rates("maker", "max"))
    assert (rates.version, rates.source) == ("2026-01-31", "book")
    assert rates.tiers[0].rates.version == "2026-01-31"


def test_a_look_up_is_made_once(small: PriceBook) -> None:
    assert small.rates("maker", "mini") is small.rates("maker", "mini")


def test_look_ups_of_made_up_names_do_not_fill_the_memory(
    small: PriceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_module, "_CACHED_LOOKUPS", 10)
    for number in range(100):
        assert small.rates("maker", f"nothing-{number}") is None
        assert len(small._found) <= 10
    assert found(small.rates("maker", "mini")).input == 1


def test_a_book_with_a_fraction_or_an_unknown_field_is_refused() -> None:
    for wrong in (SMALL_BOOK.replace(b'"input":1,', b'"input":1.5,'), b'{"version":"x"}'):
        with pytest.raises(msgspec.ValidationError):
            PriceBook(wrong).check()
    with pytest.raises(msgspec.ValidationError):
        PriceBook(SMALL_BOOK.replace(b'"cache_read"', b'"cache_reed"')).check()


def test_only_the_vendors_that_are_asked_for_are_kept() -> None:
    book = PriceBook.load()
    assert book.rates("openai", "gpt-4o-mini") is not None
    assert book.rates("nobody", "gpt-4o-mini") is None
    assert book.row_count > len(book.models("openai")) > 0
    assert len(list(book.rows())) == book.row_count
    assert set(book._vendors._read) == {"openai"}


@pytest.mark.parametrize(
    "vendor",
    [
        "anthropic",
        "aws",
        "azure",
        "cerebras",
        "cohere",
        "deepseek",
        "fireworks",
        "google",
        "groq",
        "huggingface",
        "mistral",
        "openai",
        "openrouter",
        "perplexity",
        "together",
        "x-ai",
    ],
)
def test_the_shipped_book_knows_the_vendor(shipped: PriceBook, vendor: str) -> None:
    assert vendor in shipped.vendors
    assert len(shipped.models(vendor)) >= 5


def test_every_row_of_the_shipped_book_can_be_found_and_priced(shipped: PriceBook) -> None:
    usage = Usage(
        input_tokens=150_000, cache_read_tokens=120_000, output_tokens=900, reasoning_tokens=99
    )
    for vendor, model, rates in shipped.rows():
        cost = cost_of(usage, rates)
        assert 0 <= cost <= upper_bound(270_000, 999, rates), (vendor, model)
        assert shipped.rates(vendor, model) is not None, (vendor, model)


def test_the_shipped_book_carries_the_license_of_its_source() -> None:
    header = msgspec.json.decode(
        files("conduit.gateway.pricing").joinpath("prices.json").read_bytes()
    )
    assert header["generated_from"].startswith("genai-prices ")
    assert "MIT License" in header["license"]
    assert "shall be included in all copies" in header["license"]


def test_tiers_of_the_shipped_book_rise_by_their_threshold(shipped: PriceBook) -> None:
    for vendor, model, rates in shipped.rows():
        thresholds = [tier.over_tokens for tier in rates.tiers]
        assert thresholds == sorted(set(thresholds)), (vendor, model)


@pytest.mark.parametrize(
    ("vendor", "model", "usd_in", "usd_out"),
    [
        ("openai", "gpt-4o", "2.5", "10"),
        ("openai", "gpt-4o-2024-08-06", "2.5", "10"),
        ("openai", "gpt-4o-2024-05-13", "5", "15"),
        ("openai", "gpt-4o-mini", "0.15", "0.6"),
        ("openai", "text-embedding-3-small", "0.02", "0"),
        ("azure", "gpt-4o", "2.5", "10"),
        ("anthropic", "claude-sonnet-4-5-20250929", "3", "15"),
    ],
)
def test_well_known_prices_are_in_the_shipped_book(
    shipped: PriceBook, vendor: str, model: str, usd_in: str, usd_out: str
) -> None:
    rates = found(shipped.rates(vendor, model))
    assert (rates.input, rates.output) == (parse_usd(usd_in), parse_usd(usd_out))


def test_a_cache_write_without_a_lifetime_of_its_own_is_not_priced_as_plain_input(
    shipped: PriceBook,
) -> None:
    for vendor, model, rates in shipped.rows():
        if rates.cache_write_5m is not None:
            assert rates.cache_write_1h is not None, (vendor, model)


@pytest.mark.parametrize(
    ("model", "rate_in", "rate_out"),
    [
        ("simulated-small", 150_000_000, 600_000_000),
        ("simulated-large", 2_500_000_000, 10_000_000_000),
        ("simulated-embedding", 20_000_000, 0),
        ("anything-else", 150_000_000, 600_000_000),
    ],
)
def test_simulated_models_have_simulated_prices(
    shipped: PriceBook, model: str, rate_in: int, rate_out: int
) -> None:
    rates = found(shipped.rates("simulator", model))
    assert (rates.input, rates.output) == (rate_in, rate_out)
    assert rates.version == "simulated"


def test_rankings_of_cohere_s_are_sold_by_search_units(shipped: PriceBook) -> None:
    rates = found(shipped.rates("cohere", "rerank-v3.5"))
    assert cost_of(Usage(requests=3), rates) == 3 * 2_000_000
    assert upper_bound(10**6, 0, rates, requests=3) == 3 * 2_000_000


def test_local_models_cost_nothing(shipped: PriceBook) -> None:
    rates = found(shipped.rates("ollama", "llama3.2:3b"))
    assert upper_bound(10**6, 10**6, rates) == 0
    assert rates.source == "local"


def test_a_hugging_face_model_without_a_route_has_the_dearest_price(shipped: PriceBook) -> None:
    routed = [model for model in shipped.models("huggingface") if ":" in model]
    assert routed
    for model in routed:
        anywhere = shipped.rates("huggingface", model.rpartition(":")[0])
        if anywhere is not None:
            assert anywhere.output >= found(shipped.rates("huggingface", model)).output
