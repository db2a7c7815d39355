import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import UpstreamFailure
from conduit.gateway.dialects.openai.relayed_answer import Answer, decode_answer
from conduit.gateway.provider import Operation


def read(operation: Operation = Operation.CHAT, **fields: Any) -> Answer:
    return decode_answer(operation, json.dumps(fields).encode())


def test_a_chat_answer_is_counted() -> None:
    message = {
        "content": "aé",
        "reasoning": "hm",
        "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}, 5],
        "function_call": {"name": "g"},
    }
    answer = read(
        id="x",
        model="m",
        choices=[{"index": 0, "message": message, "finish_reason": "stop"}, {"message": None}, 5],
        usage={"prompt_tokens": 3, "completion_tokens": 9},
    )
    assert (answer.id, answer.model) == ("x", "m")
    assert (answer.output.characters, answer.output.bytes) == (8, 9)
    assert answer.output.choices == {0, 1}
    assert answer.finish_reasons == {0: "stop"}
    assert answer.usage is not None
    assert answer.usage.total_output_tokens == 9


def test_content_in_parts_is_counted() -> None:
    content = [{"text": "ab"}, {"thinking": [{"text": "c"}]}, "odd", {"text": None}]
    assert read(choices=[{"message": {"content": content}}]).output.characters == 3


def test_a_completion_is_counted_by_its_text() -> None:
    answer = read(Operation.COMPLETION, choices=[{"text": "abc", "index": 0}], model=5)
    assert (answer.output.characters, answer.model) == (3, None)


@pytest.mark.parametrize("note", ["", "\ud83d"])
def test_an_embedding_answer_has_usage_and_no_output(note: str) -> None:
    data = [{"embedding": [0.1, 0.2], "index": 0}]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    answer = read(Operation.EMBEDDING, data=data, usage=usage, model="e", note=note)
    assert answer.usage is not None
    assert (answer.usage.total_input_tokens, answer.output.characters) == (4, 0)
    assert (answer.model, answer.finish_reasons) == ("e", {})


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize(
    "body", [b"", b"x", b"[]", b"{}", b'{"choices":{},"data":{}}', b"\xff", b"<html></html>"]
)
def test_what_is_no_answer_is_the_provider_s_failure(operation: Operation, body: bytes) -> None:
    with pytest.raises(UpstreamFailure):
        decode_answer(operation, body)


@pytest.mark.parametrize("operation", list(Operation))
def test_an_error_under_a_good_status_is_a_failure(operation: Operation) -> None:
    with pytest.raises(UpstreamFailure, match="reported an error: no capacity"):
        read(operation, error={"message": "no capacity"}, choices=[], data=[])


@given(st.binary(max_size=60))
def test_noise_raises_nothing_else(body: bytes) -> None:
    with pytest.raises(UpstreamFailure):
        decode_answer(Operation.CHAT, b'{"noise":' + body)
