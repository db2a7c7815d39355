"""Calls and answers on their way between two dialects, and within one other than OpenAI's."""

import json
from typing import Any

import msgspec
import pytest

from conduit.core.errors import BudgetExceededError, UnsupportedParameterError
from conduit.gateway.dialects.anthropic import dialect as anthropic_messages
from conduit.gateway.dialects.bridges.choice import bridge_between
from conduit.gateway.dialects.bridges.protocol import AnswerStream, Sending
from conduit.gateway.dialects.chat_call import reader_of
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.gemini import dialect as gemini
from conduit.gateway.dialects.openai.wire import decode_call
from conduit.gateway.dialects.openai_chat import dialect as openai_chat
from conduit.gateway.dialects.openai_responses import dialect as openai_responses
from conduit.gateway.dialects.registry import DIALECTS
from conduit.gateway.dialects.target import EncodedRequest
from conduit.gateway.provider import FieldRules, Operation, Quirks

CLIENTS = ["openai_chat", "openai_responses", "anthropic_messages", "gemini", "gemini_array"]
MESSAGE_START = (
    b"event: message_start\ndata: "
    b'{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
    b'"model":"claude","content":[],"stop_reason":null,"usage":{"input_tokens":3,'
    b'"output_tokens":1}}}\n\n'
)
TEXT = (
    b"event: content_block_start\ndata: "
    b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
    b"event: content_block_delta\ndata: "
    b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}\n\n'
)
END = (
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b"event: message_delta\ndata: "
    b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
ERROR = (
    b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'
)


def written(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def call_of(dialect: str, **more: Any) -> ClientCall:
    turn = {"role": "user", "content": "hello"}
    match dialect:
        case "openai_chat":
            body = {"model": "alias", "messages": [turn], **more}
            return decode_call(Operation.CHAT, written(body))
        case "openai_responses":
            body = {"model": "alias", "input": "hello", **more}
            return reader_of(openai_responses.decode_request)(written(body))
        case "anthropic_messages":
            body = {"model": "alias", "max_tokens": 9, "messages": [turn], **more}
            return reader_of(anthropic_messages.decode_request)(written(body))
        case _:
            body = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}], **more}
            decode = lambda b: gemini.decode_request(b, model="alias", stream=True)  # noqa: E731
            return reader_of(decode, dialect)(written(body))


def sending(**changes: Any) -> Sending:
    return msgspec.structs.replace(Sending("their-model", {}, Quirks()), **changes)


def sent(client: str, provider: str, **changes: Any) -> dict[str, Any]:
    encoded = bridge_between(client, provider).encode(call_of(client), sending(**changes))
    fields: dict[str, Any] = json.loads(encoded.body)
    return fields


def stream_of(client: str, provider: str = "anthropic_messages") -> AnswerStream:
    bridge = bridge_between(client, provider)
    return bridge.stream(call_of(client), EncodedRequest(b""), sending(), str)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("provider", [name for name in DIALECTS if name != "gemini_array"])
def test_there_is_a_bridge_between_any_two(client: str, provider: str) -> None:
    encoded = bridge_between(client, provider).encode(call_of(client), sending())
    assert b"hello" in encoded.body
    assert b"alias" not in encoded.body


@pytest.mark.parametrize("client", ["openai_responses", "anthropic_messages"])
def test_within_a_dialect_all_but_the_model_stays_as_it_stood(client: str) -> None:
    call = call_of(client, unknown={"a": [1.50]})
    encoded = bridge_between(client, client).encode(call, sending())
    assert encoded.body == call.body.replace(b"alias", b"their-model")


def test_a_cap_of_the_gateway_goes_where_the_dialect_has_it() -> None:
    assert sent("anthropic_messages", "anthropic_messages", output_cap=5)["max_tokens"] == 5
    assert sent("openai_responses", "openai_responses", output_cap=50)["max_output_tokens"] == 50
    capped = sent("gemini", "gemini", output_cap=5)
    assert capped["generationConfig"]["maxOutputTokens"] == 5


@pytest.mark.parametrize("client", ["anthropic_messages", "openai_chat"])
def test_a_target_s_own_fields_win(client: str) -> None:
    fields = sent(client, "anthropic_messages", params={"max_tokens": 7, "model": None})
    assert fields["max_tokens"] == 7
    assert "model" not in fields


