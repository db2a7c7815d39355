"""The bus: numbering, the ring, subscribers that fail, what publishing costs."""

import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.events import Event, EventKind
from conduit.gateway.events.bus import Backlog, Bus, Gap

STARTED = EventKind.REQUEST_STARTED
FINISHED = EventKind.REQUEST_FINISHED


def seqs(backlog: Backlog) -> list[int]:
    return [event.seq for event in backlog.events]


def filled(count: int, ring_events: int) -> Bus:
    bus = Bus("b1", lambda: 7, ring_events=ring_events)
    for number in range(count):
        bus.publish(STARTED, {"n": number})
    return bus


def test_events_are_numbered_from_one_and_stamped() -> None:
    bus = filled(2, 10)
    assert bus.after(0) == Backlog(
        [Event("b1", 1, 7, STARTED, {"n": 0}), Event("b1", 2, 7, STARTED, {"n": 1})]
    )
    assert bus.last_seq == 2


def test_an_empty_bus_has_no_backlog() -> None:
    bus = Bus("b1")
    assert bus.after(0) == Backlog([])
    assert bus.first_seq == 1


@given(count=st.integers(0, 30), ring_events=st.integers(1, 12), seq=st.integers(0, 40))
def test_a_backlog_and_its_gap_cover_everything_after_the_number(
    count: int, ring_events: int, seq: int
) -> None:
    backlog = filled(count, ring_events).after(seq)
    lost = range(backlog.gap.first, (backlog.gap.last or 0) + 1) if backlog.gap else range(0)
    assert [*lost, *seqs(backlog)] == list(range(seq + 1, count + 1))
    assert len(backlog.events) <= ring_events


def test_a_limited_backlog_holds_the_oldest() -> None:
    bus = filled(30, 10)
    assert seqs(bus.after(22, limit=3)) == [23, 24, 25]
    assert seqs(bus.after(28, limit=3)) == [29, 30]
    assert seqs(bus.after(5, boot="b0", limit=2)) == [21, 22]


def test_another_run_of_the_gateway_is_a_gap_of_unknown_end_before_the_whole_ring() -> None:
    backlog = filled(3, 10).after(120, boot="b0")
    assert backlog.gap == Gap(121, None)
    assert backlog.gap.as_json() == {"from": 121, "to": None}
    assert seqs(backlog) == [1, 2, 3]


def test_a_subscriber_gets_the_kinds_it_asked_for_until_it_ends() -> None:
    bus = Bus("b1", lambda: 7)
    seen: list[tuple[EventKind, int, Mapping[str, Any]]] = []
    end = bus.subscribe(lambda *event: seen.append(event), {FINISHED})
    bus.publish(STARTED, {})
    bus.publish(FINISHED, {"id": "req_1"})
    end()
    bus.publish(FINISHED, {})
    assert seen == [(FINISHED, 7, {"id": "req_1"})]


def test_a_failing_subscriber_reaches_neither_the_publisher_nor_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus = Bus("b1")
    seen: list[EventKind] = []
    calls = 0

    def fail(*_: object) -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("broken")

    bus.subscribe(fail)
    bus.subscribe(lambda kind, *_: seen.append(kind))
    for _ in range(50):
        bus.publish(STARTED, {})
    assert len(seen) == 50
    assert calls == 10
    assert "dropped" in caplog.text


def test_a_subscriber_may_end_itself_while_it_is_called() -> None:
    bus = Bus("b1")
    seen: list[int] = []

    def once(*_: object) -> None:
        seen.append(1)
        end()

    end = bus.subscribe(once)
    bus.publish(STARTED, {})
    bus.publish(STARTED, {})
    assert seen == [1]


def test_what_publishing_costs_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    bus = Bus("b1")
    data = {"id": "req_1"}
    rounds = 20_000
    best = min(_cost_of(bus, data, rounds) for _ in range(5))
    with capsys.disabled():
        print(f"\npublish with no subscriber: {best * 1e6:.2f} us")
    assert bus.last_seq == 5 * rounds
    assert len(bus.after(0).events) == 10_000


def _cost_of(bus: Bus, data: Mapping[str, Any], rounds: int) -> float:
    begun = time.process_time()
    for _ in range(rounds):
        bus.publish(FINISHED, data)
    return (time.process_time() - begun) / rounds
