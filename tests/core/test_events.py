"""Events and their names."""

import json
import re

import pytest

from conduit.core.events import DESCRIPTIONS, Event, EventKind

PAST = re.compile(r"(ed|set|stopping)$")


@pytest.mark.parametrize("kind", list(EventKind))
def test_a_kind_is_a_noun_and_a_verb(kind: EventKind) -> None:
    assert re.fullmatch(r"[a-z_]+\.[a-z_]+", kind.value)
    assert PAST.search(kind.value)
    assert kind.name == kind.value.replace(".", "_").upper()


def test_kinds_are_distinct() -> None:
    assert len({kind.value for kind in EventKind}) == len(EventKind)


def test_an_event_is_plain_json() -> None:
    event = Event("boot_1", 7, 1_700_000_000_000, EventKind.KEY_CREATED, {"id": "key_1"})
    assert json.loads(json.dumps(event.as_json())) == {
        "boot": "boot_1",
        "seq": 7,
        "at_ms": 1_700_000_000_000,
        "kind": "key.created",
        "data": {"id": "key_1"},
    }
    assert type(event.as_json()["kind"]) is str


def test_an_event_cannot_be_changed() -> None:
    event = Event("boot_1", 1, 0, EventKind.GATEWAY_STARTED, {})
    with pytest.raises(AttributeError):
        event.seq = 2  # type: ignore[misc]  # that is the point


def test_every_kind_is_described_in_one_sentence_and_in_the_order_of_the_kinds() -> None:
    assert list(DESCRIPTIONS) == list(EventKind)
    for sentence in DESCRIPTIONS.values():
        assert re.fullmatch(r"[A-Z][^.]+\.", sentence)
