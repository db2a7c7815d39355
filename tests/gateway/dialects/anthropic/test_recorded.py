"""Real traffic of Anthropic as golden input, where it lies beside the repository."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from conduit.gateway.conversation import ChatResponse, StreamEvent
from conduit.gateway.dialects.anthropic.dialect import (
    StreamDecoder,
    decode_error,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    encode_stream,
)
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.target import Target
from tests.gateway.dialects.anthropic.client import accumulated, events_of

FOLDER = os.environ.get("CONDUIT_RECORDED")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="CONDUIT_RECORDED does not name a folder of recorded provider traffic"
)
FILES = sorted(Path(FOLDER, "anthropic").glob("*.json")) if FOLDER else []


def recorded(kind: str) -> list[Any]:
    return [
        pytest.param(json.loads(file.read_text()), id=file.stem)
        for file in FILES
        if file.name.startswith(kind)
    ]


def events_from(body: bytes, *, size: int | None = None) -> list[StreamEvent]:
    decoder = StreamDecoder()
    size = size or len(body)
    events = [
        event for at in range(0, len(body), size) for event in decoder.feed(body[at : at + size])
    ]
    assert decoder.done
    assert decoder.complete
    return events + decoder.finish()


def test_there_is_traffic() -> None:
    assert FILES


@pytest.mark.parametrize("exchange", recorded(""))
def test_a_request_passes_unchanged(exchange: Any) -> None:
    wanted = plain_request(exchange["request"])
    request = decode_request(json.dumps(exchange["request"]).encode())
    encoded = encode_request(request, Target(request.model))
    assert plain_request(json.loads(encoded.body)) == wanted
    assert (encoded.dropped, encoded.emulated) == ((), ())
    assert encode_request(decode_request(encoded.body), Target(request.model)) == encoded


def plain_request(request: Any) -> Any:
    """The request without what says nothing: defaults, and texts written as one block."""
    kept = {name: value for name, value in request.items() if value is not False}
    turns: list[Any] = []
    for message in kept["messages"]:
        blocks = [plain_block(block) for block in as_blocks(message["content"])]
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1]["content"] += blocks
        else:
            turns.append(message | {"content": blocks})
    kept["messages"] = turns
    if "system" in kept:
        kept["system"] = as_blocks(kept["system"])
    return kept


def as_blocks(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def plain_block(block: Any) -> Any:
    if block["type"] != "tool_result":
        return block
    kept = {name: value for name, value in block.items() if value is not False}
    return kept | {"content": as_blocks(block["content"])}


@pytest.mark.parametrize("exchange", recorded("plain"))
def test_a_whole_answer_comes_out_whole(exchange: Any) -> None:
    value = json.loads(exchange["body"])
    response = decode_response(exchange["body"].encode())
    check_usage(response, value["usage"])
    assert json.loads(encode_response(response)) == value


def check_usage(response: ChatResponse, reported: Any) -> None:
    assert response.usage is not None
    assert response.usage.total_input_tokens == (
        reported["input_tokens"]
        + reported["cache_creation_input_tokens"]
        + reported["cache_read_input_tokens"]
    )
    assert response.usage.total_output_tokens == reported["output_tokens"]


@pytest.mark.parametrize("exchange", recorded("stream"))
def test_a_stream_comes_out_whole_cut_at_any_byte(exchange: Any) -> None:
    body = exchange["body"].encode()
    events = events_from(body)
    assert events_from(body, size=1) == events
    for at in range(0, len(body), 499):
        decoder = StreamDecoder()
        assert decoder.feed(body[:at]) + decoder.feed(body[at:]) + decoder.finish() == events


@pytest.mark.parametrize("exchange", recorded("stream"))
def test_a_collected_stream_is_the_message_that_the_client_s_library_makes(exchange: Any) -> None:
    body = exchange["body"].encode()
    message = accumulated(events_of(body))
    response = collect(events_from(body))
    check_usage(response, message["usage"])
    written = json.loads(encode_response(response))
    assert written["content"] == message["content"]
    assert written["stop_reason"] == message["stop_reason"]
    assert written["usage"] == message["usage"]


@pytest.mark.parametrize("exchange", recorded("stream"))
def test_a_stream_is_written_as_it_was(exchange: Any) -> None:
    body = exchange["body"].encode()
    written = b"".join(encode_stream(events_from(body)))
    assert accumulated(events_of(written)) == accumulated(events_of(body))
    kinds = [event["type"] for event in events_of(written)]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]


@pytest.mark.parametrize("exchange", recorded("error"))
def test_an_error_keeps_its_words(exchange: Any) -> None:
    reported = json.loads(exchange["body"])["error"]
    error = decode_error(exchange["status"], {}, exchange["body"].encode())
    if exchange["status"] == 401:
        assert error.hint is not None
        assert reported["message"] in error.hint
    else:
        assert (error.status, error.message) == (exchange["status"], reported["message"])
        assert error.type == reported["type"]
