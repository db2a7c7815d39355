"""Whole answers of Cohere, what they used, and its errors."""

import json
from typing import Any

import pytest

from conduit.core.errors import (
    UpstreamAuthError,
    UpstreamFailure,
    UpstreamRateLimitedError,
    UpstreamRejectedError,
)
from conduit.gateway.conversation import FinishReason, Text, Thinking, ToolCall, Usage
from conduit.gateway.dialects.cohere.dialect import (
    NAME,
    decode_error,
    decode_response,
    usage_from_cohere,
    usage_to_cohere,
)
from tests.gateway.dialects.cohere.answers import CITATION, USAGE

ANSWER = {
    "id": "m1",
    "finish_reason": "TOOL_CALL",
    "message": {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "24°"},
            {"type": "text", "text": "!"},
        ],
        "tool_plan": "I will.",
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{ }"}, "x": 1}
        ],
        "citations": [
            CITATION | {"content_index": 1},
            CITATION | {"type": "PLAN", "content_index": 7},
        ],
        "odd": 1,
    },
    "usage": USAGE,
    "logprobs": [{"text": "24°", "token_ids": [1], "logprobs": [-1]}, {"bad": 1}],
    "more": 2,
}


def test_nothing_of_a_whole_answer_is_lost() -> None:
    response = decode_response(json.dumps(ANSWER).encode())
    (choice,) = response.choices
    thinking, text, other, plan, tool = choice.parts
    assert isinstance(text, Text)
    assert thinking == Thinking("hm")
    assert text.text == "24°"
    assert [citation.raw["content_index"] for citation in text.citations] == [1]
    assert other == Text("!")
    assert plan == Text("I will.")
    assert tool == ToolCall("c", "f", "{ }", extras={"x": 1})
    assert [item["token"] for item in choice.logprobs["content"]] == ["24°"]
    assert choice.extras["odd"] == 1
    assert choice.extras["citations"] == [CITATION | {"type": "PLAN", "content_index": 7}]
    assert response.extras == {"more": 2}
    assert (response.id, response.dialect) == ("m1", NAME)
    assert response.usage == Usage(input_tokens=37, output_tokens=28, raw=USAGE)


def test_a_whole_answer_may_be_plain_text_or_a_call_for_a_schema() -> None:
    plain = {"id": "m", "finish_reason": "COMPLETE", "message": {"content": "hi"}}
    assert decode_response(json.dumps(plain).encode()).choices[0].parts == (Text("hi"),)
    message = {"tool_calls": [{"id": "c", "function": {"name": "answer", "arguments": "{}"}}]}
    body = json.dumps({"id": "m", "finish_reason": "TOOL_CALL", "message": message}).encode()
    (choice,) = decode_response(body, answer_tool="answer").choices
    assert choice.parts == (Text("{}"),)
    assert choice.finish_reason is FinishReason.STOP


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not a chat message"),
        (b"[]", "not a chat message"),
        (b"<html>", "not a chat message"),
        (b'{"message": "no such model"}', "no such model"),
        (b'{"message": {}, "finish_reason": "ERROR"}', "the answer failed"),
    ],
)
def test_what_is_no_answer_is_the_provider_s_failure(body: bytes, said: str) -> None:
    with pytest.raises(UpstreamFailure, match=said):
        decode_response(body)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (USAGE, Usage(input_tokens=37, output_tokens=28)),
        (
            {"tokens": {"input_tokens": 10, "output_tokens": 2}, "cached_tokens": 4},
            Usage(input_tokens=6, cache_read_tokens=4, output_tokens=2),
        ),
        (
            {"tokens": {"input_tokens": 10}, "cached_tokens": 40},
            Usage(cache_read_tokens=10),
        ),
        (
            {
                "billed_units": {"input_tokens": 0, "output_tokens": 0},
                "tokens": {"input_tokens": 9},
            },
            Usage(),
        ),
        (
            {
                "billed_units": {"input_tokens": 26, "output_tokens": 50},
                "tokens": {"input_tokens": 90, "output_tokens": 55, "reasoning_tokens": 38},
            },
            Usage(input_tokens=26, output_tokens=12, reasoning_tokens=38),
        ),
        # No more is reasoning than is billed.
        (
            {
                "billed_units": {"input_tokens": 1, "output_tokens": 5},
                "tokens": {"output_tokens": 9, "reasoning_tokens": 8},
            },
            Usage(input_tokens=1, reasoning_tokens=5),
        ),
        ({"billed_units": {"images": 2}}, Usage(units=(("images", 2),))),
        ({"billed_units": {"images": 2, "image_tokens": 70}}, Usage(input_tokens=70)),
        # The units of a search come on top of the call itself, and alone they tell no tokens.
        (
            {"billed_units": {"input_tokens": 5, "output_tokens": 2, "search_units": 3.0}},
            Usage(input_tokens=5, output_tokens=2, requests=3),
        ),
        (
            {"billed_units": {"input_tokens": 5, "output_tokens": 2, "search_units": 0}},
            Usage(input_tokens=5, output_tokens=2),
        ),
        (
            {"billed_units": {"search_units": 2}, "tokens": {"input_tokens": 9}},
            Usage(input_tokens=9, requests=2),
        ),
        ({"billed_units": {"search_units": None}, "tokens": {"input_tokens": 9}}, Usage(9)),
        ({"billed_units": {"search_units": None}}, None),
        ({"billed_units": {"search_units": 3.0}}, None),
        ({"billed_units": {}, "tokens": {}}, None),
        ({}, None),
        (None, None),
        ({"tokens": {"input_tokens": -1, "output_tokens": "x"}}, None),
        (
            {
                "billed_units": {"input_tokens": 5, "output_tokens": -2},
                "tokens": {"input_tokens": 9},
            },
            Usage(input_tokens=9),
        ),
    ],
)
def test_the_buckets_add_up_to_what_is_billed(raw: Any, expected: Usage | None) -> None:
    found = usage_from_cohere(raw)
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert found.raw == raw
    assert Usage(**{name: getattr(found, name) for name in COUNTS}) == expected


COUNTS = set(Usage.__struct_fields__) - {"raw", "output_untold"}


def test_usage_is_written_as_it_was_reported_or_made() -> None:
    own = usage_from_cohere(USAGE)
    assert own is not None
    assert usage_to_cohere(own) == USAGE
    counts = {"input_tokens": 5, "output_tokens": 2}
    made = {"billed_units": counts, "tokens": counts}
    other = Usage(input_tokens=3, cache_read_tokens=2, output_tokens=2, raw={"x": 1})
    assert usage_to_cohere(other) == made | {"cached_tokens": 2}
    assert usage_to_cohere(Usage(input_tokens=5, output_tokens=2)) == made


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (400, b'{"message": "bad field"}', UpstreamRejectedError, "bad field"),
        (401, b'{"message": "invalid api token"}', UpstreamAuthError, "(401)"),
        (402, b'{"message": "billing"}', UpstreamAuthError, "quota"),
        (404, b'{"message": "model not found"}', UpstreamRejectedError, "model not found"),
        (429, b'{"message": "slow down"}', UpstreamRateLimitedError, "slow down"),
        (498, b'{"message": "blocked"}', UpstreamRejectedError, "blocked"),
        (499, b'{"message": "cancelled"}', UpstreamFailure, "cancelled"),
        (503, b"<html>", UpstreamFailure, "HTML"),
    ],
)
def test_errors_are_told_apart(status: int, body: bytes, kind: Any, message: str) -> None:
    error = decode_error(status, {"retry-after": "2"}, body)
    assert type(error) is kind
    assert message in error.message
