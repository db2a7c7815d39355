import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import ConduitError, UpstreamFailure
from conduit.gateway.dialects.openai import relayed_stream
from conduit.gateway.dialects.openai.relayed_stream import DONE, StreamReader


def event(**chunk: Any) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def delta(index: int = 0, finish_reason: str | None = None, **fields: Any) -> bytes:
    choice = {"index": index, "delta": fields, "finish_reason": finish_reason}
    return event(id="c1", model="m1", choices=[choice])


USAGE = event(id="c1", choices=[], usage={"prompt_tokens": 3, "completion_tokens": 2})


def read(*pieces: bytes, strip: bool = True) -> tuple[StreamReader, bytes]:
    reader = StreamReader(strip_usage=strip)
    data = b"".join([*[reader.feed(piece).data for piece in pieces], reader.finish().data])
    return reader, data


def test_whole_events_pass_as_the_very_same_object() -> None:
    chunk = delta(content="a") + delta(content="b")
    assert StreamReader(strip_usage=True).feed(chunk).data is chunk


def test_all_output_text_is_counted() -> None:
    calls = [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]
    reader, _ = read(
        delta(role="assistant", content=""),
        delta(content="ab"),
        delta(index=1, content="é"),
        delta(reasoning_content="xy"),
        delta(reasoning="xyz"),
        delta(reasoning_content="q", reasoning="q"),
        delta(refusal="no"),
        delta(tool_calls=calls),
        delta(function_call={"name": "g", "arguments": None}),
        event(choices=[{"index": 0, "text": "tt"}]),
    )
    assert reader.output.bytes == 2 + len("é".encode()) + 2 + 3 + 1 + 2 + 3 + 1 + 2
    assert reader.output.deltas == 10
    assert reader.output.choices == {0, 1}
    assert (reader.id, reader.model) == ("c1", "m1")


@pytest.mark.parametrize(
    ("pieces", "decoded"),
    [
        # The first one has more in it than the others.
        ([delta(role="assistant", content="0"), *[delta(content=f"{n}") for n in range(1, 50)]], 2),
        # No two in a row are alike: they are read, and no more forms are made than a few.
        ([delta(content=f"{n}", obfuscation="x" * n) for n in range(1, 50)], 49),
    ],
)
def test_texts_that_come_in_one_form_are_not_decoded_again(
    pieces: list[bytes], decoded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_by: dict[str, list[bytes]] = {"_decode": [], "_form_of": []}
    for name, seen in read_by.items():
        before = getattr(relayed_stream, name)

        def noted(
            payload: bytes, *more: Any, before: Any = before, seen: list[bytes] = seen
        ) -> Any:
            seen.append(payload)
            return before(payload, *more)

        monkeypatch.setattr(relayed_stream, name, noted)
    reader, data = read(*pieces)
    assert data == b"".join(pieces)
    assert reader.output.deltas == len(pieces)
    assert reader.output.bytes == sum(len(str(n)) for n in range(50)) - (len(pieces) == 49)
    assert len(read_by["_decode"]) == decoded
    assert len(read_by["_form_of"]) <= 4


def test_text_in_forms_that_the_fast_view_does_not_know_is_counted_too() -> None:
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]
    reader, data = read(
        delta(content=thinking),
        delta(content="cut \ud83d"),
        event(id=5, model=None, choices=[{"index": "x", "delta": {"content": "a"}}, 3]),
        event(choices=[{"delta": {"tool_calls": [{"function": {"arguments": {"a": 1}}}, 4]}}]),
        event(choices=[{"finish_reason": "stop", "delta": {"content": ["x", {"text": "y"}]}}]),
        strip=False,
    )
    assert reader.output.bytes == 2 + len("cut ") + 3 + 1 + 1
    assert reader.finish_reasons == {0: "stop"}
    assert reader.unreadable_events == 0
    assert b"\\ud83d" in data


def test_the_usage_chunk_is_taken_out_for_a_client_that_did_not_ask() -> None:
    text = delta(content="a") + USAGE + DONE
    reader, data = read(text, strip=True)
    assert data == delta(content="a") + DONE
    assert reader.usage is not None
    assert (reader.usage.total_input_tokens, reader.usage.total_output_tokens) == (3, 2)
    assert reader.done
    reader, data = read(text, strip=False)
    assert data == text


