"""What the store makes of events, records and answers that come too late."""

import gc
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from conduit.tui.state.store import MESSAGES, RING_ENTRIES, SAMPLES, Rhythm, Store, id_of, label_of
from conduit.tui.state.traffic import Finished, Mark
from tests.tui.events import event, figures, finished, key, recorded, request_events
from tests.tui.support import NOW_MS, FrozenClock


def store() -> Store:
    return Store(clock=FrozenClock(), wall_ms=lambda: NOW_MS)


def ids(made: Store) -> list[str]:
    return [entry.key for entry in made.traffic if isinstance(entry, Finished)]


def test_a_finished_request_is_in_the_traffic_once() -> None:
    made = store()
    made.receive(request_events(1, 2))
    made.receive(request_events(2, 3))
    assert ids(made) == [finished(number)["id"] for number in (1, 2, 3)]
    assert (made.boot, made.seq) == ("boot", 3)


def test_a_sample_becomes_the_present_figures() -> None:
    assert store().figures is None
    made = store()
    made.receive([event(1, "stats.sampled", figures(requests=8))])
    made.receive([event(2, "stats.sampled", figures(requests=9))])
    assert [sample.figures["requests"] for sample in made.samples] == [8, 9]
    assert made.figures == figures(requests=9)
    assert not len(made.traffic)
    assert not len(made.events)


def test_other_events_have_a_ring_of_their_own() -> None:
    made = store()
    made.receive([event(7, "key.created", {"name": "ci"})])
    (entry,) = made.events
    assert not isinstance(entry, Mark)
    assert (entry.kind, entry.seq, entry.data) == ("key.created", 7, {"name": "ci"})


def test_a_record_and_its_event_are_one_request_with_the_same_figures() -> None:
    made = store()
    made.receive(request_events(2))
    assert made.merge_requests([recorded(2), recorded(1)], epoch=made.epoch) == 1
    assert ids(made) == [finished(1)["id"], finished(2)["id"]]
    older, newer = made.traffic
    assert isinstance(older, Finished)
    assert isinstance(newer, Finished)
    assert older.cost_nanodollars == newer.cost_nanodollars == 4_100_000
    assert older.tokens == newer.tokens == 1_204
    assert older.key_name == newer.key_name == "ci"
    assert newer.at_ms - older.at_ms == 1_000


@given(
    told=st.sets(st.integers(1, 40), max_size=30), known=st.sets(st.integers(1, 40), max_size=40)
)
def test_after_a_gap_no_request_that_the_records_know_is_missing_or_doubled(
    told: set[int], known: set[int]
) -> None:
    made = store()
    made.receive(request_events(*sorted(told)))
    made.mark(Mark("lost:1", NOW_MS, "lost", 5))
    made.merge_requests([recorded(number) for number in sorted(known, reverse=True)], epoch=0)
    assert ids(made) == [finished(number)["id"] for number in sorted(told | known)]
    marks = [entry for entry in made.traffic if isinstance(entry, Mark)]
    assert [mark.text for mark in marks] == [
        "gap: 5 events lost, refilled from the request records"
    ]


def test_a_provider_keeps_its_last_error_and_its_latencies() -> None:
    made = store()
    made.receive(request_events(1, 2, 3, duration_ms=100))
    made.receive(request_events(4, status=429, error_code="rate_limit", duration_ms=900))
    seen = made.providers["openai-main"]
    assert seen.last_error == "429 rate_limit"
    assert seen.p95_ms() == 900


def test_an_answer_for_the_gateway_before_is_dropped() -> None:
    made = store()
    old = made.epoch
    made.begin()
    assert not made.fill("keys", [key("ci")], epoch=old)
    assert not made.fail("keys", "no", epoch=old)
    assert not made.put("keys", key("ci"), epoch=old)
    assert not made.drop("keys", "key_ci", epoch=old)
    assert not made.set_status({}, epoch=old)
    assert made.merge_requests([recorded(1)], epoch=old) == 0
    assert not made.table("keys").rows
    assert made.table("keys").error is None
    assert not len(made.traffic)


def test_another_gateway_begins_with_nothing_of_the_one_before() -> None:
    made = store()
    made.fill("keys", [key("ci")], epoch=made.epoch)
    made.receive([*request_events(1), event(2, "stats.sampled", figures())])
    made.say("something")
    before = made.epoch
    assert made.begin() == made.epoch == before + 1
    assert not made.tables
    assert made.figures is None
    assert made.boot is None
    assert len(made.messages) == 1


def test_a_table_counts_a_revision_only_when_it_changed() -> None:
    made = store()
    made.fill("keys", [key("a"), key("b")], epoch=0)
    first = made.table("keys").revision
    made.fill("keys", [key("a"), key("b")], epoch=0)
    assert made.table("keys").revision == first
    made.fill("keys", [key("b"), key("a")], epoch=0)
    assert made.table("keys").revision == first + 1
    assert list(made.table("keys").rows) == ["key_b", "key_a"]


