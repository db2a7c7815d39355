from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.anthropic.usage import (
    merged_usage,
    reported_usage,
    usage_from_anthropic,
    usage_to_anthropic,
)

REPORTED = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 30,
    "cache_read_input_tokens": 5,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
    "output_tokens": 50,
    "output_tokens_details": {"thinking_tokens": 40},
    "server_tool_use": {"web_search_requests": 2},
    "service_tier": "standard",
}


def test_every_token_has_one_bucket() -> None:
    usage = usage_from_anthropic(REPORTED)
    assert (usage.input_tokens, usage.cache_read_tokens) == (10, 5)
    assert (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens) == (20, 10)
    assert (usage.output_tokens, usage.reasoning_tokens) == (10, 40)
    assert usage.raw == REPORTED


def test_usage_goes_back_as_it_came() -> None:
    assert usage_to_anthropic(usage_from_anthropic(REPORTED)) == REPORTED


def test_another_provider_s_report_of_nothing_has_the_counts_that_clients_read() -> None:
    usage = Usage(raw={"prompt_eval_count": 0, "eval_count": 0})
    written = usage_to_anthropic(usage)
    assert (written["input_tokens"], written["output_tokens"]) == (0, 0)
    assert not written.keys() & {"prompt_eval_count", "eval_count"}


@pytest.mark.parametrize(
    ("reported", "minutes", "hour"),
    [
        ({"cache_creation_input_tokens": 7}, 7, 0),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 7}}, 0, 7),
        # A stream's later totals come without the split, which is that of its beginning.
        (REPORTED | {"cache_creation_input_tokens": 35}, 25, 10),
        (REPORTED | {"cache_creation_input_tokens": 4}, 0, 4),
    ],
)
def test_written_tokens_are_what_the_total_says(
    reported: dict[str, Any], minutes: int, hour: int
) -> None:
    usage = usage_from_anthropic(reported)
    assert (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens) == (minutes, hour)


COUNT = st.one_of(st.integers(-5, 1000), st.none(), st.text(max_size=3), st.floats())


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 99), COUNT, COUNT)
def test_the_buckets_always_add_up(
    read: int, output: int, written: int, hour: Any, thought: Any
) -> None:
    usage = usage_from_anthropic(
        {
            "input_tokens": 3,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
            "cache_creation": {"ephemeral_1h_input_tokens": hour},
            "output_tokens": output,
            "output_tokens_details": {"thinking_tokens": thought},
        }
    )
    assert usage.total_input_tokens == 3 + read + written
    assert usage.total_output_tokens == output
    assert min(usage.cache_write_5m_tokens, usage.output_tokens) >= 0


@pytest.mark.parametrize("value", [None, 5, [], {}, {"cost": 1}])
def test_what_reports_nothing_is_no_usage(value: Any) -> None:
    assert reported_usage(value) is None


def test_later_totals_replace_earlier_ones_where_they_say_something() -> None:
    start = {"input_tokens": 5, "output_tokens": 1, "service_tier": "standard"}
    later = {"input_tokens": None, "output_tokens": 9}
    assert merged_usage(start, later) == start | {"output_tokens": 9}
    assert merged_usage(None, None) == {}


def test_usage_of_another_dialect_is_written_from_its_buckets() -> None:
    usage = Usage(
        input_tokens=3,
        input_audio_tokens=1,
        cache_read_tokens=4,
        cache_write_1h_tokens=2,
        output_tokens=1,
        reasoning_tokens=2,
        raw={"input_tokens": 4, "output_tokens": 3, "total_tokens": 7},
    )
    assert usage_to_anthropic(usage) == {
        "input_tokens": 4,
        "cache_creation_input_tokens": 2,
        "cache_read_input_tokens": 4,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 2},
        "output_tokens": 3,
        "output_tokens_details": {"thinking_tokens": 2},
    }
    assert "output_tokens_details" not in usage_to_anthropic(Usage(output_tokens=1))


def test_a_client_always_has_usage() -> None:
    assert usage_to_anthropic(None) == {"input_tokens": 0, "output_tokens": 0}
