"""What providers report beside tokens, and which grade of service they gave."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.anthropic.usage import usage_from_anthropic
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.gemini.usage import usage_from_gemini
from conduit.gateway.dialects.hosted_searches import most_searches
from conduit.gateway.dialects.openai.relayed_answer import decode_answer
from conduit.gateway.dialects.openai.usage import reported_usage, usage_from_openai
from conduit.gateway.dialects.openai.wire import decode_call
from conduit.gateway.dialects.openai_responses.usage import usage_of_response
from conduit.gateway.provider import Operation
from tests.gateway.exchanges import chat_body

TOKENS = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
counts = st.integers(0, 10**9)


@pytest.mark.parametrize(
    ("said", "grade"),
    [
        (None, None),
        ("default", None),
        ("standard", None),
        ("auto", None),
        ("on_demand", None),
        ("flex", "flex"),
        ("priority", "priority"),
        ("batch", "batch"),
        (7, None),
        ("x" * 99, None),
    ],
)
def test_only_a_grade_that_is_not_the_ordinary_one_is_told(said: Any, grade: str | None) -> None:
    openai = reported_usage(TOKENS, said)
    assert openai is not None
    assert openai.service_tier == grade
    answer = {"usage": {"input_tokens": 5, "output_tokens": 2}, "service_tier": said}
    responses = usage_of_response(answer)
    assert responses is not None
    assert responses.service_tier == grade
    anthropic = usage_from_anthropic({"input_tokens": 5, "service_tier": said})
    assert anthropic.service_tier == grade
    gemini = usage_from_gemini({"promptTokenCount": 5, "serviceTier": said})
    assert gemini.service_tier == grade


def test_a_whole_answer_and_its_slow_reading_tell_the_same_grade() -> None:
    plain = (
        b'{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2},"service_tier":"flex"}'
    )
    parts = plain.replace(b'"choices":[]', b'"choices":[{"index":"odd"}]')
    for body in (plain, parts):
        usage = decode_answer(Operation.CHAT, body).usage
        assert usage is not None
        assert usage.service_tier == "flex"


def test_searches_are_counted_where_vendors_tell_them() -> None:
    searches = (("searches", 3),)
    assert usage_from_openai({**TOKENS, "num_search_queries": 3}).units == searches
    tools = {"server_tool_use": {"web_search_requests": 3}}
    assert usage_from_openai({**TOKENS, **tools}).units == searches
    assert usage_from_anthropic({"input_tokens": 5, **tools}).units == searches
    assert usage_from_openai(TOKENS).units == ()
    call = {"type": "web_search_call", "status": "completed"}
    opened = {**call, "action": {"type": "open_page", "url": "https://example.com"}}
    failed = {**call, "status": "failed"}
    output = [call, {**call, "action": {"type": "search"}}, opened, failed, {"type": "message"}]
    usage = usage_of_response({"usage": {"input_tokens": 5, "output_tokens": 0}, "output": output})
    assert usage is not None
    assert usage.units == (("searches", 2),)


def test_a_fast_answer_of_anthropic_is_a_grade() -> None:
    usage = usage_from_anthropic({"input_tokens": 5, "speed": "fast", "service_tier": "standard"})
    assert usage.service_tier == "fast"


@given(counts, counts, counts, counts, counts)
def test_writes_of_both_lifetimes_and_all_else_are_disjoint_and_add_up(
    read: int, cached: int, minutes: int, hour: int, written: int
) -> None:
    """litellm#14849, #9812 and #11364 billed cached tokens twice, or writes at one price."""
    usage = usage_from_anthropic(
        {
            "input_tokens": read,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": minutes + hour,
            "cache_creation": {
                "ephemeral_5m_input_tokens": minutes,
                "ephemeral_1h_input_tokens": hour,
            },
            "output_tokens": written,
        }
    )
    assert (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens) == (minutes, hour)
    assert usage.total_input_tokens == read + cached + minutes + hour
    assert usage.total_output_tokens == written


def call(**fields: Any) -> ClientCall:
    return decode_call(Operation.CHAT, chat_body(**fields))


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({}, 0),
        ({"tools": [{"type": "function", "function": {"name": "web_search_x"}}]}, 0),
        ({"web_search_options": {}}, 10),
    ],
)
def test_a_call_may_search_as_often_as_its_tool_allows(fields: dict[str, Any], most: int) -> None:
    assert most_searches(call(**fields)) == most


def test_a_usage_of_tokens_alone_has_no_units_and_no_grade() -> None:
    usage = reported_usage(TOKENS, "default")
    assert usage == Usage(input_tokens=5, output_tokens=2, raw=TOKENS)
