"""Streams for clients of Anthropic's API.

Source: platform.claude.com/docs "Streaming messages", the accumulator of the official SDK. Blocks
come one after the other, their indices are their places in the message, a signature comes in one
piece, and `message_delta` tells why the answer ends together with its usage.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from conduit.core.errors import ConduitError
from conduit.gateway.conversation import (
    ArgumentsDelta,
    CitationDelta,
    Failed,
    Finished,
    FinishReason,
    PartEvent,
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
from conduit.gateway.dialects import signatures
from conduit.gateway.dialects.anthropic.errors import error_frame, failure_frame
from conduit.gateway.dialects.anthropic.usage import usage_to_anthropic
from conduit.gateway.dialects.anthropic.words import NAME
from conduit.gateway.dialects.anthropic.write_answer import (
    citation_block,
    encode_part,
    head_of,
    redacted_block,
    stop_reason,
    tool_block,
    unsigned,
)
from conduit.gateway.dialects.collect import merge
from conduit.gateway.dialects.dialect import written_by
from conduit.gateway.dialects.frames.text import TextFrame, text_frame
from conduit.gateway.dialects.lenient_json import write_json

PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
"""An event that says nothing, to keep a connection alive; it may stand between any two others."""

# What only `message_start` tells of the usage.
_START_USAGE: Final = frozenset({"cache_creation", "service_tier", "inference_geo"})


@dataclass(slots=True)
class _OpenPart:
    """The part that is being written; `block` is its block's index once that has begun."""

    start: PartStarted
    block: int | None = None
    signature: str = ""
    signed_by: str = ""
    frame: TextFrame | None = None


