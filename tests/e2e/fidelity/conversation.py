"""What is asked and answered in the rows of the matrix, in no dialect's words."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

TOOL_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
ANSWER_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "inhabitants": {"type": "integer"}},
    "required": ["name", "inhabitants"],
    "additionalProperties": False,
}
ARGUMENTS: Final = (
    '{"city": "Zürich 🙂", "days": 3, "big": 12345678901234567890, "quote": "a\\"b\\\\"}'
)
OTHER_ARGUMENTS: Final = '{"city": "Lyon"}'
PIXEL: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)

Kind = Literal["text", "image", "call", "result"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str

    @property
    def values(self) -> tuple[str, Any]:
        return self.name, json.loads(self.arguments)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: a text, perhaps with a picture, or calls of tools, or results of calls.

    `raw` is an answer's `whole`, to be sent back as its client got it.
    """

    role: Literal["user", "assistant"]
    text: str = ""
    image: bool = False
    calls: tuple[Call, ...] = ()
    results: tuple[tuple[Call, str], ...] = ()
    raw: Any = None

    @property
    def said(self) -> list[tuple[Any, ...]]:
        """The turn as readers of requests give it: (kind, what) of each of its parts."""
        parts: list[tuple[Any, ...]] = [("text", self.role, self.text)] if self.text else []
        parts += [("image", "user", PIXEL)] if self.image else []
        parts += [("call", *call.values) for call in self.calls]
        parts += [("result", call.name, text) for call, text in self.results]
        return parts


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    turns: tuple[Turn, ...]
    system: str | None = None
    tools: tuple[str, ...] = ()
    schema: bool = False
    think: bool = False
    cap: int = 500
    stream: bool = False

    @property
    def said(self) -> list[tuple[Any, ...]]:
        return [part for turn in self.turns for part in turn.said]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request, as a client reads it; `finish` in OpenAI's words.

    `whole` is the assistant's turn in the client's own form, ready to be sent back.
    """

    text: str = ""
    thinking: str = ""
    calls: tuple[Call, ...] = ()
    finish: str = "stop"
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    refusal: str = ""
    whole: Any = None

    @property
    def called(self) -> list[tuple[str, Any]]:
        return [call.values for call in self.calls]


HELLO: Final = Ask((Turn("user", "Name the capital of France."),))
FIRST: Final = Call("call_first", "get_weather", ARGUMENTS)
SECOND: Final = Call("call_second", "get_weather", OTHER_ARGUMENTS)
