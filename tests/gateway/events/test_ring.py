"""The ring: what was published comes back as it was, packed or not."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.events import EventKind
from conduit.gateway.events.ring import Ring

FINISHED = EventKind.REQUEST_FINISHED
STARTED = EventKind.REQUEST_STARTED


class Pair(msgspec.Struct, frozen=True, gc=False):
    left: str
    right: tuple[int, ...]


published: st.SearchStrategy[Any] = (
    st.dictionaries(st.text(), st.integers() | st.text() | st.none() | st.floats(allow_nan=False))
    | st.builds(Pair, st.text(), st.tuples(st.integers()))
    | st.integers().map(lambda number: lambda: number)  # which cannot be packed
)


@given(data=st.lists(published, max_size=60), most=st.integers(1, 30), more=st.data())
def test_the_last_events_come_back_as_they_were(
    data: list[Any], most: int, more: st.DataObject
) -> None:
    ring = Ring(most)
    for number, each in enumerate(data):
        ring.add(number, STARTED, each)
    kept = data[-most:]
    assert ring.last_seq == len(data)
    assert ring.first_seq == len(data) - len(kept) + 1
    if not kept:
        return
    seq = more.draw(st.integers(ring.first_seq, ring.last_seq))
    wanted = more.draw(st.integers(0, most + 1))
    expected = [
        (number, (number - 1, STARTED, data[number - 1]))
        for number in range(seq, ring.last_seq + 1)
    ]
    assert list(ring.since(seq, wanted)) == expected[:wanted]


def test_a_full_ring_holds_few_objects() -> None:
    ring = Ring(10_000)
    for number in range(30_000):
        ring.add(number, FINISHED, {"id": f"req_{number}"})
    assert len(ring.newest) < 256
    assert ring.first_seq == 20_001
    found = dict(ring.since(20_001, 10_000))
    assert len(found) == 10_000
    assert found[29_999] == (29_998, FINISHED, {"id": "req_29998"})


class Unpackable:
    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def __reduce__(self) -> str:
        raise self.error


@pytest.mark.parametrize("error", [ValueError, RecursionError, OverflowError, TypeError])
def test_what_cannot_be_packed_is_kept_as_it_is(error: type[Exception]) -> None:
    ring = Ring(40)
    data = [Unpackable(error) if number % 7 == 0 else number for number in range(60)]
    for number, each in enumerate(data):
        ring.add(number, STARTED, each)
    assert len(ring.newest) < 10
    assert [kept[2] for _, kept in ring.since(21, 40)] == data[20:]
