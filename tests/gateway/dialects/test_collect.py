from typing import Any

import pytest

from conduit.gateway.conversation import (
    Finished,
    FinishReason,
    PartStarted,
    SignatureDelta,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Unplaced,
)
from conduit.gateway.dialects.collect import collect, merge


def test_a_signature_is_joined_to_its_thinking() -> None:
    response = collect(
        [
            Started("c", "m", 5),
            PartStarted(0, "thinking"),
            ThinkingDelta(0, "a"),
            SignatureDelta(0, "x"),
            SignatureDelta(0, "y"),
            PartStarted(1, "text"),
            TextDelta(1, "b", logprobs={"content": [1]}),
            TextDelta(1, "c", logprobs={"content": [2]}),
        ]
    )
    (choice,) = response.choices
    assert choice.parts == (Thinking("a", signature="xy"), Text("bc"))
    assert choice.logprobs == {"content": [1, 2]}
    assert choice.finish_reason is None


def test_unplaced_fields_are_kept_where_they_belong() -> None:
    response = collect(
        [
            Started("c", "m", 5, {"tier": "a"}),
            Unplaced({"citations": ["u"]}),
            Unplaced({"audio": {"id": "a", "data": "AA"}}, 0),
            Unplaced({"audio": {"id": "a", "data": "BB", "expires_at": 3}}, 0),
            Finished(FinishReason.STOP, raw_reason="eos"),
        ]
    )
    assert response.extras == {"tier": "a", "citations": ["u"]}
    (choice,) = response.choices
    assert choice.extras == {"audio": {"id": "a", "data": "AABB", "expires_at": 3}}
    assert (choice.finish_reason, choice.raw_reason) == ("stop", "eos")


@pytest.mark.parametrize(
    ("old", "new", "joined"),
    [
        ("a", "b", "ab"),
        ([1], [2], [1, 2]),
        ({"a": "x"}, {"a": "y", "b": 1}, {"a": "xy", "b": 1}),
        ({"id": "x"}, {"id": "x"}, {"id": "x"}),
        (1, 2, 2),
        (1, None, 1),
        (None, [1], [1]),
    ],
)
def test_pieces_join_by_their_kind(old: Any, new: Any, joined: Any) -> None:
    assert merge(old, new) == joined
