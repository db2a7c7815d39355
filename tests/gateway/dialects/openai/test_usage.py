import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.openai import usage as usages
from conduit.gateway.dialects.openai.usage import (
    reported_usage,
    usage_from_openai,
    usage_of_chunk,
    usage_of_writing,
    usage_to_openai,
)

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, 1, 3, 7, 10, -1, 2**53, 2**54, 0.0, 1.5, "", "3", False, [], {}]
)
DETAILS = ODD | st.dictionaries(
    st.sampled_from(["cached_tokens", "audio_tokens", "reasoning_tokens", "unheard_of"]), ODD
)
USAGES = st.fixed_dictionaries(
    {"prompt_tokens": ODD, "completion_tokens": ODD, "total_tokens": ODD},
    optional={
        "prompt_tokens_details": DETAILS,
        "completion_tokens_details": DETAILS,
        "cached_tokens": ODD,
    },
)


@given(USAGES | USAGES.map(lambda raw: raw | {"prompt_tokens": 3, "completion_tokens": 7}))
@example({"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10})
@example({"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10, "cached_tokens": 2})
@example({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": False})
@example({"prompt_tokens": 2**53, "completion_tokens": 2**53, "total_tokens": 2**54})
@example({"prompt_tokens": 1, "completion_tokens": 2**53, "total_tokens": 2**53 + 1})
def test_a_plain_usage_is_read_as_any_other(raw: dict[str, Any]) -> None:
    plain = reported_usage(raw, "flex"), usage_of_writing(raw), usage_of_writing(raw, "default")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usages, "_plain_usage", lambda _: None)
        assert plain == (
            reported_usage(raw, "flex"),
            usage_of_writing(raw),
            usage_of_writing(raw, "default"),
        )


@pytest.mark.parametrize(
    ("more", "plain"),
    [
        ({}, True),
        ({"prompt_tokens_details": None}, True),
        ({"completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": None}}, True),
        ({"prompt_tokens_details": {"cached_tokens": 1}}, False),
        ({"cached_tokens": 1}, False),
        ({"total_tokens": 11}, False),
    ],
)
def test_a_usage_of_which_no_parts_are_told_is_plain(more: dict[str, Any], plain: bool) -> None:
    told = {"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10} | more
    assert (usages._plain_usage(told) is not None) is plain


def raw(prompt: Any, completion: Any, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion} | more


def test_parts_are_taken_out_of_their_totals() -> None:
    usage = usage_from_openai(
        raw(
            100,
            50,
            total_tokens=150,
            prompt_tokens_details={
                "cached_tokens": 40,
                "cache_write_tokens": 10,
                "audio_tokens": 5,
            },
            completion_tokens_details={"reasoning_tokens": 20, "audio_tokens": 7},
        )
    )
    assert (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_5m_tokens) == (
        45,
        40,
        10,
    )
    assert (usage.input_audio_tokens, usage.output_tokens) == (5, 23)
    assert (usage.reasoning_tokens, usage.output_audio_tokens) == (20, 7)
    assert (usage.total_input_tokens, usage.total_output_tokens) == (100, 50)


@pytest.mark.parametrize(
    "more",
    [
        {"prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 2},
        {"cached_tokens": 8},
        {"prompt_tokens_details": {"cached_tokens": 8}},
    ],
)
def test_cache_hits_are_found_where_vendors_put_them(more: dict[str, Any]) -> None:
    usage = usage_from_openai(raw(10, 1, **more))
    assert (usage.input_tokens, usage.cache_read_tokens) == (2, 8)


def test_reasoning_that_is_counted_beside_the_completion_is_added() -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 100}}
    usage = usage_from_openai(raw(30, 4, total_tokens=134, **details))
    assert (usage.output_tokens, usage.reasoning_tokens) == (4, 100)
    usage = usage_from_openai(raw(30, 104, total_tokens=134, **details))
    assert (usage.output_tokens, usage.reasoning_tokens) == (4, 100)


def test_what_the_sum_has_beside_its_parts_is_not_lost() -> None:
    usage = usage_from_openai(raw(20, 198, total_tokens=623))  # thinking that nobody names
    assert (usage.total_input_tokens, usage.total_output_tokens) == (20, 603)
    assert (usage.output_tokens, usage.reasoning_tokens) == (198, 405)
    details = {"prompt_tokens_details": {"cached_tokens": 400}}
    usage = usage_from_openai(raw(20, 5, total_tokens=425, **details))  # a prompt without its cache
    assert (usage.input_tokens, usage.cache_read_tokens, usage.total_output_tokens) == (20, 400, 5)
    usage = usage_from_openai(raw(20, 5, total_tokens=3))  # a sum that is no sum
    assert (usage.total_input_tokens, usage.total_output_tokens) == (20, 5)


@pytest.mark.parametrize(
    "value", [-1, "x", None, True, [], {}, math.nan, math.inf, 2**60, "9" * 20]
)
def test_what_is_no_count_counts_nothing(value: Any) -> None:
    usage = usage_from_openai(raw(value, 5, prompt_tokens_details={"cached_tokens": value}))
    assert (usage.total_input_tokens, usage.total_output_tokens) == (0, 5)


def test_a_part_larger_than_its_total_is_cut_and_the_total_kept() -> None:
    usage = usage_from_openai(
        raw(
            10,
            4,
            prompt_tokens_details={"cached_tokens": 90, "audio_tokens": 3},
            completion_tokens_details={"reasoning_tokens": 9, "audio_tokens": 9},
        )
    )
    assert (usage.cache_read_tokens, usage.total_input_tokens) == (10, 10)
    assert (usage.reasoning_tokens, usage.total_output_tokens) == (4, 4)


def test_whole_floats_and_digits_are_counts() -> None:
    usage = usage_from_openai(raw(12.0, "7"))
    assert (usage.input_tokens, usage.output_tokens) == (12, 7)


def test_a_total_alone_is_input() -> None:
    assert usage_from_openai({"total_tokens": 9}).total_input_tokens == 9


@pytest.mark.parametrize("value", [None, 5, [], {}, {"cost": 1}])
def test_what_reports_nothing_is_no_usage(value: Any) -> None:
    assert reported_usage(value) is None


@pytest.mark.parametrize("told", [{}, {"completion_tokens": None, "total_tokens": None}])
def test_a_usage_that_tells_no_output_is_none_of_a_written_answer(told: dict[str, Any]) -> None:
    usage = {"prompt_tokens": 9, **told}
    assert usage_of_writing(usage) is None
    assert usage_of_chunk({"usage": usage}) is None
    assert reported_usage(usage) is not None  # of an embedding it is whole
    for whole in ({"completion_tokens": 0}, {"total_tokens": 9}, {"output_tokens": 3}):
        assert usage_of_writing(usage | whole) == reported_usage(usage | whole)


COUNT = st.one_of(st.integers(-5, 1000), st.none(), st.text(max_size=3), st.floats())
DETAILS = st.dictionaries(
    st.sampled_from(["cached_tokens", "cache_write_tokens", "audio_tokens", "reasoning_tokens"]),
    COUNT,
)


@given(st.integers(0, 1000), st.integers(0, 1000), DETAILS, DETAILS)
def test_the_buckets_always_add_up(
    prompt: int, completion: int, before: dict[str, Any], after: dict[str, Any]
) -> None:
    reported = raw(
        prompt,
        completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=before,
        completion_tokens_details=after,
    )
    usage = usage_from_openai(reported)
    assert usage.total_input_tokens == prompt
    assert usage.total_output_tokens == completion
    buckets = [
        usage.input_tokens,
        usage.cache_read_tokens,
        usage.cache_write_5m_tokens,
        usage.input_audio_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.output_audio_tokens,
    ]
    assert min(buckets) >= 0
    assert usage.raw is not None
    assert usage.raw["prompt_tokens_details"] is before


def test_usage_goes_back_as_it_came() -> None:
    reported = raw(5, 2, total_tokens=7, cost=0.1)
    assert usage_to_openai(usage_from_openai(reported)) == reported


def test_usage_of_another_dialect_is_written_from_its_buckets() -> None:
    usage = Usage(input_tokens=3, cache_read_tokens=4, output_tokens=1, reasoning_tokens=2)
    assert usage_to_openai(usage) == {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
    }