def test_a_failed_load_keeps_what_was_known() -> None:
    made = store()
    made.fill("keys", [key("a")], epoch=0)
    made.fail("keys", "no answer", epoch=0)
    table = made.table("keys")
    assert table.error == "no answer"
    assert list(table.rows) == ["key_a"]
    made.fill("keys", [], epoch=0)
    assert table.error is None


def test_a_record_is_found_by_id_and_by_name() -> None:
    made = store()
    made.put("keys", key("ci"), epoch=0)
    assert made.table("keys").find("ci") == made.table("keys").find("key_ci") == key("ci")
    assert made.table("keys").find("other") is None
    made.drop("keys", "key_ci", epoch=0)
    assert made.table("keys").find("ci") is None


def test_a_price_is_told_apart_by_provider_and_model() -> None:
    price: dict[str, Any] = {"provider": "openai", "model": "gpt-4o", "input": "1"}
    assert id_of(price) == label_of(price) == "openai/gpt-4o"
    assert label_of({"id": "map_1", "alias": "fast"}) == "fast"


def test_every_change_moves_the_revision_and_reading_does_not() -> None:
    made = store()
    before = made.revision
    made.receive(request_events(1))
    assert made.revision > before
    before = made.revision
    assert made.figures is None
    assert made.table("nothing").rows == {}
    assert made.revision == before


def ticks(made: Store, *news: Callable[[Store], object] | None) -> list[bool]:
    """Which ticks draw, where something comes before each of them."""
    rhythm, drawn = Rhythm(), []
    assert rhythm.is_due(made.seen())
    assert rhythm.is_silent(made.seen())
    for each in news:
        if each is not None:
            each(made)
        seen = made.seen()
        drawn.append(not rhythm.is_silent(seen) and rhythm.is_due(seen))
    return drawn


def come(count: int) -> Callable[[Store], object]:
    return lambda made: made.receive(request_events(*range(made.seq + 1, made.seq + 1 + count)))


def test_a_few_events_at_every_tick_are_drawn_at_every_other() -> None:
    assert ticks(store(), *[come(1)] * 6) == [True, False] * 3
    assert ticks(store(), *[come(3)] * 4) == [True, False] * 2


def test_what_comes_after_a_silence_is_drawn_at_once() -> None:
    assert ticks(store(), come(1), None, come(1), None, None, come(2)) == [
        *(True, False, True),
        *(False, False, True),
    ]


def test_many_events_are_drawn_at_every_tick() -> None:
    assert ticks(store(), *[come(50)] * 4) == [True] * 4


def test_a_few_events_that_wait_are_drawn_by_the_next_tick_without_more() -> None:
    assert ticks(store(), come(1), come(1), None, None) == [True, False, True, False]


def test_all_else_is_drawn_at_once() -> None:
    said: Callable[[Store], object] = lambda made: made.say("well")  # noqa: E731
    lost: Callable[[Store], object] = lambda made: made.connectivity.lost("gone", 1.0)  # noqa: E731
    assert ticks(store(), come(1), said, come(1), come(1), lost) == [
        *(True, True),
        *(False, True, True),
    ]


def test_a_client_that_hung_up_is_no_fault_of_the_provider() -> None:
    made = store()
    made.receive(request_events(1, status=499, outcome="client_gone"))
    assert made.providers["openai-main"].last_error is None
    made.receive(request_events(2, status=502, outcome="failed", error_code="upstream_error"))
    assert made.providers["openai-main"].last_error == "502 upstream_error"


def held_by(store: Store) -> int:
    """How many objects a store keeps alive, apart from code."""
    seen = set[int]()
    waiting: list[object] = [store.__dict__]
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, type | ModuleType | FunctionType):
            continue
        seen.add(id(found))
        waiting += gc.get_referents(found)
    return len(seen)


def happen(store: Store, first: int, count: int) -> None:
    """So many requests, as many other events, samples and messages, each unlike all others."""
    for number in range(first, first + count):
        request = finished(number, at_ms=number, duration_ms=number, client_ip=f"10.0.0.{number}")
        store.receive(
            [
                event(3 * number, "request.finished", request),
                event(3 * number + 1, "key.updated", {"id": f"key_{number}"}),
                event(3 * number + 2, "stats.sampled", figures(requests=number)),
            ]
        )
        store.say(f"message {number}")


def test_hours_of_events_fill_the_rings_and_nothing_else() -> None:
    store = Store(clock=FrozenClock(), wall_ms=lambda: NOW_MS)
    happen(store, 1, RING_ENTRIES)
    full = held_by(store)
    happen(store, 1 + RING_ENTRIES, 2 * RING_ENTRIES)
    assert len(store.traffic) == len(store.events) == RING_ENTRIES
    assert len(store.samples) == SAMPLES
    assert len(store.messages) == MESSAGES
    # Small numbers are one object each and larger ones are not: nothing else may be more.
    assert held_by(store) <= full * 1.02
