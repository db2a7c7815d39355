"""The framing of AWS's event streams, against an encoder of our own."""

import contextlib
import itertools
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import UpstreamFailure
from conduit.gateway.dialects.bedrock.event_stream import (
    MAX_HEADERS_BYTES,
    Message,
    MessageSplitter,
)
from tests.fakes.event_streams import frame, message, number, typed

SMALLEST = frame(b"", b"")
# What the Smithy specification gives as its example of an empty message.
EXAMPLE = bytes.fromhex("00000010 00000000 05c248eb 7d98c8ff")

values = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=40),
    st.text(max_size=40),
)
messages = st.builds(
    Message,
    st.dictionaries(st.text(min_size=1, max_size=20), values, max_size=5),
    st.binary(max_size=200),
)


def encoded(wanted: Message) -> bytes:
    return message(wanted.headers, wanted.payload)


def whole(body: bytes) -> list[Message]:
    return list(MessageSplitter().feed(body))


@given(st.lists(messages, max_size=4), st.lists(st.integers(0, 2000), max_size=6))
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    wanted: list[Message], cuts: list[int]
) -> None:
    body = b"".join(encoded(each) for each in wanted)
    places = sorted({0, *(cut for cut in cuts if cut < len(body)), len(body)})
    splitter = MessageSplitter()
    found: list[Message] = []
    for start, end in itertools.pairwise(places):
        found += splitter.feed(body[start:end])
    assert found == wanted
    assert not splitter.is_holding


def test_a_message_is_told_of_with_its_last_byte_and_not_before() -> None:
    body = message({":event-type": "x"}, b"payload") * 2
    splitter = MessageSplitter()
    counts = [len(list(splitter.feed(body[at : at + 1]))) for at in range(len(body))]
    half = len(body) // 2
    assert [at for at, count in enumerate(counts) if count] == [half - 1, 2 * half - 1]


def test_the_specifications_smallest_message_is_read() -> None:
    assert SMALLEST == EXAMPLE
    assert whole(EXAMPLE) == [Message({}, b"")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (typed(True), True),
        (typed(False), False),
        (typed(-7, 2), -7),
        (typed(-30_000, 3), -30_000),
        (typed(-(2**31), 4), -(2**31)),
        (typed(2**62, 5), 2**62),
        (typed(b"\x00\xff"), b"\x00\xff"),
        (typed("ü€"), "ü€"),
        (typed(1_700_000_000_123, 8), 1_700_000_000_123),
        (typed(bytes(range(16)), 9), bytes(range(16))),
    ],
)
def test_a_header_of_every_kind_is_read(value: bytes, expected: object) -> None:
    (found,) = whole(frame(b"\x04name" + value, b"p"))
    assert found == Message({"name": expected}, b"p")  # type: ignore[dict-item]  # of any kind
    assert found.text("name") == (expected if isinstance(expected, str) else "")
    assert found.text("another") == ""


@pytest.mark.parametrize(
    "headers",
    [
        b"\x05name",
        b"\x04name",
        b"\x04name\x0a",
        b"\x04name\x07\x00",
        b"\x04name\x07\x00\x05abc",
        b"\x04name\x05\x00\x00",
        b"\x04name\x09" + bytes(15),
        b"\x02\xff\xfe\x00",
        b"\x04name\x07\x00\x02\xff\xfe",
    ],
)
def test_headers_that_cannot_be_read_are_the_providers_failure(headers: bytes) -> None:
    with pytest.raises(UpstreamFailure, match="headers"):
        whole(frame(headers, b""))


@given(messages, messages, st.data())
def test_a_damaged_message_is_a_failure_after_those_before_it(
    first: Message, second: Message, data: st.DataObject
) -> None:
    good, bad = encoded(first), bytearray(encoded(second))
    place = data.draw(st.integers(0, len(bad) - 1))
    bad[place] ^= data.draw(st.integers(1, 255))
    found: list[Message] = []
    with pytest.raises(UpstreamFailure, match="damaged message"):
        found.extend(MessageSplitter().feed(good + bytes(bad)))
    assert found == [first]


def test_a_wrong_prelude_is_found_before_the_message_has_come() -> None:
    bad = bytearray(message({}, b"x" * 1000)[:12])
    bad[0] ^= 1
    with pytest.raises(UpstreamFailure, match="prelude"):
        whole(bytes(bad))


@pytest.mark.parametrize(
    ("total", "headers"), [(15, 0), (40, 30), (1001, 0), (500, MAX_HEADERS_BYTES + 1)]
)
def test_lengths_beyond_reason_are_a_failure(total: int, headers: int) -> None:
    prelude = number(total, 4) + number(headers, 4)
    body = prelude + number(crc32(prelude), 4)
    with pytest.raises(UpstreamFailure):
        list(MessageSplitter(limit=1000).feed(body))


@given(st.binary(max_size=400))
def test_any_bytes_are_messages_or_a_failure(body: bytes) -> None:
    with contextlib.suppress(UpstreamFailure):
        whole(body)
