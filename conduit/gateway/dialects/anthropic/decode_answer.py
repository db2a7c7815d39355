"""Answers of Anthropic's API, streamed or whole, as events of the internal form.

Source: platform.claude.com/docs "Streaming messages", "Handling stop reasons", "Citations", and the
accumulator of the official SDK. A whole answer is decoded as the stream that it could have been.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import (
    ArgumentsDelta,
    ChatResponse,
    CitationDelta,
    Failed,
    Finished,
    FinishReason,
    Opaque,
    PartFinished,
    PartStarted,
    SignatureDelta,
    Started,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    Unplaced,
    Usage,
    Used,
    WholePart,
)
from conduit.gateway.dialects.answer_fields import object_or_empty, text_or_empty
from conduit.gateway.dialects.answer_tool import AnswerTool, collected
from conduit.gateway.dialects.anthropic.errors import failure_in, reported_failure
from conduit.gateway.dialects.anthropic.read_blocks import decode_citation
from conduit.gateway.dialects.anthropic.usage import merged_usage, reported_usage
from conduit.gateway.dialects.anthropic.words import NAME
from conduit.gateway.dialects.collect import merge
from conduit.gateway.dialects.fields import rest_of
from conduit.gateway.dialects.frames.sse import EventSplitter, payload_of, payloads_of
from conduit.gateway.dialects.frames.usual_deltas import FieldNames, UsualDeltas
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.signatures import UNSIGNED

_REASONS: Final[Mapping[str, FinishReason]] = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "pause_turn": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.REFUSAL,
}
_MESSAGE_FIELDS: Final = frozenset({"id", "model", "content", "stop_reason", "stop_sequence"})
_NAMED_FIELDS: Final = frozenset({"type", "role"})
_STOP_FIELDS: Final = frozenset({"stop_reason", "stop_sequence"})
_PLACED: Final[Mapping[str, frozenset[str]]] = {
    "text": frozenset({"type", "text", "citations"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "redacted_thinking": frozenset({"type", "data"}),
    "tool_use": frozenset({"type", "id", "name", "input"}),
}
# The block that a delta belongs to where a server has not said that one begins.
_KINDS: Final[Mapping[str, str]] = {
    "text_delta": "text",
    "citations_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
}
_TEXT_FIELDS: Final[FieldNames] = {
    TextDelta: (b"text",),
    ThinkingDelta: (b"thinking",),
    ArgumentsDelta: (b"partial_json",),
}


@dataclass(slots=True)
class _Block:
    """A block that is open; `held` is one that is given out whole, `input` its input so far."""

    index: int
    kind: str
    held: dict[str, Any] | None = None
    input: list[str] = field(default_factory=list)
    given: Any = None


class StreamDecoder:
    """A provider's bytes as events; `answer_tool` is the tool whose arguments are the answer.

    `done` once the stream has said its end, `complete` once it has said why it stops. `usage` is
    what has been reported so far, for an answer that breaks off: its output is not final then.
    """

    def __init__(self, *, answer_tool: str | None = None) -> None:
        self._splitter = EventSplitter()
        self._usual = UsualDeltas(_TEXT_FIELDS, by_tool=answer_tool is not None)
        self._answer_tool = AnswerTool(answer_tool)
        self._blocks: dict[int, _Block] = {}
        self._next_index = 0
        self._totals: dict[str, Any] = {}
        self._told: dict[str, Any] = {}
        self._started = False
        self.done = False
        self.complete = False

    @property
    def usage(self) -> Usage | None:
        return reported_usage(self._totals)

    def feed(self, piece: bytes) -> list[StreamEvent]:
        """The events that are whole now; raises UpstreamFailure for one beyond the limit."""
        whole = self._splitter.feed(piece)
        if not whole:
            return []
        turn = self._answer_tool.turn
        return [
            event
            for payload in payloads_of(whole)
            if payload is not None
            for event in turn(self._decode_payload(payload))
        ]

    def finish(self) -> list[StreamEvent]:
        """The events of what the body ended in: an event without its empty line, or no stream."""
        rest = self._splitter.finish().strip()
        payload = rest if rest.startswith(b"{") else payload_of(rest)
        events: list[StreamEvent] = []
        value = read_json(payload) if payload is not None else None
        if isinstance(value, dict):
            events += self.decode_whole(value) if _is_message(value) else self.decode(value)
        events += self._tell_usage()
        return self._answer_tool.turn(events) + self._answer_tool.finish()

    def _decode_payload(self, payload: bytes) -> list[StreamEvent]:
        delta = self._usual.read(payload)
        if delta is not None:
            return [delta]
        event = read_json(payload)
        if isinstance(event, dict):
            return self._usual.learn(payload, self.decode(event))
        self._usual.forget()
        return [Failed("unreadable_event", "The provider sent an event that is not JSON")]

    def decode_whole(self, message: Mapping[str, Any]) -> list[StreamEvent]:
        """The events of a message that came at once."""
        return [event for step in _steps(message) for event in self.decode(step)]

    def decode(self, event: Mapping[str, Any]) -> list[StreamEvent]:
        """The events of one parsed event; what is unknown to us says nothing."""
        match event.get("type"):
            case "message_start":
                return self._start(object_or_empty(event.get("message")))
            case "content_block_start":
                return self._open(_number(event), object_or_empty(event.get("content_block")))
            case "content_block_delta":
                return self._delta(_number(event), object_or_empty(event.get("delta")))
            case "content_block_stop":
                return self._close(_number(event))
            case "message_delta":
                return self._message_delta(event)
            case "message_stop":
                return self._stop()
            case _ if event.get("error") is not None:
                return [Failed(*reported_failure(event))]
            case _:
                return []

    def _start(self, message: Mapping[str, Any]) -> list[StreamEvent]:
        if self._started:
            return []
        self._started = True
        self._totals = merged_usage({}, message.get("usage"))
        return [
            Started(
                id=text_or_empty(message.get("id")),
                model=text_or_empty(message.get("model")),
                created_s=0,
                extras=rest_of(message, _MESSAGE_FIELDS | _NAMED_FIELDS),
                dialect=NAME,
            )
        ]

    def _open(self, number: int, fields: Mapping[str, Any]) -> list[StreamEvent]:
        kind = text_or_empty(fields.get("type"))
        events = self._close(number) if number in self._blocks else []
        block = _Block(self._next_index, kind)
        self._next_index += 1
        self._blocks[number] = block
        if kind not in _PLACED:
            block.held = dict(fields)
            return events
        events.append(_part_started(block.index, kind, fields))
        return events + self._first_words(block, fields)

    def _first_words(self, block: _Block, fields: Mapping[str, Any]) -> list[StreamEvent]:
        """What a block holds as it begins, which in a stream is mostly nothing."""
        events: list[StreamEvent] = []
        match block.kind:
            case "text":
                events += _text_events(block.index, fields)
            case "thinking":
                text, signature = text_or_empty(fields.get("thinking")), _signature(fields)
                if text:
                    events.append(ThinkingDelta(block.index, text))
                if signature:
                    events.append(SignatureDelta(block.index, signature, signed_by=NAME))
            case "tool_use":
                block.given = fields.get("input")
            case _:
                pass
        return events

    def _delta(self, number: int, delta: Mapping[str, Any]) -> list[StreamEvent]:
        kind = text_or_empty(delta.get("type"))
        events: list[StreamEvent] = []
        if number not in self._blocks:
            if kind not in _KINDS:
                return []
            events = self._open(number, {"type": _KINDS[kind]})
        block = self._blocks[number]
        if kind == "input_json_delta":
            return events + _input_events(block, text_or_empty(delta.get("partial_json")))
        if block.held is not None:
            block.held = merge(block.held, rest_of(delta, frozenset({"type"})))
            return events
        return events + _delta_events(block.index, kind, delta)

    def _close(self, number: int) -> list[StreamEvent]:
        block = self._blocks.pop(number, None)
        if block is None:
            return []
        if block.held is not None:
            written = read_json("".join(block.input).encode("utf-8", "surrogatepass"))
            if isinstance(written, dict):
                block.held["input"] = written
            return [WholePart(block.index, Opaque(NAME, "content", block.held))]
        events: list[StreamEvent] = []
        if block.kind == "tool_use" and not block.input:
            arguments = write_json(block.given or {}).decode()
            events.append(ArgumentsDelta(block.index, arguments))
        events.append(PartFinished(block.index))
        return events

    def _message_delta(self, event: Mapping[str, Any]) -> list[StreamEvent]:
        delta = object_or_empty(event.get("delta"))
        self._totals = merged_usage(self._totals, event.get("usage"))
        rest = rest_of(event, frozenset({"type", "delta", "usage"})) | rest_of(delta, _STOP_FIELDS)
        rest = {name: value for name, value in rest.items() if value is not None}
        events: list[StreamEvent] = [Unplaced(rest)] if rest else []
        raw = delta.get("stop_reason")
        if isinstance(raw, str) and not self.complete:
            self.complete = True
            events += self._close_all()
            stop_sequence = text_or_empty(delta.get("stop_sequence")) or None
            reason = _REASONS.get(raw, FinishReason.STOP)
            events.append(Finished(reason, raw_reason=raw, stop_sequence=stop_sequence))
            events += self._tell_usage()
        return events

    def _stop(self) -> list[StreamEvent]:
        self.done = True
        return self._close_all() + self._tell_usage()

    def _close_all(self) -> list[StreamEvent]:
        return [event for number in list(self._blocks) for event in self._close(number)]

    def _tell_usage(self) -> list[StreamEvent]:
        """The usage of a complete answer, once; again where a later event has changed it."""
        usage = reported_usage(self._totals)
        if usage is None or not self.complete or self._totals == self._told:
            return []
        self._told = dict(self._totals)
        return [Used(usage)]


def decode_response(body: bytes, *, answer_tool: str | None = None) -> ChatResponse:
    """A provider's whole answer; raises UpstreamFailure where it is none."""
    value = read_json(body)
    if isinstance(value, dict) and _is_message(value):
        events = StreamDecoder().decode_whole(value)
        return collected(events, answer_tool)
    if isinstance(value, dict) and value.get("error") is not None:
        raise failure_in(value)
    raise UpstreamFailure("The provider's answer is not a message")


