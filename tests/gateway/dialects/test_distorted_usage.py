"""What a provider tells of its usage and is no count makes nothing free: it is no report at all."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.anthropic import usage as anthropic
from conduit.gateway.dialects.bedrock import usage as bedrock
from conduit.gateway.dialects.cohere.usage import usage_from_cohere
from conduit.gateway.dialects.gemini import usage as gemini
from conduit.gateway.dialects.ollama.usage import usage_from_ollama
from conduit.gateway.dialects.openai import usage as openai
from conduit.gateway.dialects.openai_responses.usage import usage_from_responses

Read = Callable[[Any], Usage | None]

REPORTS: list[tuple[Read, dict[str, Any]]] = [
    (openai.reported_usage, {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}),
    (openai.reported_usage, {"prompt_tokens": 9, "total_tokens": 9}),
    (usage_from_responses, {"input_tokens": 9, "output_tokens": 4}),
    (
        anthropic.reported_usage,
        {
            "input_tokens": 9,
            "output_tokens": 4,
            "cache_read_input_tokens": 3,
            "cache_creation_input_tokens": 2,
        },
    ),
    (
        gemini.reported_usage,
        {
            "promptTokenCount": 9,
            "candidatesTokenCount": 4,
            "thoughtsTokenCount": 2,
            "toolUsePromptTokenCount": 1,
            "totalTokenCount": 16,
        },
    ),
    (
        bedrock.reported_usage,
        {
            "inputTokens": 9,
            "outputTokens": 4,
            "cacheReadInputTokens": 3,
            "cacheWriteInputTokens": 2,
        },
    ),
    (usage_from_ollama, {"prompt_eval_count": 9, "eval_count": 4}),
    (lambda counts: usage_from_cohere({"tokens": counts}), {"input_tokens": 9, "output_tokens": 4}),
]


@pytest.mark.parametrize(("read", "told"), REPORTS)
@pytest.mark.parametrize("value", [-20, "many", True, [], {}, math.nan, math.inf, 2**60])
def test_a_count_that_is_none_leaves_no_usage(read: Read, told: dict[str, Any], value: Any) -> None:
    assert read(told) is not None
    for name in told:
        assert read(told | {name: value}) is None, name


@pytest.mark.parametrize(("read", "told"), REPORTS)
def test_null_tells_nothing_and_zero_tells_zero(read: Read, told: dict[str, Any]) -> None:
    assert read(dict.fromkeys(told, 0)) is not None
    if len(told) > 1:
        first = next(iter(told))
        assert read(told | {first: None}) is not None


@pytest.mark.parametrize(
    ("read", "told", "more"),
    [
        (anthropic.reported_usage, {"input_tokens": 9}, {"output_tokens": 0}),
        (bedrock.reported_usage, {"inputTokens": 9, "totalTokens": 9}, {"outputTokens": 0}),
        (
            gemini.reported_usage,
            {"promptTokenCount": 9, "totalTokenCount": 9},
            {"candidatesTokenCount": 0},
        ),
        (gemini.reported_usage, {"promptTokenCount": 9}, {"thoughtsTokenCount": 1}),
        (gemini.reported_usage, {"promptTokenCount": 9}, {"totalTokenCount": 10}),
        (usage_from_ollama, {"prompt_eval_count": 9}, {"eval_count": 0}),
        (
            lambda counts: usage_from_cohere({"billed_units": counts}),
            {"input_tokens": 9},
            {"output_tokens": 0},
        ),
    ],
)
def test_an_output_that_is_not_told_differs_from_none(
    read: Read, told: dict[str, Any], more: dict[str, Any]
) -> None:
    without, told_of = read(told), read(told | more)
    assert without is not None
    assert told_of is not None
    assert (without.output_untold, told_of.output_untold) == (True, False)
    assert without.total_input_tokens == told_of.total_input_tokens == 9
