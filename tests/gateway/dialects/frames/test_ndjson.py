import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import UpstreamFailure
from conduit.gateway.dialects.frames.ndjson import LineSplitter


@given(st.lists(st.binary(max_size=6)), st.data())
def test_lines_are_the_same_cut_anywhere(pieces: list[bytes], data: st.DataObject) -> None:
    body = b"\n".join(pieces)
    at = data.draw(st.integers(0, len(body)))
    splitter = LineSplitter()
    lines = [*splitter.feed(body[:at]), *splitter.feed(body[at:]), splitter.finish()]
    assert [line for line in lines if line] == [
        line for raw in body.split(b"\n") if (line := raw.strip(b" \t\r"))
    ]
    assert splitter.finish() == b""


def test_other_line_ends_of_unicode_stay_inside_a_line() -> None:
    assert LineSplitter().feed("{\u2028\x0b}\r\n\r\n".encode()) == ["{\u2028\x0b}".encode()]


def test_an_endless_line_is_the_provider_s_failure() -> None:
    splitter = LineSplitter(limit=4)
    assert splitter.feed(b"12345\n1234") == [b"12345"]
    with pytest.raises(UpstreamFailure):
        splitter.feed(b"5")