def _is_message(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("content"), list)


def _steps(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield {"type": "message_start", "message": message}
    for index, block in enumerate(message["content"]):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        yield {"type": "content_block_stop", "index": index}
    stop = {name: message.get(name) for name in _STOP_FIELDS}
    yield {"type": "message_delta", "delta": stop}
    yield {"type": "message_stop"}


def _part_started(index: int, kind: str, fields: Mapping[str, Any]) -> PartStarted:
    extras = rest_of(fields, _PLACED[kind])
    match kind:
        case "tool_use":
            return PartStarted(
                index,
                "tool_call",
                tool_call_id=text_or_empty(fields.get("id")),
                tool_name=text_or_empty(fields.get("name")),
                extras=extras,
            )
        case "redacted_thinking":
            data = text_or_empty(fields.get("data"))
            return PartStarted(index, "thinking", redacted=data, signed_by=NAME, extras=extras)
        case _:
            # The kinds that are left have the same names here and there.
            part: Literal["text", "thinking"] = "text" if kind == "text" else "thinking"
            return PartStarted(index, part, extras=extras)


def _text_events(index: int, fields: Mapping[str, Any]) -> list[StreamEvent]:
    text, citations = text_or_empty(fields.get("text")), fields.get("citations")
    events: list[StreamEvent] = [TextDelta(index, text)] if text else []
    if isinstance(citations, list):
        events += [
            CitationDelta(index, decode_citation(raw)) for raw in citations if isinstance(raw, dict)
        ]
    return events


def _delta_events(index: int, kind: str, delta: Mapping[str, Any]) -> list[StreamEvent]:
    match kind:
        case "text_delta" if text := text_or_empty(delta.get("text")):
            return [TextDelta(index, text)]
        case "thinking_delta" if text := text_or_empty(delta.get("thinking")):
            return [ThinkingDelta(index, text)]
        case "signature_delta" if text := _signature(delta):
            return [SignatureDelta(index, text, signed_by=NAME)]
        case "citations_delta" if citation := object_or_empty(delta.get("citation")):
            return [CitationDelta(index, decode_citation(citation))]
        case _:
            return []


def _input_events(block: _Block, text: str) -> list[StreamEvent]:
    if not text:
        return []
    block.input.append(text)
    return [ArgumentsDelta(block.index, text)] if block.kind == "tool_use" else []


def _number(event: Mapping[str, Any]) -> int:
    index = event.get("index")
    return index if isinstance(index, int) else 0


def _signature(fields: Mapping[str, Any]) -> str:
    """A signature; none where another gateway of this kind has said that there is none."""
    written = text_or_empty(fields.get("signature"))
    return "" if written == UNSIGNED else written
