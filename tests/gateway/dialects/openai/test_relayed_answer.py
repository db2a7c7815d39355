import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import UpstreamFailure
from conduit.gateway.dialects.openai import relayed_answer
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
    assert answer.output.bytes == 9
    assert answer.output.choices == {0, 1}
    assert answer.finish_reasons == {0: "stop"}
    assert answer.usage is not None
    assert answer.usage.total_output_tokens == 9


def test_content_in_parts_is_counted() -> None:
    content = [{"text": "ab"}, {"thinking": [{"text": "c"}]}, "odd", {"text": None}]
    assert read(choices=[{"message": {"content": content}}]).output.bytes == 3


def test_a_completion_is_counted_by_its_text() -> None:
    answer = read(Operation.COMPLETION, choices=[{"text": "abc", "index": 0}], model=5)
    assert (answer.output.bytes, answer.model) == (3, None)


@pytest.mark.parametrize("note", ["", "\ud83d"])
def test_an_embedding_answer_has_usage_and_no_output(note: str) -> None:
    data = [{"embedding": [0.1, 0.2], "index": 0}]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    answer = read(Operation.EMBEDDING, data=data, usage=usage, model="e", note=note)
    assert answer.usage is not None
    assert (answer.usage.total_input_tokens, answer.output.bytes) == (4, 0)
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


def usually_and_slowly(body: bytes) -> tuple[Answer | str, Answer | str]:
    """What is made of a body, and what is where no answer counts as one of the usual form."""

    def of() -> Answer | str:
        try:
            return decode_answer(Operation.CHAT, body)
        except UpstreamFailure as error:
            return str(error)

    usual = of()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relayed_answer, "_read_plain", lambda _: None)
        return usual, of()


@pytest.mark.parametrize(
    ("message", "usual"),
    [
        ({}, True),
        ({"reasoning_content": None, "tool_calls": [], "refusal": "", "reasoning": ""}, True),
        ({"function_call": None, "audio": None, "annotations": [1], "role": 5}, True),
        ({"reasoning_content": "hm"}, False),
        ({"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, False),
        ({"content": None}, False),
    ],
)
def test_an_answer_of_text_alone_is_of_the_usual_form(message: Any, usual: bool) -> None:
    message = {"content": "hi"} | message
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = relayed_answer._read_plain(json.dumps({"choices": [choice]}).encode())
    assert (answer is not None) is usual


ODD = st.sampled_from([None, "", "aé", 0, 1, -1, 2**60, 1.5, True, [], ["a"], {}, {"name": "f"}])
COUNTS = st.sampled_from([None, 0, 3, 7, 10, -1, 2**53, 2**54, 1.5, "3", True])
USAGES = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": COUNTS,
        "completion_tokens": COUNTS,
        "total_tokens": COUNTS,
        "prompt_tokens_details": st.just({"cached_tokens": 2}),
    },
)
MESSAGES = st.fixed_dictionaries(
    {"content": st.sampled_from(["hi", "é"]) | ODD},
    optional=dict.fromkeys(
        ("reasoning_content", "reasoning", "refusal", "tool_calls", "function_call", "audio"), ODD
    ),
)


@given(
    st.fixed_dictionaries(
        {
            "choices": st.lists(
                st.fixed_dictionaries(
                    {"index": st.integers(0, 2), "message": MESSAGES},
                    optional={"finish_reason": ODD},
                ),
                max_size=3,
            )
        },
        optional={
            "id": ODD,
            "model": ODD,
            "usage": USAGES | ODD,
            "service_tier": st.sampled_from([None, "default", "flex", 5]),
            "error": st.sampled_from([None, {"message": "no"}]),
        },
    )
)
def test_the_usual_form_is_read_as_any_other(answer: dict[str, Any]) -> None:
    usual, slow = usually_and_slowly(json.dumps(answer).encode())
    assert usual == slow


@given(st.binary(max_size=60))
def test_noise_raises_nothing_else(body: bytes) -> None:
    with pytest.raises(UpstreamFailure):
        decode_answer(Operation.CHAT, b'{"noise":' + body)