class StreamEncoder:
    """Events of the internal form as the events that a client of this dialect reads.

    Parts may overlap, blocks may not: what belongs to another part than the one that is open is
    held back. Of several choices the first is written. Usage is told whatever `include_usage`
    says: this format has no stream without it.
    """

    def __init__(self, *, include_usage: bool = True) -> None:
        self._started: Started | None = None
        self._open: _OpenPart | None = None
        self._held: list[PartEvent] = []
        self._next_block = 0
        self._finished: Finished | None = None
        self._usage: Usage | None = None
        self._rest: dict[str, Any] = {}
        self.failed = False

    def encode(self, event: StreamEvent) -> bytes:
        """The bytes of one event; empty where the format has nothing to say, or not yet."""
        if type(event) is TextDelta and not event.choice and self._started is not None:
            return self._take(event)  # as nearly all are
        match event:
            case Started():
                return self._start(event)
            case Finished():
                if event.choice == 0:
                    self._finished = event
            case Used():
                self._usage = event.usage
            case Unplaced():
                if self._is_own and not event.choice:
                    self._rest = merge(self._rest, event.fields)
            case Failed():
                self.failed = True
                return failure_frame(event.code, event.message)
            case _ if event.choice == 0:
                return self._head() + self._take(event)
            case _:
                pass
        return b""

    def finish(self) -> bytes:
        """Why the answer stops, its usage and the end; nothing where it failed."""
        if self.failed:
            return b""
        written = self._head() + self._flush()
        finished = self._finished or Finished(FinishReason.STOP)
        raw = finished.raw_reason if self._is_own else None
        delta = {
            "stop_reason": stop_reason(finished.reason, finished.stop_sequence, raw),
            "stop_sequence": finished.stop_sequence,
        }
        usage = {
            name: value
            for name, value in usage_to_anthropic(self._usage).items()
            if name not in _START_USAGE
        }
        written += _event("message_delta", {"delta": delta | self._rest, "usage": usage})
        return written + _event("message_stop", {})

    def fail(self, error: ConduitError) -> bytes:
        """The event that ends a stream which failed after it had begun."""
        self.failed = True
        return error_frame(error)

    @property
    def _is_own(self) -> bool:
        return self._started is not None and self._started.dialect == NAME

    def _start(self, event: Started) -> bytes:
        self._started = event
        message = head_of(event.id, event.model)
        if event.dialect == NAME:
            message |= event.extras
        message.setdefault("usage", usage_to_anthropic(None))
        return _event("message_start", {"message": message})

    def _head(self) -> bytes:
        """The start of an answer whose provider has said nothing of it."""
        return b"" if self._started is not None else self._start(Started("", "", 0))

    def _take(self, event: PartEvent) -> bytes:
        """Write an event of a part, or hold it back while another part is open."""
        if isinstance(event, PartStarted | WholePart):
            if self._open is None:
                return self._begin(event)
        elif self._open is not None and self._open.start.index == event.index:
            return self._go_on(self._open, event)
        self._held.append(event)
        return b""

    def _begin(self, event: PartStarted | WholePart) -> bytes:
        if isinstance(event, WholePart):
            blocks = encode_part(event.part, is_own=self._is_own)
            return b"".join(self._whole_block(block) for block in blocks)
        self._open = _OpenPart(event)
        extras = dict(event.extras) if self._is_own else {}
        if event.kind == "tool_call":
            block = tool_block(
                event.tool_call_id, event.tool_name, event.signature, event.signed_by
            )
            return self._open_block(self._open, block | extras)
        if event.redacted is not None:
            return self._whole_block(redacted_block(event.redacted, event.signed_by) | extras)
        return b""

    def _go_on(self, part: _OpenPart, event: PartEvent) -> bytes:
        match event:
            case TextDelta() if part.start.kind != "audio" and event.text:
                return self._text(part, event.text)
            case PartFinished():
                self._open = None
                return self._close(part) + self._release()
            case SignatureDelta():
                part.signature += event.signature
                part.signed_by = event.signed_by
                return b""
            case CitationDelta():
                citation = citation_block(event.citation)
                return self._delta(part, "citations_delta", citation=citation) if citation else b""
            case ThinkingDelta():
                return self._delta(part, "thinking_delta", thinking=event.text)
            case ArgumentsDelta():
                return self._delta(part, "input_json_delta", partial_json=event.text)
            case _:
                return b""

    def _text(self, part: _OpenPart, text: str) -> bytes:
        if part.block is None:
            return self._delta(part, "text_delta", text=text)
        if part.frame is None:
            part.frame = text_frame(self._delta(part, "text_delta", text=""), "text")
        return part.frame.around(text) or self._delta(part, "text_delta", text=text)

    def _delta(self, part: _OpenPart, kind: str, **fields: Any) -> bytes:
        opening = self._ensure_block(part)
        delta = {"type": kind, **fields}
        return opening + _event("content_block_delta", {"index": part.block, "delta": delta})

    def _ensure_block(self, part: _OpenPart) -> bytes:
        """A block begins with its first words: a client would send an empty one back."""
        if part.block is not None:
            return b""
        extras = dict(part.start.extras) if self._is_own else {}
        if part.start.kind == "thinking":
            return self._open_block(
                part, {"type": "thinking", "thinking": "", "signature": ""} | extras
            )
        return self._open_block(part, {"type": "text", "text": ""} | extras)

    def _open_block(self, part: _OpenPart, block: Mapping[str, Any]) -> bytes:
        part.block = self._next_block
        self._next_block += 1
        return _event("content_block_start", {"index": part.block, "content_block": block})

    def _whole_block(self, block: dict[str, Any]) -> bytes:
        """A block that comes at once; the input of a call still comes as a delta."""
        index = self._next_block
        self._next_block += 1
        written = b""
        if block.get("input") and str(block.get("type")).endswith("tool_use"):
            text = write_json(block["input"]).decode()
            delta = {"type": "input_json_delta", "partial_json": text}
            written = _event("content_block_delta", {"index": index, "delta": delta})
            block = block | {"input": {}}
        start = _event("content_block_start", {"index": index, "content_block": block})
        return start + written + _event("content_block_stop", {"index": index})

    def _close(self, part: _OpenPart) -> bytes:
        written = b""
        if part.start.kind == "thinking":
            signature = unsigned(is_own=self._is_own) if part.block is not None else ""
            if part.signature:
                signature = signatures.written(part.signature, part.signed_by, NAME)
            if signature:
                written = self._delta(part, "signature_delta", signature=signature)
        if part.block is None:
            return written
        return written + _event("content_block_stop", {"index": part.block})

    def _release(self) -> bytes:
        """Write what was held back, as far as no part is open that it must wait for."""
        held, self._held = self._held, []
        return b"".join([self._take(event) for event in held])

    def _flush(self) -> bytes:
        """Write all that is left; a part whose end was not told ends here."""
        written = b""
        while self._open is not None:
            part, self._open = self._open, None
            written += self._close(part) + self._release()
        return written


def encode_stream(events: Iterable[StreamEvent], *, include_usage: bool = True) -> Iterator[bytes]:
    """The client's bytes of a stream of events, its end included unless it failed."""
    return written_by(StreamEncoder(include_usage=include_usage), events)


def _event(name: str, fields: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), write_json({"type": name, **fields}))
