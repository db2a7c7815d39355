"""Calls of tools are kept apart however a server tells them apart."""

from typing import Any

import pytest

from conduit.client.tool_calls import ToolCall, ToolCalls

Piece = dict[str, Any]
F, G = ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}")


def piece(arguments: object = None, *, name: str | None = None, **more: Any) -> Piece:
    return {**more, "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        pytest.param(
            [[piece('{"x"', name="f", id="a", index=0)], [piece(":1}", index=0)],
             [piece("{}", name="g", id="b", index=1)]],
            [F, G],
            id="by index",
        ),
        pytest.param(
            [[piece(name="f", id="a", index=0), piece(name="g", id="b", index=1)],
             [piece("{}", index=1), piece('{"x":1}', index=0)]],
            [F, G],
            id="by index, both at once",
        ),
        pytest.param(
            [[piece('{"x"', name="f", id="a")], [piece(":1}")], [piece("{}", name="g", id="b")]],
            [F, G],
            id="no index",
        ),
        pytest.param(
            [[piece('{"x":1}', name="f", id="a"), piece(name="g", id="b")], [piece("{}")]],
            [F, G],
            id="no index, both at once",
        ),
        pytest.param(
            [[piece('{"x"', name="f", id="a", index=0)], [piece(name="g", id="b", index=0)],
             [piece(":1}", id="a", index=0)], [piece("{}", id="b", index=0)]],
            [F, G],
            id="one index, other ids",
        ),
        pytest.param(
            [[piece('{"x"', name="f", id="a")], [piece(":1}", name="f", id="a")],
             [piece("{}", name="g", id="b")]],
            [F, G],
            id="the id in every piece",
        ),
        pytest.param(
            [[piece('{"x":1}', name="f", id="a", index=0)],
             [piece("{}", name="g", id="a", index=1)]],
            [F, ToolCall("a", "g", "{}")],
            id="one id, other indices",
        ),
        pytest.param(
            [[piece('{"x":1}', name="f"), piece("{}", name="g")]],
            [ToolCall("", "f", '{"x":1}'), ToolCall("", "g", "{}")],
            id="neither",
        ),
        pytest.param(
            [[piece('{"x"', name="f", index=0)], [piece(":1}", id="a", index=0)]],
            [F],
            id="a late id",
        ),
        pytest.param([[piece({"x": 1}, name="f", id="a")]], [ToolCall("a", "f", '{"x": 1}')],
                     id="arguments as an object"),
        pytest.param([[5, {"function": 5}], None, 5], [ToolCall()], id="nonsense"),
    ],
)  # fmt: skip
def test_pieces_of_a_stream_come_together(deltas: list[Any], calls: list[ToolCall]) -> None:
    found = ToolCalls()
    for pieces in deltas:
        found.take(0, {"tool_calls": pieces})
    assert found.all == calls


def test_choices_have_calls_of_their_own() -> None:
    found = ToolCalls()
    found.take(0, {"tool_calls": [piece('{"x"', name="f", id="a", index=0)]})
    found.take(1, {"tool_calls": [piece("{}", name="g", id="b", index=0)]})
    found.take(0, {"tool_calls": [piece(":1}", index=0)]})
    assert found.all == [F, G]


def test_each_call_of_a_whole_message_is_one() -> None:
    found = ToolCalls()
    found.take_whole({"tool_calls": [piece('{"x":1}', name="f", id="a")]})
    found.take_whole({"tool_calls": [piece("{}", name="g", id="b", index=0)]})
    assert found.all == [F, G]
