"""Calls of tools in the answer to a chat, put together from the pieces of a stream; pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from conduit.client.api import Record


@dataclass(slots=True)
class ToolCall:
    """A call of a tool that the model wants; `arguments` is JSON as the model wrote it."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def wire(self) -> Record:
        """The call as a message of the conversation carries it."""
        function = {"name": self.name, "arguments": self.arguments or "{}"}
        return {"id": self.id, "type": "function", "function": function}

    def add(self, piece: Record) -> None:
        """Take a piece of it in."""
        function = _object(piece.get("function"))
        self.id = _text(piece.get("id")) or self.id
        self.name = _text(function.get("name")) or self.name
        arguments = function.get("arguments")
        # Some servers forget to write them as text.
        self.arguments += json.dumps(arguments) if isinstance(arguments, dict) else _text(arguments)


class ToolCalls:
    """The calls of one answer, in the order in which they began."""

    def __init__(self) -> None:
        self.all: list[ToolCall] = []
        self._latest: dict[tuple[int, int | None], ToolCall] = {}
        self._by_id: dict[tuple[int, int | None, str], ToolCall] = {}

    def take_whole(self, message: Record) -> None:
        """The calls in a message, each of them whole."""
        for call in _objects(message.get("tool_calls")):
            self._begun().add(call)

    def take(self, choice: int, delta: Record) -> None:
        """The pieces in a delta of a choice.

        An index tells the calls apart, but some servers leave it out, or give each call the same.
        A new id is a new call then, and so is a name where there is neither index nor id.
        """
        for piece in _objects(delta.get("tool_calls")):
            given = piece.get("index")
            index = given if isinstance(given, int) else None
            call = self._call_of(choice, index, piece)
            call.add(piece)
            self._latest[choice, index] = self._latest[choice, None] = call
            self._by_id[choice, index, call.id] = call

    def _call_of(self, choice: int, index: int | None, piece: Record) -> ToolCall:
        latest = self._latest.get((choice, index))
        if latest is not None and not _is_another(latest, index, piece):
            return latest
        known = self._by_id.get((choice, index, call_id)) if (call_id := _id_of(piece)) else None
        return known or self._begun()

    def _begun(self) -> ToolCall:
        self.all.append(ToolCall())
        return self.all[-1]


def _is_another(call: ToolCall, index: int | None, piece: Record) -> bool:
    """Whether a piece is none of the call that its place would make it one of."""
    call_id = _id_of(piece)
    if call_id and call.id:
        return call_id != call.id
    name = _text(_object(piece.get("function")).get("name"))
    return index is None and bool(name and call.name)


def _id_of(piece: Record) -> str:
    return _text(piece.get("id"))


def _objects(value: Any) -> Iterator[Record]:
    return (each for each in (value if isinstance(value, list) else ()) if isinstance(each, dict))


def _object(value: Any) -> Record:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
