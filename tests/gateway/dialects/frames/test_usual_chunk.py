"""Chunks that are recognised by what stands around their text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.dialects.frames.usual_chunk import UsualChunk, usual_chunk
from conduit.gateway.dialects.openai import relayed_stream as openai_stream
from conduit.gateway.dialects.openai.relayed_stream import StreamReader


def payload(text: str, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    chunk = {"id": "c", "model": "m", "choices": [choice], "usage": None} | more
    return json.dumps(chunk, separators=(",", ":"), ensure_ascii=False).encode()


FORM = usual_chunk(payload("hi"), "hi")


@pytest.mark.parametrize(
    "text", ["", "more", "é", "}],", "null", 'a "word"', "a\\b", "line\n", "\U0001f600"]
)
def test_text_is_found_between_the_same_bytes(text: str) -> None:
    assert FORM is not None
    assert FORM.text_of(payload(text)) == text


@pytest.mark.parametrize(
    "other",
    [
        payload("hi", usage={"prompt_tokens": 1}),
        payload("hi", id="another"),
        payload("hi")[:-1],
        payload("hi").replace(b"hi", b"\\ud83d"),
        payload("hi").replace(b"hi", b"h\ti"),
        payload("hi").replace(b"hi", b'hi","role":"assistant'),
        b"",
    ],
)
def test_anything_else_is_read_as_json(other: bytes) -> None:
    assert FORM is not None
    assert FORM.text_of(other) is None


def test_bytes_that_are_no_text_are_left_to_the_reading_as_json() -> None:
    assert FORM is not None
    assert FORM.text_of(payload("hi").replace(b"hi", b"\xff")) is None


def test_too_little_to_be_both_ends_is_nothing() -> None:
    assert UsualChunk(b'{"a":"', b'"}').text_of(b'{"a":"}') is None


@pytest.mark.parametrize("text", ["é", "\ud83d"])
def test_a_text_that_is_escaped_as_we_would_not_gives_no_form(text: str) -> None:
    assert usual_chunk(json.dumps({"content": text}, separators=(",", ":")).encode(), text) is None


@pytest.mark.parametrize("written", [b'{"content": "a\\"b"}', b'{"content":"a\\"b"}'])
def test_the_form_of_a_text_with_escapes_is_found_with_and_without_a_space(written: bytes) -> None:
    form = usual_chunk(written, 'a"b')
    assert form is not None
    assert form.text_of(written.replace(b"b", b"b\\n")) == 'a"b\n'


def test_a_chunk_with_two_contents_gives_no_form() -> None:
    assert usual_chunk(payload("hi", note={"content": "hi"}), "hi") is None


PIECES = st.text(alphabet='ab"\\\né}{,:', max_size=4)
CHUNKS = st.lists(
    st.builds(payload, PIECES)
    | st.builds(lambda text: payload(text, id="d"), PIECES)
    | st.just(payload("", usage={"prompt_tokens": 3, "completion_tokens": 1}))
    | st.just(b"[DONE]"),
    max_size=12,
)


@given(CHUNKS)
def test_a_stream_is_counted_as_if_every_chunk_were_read(chunks: list[bytes]) -> None:
    body = b"".join(b"data: " + chunk + b"\n\n" for chunk in chunks)
    quick = StreamReader(strip_usage=False)
    relayed = quick.feed(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_stream, "usual_chunk", lambda *_: None)
        slow = StreamReader(strip_usage=False)
        assert slow.feed(body) == relayed
    for name in ("deltas", "bytes", "choices", "tokens"):
        assert getattr(quick.output, name) == getattr(slow.output, name)
    assert (quick.usage, quick.done, quick.started) == (slow.usage, slow.done, slow.started)