def test_usage_beside_a_choice_stays() -> None:
    chunk = event(choices=[{"index": 0, "delta": {}}], usage={"total_tokens": 1})
    reader, data = read(chunk)
    assert data == chunk
    assert reader.usage is not None


def test_an_empty_choices_chunk_without_usage_stays() -> None:
    chunk = event(choices=[], prompt_filter_results=[{}], usage=None)
    reader, data = read(chunk)
    assert data == chunk
    assert reader.usage is None


def test_an_empty_usage_is_no_report_but_a_zero_is() -> None:
    assert read(event(choices=[], usage={}))[0].usage is None
    usage = read(event(choices=[], usage={"total_tokens": 0}))[0].usage
    assert usage is not None
    assert usage.total_input_tokens == 0


def test_groq_s_usage_is_found() -> None:
    x_groq = {"id": "r", "usage": {"prompt_tokens": 4, "completion_tokens": 1}}
    reader, data = read(event(choices=[{"index": 0, "delta": {}}], x_groq=x_groq))
    assert reader.usage is not None
    assert reader.usage.total_input_tokens == 4
    assert data


@pytest.mark.parametrize(
    "failing",
    [
        event(error={"message": "key sk-abcdefgh1234 broke", "code": 500}),
        event(object="error", message="key sk-abcdefgh1234 broke"),
        event(error="key sk-abcdefgh1234 broke", note="\ud83d"),
    ],
)
def test_an_error_event_ends_the_relay_before_it(failing: bytes) -> None:
    reader = StreamReader(strip_usage=True)
    relayed = reader.feed(delta(content="a") + USAGE + failing + delta(content="b") + DONE)
    assert relayed.data == delta(content="a")
    assert isinstance(relayed.failure, ConduitError)
    assert relayed.failure.message == "The provider reported an error: key [redacted] broke"
    assert reader.feed(delta(content="c") + DONE) == (b"", None)
    assert reader.finish().data == b""
    assert not reader.complete


def test_comments_and_unreadable_events_are_relayed() -> None:
    text = b": keep-alive\n\ndata: not json\n\ndata: [1]\n\n" + DONE
    reader, data = read(text)
    assert data == text
    assert reader.unreadable_events == 2
    assert reader.complete


def test_an_event_without_end_is_the_provider_s_failure() -> None:
    reader = StreamReader(strip_usage=True)
    relayed = reader.feed(b"data: " + b"x" * (9 * 1024 * 1024))
    assert isinstance(relayed.failure, UpstreamFailure)
    assert relayed.data == b""


def test_a_stream_without_done_is_complete_when_every_choice_has_finished() -> None:
    reader, _ = read(delta(content="a"), delta(index=1, content="b"))
    seen = [reader.complete]
    reader.feed(delta(finish_reason="stop"))
    seen.append(reader.complete)
    reader.feed(delta(index=1, finish_reason="length"))
    seen.append(reader.complete)
    assert seen == [False, False, True]
    assert reader.finish_reasons == {0: "stop", 1: "length"}


def test_an_empty_stream_is_not_complete() -> None:
    assert not read(b"")[0].complete


@pytest.mark.parametrize("rest", [b"data: [DONE]", b"data: [DONE]\n", b"data: [DONE]\r\n"])
def test_a_last_event_that_only_lacks_its_empty_line_is_relayed(rest: bytes) -> None:
    reader, data = read(delta(content="a"), rest)
    assert data == delta(content="a") + DONE
    assert reader.done


def test_half_an_event_is_never_relayed() -> None:
    reader, data = read(delta(content="a"), delta(content="b")[:-10])
    assert data == delta(content="a")
    assert not reader.complete


@given(st.lists(st.integers(0, 600), max_size=10))
def test_any_cut_gives_the_same_reading(at: list[int]) -> None:
    text = (
        delta(role="assistant", content="")
        + b": comment\n\n"
        + delta(content="é" * 5)
        + delta(finish_reason="stop")
        + USAGE
        + DONE
    )
    places = [0, *sorted(place % (len(text) + 1) for place in at), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    reader, data = read(*pieces)
    assert data == text.replace(USAGE, b"")
    assert (reader.output.bytes, reader.done, reader.finish_reasons) == (10, True, {0: "stop"})
    assert reader.usage is not None


@given(st.binary(max_size=100))
def test_no_provider_bytes_raise(noise: bytes) -> None:
    read(delta(content="a"), b"data: " + noise + b"\n\n", noise)
