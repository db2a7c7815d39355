"""The short way of decoders gives what the general one gives, whatever comes in what order."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.conversation import ArgumentsDelta, TextDelta, ThinkingDelta
from conduit.gateway.dialects.bedrock import stream as bedrock_stream
from conduit.gateway.dialects.cohere import stream as cohere_stream
from conduit.gateway.dialects.dialect import StreamDecoder
from conduit.gateway.dialects.frames import sse, usual_deltas
from conduit.gateway.dialects.frames.usual_deltas import UsualDeltas
from conduit.gateway.dialects.gemini import read_stream as gemini_read_stream
from conduit.gateway.dialects.openai_responses import decode_stream as responses_decode_stream
from conduit.gateway.dialects.registry import DIALECTS
from tests.fakes.event_streams import message

TEXTS = st.text(alphabet='ab"\\\n\té😀\ud83d}{,:', max_size=4)
ASCII = st.booleans()


def written(value: Any, ascii_only: bool) -> bytes:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only)
    return text.encode("utf-8", "surrogatepass")


def chat_delta(delta: dict[str, Any], choice: int = 0, **more: Any) -> dict[str, Any]:
    one = {"index": choice, "delta": delta, "finish_reason": None}
    return {"id": "c", "model": "m", "system_fingerprint": "f", "choices": [one]} | more


def chat_call(text: str) -> dict[str, Any]:
    call = {"index": 0, "function": {"arguments": text}}
    return chat_delta({"tool_calls": [call]})


CHAT = st.one_of(
    *[TEXTS.map(lambda text: chat_delta({"content": text}))] * 3,
    TEXTS.map(lambda text: chat_delta({"content": text}, 1)),
    TEXTS.map(lambda text: chat_delta({"content": text}, system_fingerprint="g")),
    TEXTS.map(lambda text: chat_delta({"content": text}, usage={"prompt_tokens": 1})),
    TEXTS.map(lambda text: chat_delta({"content": text, "refusal": text})),
    TEXTS.map(lambda text: chat_delta({"refusal": text})),
    TEXTS.map(lambda text: chat_delta({"reasoning": text, "reasoning_content": text})),
    TEXTS.map(lambda text: chat_delta({"reasoning_content": text})),
    TEXTS.map(lambda text: chat_delta({"content": [{"type": "text", "text": text}]})),
    *[TEXTS.map(chat_call)] * 2,
    st.sampled_from(
        [
            {"error": {"message": "bad"}},
            {"id": "c", "model": "m", "choices": [], "usage": {"prompt_tokens": 1}},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        ]
    ),
)


def block_delta(kind: str, name: str, text: str, index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, name: text}}


MESSAGES = st.one_of(
    *[TEXTS.map(lambda text: block_delta("text_delta", "text", text))] * 3,
    TEXTS.map(lambda text: block_delta("text_delta", "text", text, 1)),
    TEXTS.map(lambda text: block_delta("thinking_delta", "thinking", text, 2)),
    *[TEXTS.map(lambda text: block_delta("input_json_delta", "partial_json", text, 3))] * 2,
    st.sampled_from(
        [
            {"type": "ping"},
            {
                "type": "content_block_start",
                "index": 3,
                "content_block": {"type": "tool_use", "id": "t", "name": "answer", "input": {}},
            },
            {"type": "content_block_stop", "index": 0},
            {"type": "content_block_stop", "index": 3},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
            {"type": "error", "error": {"type": "overloaded_error", "message": "full"}},
        ]
    ),
)


def candidate(part: dict[str, Any], index: int = 0, **more: Any) -> dict[str, Any]:
    one = {"content": {"parts": [part], "role": "model"}, "index": index}
    usage = {"promptTokenCount": 3, "candidatesTokenCount": len(str(part))}
    return {"candidates": [one], "usageMetadata": usage, "responseId": "r"} | more


CONTENTS = st.one_of(
    *[TEXTS.map(lambda text: candidate({"text": text}))] * 3,
    TEXTS.map(lambda text: candidate({"text": text}, 1)),
    TEXTS.map(lambda text: candidate({"text": text, "thought": True})),
    TEXTS.map(lambda text: candidate({"text": text, "thoughtSignature": "s"})),
    TEXTS.map(lambda text: candidate({"text": text}, usageMetadata=None)),
    TEXTS.map(lambda text: candidate({"text": text}, usageMetadata={"trafficType": "ON_DEMAND"})),
    st.builds(
        lambda text, time: candidate({"text": text}, createTime=time),
        TEXTS,
        st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", None]),
    ),
    TEXTS.map(lambda text: candidate({"functionCall": {"name": "answer", "args": {"a": text}}})),
    st.sampled_from(
        [
            {"candidates": [{"finishReason": "STOP", "index": 0}]},
            {"promptFeedback": {"blockReason": "SAFETY"}},
            {"error": {"code": 500, "message": "bad", "status": "INTERNAL"}},
        ]
    ),
)


def said(text: str, at: int = 0, item: int = 0, **more: Any) -> dict[str, Any]:
    place = {"output_index": item, "content_index": at, "item_id": "m"}
    return {"type": "response.output_text.delta", "delta": text, **place} | more


def added(item: int, kind: str) -> dict[str, Any]:
    fields = {"type": kind, "id": f"i{item}", "call_id": "c", "name": "answer"}
    return {"type": "response.output_item.added", "output_index": item, "item": fields}


def argument(text: str) -> dict[str, Any]:
    kind = "response.function_call_arguments.delta"
    return {"type": kind, "output_index": 1, "delta": text}


def part_done(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text}
    kind = "response.content_part.done"
    return {"type": kind, "output_index": 0, "content_index": 0, "part": part}


RESPONSES = st.one_of(
    *[st.builds(lambda text, n: said(text, sequence_number=n), TEXTS, st.integers())] * 3,
    st.builds(lambda text, filler: said(text, logprobs=[], obfuscation=filler), TEXTS, TEXTS),
    TEXTS.map(lambda text: said(text, 1)),
    TEXTS.map(lambda text: said(text, 0, 1)),
    TEXTS.map(lambda text: said(text, logprobs=[{"token": text}])),
    TEXTS.map(lambda text: said(text, content_index=None)),
    TEXTS.map(lambda text: said(text, output_index=0.0)),
    TEXTS.map(lambda text: said(text, output_index=True)),
    TEXTS.map(lambda text: said(text, more=1)),
    TEXTS.map(lambda text: said(text, response={"id": text})),
    TEXTS.map(lambda text: said(text, type="response.refusal.delta")),
    TEXTS.map(argument),
    TEXTS.map(part_done),
    st.sampled_from(
        [
            added(0, "message"),
            added(1, "function_call"),
            said("", delta=None),
            {"type": "error", "message": "bad"},
            {"type": "response.completed", "response": {"status": "completed", "output": []}},
        ]
    ),
)


def content(index: int = 0, **fields: str) -> dict[str, Any]:
    return {
        "type": "content-delta",
        "index": index,
        "delta": {"message": {"content": fields}},
    }


def call(kind: str, **fields: Any) -> dict[str, Any]:
    made = {"id": "c", "function": fields}
    return {"type": kind, "index": 1, "delta": {"message": {"tool_calls": made}}}


COHERE = st.one_of(
    *[TEXTS.map(lambda text: content(text=text))] * 3,
    TEXTS.map(lambda text: content(1, text=text)),
    TEXTS.map(lambda text: content(thinking=text)),
    TEXTS.map(lambda text: content(text=text, thinking=text)),
    TEXTS.map(lambda text: content(text=text, type="text")),
    TEXTS.map(lambda text: content(text=text) | {"logprobs": {"text": text, "token_ids": [1]}}),
    TEXTS.map(lambda text: {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": text}}}),
    *[TEXTS.map(lambda text: call("tool-call-delta", arguments=text))] * 2,
    TEXTS.map(lambda text: call("tool-call-delta", arguments={"a": text})),
    st.sampled_from(
        [
            {"type": "message-start", "id": "m", "delta": {"message": {}}},
            call("tool-call-start", name="answer", arguments=""),
            {"type": "tool-call-end", "index": 1},
            {"type": "content-end", "index": 0},
            {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
            {"type": "message-end", "delta": {"finish_reason": "ERROR"}},
            {"message": "bad"},
        ]
    ),
)


def block(delta: dict[str, Any], index: Any = 0, **more: Any) -> tuple[str, dict[str, Any]]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": delta} | more


CONVERSE = st.one_of(
    *[st.builds(lambda text, p: block({"text": text}, p=p), TEXTS, TEXTS)] * 3,
    TEXTS.map(lambda text: block({"text": text}, 1)),
    TEXTS.map(lambda text: block({"text": text}, 0.0)),
    TEXTS.map(lambda text: block({"text": text}, p=None)),
    TEXTS.map(lambda text: block({"text": text}, 3)),
    TEXTS.map(lambda text: block({"reasoningContent": {"text": text}}, 2)),
    TEXTS.map(lambda text: block({"reasoningContent": {"text": text}})),
    TEXTS.map(lambda text: block({"reasoningContent": {"text": text, "signature": "s"}}, 2)),
    TEXTS.map(lambda text: block({"reasoningContent": {"redactedContent": "cmVk"}}, 2)),
    *[TEXTS.map(lambda text: block({"toolUse": {"input": text}}, 3))] * 2,
    TEXTS.map(lambda text: block({"text": text, "toolUse": {"input": text}}, 3)),
    TEXTS.map(lambda text: block({"text": text, "reasoningContent": {"text": text}})),
    TEXTS.map(lambda text: block({"text": text, "citation": {"title": text}})),
    TEXTS.map(lambda text: ("throttlingException", {"message": text})),
    st.sampled_from(
        [
            ("messageStart", {"role": "assistant"}),
            (
                "contentBlockStart",
                {
                    "contentBlockIndex": 3,
                    "start": {"toolUse": {"toolUseId": "t", "name": "answer"}},
                },
            ),
            ("contentBlockStart", {"contentBlockIndex": 1, "start": {"image": {"format": "png"}}}),
            ("contentBlockStop", {"contentBlockIndex": 0}),
            ("contentBlockStop", {"contentBlockIndex": 3}),
            ("messageStop", {"stopReason": "end_turn"}),
            ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1}}),
        ]
    ),
)


def aws_message(kind: str, payload: bytes) -> bytes:
    if kind.endswith("Exception"):
        return message({":message-type": "exception", ":exception-type": kind}, payload)
    return message({":event-type": kind, ":message-type": "event"}, payload)


def no_form(*_: object) -> None:
    return None


def unusual(_: bytes) -> None:
    raise msgspec.DecodeError


def fed(decoder: StreamDecoder, pieces: list[bytes]) -> list[Any]:
    events = [decoder.feed(piece) for piece in pieces]
    return [*events, decoder.finish(), decoder.complete, decoder.done]


@contextmanager
def only_the_general_way() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usual_deltas, "usual_chunk", no_form)
        patch.setattr(sse, "_named_payload", no_form)
        for reader in (bedrock_stream, gemini_read_stream, responses_decode_stream):
            patch.setattr(reader, "_read_usual", unusual)
        yield


def gives_the_same(
    decoder: Callable[..., StreamDecoder], answer_tool: str | None, pieces: list[bytes]
) -> None:
    quick = fed(decoder(answer_tool=answer_tool), pieces)
    assert fed(decoder(answer_tool=answer_tool), [b"".join(pieces)])[1:] == quick[-3:]
    with only_the_general_way():
        assert fed(decoder(answer_tool=answer_tool), pieces) == quick


def cut(data: st.DataObject, pieces: list[bytes]) -> list[bytes]:
    """The same bytes as they are, or cut at any other places."""
    if data.draw(st.booleans()):
        return pieces
    body = b"".join(pieces)
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8))
    places = sorted({0, *cuts, len(body)})
    return [body[start:end] for start, end in itertools.pairwise(places)]


@pytest.mark.parametrize(
    ("dialect", "chunks"),
    [
        ("openai_chat", CHAT),
        ("anthropic_messages", MESSAGES),
        ("gemini", CONTENTS),
        ("openai_responses", RESPONSES),
        ("cohere_v2", COHERE),
    ],
)
@pytest.mark.parametrize("answer_tool", [None, "answer"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@given(data=st.data())
def test_the_short_way_gives_the_events_of_the_general_one(
    dialect: str, chunks: Any, answer_tool: str | None, line_end: bytes, data: st.DataObject
) -> None:
    heads = st.sampled_from([b"", b"event: x" + line_end])
    pieces = [
        data.draw(heads) + b"data: " + written(chunk, data.draw(ASCII)) + line_end * 2
        for chunk in data.draw(st.lists(chunks, max_size=14))
    ]
    gives_the_same(DIALECTS[dialect].StreamDecoder, answer_tool, cut(data, pieces))


@pytest.mark.parametrize("answer_tool", [None, "answer"])
@given(data=st.data())
def test_the_short_way_through_the_framing_of_aws_gives_the_same_events(
    answer_tool: str | None, data: st.DataObject
) -> None:
    pieces = [
        aws_message(kind, written(fields, data.draw(ASCII)))
        for kind, fields in data.draw(st.lists(CONVERSE, max_size=14))
    ]
    gives_the_same(bedrock_stream.StreamDecoder, answer_tool, cut(data, pieces))


def sent(event: dict[str, Any]) -> bytes:
    return b"event: x\ndata: " + written(event, ascii_only=True) + b"\n\n"


@pytest.mark.parametrize(
    ("reader", "first", "next_one"),
    [
        (
            responses_decode_stream,
            sent(said("a", sequence_number=1, obfuscation="x")),
            sent(said("b", sequence_number=2, obfuscation="yz")),
        ),
        (cohere_stream, sent(content(text="a")) * 2, sent(content(text="b"))),
        (
            bedrock_stream,
            aws_message("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"a"}}'),
            aws_message(
                "contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"b"},"p":""}'
            ),
        ),
    ],
)
def test_more_text_is_read_the_short_way(reader: Any, first: bytes, next_one: bytes) -> None:
    decoder = reader.StreamDecoder()
    assert decoder.feed(first)[-1] == TextDelta(0, "a")
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(reader, "read_json")
        assert decoder.feed(next_one) == [TextDelta(0, "b")]


@pytest.mark.parametrize(
    ("name", "event"),
    [
        (b"text", TextDelta(2, "hi", 1)),
        (b"thinking", ThinkingDelta(2, "hi", 1)),
        (b"partial_json", ArgumentsDelta(2, "hi", 1)),
    ],
)
def test_an_event_of_the_form_of_the_last_is_not_decoded(name: bytes, event: Any) -> None:
    usual = UsualDeltas(
        {TextDelta: (b"text",), ThinkingDelta: (b"thinking",), ArgumentsDelta: (b"partial_json",)}
    )
    payload = b'{"%b":"hi"}' % name
    assert usual.read(payload) is None
    usual.learn(payload, [event])
    assert usual.read(b'{"%b":"and\\nmore"}' % name) == type(event)(2, "and\nmore", 1)
    assert usual.read(b'{"%b":""}' % name) is None, "which is no delta"
    usual.learn(b"{}", [])
    assert usual.read(payload) is None, "since something else came in between"


def test_probabilities_of_a_text_are_no_part_of_a_form() -> None:
    usual = UsualDeltas({TextDelta: (b"text",)})
    usual.learn(b'{"text":"hi"}', [TextDelta(0, "hi", logprobs={})])
    assert usual.read(b'{"text":"hi"}') is None
