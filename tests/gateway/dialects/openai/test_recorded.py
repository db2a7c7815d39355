"""Real traffic of OpenAI as golden input, where it lies beside the repository."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from conduit.gateway.conversation import Text, ToolCall
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.frames.sse import payloads_of
from conduit.gateway.dialects.openai.errors import decode_error
from conduit.gateway.dialects.openai.relayed_answer import decode_answer
from conduit.gateway.dialects.openai.relayed_stream import StreamReader
from conduit.gateway.dialects.openai.wire import decode_call, encode_call
from conduit.gateway.dialects.openai_chat.dialect import (
    decode_request,
    decode_response,
    decode_stream,
    encode_request,
    encode_response,
)
from conduit.gateway.dialects.target import Target
from conduit.gateway.provider import Operation, Quirks

FOLDER = os.environ.get("CONDUIT_RECORDED")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="CONDUIT_RECORDED does not name a folder of recorded provider traffic"
)
FILES = sorted(Path(FOLDER, "openai").glob("*.json")) if FOLDER else []


def recorded(kind: str) -> list[Any]:
    return [
        pytest.param(json.loads(file.read_text()), id=file.stem)
        for file in FILES
        if file.name.startswith(kind)
    ]


def chunks_of(body: str) -> list[Any]:
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]


def test_there_is_traffic() -> None:
    assert FILES


@pytest.mark.parametrize("exchange", recorded(""))
def test_a_request_passes_unchanged(exchange: Any) -> None:
    body = json.dumps(exchange["request"]).encode()
    call = decode_call(Operation.CHAT, body)
    sent = encode_call(
        call,
        model=call.model,
        params={},
        ask_stream_usage=False,
        output_cap=None,
        quirks=Quirks(),
    )
    left = {name: value for name, value in exchange["request"].items() if name != "stream_options"}
    found = json.loads(sent.body)
    found.pop("stream_options", None)
    assert found == left
    target = Target(call.model, quirks=Quirks(output_cap_field="max_completion_tokens"))
    encoded = encode_request(decode_request(body), target)
    assert json.loads(encoded.body) == without_defaults(exchange["request"])
    assert encoded.dropped == ()


def without_defaults(request: Any) -> Any:
    """What the internal form leaves out because it says nothing."""
    kept = {name: value for name, value in request.items() if value is not False}
    if kept.get("n") == 1:
        del kept["n"]
    kept["messages"] = [plain(message) for message in kept["messages"]]
    return kept


def plain(message: Any) -> Any:
    match message:
        case {"content": [{"type": "text", "text": text}]}:
            return message | {"content": text}
        case {"role": "assistant"} if "content" not in message:
            return message | {"content": None}
        case _:
            return message


@pytest.mark.parametrize("exchange", recorded("plain"))
def test_a_whole_answer_comes_out_whole(exchange: Any) -> None:
    body = exchange["body"].encode()
    value = json.loads(body)
    answer = decode_answer(Operation.CHAT, body)
    assert answer.usage is not None
    assert answer.usage.total_input_tokens == value["usage"]["prompt_tokens"]
    assert answer.usage.total_output_tokens == value["usage"]["completion_tokens"]
    assert answer.model == value["model"]
    assert list(answer.finish_reasons.values()) == [
        choice["finish_reason"] for choice in value["choices"]
    ]
    back = json.loads(encode_response(decode_response(body)))
    for choice in value["choices"]:
        if not choice["message"]["annotations"]:
            del choice["message"]["annotations"]
        choice.setdefault("logprobs", None)
    assert {name: item for name, item in back.items() if item is not None} == {
        name: item for name, item in value.items() if item is not None
    }


@pytest.mark.parametrize("exchange", recorded("stream"))
def test_a_stream_comes_out_whole_cut_at_any_byte(exchange: Any) -> None:
    body = exchange["body"].encode()
    chunks = chunks_of(exchange["body"])
    for at in range(0, len(body), 7):
        reader = StreamReader(strip_usage=False)
        assert reader.feed(body[:at]).data + reader.feed(body[at:]).data == body
        check_reader(reader, chunks)
    single = StreamReader(strip_usage=False)
    assert b"".join(single.feed(body[at : at + 1]).data for at in range(len(body))) == body
    check_reader(single, chunks)


def check_reader(reader: StreamReader, chunks: list[Any]) -> None:
    assert reader.complete
    assert reader.usage is not None
    assert reader.usage.total_output_tokens == chunks[-1]["usage"]["completion_tokens"]
    assert reader.model == chunks[0]["model"]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    texts = [choice["delta"].get("content") or "" for choice in choices]
    calls = [call for choice in choices for call in choice["delta"].get("tool_calls") or ()]
    written = [call["function"] for call in calls]
    texts += [function.get("name", "") + function["arguments"] for function in written]
    assert reader.output.bytes == len("".join(texts).encode())


@pytest.mark.parametrize("exchange", recorded("stream"))
def test_a_collected_stream_has_every_word_and_argument(exchange: Any) -> None:
    payloads = [item for item in payloads_of(exchange["body"].encode()) if item is not None]
    response = collect(decode_stream(payloads))
    deltas = [
        choice["delta"] for chunk in chunks_of(exchange["body"]) for choice in chunk["choices"]
    ]
    (choice,) = response.choices
    text = "".join(part.text for part in choice.parts if isinstance(part, Text))
    assert text == "".join(delta.get("content") or "" for delta in deltas)
    arguments: dict[int, str] = {}
    for delta in deltas:
        for call in delta.get("tool_calls") or ():
            index = call["index"]
            arguments[index] = arguments.get(index, "") + call["function"]["arguments"]
    calls = [part.arguments for part in choice.parts if isinstance(part, ToolCall)]
    assert calls == [arguments[index] for index in sorted(arguments)]


@pytest.mark.parametrize("exchange", recorded("error"))
def test_an_error_keeps_its_words(exchange: Any) -> None:
    reported = json.loads(exchange["body"])["error"]
    error = decode_error(exchange["status"], {}, exchange["body"].encode())
    assert (error.status, error.message) == (exchange["status"], reported["message"])
    assert error.param == reported["param"]
