"""Kept bodies, made readable, compared, and asked what they asked."""

import json
from typing import Any

import pytest

from conduit.client.bodies import Difference, Question, differences, question_of, readable


def message(body: object) -> dict[str, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    return {
        "headers": {},
        "body": text,
        "encoding": "utf-8",
        "bytes": len(text),
        "truncated": False,
    }


def test_a_stream_is_readable_event_by_event() -> None:
    text = readable(b'event: a\ndata: {"x": 1}\n\ndata: [DONE]\n')
    assert text.splitlines()[:4] == ["event: a", "data: {", '  "x": 1', "}"]
    assert "data: [DONE]" in text


def test_differences_name_the_place_and_both_values() -> None:
    before = {"model": "fast", "messages": [{"role": "user", "content": "hi"}], "seed": 1}
    after = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "hi"}, {"role": "user"}],
        "stream_options": {"include_usage": True},
    }
    assert differences(message(before), message(after)) == [
        Difference("model", '"fast"', '"gpt-4o"'),
        Difference("messages[1]", "", '{"role": "user"}'),
        Difference("seed", "1", ""),
        Difference("stream_options", "", '{"include_usage": true}'),
    ]


def test_a_number_and_a_truth_are_not_the_same() -> None:
    assert differences(message({"n": 1}), message({"n": True})) == [Difference("n", "1", "true")]


def test_what_is_no_json_is_not_compared() -> None:
    assert differences(message("hello"), message({})) is None


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (
            {
                "messages": [
                    {"role": "system", "content": "be terse"},
                    {"role": "user", "content": "hi"},
                ]
            },
            Question("hi", "be terse", 0),
        ),
        (
            {
                "system": [{"type": "text", "text": "be kind"}],
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": "b"},
                    {"role": "user", "content": [{"type": "text", "text": "c"}, {"type": "image"}]},
                ],
            },
            Question("c", "be kind", 2),
        ),
        (
            {
                "systemInstruction": {"parts": [{"text": "be quick"}]},
                "contents": [{"role": "user", "parts": [{"text": "x"}, {"text": "y"}]}],
            },
            Question("x\ny", "be quick", 0),
        ),
        ({"input": "z", "instructions": "be short"}, Question("z", "be short", 0)),
        ({"messages": [{"role": "assistant", "content": "b"}]}, None),
        ({"input": ["one", "two"]}, None),
        ({"prompt": "once"}, None),
        ([], None),
        ("no JSON", None),
    ],
)
def test_the_last_question_is_found_in_every_dialect(body: object, asked: Question | None) -> None:
    assert question_of({"request": message(body)}) == asked
