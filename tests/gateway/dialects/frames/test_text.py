"""Frames that are put together from prepared bytes are those that the general encoders write."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.conversation import (
    ArgumentsDelta,
    Finished,
    FinishReason,
    PartFinished,
    PartStarted,
    Started,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    Usage,
    Used,
)
from conduit.gateway.dialects.frames.text import TextFrame, text_frame
from conduit.gateway.dialects.gemini.write_stream import StreamEncoder as GeminiEncoder
from conduit.gateway.dialects.registry import DIALECTS

CLIENTS = ("openai_chat", "openai_responses", "anthropic_messages", "gemini")
TEXTS = st.text(alphabet='ab"\\\n\x01\x7fé😀\ud83d}{,:', max_size=5)
KINDS = st.sampled_from(["text", "thinking", "refusal", "audio"])
INDEX = st.integers(0, 2)
CHOICE = st.sampled_from([0, 0, 0, 1])
LOGPROBS: st.SearchStrategy[Any] = st.sampled_from([None, None, None, {}, {"content": []}])
HEADS = st.builds(
    Started,
    st.sampled_from(["i", 'a"text":""']),
    st.sampled_from(["m", "é", '"content":""', ""]),
    st.just(7),
    extras=st.sampled_from([{}, {"service_tier": '"text":""', "o": {"content": ""}}]),
    dialect=st.sampled_from(["", *CLIENTS]),
)
EVENTS = st.one_of(
    *[st.builds(TextDelta, INDEX, TEXTS, CHOICE, LOGPROBS)] * 4,
    st.builds(PartStarted, INDEX, KINDS, CHOICE),
    st.builds(ThinkingDelta, INDEX, TEXTS, CHOICE),
    st.builds(PartFinished, INDEX, CHOICE),
    HEADS,
)
STREAMS = st.builds(
    lambda head, events: [head, PartStarted(0, "text"), *events], HEADS, st.lists(EVENTS)
)
END = [Finished(FinishReason.STOP), Used(Usage(input_tokens=1, output_tokens=2))]


def frames_of(encoder: Any, events: list[StreamEvent]) -> list[bytes]:
    return [*map(encoder.encode, events), *map(encoder.encode, END), encoder.finish()]


@pytest.mark.parametrize("client", [*CLIENTS, "array"])
@given(events=STREAMS, include_usage=st.booleans())
def test_every_frame_is_the_one_of_the_general_encoder(
    client: str, events: list[StreamEvent], include_usage: bool
) -> None:
    def encoder() -> Any:
        if client == "array":
            return GeminiEncoder(include_usage=include_usage, array=True)
        return DIALECTS[client].StreamEncoder(include_usage=include_usage)

    quick = frames_of(encoder(), events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextFrame, "around", lambda self, text: None)
        assert frames_of(encoder(), events) == quick


def test_the_text_stands_in_the_last_field_of_its_name() -> None:
    frame = text_frame(b'{"text":"","parts":[{"text":""}],"n":1}', "text")
    assert frame.around('a "b"\n') == rb'{"text":"","parts":[{"text":"a \"b\"\n"}],"n":1}'


def test_half_a_surrogate_pair_changes_more_than_the_text() -> None:
    assert text_frame(b'{"text":""}', "text").around("\ud83d") is None


def test_other_deltas_have_no_frames() -> None:
    encoder = DIALECTS["openai_chat"].StreamEncoder(include_usage=False)
    encoder.encode(Started("i", "m", 1))
    encoder.encode(PartStarted(0, "tool_call", tool_call_id="c", tool_name="n"))
    assert b'"arguments":"{}"' in encoder.encode(ArgumentsDelta(0, "{}"))
