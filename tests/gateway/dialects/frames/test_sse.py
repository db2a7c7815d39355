from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import UpstreamFailure
from conduit.gateway.dialects.frames.sse import (
    EventSplitter,
    event_of,
    payload_of,
    payloads_of,
    split_events,
)

LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data", b": comment", b"event: x", b"id: 1", b"data: \xc3\xa9{}", b""]
)


def fed(pieces: list[bytes]) -> tuple[bytes, list[bytes], bytes]:
    splitter = EventSplitter()
    whole = b""
    payloads: list[bytes] = []
    for piece in pieces:
        ready = splitter.feed(piece)
        whole += ready
        payloads += [payload for payload in payloads_of(ready) if payload is not None]
    return whole, payloads, splitter.finish()


def cut(text: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted(place % (len(text) + 1) for place in at), len(text)]
    return [text[start:end] for start, end in pairwise(places)]


@given(
    st.lists(LINES, max_size=12),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_any_cut_gives_the_same_events(lines: list[bytes], end: bytes, at: list[int]) -> None:
    text = b"".join(line + end for line in lines)
    whole, payloads, rest = fed([text])
    assert whole + rest == text
    cut_whole, cut_payloads, cut_rest = fed(cut(text, at))
    assert cut_whole + cut_rest == text
    assert cut_payloads == payloads


@given(st.binary(max_size=80), st.lists(st.integers(0, 80), max_size=6))
def test_any_bytes_are_relayed_unchanged(text: bytes, at: list[int]) -> None:
    whole, _, rest = fed(cut(text, at))
    assert whole + rest == text
    assert b"".join(split_events(whole)) == whole


@given(
    st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=10),
    st.lists(st.integers(0, 120), max_size=6),
)
def test_mixed_line_ends_survive_any_cut(lines: list[tuple[bytes, bytes]], at: list[int]) -> None:
    text = b"".join(line + end for line, end in lines)
    assert fed(cut(text, at))[1] == fed([text])[1]


@given(st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=10))
def test_the_payloads_of_all_events_are_those_of_each(lines: list[tuple[bytes, bytes]]) -> None:
    whole, _, _ = fed([b"".join(line + end for line, end in lines)])
    assert payloads_of(whole) == [payload_of(event) for event in split_events(whole)]


def test_whole_events_are_the_very_same_bytes() -> None:
    chunk = b"data: a\n\ndata: b\n\n"
    assert EventSplitter().feed(chunk) is chunk


def test_a_partial_tail_waits() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\n\ndata: b") == b"data: a\n\n"
    assert splitter.feed(b"\n") == b""
    assert splitter.feed(b"\ndata: c\n\nda") == b"data: b\n\ndata: c\n\n"
    assert splitter.finish() == b"da"


def test_a_crlf_is_one_line_end() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\r\ndata: b\r\n\r") == b"data: a\r\ndata: b\r\n\r"
    assert payload_of(b"data: a\r\ndata: b\r\n\r") == b"a\nb"


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        (b"data: a\n\n", b"a"),
        (b"data:a\n\n", b"a"),
        (b"data:  a\n\n", b" a"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"event: x\nid: 3\ndata: a\n\n", b"a"),
        (b": comment\n\n", None),
        (b"event: ping\n\n", None),
        (b"data\n\n", b""),
        (b"\xef\xbb\xbfdata: a\n\n", b"a"),
        (b"\ndata: a\n\n", b"a"),
        (b"data: a\r\r", b"a"),
    ],
)
def test_the_data_of_an_event(event: bytes, payload: bytes | None) -> None:
    assert payload_of(event) == payload
    assert payloads_of(event) == [payload]


def test_an_event_past_the_limit_is_the_provider_s_failure() -> None:
    splitter = EventSplitter(limit=100)
    splitter.feed(b"data: " + b"x" * 90)
    with pytest.raises(UpstreamFailure, match="more than 100 bytes"):
        splitter.feed(b"x" * 20)


def test_many_small_pieces_of_a_large_event_cost_one_scan_each() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: ") == b""
    for _ in range(20_000):
        assert splitter.feed(b"x" * 50) == b""
    assert len(splitter.feed(b"\n\n")) == 6 + 1_000_000 + 2


def test_an_event_is_one_line_of_data() -> None:
    assert event_of(b"[DONE]") == b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("line", "payload"),
    [
        (b'error: {"code":400,"message":"full"}', b'{"error":{"code":400,"message":"full"}}'),
        (
            b'error: {"detail":"d","error":{"message":"m"}}',
            b'{"detail":"d","error":{"message":"m"}}',
        ),
        (b"error:", b'{"error":""}'),
        (b"error: no JSON", b'{"error":no JSON}'),
        (b'event: error\ndata: {"error":1}', b'{"error":1}'),
        (b"errors: 1", None),
    ],
)
def test_a_field_of_the_name_error_is_the_error_that_it_tells(
    line: bytes, payload: bytes | None
) -> None:
    assert payloads_of(line + b"\n\n") == [payload]
    assert payload_of(line) == payload
