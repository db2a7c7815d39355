from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.gemini.dialect import usage_from_gemini, usage_to_gemini
from conduit.gateway.dialects.gemini.usage import reported_usage


def audio(tokens: int) -> list[dict[str, Any]]:
    return [{"modality": "TEXT", "tokenCount": 1}, {"modality": "AUDIO", "tokenCount": tokens}]


@pytest.mark.parametrize(
    ("raw", "buckets"),
    [
        (
            {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
            {"in": 3, "out": 2},
        ),
        (
            {
                "promptTokenCount": 328,
                "cachedContentTokenCount": 220,
                "candidatesTokenCount": 39,
                "totalTokenCount": 367,
            },
            {"in": 108, "read": 220, "out": 39},
        ),
        (
            {
                "promptTokenCount": 15,
                "toolUsePromptTokenCount": 770,
                "candidatesTokenCount": 37,
                "thoughtsTokenCount": 742,
                "totalTokenCount": 1564,
            },
            {"in": 785, "out": 37, "think": 742},
        ),
        (
            {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 40},
            {"in": 10, "out": 5, "think": 25},
        ),
        (
            {
                "promptTokenCount": 10,
                "candidatesTokenCount": 50,
                "thoughtsTokenCount": 20,
                "totalTokenCount": 60,
            },
            {"in": 10, "out": 30, "think": 20},
        ),
        (
            {
                "promptTokenCount": 100,
                "promptTokensDetails": audio(60),
                "cachedContentTokenCount": 30,
                "cacheTokensDetails": audio(10),
                "toolUsePromptTokenCount": 5,
                "toolUsePromptTokensDetails": audio(9),
                "candidatesTokenCount": 20,
                "candidatesTokensDetails": audio(15),
                "totalTokenCount": 125,
            },
            {"in": 20, "read": 30, "hear": 55, "out": 5, "speak": 15},
        ),
        (
            {"promptTokenCount": 5, "cachedContentTokenCount": 9, "totalTokenCount": 5},
            {"read": 5},
        ),
    ],
)
def test_usage_is_disjoint_and_adds_up(raw: dict[str, Any], buckets: dict[str, int]) -> None:
    usage = usage_from_gemini(raw)
    assert usage == Usage(
        input_tokens=buckets.get("in", 0),
        cache_read_tokens=buckets.get("read", 0),
        input_audio_tokens=buckets.get("hear", 0),
        output_tokens=buckets.get("out", 0),
        output_audio_tokens=buckets.get("speak", 0),
        reasoning_tokens=buckets.get("think", 0),
        raw=raw,
        output_untold="candidatesTokenCount" not in raw and "think" not in buckets,
    )
    assert usage_to_gemini(usage) == raw
    if type(raw["totalTokenCount"]) is int:
        assert usage.total_input_tokens + usage.total_output_tokens == raw["totalTokenCount"]


def test_another_provider_s_usage_is_put_in_these_words() -> None:
    usage = Usage(10, 5, 2, 1, 4, 6, 3, 2, raw={"prompt_tokens": 22})
    assert usage_to_gemini(usage) == {
        "promptTokenCount": 22,
        "candidatesTokenCount": 8,
        "totalTokenCount": 33,
        "cachedContentTokenCount": 5,
        "thoughtsTokenCount": 3,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 18},
            {"modality": "AUDIO", "tokenCount": 4},
        ],
        "candidatesTokensDetails": [
            {"modality": "TEXT", "tokenCount": 6},
            {"modality": "AUDIO", "tokenCount": 2},
        ],
    }
    assert usage_to_gemini(Usage(1, output_tokens=2)) == {
        "promptTokenCount": 1,
        "candidatesTokenCount": 2,
        "totalTokenCount": 3,
    }


def test_a_later_report_that_makes_no_sense_leaves_none() -> None:
    former = reported_usage({"promptTokenCount": 5, "candidatesTokenCount": 1})
    assert reported_usage({"serviceTier": "standard"}, former) is former
    assert reported_usage({"promptTokenCount": 5, "candidatesTokenCount": -9}, former) is None


def test_an_explicit_zero_is_a_report() -> None:
    assert reported_usage({"serviceTier": "standard"}) is None
    assert reported_usage(None) is None
    zero = {"candidatesTokenCount": 0}
    assert reported_usage(zero) == Usage(raw=zero)


COUNT = st.one_of(
    st.integers(0, 10**6), st.none(), st.floats(max_value=2.0**50), st.text(max_size=3)
)
NAMES = (
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "cachedContentTokenCount",
    "totalTokenCount",
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, COUNT)))
def test_no_usage_gives_a_negative_bucket(raw: dict[str, Any]) -> None:
    usage = usage_from_gemini(raw)
    buckets = (usage.input_tokens, usage.cache_read_tokens, usage.output_tokens)
    assert min(*buckets, usage.reasoning_tokens, usage.input_audio_tokens) >= 0
    written = usage_to_gemini(Usage(input_tokens=usage.input_tokens, raw=None))
    assert usage_from_gemini(written).input_tokens == usage.input_tokens
