"""Streams of Ollama's own chat API, JSON lines of which the last one says `"done": true`."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from conduit.gateway.conversation import (
    ArgumentsDelta,
    Failed,
    Finished,
    FinishReason,
    PartFinished,
    PartStarted,
    Started,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    Unplaced,
    Used,
)
from conduit.gateway.dialects.answer_fields import object_or_empty, text_or_empty
from conduit.gateway.dialects.fields import rest_of
from conduit.gateway.dialects.frames.ndjson import LineSplitter
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.ollama.request import NAME
from conduit.gateway.dialects.ollama.usage import METRICS, usage_from_ollama
from conduit.gateway.dialects.openai.errors import reported_error

_FIELDS = frozenset(
    {"model", "created_at", "message", "done", "done_reason", "logprobs", "error", *METRICS}
)
_MESSAGE_FIELDS = frozenset({"role", "content", "thinking", "tool_calls"})
_CALL_FIELDS = frozenset({"id", "function"})
_FUNCTION_FIELDS = frozenset({"name", "arguments", "index"})
_REASONS: Final = {"length": FinishReason.LENGTH}

_Kind = Literal["text", "thinking"]


class StreamDecoder:
    """The body of a streamed answer, in pieces cut anywhere, as events of the internal form.

    `done` is whether the line that ends the answer was seen.
    """

    def __init__(self, *, answer_tool: str | None = None) -> None:
        """`answer_tool` is of no use here: no request of this format makes one."""
        self.done = False
        self._splitter = LineSplitter()
        self._failed = False
        self._extras: dict[str, Any] | None = None
        self._open: tuple[_Kind, int] | None = None
        self._next_index = 0
        self._calls = 0
        self._events: list[StreamEvent] = []

    @property
    def complete(self) -> bool:
        """Whether the answer is whole; its last line is the only sign of it."""
        return self.done

    def feed(self, piece: bytes) -> list[StreamEvent]:
        """The events of the next bytes of the body."""
        return [event for line in self._splitter.feed(piece) for event in self._line(line)]

    def finish(self) -> list[StreamEvent]:
        """The events of a last line that nothing ends, where it is whole all the same."""
        line = read_json(self._splitter.finish())
        return self.decode(line) if isinstance(line, dict) else []

    def _line(self, line: bytes) -> list[StreamEvent]:
        value = read_json(line)
        if not isinstance(value, dict):
            value = {"error": "a line that is not JSON"}
        return self.decode(value)

    def decode(self, line: Mapping[str, Any]) -> list[StreamEvent]:
        """The events of one parsed line."""
        if self._failed or self.done:
            return []
        if line.get("error") is not None:
            self._failed = True
            return [Failed("upstream_error", reported_error(line).message)]
        self._start(line)
        self._message(object_or_empty(line.get("message")), line)
        if line.get("done") is True:
            self._end(line)
        events, self._events = self._events, []
        return events

    def _start(self, line: Mapping[str, Any]) -> None:
        extras = rest_of(line, _FIELDS)
        if self._extras is None:
            self._extras = dict(extras)
            started = Started(
                id="",  # an answer has none
                model=text_or_empty(line.get("model")),
                created_s=_seconds(line.get("created_at")),
                extras=extras,
                dialect=NAME,
            )
            self._events.append(started)
            return
        new = {name: value for name, value in extras.items() if self._extras.get(name) != value}
        if new:
            self._extras |= new
            self._events.append(Unplaced(new))

    def _message(self, message: Mapping[str, Any], line: Mapping[str, Any]) -> None:
        thought = text_or_empty(message.get("thinking"))
        text = text_or_empty(message.get("content"))
        if thought:
            self._events.append(ThinkingDelta(self._part("thinking"), thought))
        logprobs = line.get("logprobs")
        found = {"content": logprobs} if isinstance(logprobs, list) and logprobs else None
        if text:
            self._events.append(TextDelta(self._part("text"), text, logprobs=found))
        elif found is not None:
            self._events.append(Unplaced({"logprobs": found}, 0))
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            self._call(object_or_empty(call), text_or_empty(line.get("created_at")))
        rest = rest_of(message, _MESSAGE_FIELDS)
        rest = {name: value for name, value in rest.items() if value not in (None, "", [])}
        if rest:
            self._events.append(Unplaced(rest, 0))

    def _call(self, call: Mapping[str, Any], created_at: str) -> None:
        """A call comes whole; its arguments are an object, and older servers give it no id."""
        function = object_or_empty(call.get("function"))
        arguments = function.get("arguments")
        text = arguments if isinstance(arguments, str) else write_json(arguments or {}).decode()
        name = text_or_empty(function.get("name"))
        extras = rest_of(call, _CALL_FIELDS)
        inner = rest_of(function, _FUNCTION_FIELDS)
        if inner:
            extras["function"] = inner
        self._close()
        index = self._take_index()
        made = _made_id(created_at, self._calls, name, text)
        self._calls += 1
        self._events += [
            PartStarted(
                index,
                "tool_call",
                tool_call_id=text_or_empty(call.get("id")) or made,
                tool_name=name,
                extras=extras,
            ),
            ArgumentsDelta(index, text),
            PartFinished(index),
        ]

    def _end(self, line: Mapping[str, Any]) -> None:
        self._close()
        self.done = True
        raw = text_or_empty(line.get("done_reason"))
        # The server says "stop" after calls as well.
        stop = FinishReason.TOOL_CALLS if self._calls else FinishReason.STOP
        self._events.append(Finished(_REASONS.get(raw, stop), raw_reason=raw or None))
        used = usage_from_ollama(line)
        if used is not None:
            self._events.append(Used(used))

    def _part(self, kind: _Kind) -> int:
        if self._open is not None and self._open[0] == kind:
            return self._open[1]
        self._close()
        index = self._take_index()
        self._open = (kind, index)
        self._events.append(PartStarted(index, kind))
        return index

    def _close(self) -> None:
        if self._open is not None:
            self._events.append(PartFinished(self._open[1]))
            self._open = None

    def _take_index(self) -> int:
        self._next_index += 1
        return self._next_index - 1


def _made_id(created_at: str, position: int, name: str, arguments: str) -> str:
    """An id that a later turn of the same conversation will not have again."""
    text = "\0".join((created_at, str(position), name, arguments))
    digest = hashlib.blake2s(text.encode("utf-8", "surrogatepass"), digest_size=12)
    return f"call_{digest.hexdigest()}"


def _seconds(text: Any) -> int:
    """Epoch seconds of a time in RFC 3339, 0 for what is none."""
    try:
        at = datetime.fromisoformat(text_or_empty(text))
    except ValueError:
        return 0
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0, int(at.timestamp()))
