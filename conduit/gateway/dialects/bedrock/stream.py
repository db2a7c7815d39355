"""Answers in the format of Bedrock's ConverseStream, decoded event by event.

Source: the Bedrock API reference (`ConverseStreamOutput` and its members), as in the service model
`bedrock-runtime` 2023-09-30. Each message of the event stream is one event, named in a header; text
and reasoning open without a start, and a content block is known by its index alone. Every event may
carry a field `p` of padding, which says nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import (
    ArgumentsDelta,
    CitationDelta,
    Failed,
    Finished,
    FinishReason,
    PartFinished,
    PartStarted,
    SignatureDelta,
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
from conduit.gateway.dialects.bedrock.answer import (
    block_part,
    citation_of,
    is_client_call,
    joined_base64,
)
from conduit.gateway.dialects.bedrock.errors import message_of
from conduit.gateway.dialects.bedrock.event_stream import Message, MessageSplitter
from conduit.gateway.dialects.bedrock.parts import NAME
from conduit.gateway.dialects.bedrock.usage import reported_usage
from conduit.gateway.dialects.fields import rest_of
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.dialects.openai.errors import scrub

_REASONS: Final[Mapping[str, FinishReason]] = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "guardrail_intervened": FinishReason.CONTENT_FILTER,
    "content_filtered": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.REFUSAL,
}
_META_FIELDS = frozenset({"usage", "p"})
_STOP_FIELDS = frozenset({"stopReason", "additionalModelResponseFields", "p"})

_Kind = Literal["text", "thinking", "tool_call"]
_Piece = TextDelta | ThinkingDelta | ArgumentsDelta


class _Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel", gc=False):
    """What has a field more than these is not the usual delta, and read by the general way."""


class _Reasoning(_Strict):
    text: str


class _Input(_Strict):
    input: str


class _Delta(_Strict):
    text: str | None = None
    reasoning_content: _Reasoning | None = None
    tool_use: _Input | None = None


class _Usual(_Strict):
    """What nearly every event is: a piece of a block, and padding."""

    content_block_index: int
    delta: _Delta
    p: str = ""


_read_usual = msgspec.json.Decoder(_Usual).decode


@dataclass(slots=True)
class _Block:
    """A content block that is open; `index` is that of its part, once it has begun one.

    `gathered` are pieces of a block that can only be told of as a whole: `start` is what it began
    with.
    """

    index: int | None = None
    kind: _Kind | None = None
    start: Mapping[str, Any] | None = None
    gathered: list[Any] = field(default_factory=list)

    def more(self, delta: _Delta) -> _Piece | None:
        """What `delta` adds to the part that is open; None where it says else."""
        index, text, thought, use = self.index, delta.text, delta.reasoning_content, delta.tool_use
        if index is None or self.start is not None:
            return None
        if text and self.kind == "text" and thought is None and use is None:
            return TextDelta(index, text)
        if thought and thought.text and self.kind == "thinking" and text is None and use is None:
            return ThinkingDelta(index, thought.text)
        if use and use.input and self.kind == "tool_call" and text is None and thought is None:
            return ArgumentsDelta(index, use.input)
        return None


class StreamDecoder:
    """A provider's bytes as events of the internal form."""

    def __init__(self, *, answer_tool: str | None = None) -> None:
        self._splitter = MessageSplitter()
        self._answer = AnswerTool(answer_tool)
        self._by_tool = answer_tool is not None
        self._started = False
        self._failed = False
        self._next_index = 0
        self._blocks: dict[int, _Block] = {}
        self.done = False
        self.complete = False

    def feed(self, piece: bytes) -> list[StreamEvent]:
        """The events of the next bytes; a damaged message is a failure, and the last event."""
        events: list[StreamEvent] = []
        if self._failed:
            return events
        try:
            for message in self._splitter.feed(piece):
                events += self._message(message)
                if events and isinstance(events[-1], Failed):
                    break
        except UpstreamFailure as error:
            self._failed = True
            events.append(Failed("damaged_stream", error.message))
        return events

    def finish(self) -> list[StreamEvent]:
        """What was held back of an answer that was cut."""
        return [] if self._failed else self._answer.finish()

    def decode(self, kind: str, fields: Mapping[str, Any]) -> list[StreamEvent]:
        """The events of one event of the format, or of one of an answer taken apart."""
        events = self._start()
        match kind:
            case "contentBlockStart":
                self._open_block(_index(fields), object_or_empty(fields.get("start")), events)
            case "contentBlockDelta":
                self._delta(_index(fields), object_or_empty(fields.get("delta")), events)
            case "contentBlockStop":
                self._close_block(_index(fields), events)
            case "contentBlock":
                events += self._whole(fields)
            case "messageStop":
                self._stop(fields, events)
            case "metadata":
                self._metadata(fields, events)
            case _:
                pass  # messageStart, and what is not known yet
        return self._answer.turn(events)

    def _message(self, message: Message) -> list[StreamEvent]:
        delta = self._usual(message)
        if delta is not None:
            return [delta]
        value = read_json(message.payload)
        fields = object_or_empty(value)
        match message.text(":message-type"):
            case "exception":
                kind = message.text(":exception-type") or "exception"
                return self._fail(kind, message_of(fields, kind))
            case "error":
                kind = message.text(":error-code") or "error"
                return self._fail(kind, message.text(":error-message") or kind)
            case _ if isinstance(value, dict):
                return self.decode(message.text(":event-type"), fields)
            case _:
                text = "The provider sent an event that is not JSON"
                return self._fail("unreadable_event", text)

    def _usual(self, message: Message) -> _Piece | None:
        """The one delta of an event that brings more of an open part; None where it brings else."""
        headers = message.headers
        if (
            headers.get(":event-type") != "contentBlockDelta"
            or headers.get(":message-type") != "event"
            or self._by_tool
        ):
            return None
        try:
            event = _read_usual(message.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        block = self._blocks.get(event.content_block_index)
        return None if block is None else block.more(event.delta)

    def _fail(self, code: str, text: str) -> list[StreamEvent]:
        self._failed = True
        return [Failed(code, scrub(text))]

    def _start(self) -> list[StreamEvent]:
        """The answer names neither itself nor its model; the request id is in a header."""
        if self._started:
            return []
        self._started = True
        return [Started(id="", model="", created_s=0, dialect=NAME)]

    def _open_block(self, at: int, start: Mapping[str, Any], events: list[StreamEvent]) -> None:
        block = self._blocks[at] = _Block()
        use = start.get("toolUse")
        if isinstance(use, dict) and is_client_call(use):
            self._open_call(block, use, events)
        elif start.keys() & {"toolUse", "toolResult", "image"}:
            block.start = start

    def _open_call(self, block: _Block, use: Mapping[str, Any], events: list[StreamEvent]) -> None:
        block.index = self._begin()
        block.kind = "tool_call"
        extras = rest_of(use, frozenset({"toolUseId", "name", "type", "input"}))
        events.append(
            PartStarted(
                block.index,
                "tool_call",
                tool_call_id=text_or_empty(use.get("toolUseId")),
                tool_name=text_or_empty(use.get("name")),
                extras=extras,
            )
        )

    def _delta(self, at: int, delta: Mapping[str, Any], events: list[StreamEvent]) -> None:
        block = self._blocks.setdefault(at, _Block())
        if block.start is not None:
            block.gathered.append(delta)
            return
        for name, value in delta.items():
            match name:
                case "text":
                    self._text(block, text_or_empty(value), events)
                case "toolUse":
                    self._arguments(
                        block, text_or_empty(object_or_empty(value).get("input")), events
                    )
                case "reasoningContent":
                    self._reasoning(block, object_or_empty(value), events)
                case "citation" if isinstance(value, dict):
                    index = self._part(block, "text", events)
                    events.append(CitationDelta(index, citation_of(value)))
                case _:
                    pass

    def _text(self, block: _Block, text: str, events: list[StreamEvent]) -> None:
        if text:
            events.append(TextDelta(self._part(block, "text", events), text))

    def _arguments(self, block: _Block, text: str, events: list[StreamEvent]) -> None:
        if text and block.kind == "tool_call" and block.index is not None:
            events.append(ArgumentsDelta(block.index, text))

    def _reasoning(
        self, block: _Block, value: Mapping[str, Any], events: list[StreamEvent]
    ) -> None:
        text, signature = text_or_empty(value.get("text")), text_or_empty(value.get("signature"))
        redacted = text_or_empty(value.get("redactedContent"))
        if text:
            events.append(ThinkingDelta(self._part(block, "thinking", events), text))
        if signature:
            index = self._part(block, "thinking", events)
            events.append(SignatureDelta(index, signature, signed_by=NAME))
        if redacted:
            block.gathered.append(redacted)  # a part begins with all of it

    def _close_block(self, at: int, events: list[StreamEvent]) -> None:
        block = self._blocks.pop(at, None)
        if block is None:
            return
        if block.start is not None:
            events.append(WholePart(self._begin(), block_part(block.start, block.gathered)))
        elif block.gathered:
            index = self._begin()
            redacted = joined_base64(block.gathered)
            events.append(PartStarted(index, "thinking", redacted=redacted, signed_by=NAME))
            events.append(PartFinished(index))
        if block.index is not None:
            events.append(PartFinished(block.index))

    def _whole(self, fields: Mapping[str, Any]) -> list[StreamEvent]:
        return [WholePart(self._begin(), block_part(fields, ()))]

    def _stop(self, fields: Mapping[str, Any], events: list[StreamEvent]) -> None:
        for at in sorted(self._blocks):
            self._close_block(at, events)
        raw = text_or_empty(fields.get("stopReason"))
        reason = _REASONS.get(raw, FinishReason.STOP)
        extras = rest_of(fields, _STOP_FIELDS)
        additional = fields.get("additionalModelResponseFields")
        sequence = _stop_sequence(object_or_empty(additional))
        if additional and sequence is None:
            extras["additionalModelResponseFields"] = additional
        events.append(Finished(reason, raw_reason=raw or None, stop_sequence=sequence))
        if extras:
            events.append(Unplaced(extras))
        self.complete = True

    def _metadata(self, fields: Mapping[str, Any], events: list[StreamEvent]) -> None:
        usage = reported_usage(fields.get("usage"))
        if usage is not None:
            events.append(Used(usage))
        rest = {name: value for name, value in rest_of(fields, _META_FIELDS).items() if value}
        if rest:
            events.append(Unplaced(rest))
        self.done = self.complete

    def _part(self, block: _Block, kind: _Kind, events: list[StreamEvent]) -> int:
        """The index of the block's part of this kind, which begins here if it has not."""
        if block.index is None or block.kind != kind:
            if block.index is not None:
                events.append(PartFinished(block.index))
            block.index, block.kind = self._begin(), kind
            events.append(PartStarted(block.index, kind))
        return block.index

    def _begin(self) -> int:
        self._next_index += 1
        return self._next_index - 1


def _index(fields: Mapping[str, Any]) -> int:
    index = fields.get("contentBlockIndex")
    return index if isinstance(index, int) else 0


def _stop_sequence(additional: Mapping[str, Any]) -> str | None:
    """Claude's, where it was asked for: under `delta` in a stream."""
    sequence = additional.get(
        "stop_sequence", object_or_empty(additional.get("delta")).get("stop_sequence")
    )
    return sequence if isinstance(sequence, str) else None
