"""Pieces given to the client as they arrive, and those that have to wait for the request's task."""

import pytest

from conduit.core.errors import UpstreamFailure
from conduit.gateway.dialects.openai.relayed_stream import DONE, StreamReader
from conduit.gateway.stages.at_once import AtOnce

EVENT = b'data: {"id":"a","model":"m","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
ERROR = b'data: {"error":{"message":"overloaded"}}\n\n'


class Client:
    def __init__(self) -> None:
        self.keeps_up = True
        self.got: list[bytes] = []

    def push(self, data: bytes) -> bool:
        if self.keeps_up:
            self.got.append(data)
        return self.keeps_up


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def reader() -> StreamReader:
    return StreamReader(strip_usage=True)


@pytest.fixture
def at_once(client: Client, reader: StreamReader) -> AtOnce:
    found = AtOnce(reader, client.push)
    found.look_at = 100
    return found


def test_a_piece_goes_to_the_client(at_once: AtOnce, client: Client, reader: StreamReader) -> None:
    assert at_once.take(EVENT)
    assert client.got == [EVENT]
    assert reader.output.deltas == 1


def test_half_an_event_is_held_back_without_a_word(at_once: AtOnce, client: Client) -> None:
    assert at_once.take(EVENT[:30])
    assert client.got == []
    assert at_once.take(EVENT[30:])
    assert client.got == [EVENT]


@pytest.mark.parametrize("piece", [ERROR, DONE])
def test_an_end_is_left_to_the_task(at_once: AtOnce, client: Client, piece: bytes) -> None:
    assert not at_once.take(piece)
    assert client.got == []


def test_what_was_read_is_not_read_again(
    at_once: AtOnce, client: Client, reader: StreamReader
) -> None:
    """Where the client takes its time, or the task has to look what was spent."""
    client.keeps_up = False
    assert not at_once.take(EVENT)
    assert at_once.read(EVENT).data == EVENT
    assert reader.output.deltas == 1
    client.keeps_up = True
    at_once.look_at = 2
    assert not at_once.take(EVENT)
    assert at_once.read(EVENT).data == EVENT
    assert reader.output.deltas == 2
    assert at_once.read(EVENT).data == EVENT  # this one was not tried before
    assert reader.output.deltas == 3
    assert client.got == []


def test_an_error_is_raised_where_it_is_awaited(at_once: AtOnce) -> None:
    def broken(piece: bytes) -> None:
        raise UpstreamFailure("it cannot be read")

    at_once._feed = broken  # type: ignore[assignment]
    assert not at_once.take(EVENT)
    with pytest.raises(UpstreamFailure):
        at_once.read(EVENT)
