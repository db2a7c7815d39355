"""Streams of Cohere's chat API, version 2, decoded event by event.

The events are those of docs.cohere.com/v2/docs/streaming and /tool-use-streaming; the last one is
`message-end`. What the model says before its calls (`tool_plan`) is text, as with any other
provider.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from conduit.gateway.conversation import (
    ArgumentsDelta,
    CitationDelta,
    Failed,
    Finished,
    FinishReason,
    Opaque,
    PartFinished,
    PartStarted,
    Started,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    Unplaced,
    Used,
    WholePart,
)
from conduit.gateway.dialects.answer_fields import object_or_empty, text_or_empty
from conduit.gateway.dialects.answer_tool import AnswerTool
from conduit.gateway.dialects.cohere.answer import citation_from, logprobs_from
from conduit.gateway.dialects.cohere.request import NAME
from conduit.gateway.dialects.cohere.usage import usage_from_cohere
from conduit.gateway.dialects.fields import rest_of
from conduit.gateway.dialects.frames.sse import EventSplitter, payload_of, payloads_of
from conduit.gateway.dialects.frames.usual_deltas import FieldNames, UsualDeltas
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.openai.errors import reported_error

_REASONS: Final = {
    "COMPLETE": FinishReason.STOP,
    "STOP_SEQUENCE": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "ERROR_LIMIT": FinishReason.LENGTH,
    "TOOL_CALL": FinishReason.TOOL_CALLS,
    "ERROR_TOXIC": FinishReason.CONTENT_FILTER,
}
_FAILURES: Final = {
    "ERROR": ("upstream_error", "the answer failed"),
    "TIMEOUT": ("upstream_timeout", "the answer took too long"),
}
_MESSAGE_FIELDS = frozenset({"role", "content", "tool_plan", "tool_calls", "citations"})
_START_FIELDS = frozenset({"type", "id", "delta"})
_CALL_FIELDS = frozenset({"id", "type", "function"})
_TEXT_FIELDS: Final[FieldNames] = {
    TextDelta: (b"text", b"tool_plan"),
    ThinkingDelta: (b"thinking",),
    ArgumentsDelta: (b"arguments",),
}

_Kind = Literal["text", "thinking", "tool_call"]
# Where the text of a part comes from: a content block, the plan, or a call, each by its index.
_Place = tuple[str, int]
_PLAN: Final[_Place] = ("plan", 0)


class StreamDecoder:
    """The body of a streamed answer, in pieces cut anywhere, as events of the internal form.

    `answer_tool` is the tool whose arguments are the answer; `done` whether `message-end` was seen.
    """

    def __init__(self, *, answer_tool: str | None = None) -> None:
        self.done = False
        self._answer = AnswerTool(answer_tool)
        self._splitter = EventSplitter()
        self._usual = UsualDeltas(_TEXT_FIELDS, by_tool=answer_tool is not None)
        self._started = False
        self._failed = False
        self._next_index = 0
        self._open: tuple[_Place, _Kind, int] | None = None
        self._calls: dict[int, int] = {}
        self._events: list[StreamEvent] = []
        self._handlers: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "message-start": self._start,
            "content-start": self._content,
            "content-delta": self._content,
            "tool-plan-delta": self._plan,
            "tool-call-start": self._call_start,
            "tool-call-delta": self._call_delta,
            "tool-call-end": self._call_end,
            "citation-start": self._citation,
            "message-end": self._end,
        }

    @property
    def complete(self) -> bool:
        """Whether the answer is whole; Cohere's own end mark is the only sign of it."""
        return self.done

    def feed(self, piece: bytes) -> list[StreamEvent]:
        """The events of the next bytes of the body."""
        events: list[StreamEvent] = []
        for payload in payloads_of(self._splitter.feed(piece)):
            if payload is not None:
                events += self._payload(payload)
        return events

    def finish(self) -> list[StreamEvent]:
        """The events of a last one that no empty line ends, where it is whole all the same."""
        payload = payload_of(self._splitter.finish())
        whole = payload is not None and isinstance(read_json(payload), dict)
        events = self._payload(payload) if whole and payload is not None else []
        return events + self._answer.finish()

    def _payload(self, payload: bytes) -> list[StreamEvent]:
        if not payload or payload == b"[DONE]":
            return []
        delta = self._usual.read(payload)
        if delta is not None:
            return [delta]
        event = read_json(payload)
        if not isinstance(event, dict):
            event = {"message": "an event that is not JSON"}
        return self._usual.learn(payload, self.decode(event))

    def decode(self, event: Mapping[str, Any]) -> list[StreamEvent]:
        """The events of one parsed event."""
        if self._failed or self.done:
            return []
        handler = self._handlers.get(str(event.get("type")))
        if handler is not None:
            if not self._started and handler != self._start:
                self._start({})
            handler(event)
        elif event.get("type", "error") == "error" and ("message" in event or "error" in event):
            self._fail("upstream_error", event.get("message", event.get("error")))
        events, self._events = self._events, []
        return self._answer.turn(events)

    def _start(self, event: Mapping[str, Any]) -> None:
        if self._started:
            return
        self._started = True
        # Neither the model's name nor a time is in these answers.
        started = Started(
            id=text_or_empty(event.get("id")),
            model="",
            created_s=0,
            extras=rest_of(event, _START_FIELDS),
            dialect=NAME,
        )
        self._events.append(started)
        rest = _given(rest_of(_message(event), _MESSAGE_FIELDS))
        if rest:
            self._events.append(Unplaced(rest, 0))

    def _content(self, event: Mapping[str, Any]) -> None:
        content = object_or_empty(_message(event).get("content"))
        place: _Place = ("content", _index(event))
        kind = content.get("type")
        if kind not in (None, "text", "thinking"):
            self._close()
            self._events.append(WholePart(self._take_index(), Opaque(NAME, "content", content)))
            return
        thought, text = text_or_empty(content.get("thinking")), text_or_empty(content.get("text"))
        logprobs = logprobs_from(event.get("logprobs"))
        if thought:
            self._events.append(ThinkingDelta(self._part(place, "thinking"), thought))
        if text:
            self._events.append(TextDelta(self._part(place, "text"), text, logprobs=logprobs))
        elif logprobs is not None:
            self._events.append(Unplaced({"logprobs": logprobs}, 0))

    def _plan(self, event: Mapping[str, Any]) -> None:
        text = text_or_empty(_message(event).get("tool_plan"))
        if text:
            self._events.append(TextDelta(self._part(_PLAN, "text"), text))

    def _call_start(self, event: Mapping[str, Any]) -> None:
        call = _first(_message(event).get("tool_calls"))
        function = object_or_empty(call.get("function"))
        key = _index(event)
        self._close()
        index = self._take_index()
        self._open = (("call", key), "tool_call", index)
        self._calls[key] = index
        started = PartStarted(
            index,
            "tool_call",
            tool_call_id=text_or_empty(call.get("id")),
            tool_name=text_or_empty(function.get("name")),
            extras=_given(rest_of(call, _CALL_FIELDS)),
        )
        self._events.append(started)
        self._arguments(key, function)

    def _call_delta(self, event: Mapping[str, Any]) -> None:
        call = _first(_message(event).get("tool_calls"))
        key = _index(event)
        if key not in self._calls:
            self._call_start(event)
        else:
            self._arguments(key, object_or_empty(call.get("function")))

    def _arguments(self, key: int, function: Mapping[str, Any]) -> None:
        text = function.get("arguments")
        if not text:
            return
        if not isinstance(text, str):
            text = write_json(text).decode()
        self._events.append(ArgumentsDelta(self._calls[key], text))

    def _call_end(self, event: Mapping[str, Any]) -> None:
        if self._open is not None and self._open[0] == ("call", _index(event)):
            self._close()

    def _citation(self, event: Mapping[str, Any]) -> None:
        """A citation of the text that is open; any other has no place in the internal form."""
        raw = _first(_message(event).get("citations"))
        if not raw:
            return
        if self._open is not None and raw.get("type", "TEXT_CONTENT") == "TEXT_CONTENT":
            (origin, block), kind, index = self._open
            if origin == "content" and kind == "text" and raw.get("content_index") in (None, block):
                self._events.append(CitationDelta(index, citation_from(raw)))
                return
        self._events.append(Unplaced({"citations": [dict(raw)]}, 0))

    def _end(self, event: Mapping[str, Any]) -> None:
        delta = object_or_empty(event.get("delta"))
        self._close()
        self.done = True
        used = usage_from_cohere(delta.get("usage"))
        raw = text_or_empty(delta.get("finish_reason"))
        said = text_or_empty(delta.get("error"))
        if raw in _FAILURES or said:
            code, message = _FAILURES.get(raw, _FAILURES["ERROR"])
            self._events += [Used(used)] if used is not None else []
            self._fail(code, said or message)
            return
        self._events.append(Finished(self._reason(raw), raw_reason=raw or None))
        if used is not None:
            self._events.append(Used(used))

    def _reason(self, raw: str) -> FinishReason:
        other = FinishReason.TOOL_CALLS if self._calls else FinishReason.STOP
        reason = _REASONS.get(raw, other)
        return other if reason is FinishReason.TOOL_CALLS else reason

    def _fail(self, code: str, message: Any) -> None:
        self._failed = True
        self._events.append(Failed(code, reported_error({"message": message}).message))

    def _part(self, place: _Place, kind: _Kind) -> int:
        """The index of the part that this text goes on with, or opens.

        A part is closed by what follows it, not by `content-end`: a citation may come after that.
        """
        if self._open is not None and self._open[:2] == (place, kind):
            return self._open[2]
        self._close()
        index = self._take_index()
        self._open = (place, kind, index)
        self._events.append(PartStarted(index, kind))
        return index

    def _close(self) -> None:
        if self._open is not None:
            self._events.append(PartFinished(self._open[2]))
            self._open = None

    def _take_index(self) -> int:
        self._next_index += 1
        return self._next_index - 1


def _message(event: Mapping[str, Any]) -> Mapping[str, Any]:
    return object_or_empty(object_or_empty(event.get("delta")).get("message"))


def _index(event: Mapping[str, Any]) -> int:
    index = event.get("index")
    return index if isinstance(index, int) else 0


def _first(value: Any) -> Mapping[str, Any]:
    """One object, which some servers wrap in an array."""
    return object_or_empty(value[0] if isinstance(value, list) and value else value)


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
