"""The short way of decoders gives what the general one gives, whatever comes in what order."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.conversation import ArgumentsDelta, TextDelta, ThinkingDelta
from conduit.gateway.dialects.dialect import StreamDecoder
from conduit.gateway.dialects.frames import usual_deltas
from conduit.gateway.dialects.frames.usual_deltas import UsualDeltas
from conduit.gateway.dialects.gemini import read_stream as gemini_read_stream
from conduit.gateway.dialects.registry import DIALECTS

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


def no_form(*_: object) -> None:
    return None


def unusual(_: bytes) -> None:
    raise msgspec.DecodeError


def fed(decoder: StreamDecoder, pieces: list[bytes]) -> list[Any]:
    events = [decoder.feed(piece) for piece in pieces]
    return [*events, decoder.finish(), decoder.complete, decoder.done]


@pytest.mark.parametrize(
    ("dialect", "chunks"),
    [("openai_chat", CHAT), ("anthropic_messages", MESSAGES), ("gemini", CONTENTS)],
)
@pytest.mark.parametrize("answer_tool", [None, "answer"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@given(data=st.data())
def test_the_short_way_gives_the_events_of_the_general_one(
    dialect: str, chunks: Any, answer_tool: str | None, line_end: bytes, data: st.DataObject
) -> None:
    pieces = [
        b"data: " + written(chunk, data.draw(ASCII)) + line_end * 2
        for chunk in data.draw(st.lists(chunks, max_size=14))
    ]
    decoder = DIALECTS[dialect].StreamDecoder
    quick = fed(decoder(answer_tool=answer_tool), pieces)
    assert fed(decoder(answer_tool=answer_tool), [b"".join(pieces)])[1:] == quick[-3:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usual_deltas, "usual_chunk", no_form)
        patch.setattr(gemini_read_stream, "_read_usual", unusual)
        assert fed(decoder(answer_tool=answer_tool), pieces) == quick


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
