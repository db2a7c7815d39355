"""Records as the rings keep them: all that was told, in little room."""

import json
import sys
import tracemalloc

from conduit.core.filters import compile_filter, parse_filter
from conduit.tui.state.traffic import finished_of_event, finished_of_record
from tests.tui.events import finished, recorded

ENTRIES = 2_000
MOST_BYTES = 400


def test_a_kept_record_says_what_the_event_said() -> None:
    data = finished(1)
    entry = finished_of_event(data)
    assert dict(entry.record) == data
    assert entry.record == data
    assert entry.record.get("nothing") is None
    assert "alias" in entry.record
    assert "nothing" not in entry.record


def test_a_listed_record_can_be_filtered_by_the_names_that_events_have() -> None:
    record = finished_of_record(recorded(1)).record
    for text, fits in (("key:ci cost:>0.004", True), ("key:docs", False), ("gpt-4o", True)):
        assert compile_filter(parse_filter(text))(record) is fits


def test_a_number_beyond_64_bits_and_values_of_any_kind_are_kept() -> None:
    for odd in ({"cost_nanodollars": 2**70}, {"more": [1, {"a": None}]}, {"stream": False}):
        data = finished(1, **odd)
        assert dict(finished_of_event(data)) == data


def test_true_and_one_stay_apart_in_records_of_the_same_names() -> None:
    kept = [finished_of_event(finished(1, more=value)) for value in (True, 1, 1.0)]
    assert [type(entry["more"]) for entry in kept] == [bool, int, float]


def test_records_take_little_room_and_share_repeated_texts() -> None:
    # As they come from a socket: every batch with strings of its own.
    told = [json.dumps(finished(number)) for number in range(ENTRIES)]
    tracemalloc.start()
    kept = [finished_of_event(json.loads(text)) for text in told]
    each = tracemalloc.get_traced_memory()[0] / ENTRIES
    tracemalloc.stop()
    assert len({id(entry.alias) for entry in kept}) == 1
    print(f"{each:.0f} bytes a request, {sys.getsizeof(finished(0))} the dictionary alone")
    assert each < MOST_BYTES < sys.getsizeof(finished(0))
