"""What is known of models, and that nothing is claimed beyond it."""

from typing import Any

import pytest

from conduit.gateway.capabilities import Capabilities, capabilities_of
from conduit.gateway.pricing import Rates
from conduit.gateway.pricing.book import PriceBook
from conduit.gateway.providers import registry

BOOK = PriceBook.load()


def of(provider: str, model: str, **overrides: Any) -> Capabilities:
    kind = registry.provider_of(provider).type
    rates = BOOK.rates(kind.prices, model) if kind.prices else None
    return capabilities_of(kind, model, rates, overrides)


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        (
            "openai",
            "gpt-4.1-mini-2025-04-14",
            Capabilities(True, True, True, True, False, False, None, 1_000_000, 32_768),
        ),
        (
            "azure",
            "gpt-4o",
            Capabilities(True, True, True, True, False, False, None, 128_000, 16_384),
        ),
        (
            "openai",
            "gpt-3.5-turbo",
            Capabilities(True, False, True, False, False, False, None, 16_385, 4096),
        ),
        (
            "anthropic",
            "claude-sonnet-4-5-20250929",
            Capabilities(True, True, True, None, True, False, None, 200_000, 64_000),
        ),
        (
            "vertex_anthropic",
            "claude-opus-4-1@20250805",
            Capabilities(True, True, True, None, True, False, None, 200_000, 32_000),
        ),
        (
            "gemini",
            "gemini-2.5-flash",
            Capabilities(True, True, True, True, True, False, True, 1_048_576, 65_536),
        ),
        (
            "deepseek",
            "deepseek-chat",
            Capabilities(True, False, True, False, None, False, None, 64_000, None),
        ),
        (
            "simulator",
            "simulated-large",
            Capabilities(True, True, True, True, False, None, False, 128_000, 4096),
        ),
    ],
)
def test_what_the_makers_and_the_book_say_of_a_model(
    provider: str, model: str, expected: Capabilities
) -> None:
    assert of(provider, model) == expected


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("vllm", "gpt-4o"),  # somebody's own model under a known name
        ("openai", "gpt-9"),
        ("openai", "gpt-4o-realtime"),
        ("anthropic", "claude-nobody-9"),
        ("nebius", "Qwen/Qwen3-8B"),
    ],
)
def test_what_nobody_has_said_is_not_known(provider: str, model: str) -> None:
    found = of(provider, model)
    assert (found.chat, found.vision, found.tools, found.schema, found.reasoning) == (None,) * 5
    assert found.output_tokens is None


@pytest.mark.parametrize(
    ("provider", "model", "embeddings"),
    [
        ("openai", "text-embedding-3-small", True),
        ("mistral", "mistral-embed", True),
        ("nebius", "BAAI/bge-multilingual-embedding", True),
        ("simulator", "simulated-embedding", True),
        ("groq", "text-embedding-3-small", False),  # no such operation there
    ],
)
def test_a_model_of_embeddings_has_no_chat(provider: str, model: str, embeddings: bool) -> None:
    found = of(provider, model)
    assert (found.chat, found.embeddings, found.tools) == (False, embeddings, False)


def test_a_name_that_only_looks_alike_is_no_model_of_embeddings() -> None:
    assert of("nebius", "embedded-systems-coder").chat is None


def test_a_price_tells_what_is_sold() -> None:
    kind = registry.provider_of("openai_compatible").type
    rates = Rates(1, 1, input_audio=2, reasoning=3, context_tokens=9, max_output_tokens=4)
    found = capabilities_of(kind, "m", rates)
    assert (found.audio, found.reasoning) == (True, True)
    assert (found.context_tokens, found.output_tokens) == (9, 4)
    assert capabilities_of(kind, "m", Rates(1, 1, output_audio=2)).audio is True


def test_a_provider_bounds_what_its_models_can() -> None:
    assert of("deepseek", "anything").schema is False
    assert of("deepseek", "anything").embeddings is False
    assert of("openai", "anything").schema is None


def test_an_operators_word_stands_over_everything() -> None:
    found = of("deepseek", "deepseek-chat", schema=True, tools=None, output_tokens=8192)
    assert (found.schema, found.tools, found.output_tokens) == (True, None, 8192)


@pytest.mark.parametrize(
    ("name", "value"),
    [("wings", True), ("chat", "yes"), ("chat", 1), ("output_tokens", 0), ("output_tokens", True)],
)
def test_a_word_that_is_none_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        of("openai", "gpt-4o", **{name: value})


def test_no_row_of_the_book_is_beyond_the_rules() -> None:
    kinds = {kind.prices: kind for kind in registry.types() if kind.prices}
    for vendor, model, rates in BOOK.rows():
        if vendor in kinds:
            found = capabilities_of(kinds[vendor], model, rates)
            assert not (found.chat and found.embeddings)
            assert found.context_tokens == rates.context_tokens