def test_a_vendor_s_rules_hold_across_dialects() -> None:
    quirks = Quirks(fields=FieldRules(dropped=frozenset({"stop"})), added={"version": "1"})
    call = call_of("anthropic_messages", stop_sequences=["x"])
    bridge = bridge_between("anthropic_messages", "openai_chat")
    encoded = bridge.encode(call, sending(quirks=quirks))
    assert json.loads(encoded.body)["version"] == "1"
    assert "stop" not in json.loads(encoded.body)
    assert encoded.dropped == ("stop_sequences",)


@pytest.mark.parametrize(
    ("client", "fields", "param"),
    [
        ("openai_chat", {"n": 2}, "n"),
        ("openai_responses", {"previous_response_id": "resp_1"}, "previous_response_id"),
        ("openai_chat", {"functions": [{"name": "f"}]}, "functions"),
    ],
)
def test_what_cannot_be_said_is_refused_by_the_client_s_own_field(
    client: str, fields: dict[str, Any], param: str
) -> None:
    bridge = bridge_between(client, "anthropic_messages")
    with pytest.raises(UnsupportedParameterError) as refused:
        bridge.encode(call_of(client, **fields), sending())
    assert refused.value.param == param


@pytest.mark.parametrize("client", CLIENTS)
def test_nothing_leaves_before_the_answer_has_begun_and_then_all_of_it(client: str) -> None:
    stream = stream_of(client)
    assert stream.feed(MESSAGE_START).data == b""
    begun_early = stream.started
    begun = stream.feed(TEXT)
    assert (begun_early, stream.started) == (False, True)
    ended = stream.feed(END)
    finished = stream.finish() if not stream.done else ended._replace(data=b"")
    whole = begun.data + ended.data + finished.data
    assert stream.complete
    assert b"hi" in whole
    assert stream.usage is not None
    assert (stream.usage.total_input_tokens, stream.usage.total_output_tokens) == (3, 2)
    if client == "anthropic_messages":
        assert whole == MESSAGE_START + TEXT + END
        return
    decoder = DIALECTS[client].StreamDecoder()
    if client != "gemini_array":
        events = decoder.feed(whole + stream.end_mark) + decoder.finish()
        assert any(getattr(event, "text", None) == "hi" for event in events)


@pytest.mark.parametrize("client", CLIENTS)
def test_an_error_before_the_answer_leaves_room_for_another(client: str) -> None:
    stream = stream_of(client)
    stream.feed(MESSAGE_START)
    data, failure = stream.feed(ERROR)
    assert data == b""
    assert not stream.started
    assert failure is not None
    assert "busy" in str(failure)
    assert str(failure).count("The provider") == 1


@pytest.mark.parametrize("client", CLIENTS)
def test_what_came_with_an_error_but_before_it_is_relayed(client: str) -> None:
    stream = stream_of(client)
    data, failure = stream.feed(MESSAGE_START + TEXT + ERROR)
    assert failure is not None
    assert b"hi" in data
    assert b"overloaded_error" not in data  # the frame that tells of it is the gateway's own
    assert stream.output.bytes == len("hi")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_stream_that_breaks_off_is_not_complete_and_its_end_can_be_told(client: str) -> None:
    stream = stream_of(client)
    stream.feed(MESSAGE_START + TEXT)
    assert stream.finish().failure is None
    assert not stream.complete
    frame = stream.error_frame(BudgetExceededError("the budget is spent"))
    assert b"the budget is spent" in frame
    assert b"[DONE]" not in frame


def test_half_an_event_waits_for_its_rest() -> None:
    stream = stream_of("anthropic_messages")
    whole = MESSAGE_START + TEXT + END
    relayed = b"".join([stream.feed(whole[at : at + 7]).data for at in range(0, len(whole), 7)])
    assert relayed + stream.finish().data == whole
    assert stream.done


def test_what_another_dialect_left_in_a_request_is_not_sent_as_it_is() -> None:
    message = {"role": "assistant", "content": "a", "reasoning_signature": "conduit:gemini:c2ln"}
    turns = [{"role": "user", "content": "hello"}, message, {"role": "user", "content": "more"}]
    call = call_of("openai_chat", messages=turns)
    encoded = bridge_between("openai_chat", openai_chat.NAME).encode(call, sending())
    assert b"conduit:" not in encoded.body
    assert b"more" in encoded.body
