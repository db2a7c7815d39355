"""Records as the rings keep them: all that was told, in little room."""

import json
import sys

from conduit.core.filters import compile_filter, parse_filter
from conduit.tui.traffic import Told, finished_of_event, finished_of_record
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


def test_records_of_one_kind_share_their_names_and_repeated_texts() -> None:
    # As they come from a socket: every batch with strings of its own.
    kept = [Told(json.loads(json.dumps(finished(number)))) for number in range(ENTRIES)]
    texts = {id(value) for record in kept for name, value in record.items() if name == "alias"}
    assert len(texts) == 1
    assert len({id(record._places) for record in kept}) == 1
    each = sys.getsizeof(kept[0]) + sys.getsizeof(kept[0]._values)
    assert each < MOST_BYTES < sys.getsizeof(finished(0))
