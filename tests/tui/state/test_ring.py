"""The ring: the newest, in order, each once, whatever arrives when."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from conduit.tui.state.ring import Ring


@dataclass(frozen=True, slots=True)
class Thing:
    key: str
    at_ms: int


def things(*numbers: int) -> list[Thing]:
    return [Thing(f"t{number}", number) for number in numbers]


def keys(ring: Ring[Thing]) -> list[str]:
    return [thing.key for thing in ring]


NUMBERS = st.lists(st.integers(0, 60), max_size=40)


@given(batches=st.lists(NUMBERS, max_size=8), capacity=st.integers(1, 20))
def test_it_holds_the_newest_of_what_was_new_in_the_order_of_arrival(
    batches: list[list[int]], capacity: int
) -> None:
    ring: Ring[Thing] = Ring(capacity)
    expected: list[str] = []
    added = 0
    for batch in batches:
        added += ring.append(things(*batch))
        for number in batch:
            if f"t{number}" not in expected:
                expected = [*expected, f"t{number}"][-capacity:]
    assert keys(ring) == expected
    assert ring.end == added
    assert ring.start == ring.end - len(ring)


@given(arrived=NUMBERS, records=NUMBERS)
def test_a_merge_brings_what_is_missing_once_and_in_the_order_of_time(
    arrived: list[int], records: list[int]
) -> None:
    ring: Ring[Thing] = Ring(1_000)
    ring.append(things(*sorted(arrived)))
    added = ring.merge(things(*records))
    assert [thing.at_ms for thing in ring] == sorted({*arrived, *records})
    assert added == len({*records} - {*arrived})
    assert ring.merge(things(*records)) == 0


@given(arrived=NUMBERS, records=NUMBERS, capacity=st.integers(1, 20))
def test_a_merge_never_outgrows_the_capacity_and_keeps_the_newest(
    arrived: list[int], records: list[int], capacity: int
) -> None:
    ring: Ring[Thing] = Ring(capacity)
    ring.append(things(*sorted(set(arrived))))
    ring.merge(things(*records))
    times = [thing.at_ms for thing in ring]
    assert times == sorted(times)
    assert len(ring) <= capacity
    held = sorted({*sorted(set(arrived))[-capacity:], *records})
    assert times == held[-capacity:]


@given(numbers=st.sets(st.integers(0, 500), min_size=1, max_size=80), first=st.integers(-5, 90))
def test_a_window_is_the_same_part_that_positions_name(numbers: set[int], first: int) -> None:
    ring: Ring[Thing] = Ring(30)
    ring.append(things(*sorted(numbers)))
    window = ring.window(first, 7)
    begun = max(first, ring.start)
    assert list(window) == [
        thing for position in range(begun, begun + 7) if (thing := ring.at(position)) is not None
    ]


def test_a_position_stays_with_its_entry_while_others_are_added() -> None:
    ring: Ring[Thing] = Ring(4)
    ring.append(things(1, 2, 3))
    position = ring.position_of("t3")
    assert position is not None
    ring.append(things(4, 5, 6))
    assert ring.at(position) == Thing("t3", 3)
    ring.append(things(7))
    assert ring.at(position) is None
    assert ring.position_of("t3") is None


def test_a_merge_tells_by_its_generation_that_positions_have_changed() -> None:
    ring: Ring[Thing] = Ring(10)
    ring.append(things(1, 5))
    before = ring.generation
    ring.append(things(6))
    assert ring.generation == before
    ring.merge(things(3))
    assert ring.generation != before
    assert keys(ring) == ["t1", "t3", "t5", "t6"]


def test_what_left_the_ring_may_come_again() -> None:
    ring: Ring[Thing] = Ring(2)
    ring.append(things(1, 2, 3))
    assert "t1" not in ring
    assert ring.append(things(1)) == 1


def test_the_newest_are_the_last_ones_the_oldest_first() -> None:
    ring: Ring[Thing] = Ring(10)
    ring.append(things(1, 2, 3))
    assert [thing.key for thing in ring.newest(2)] == ["t2", "t3"]
    assert len(ring.newest(99)) == 3
    ring.clear()
    assert not len(ring)
    assert not ring.newest(2)
