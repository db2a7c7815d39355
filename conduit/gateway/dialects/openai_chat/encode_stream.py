"""Chat streams in OpenAI's format, written chunk by chunk."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from conduit.core.errors import ConduitError
from conduit.gateway.conversation import (
    ArgumentsDelta,
    Citation,
    CitationDelta,
    Failed,
    Finished,
    FinishReason,
    Image,
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
from conduit.gateway.dialects.answer_ids import id_or_new, time_or_now
from conduit.gateway.dialects.dialect import written_by
from conduit.gateway.dialects.frames.sse import event_of
from conduit.gateway.dialects.frames.text import TextFrame, text_frame
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.openai.errors import error_frame
from conduit.gateway.dialects.openai.google_signatures import signed_content
from conduit.gateway.dialects.openai.relayed_stream import DONE
from conduit.gateway.dialects.openai.usage import usage_to_openai
from conduit.gateway.dialects.openai_chat.decode_stream import REASONS
from conduit.gateway.dialects.openai_chat.encode_messages import (
    annotation_of,
    image_of,
    written_signature,
)
from conduit.gateway.dialects.openai_chat.thinking import ThoughtWriter

_DIALECT: Final = "openai_chat"


class StreamEncoder:
    """Events of the internal form as the chunks that a client of this format reads.

    With `include_usage` every chunk has a usage of null, and the last one, which `finish` gives,
    has that of the answer and no choice.
    """

    def __init__(self, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._is_own = False
        self._head: dict[str, Any] = {}
        self._choices: dict[int, _Written] = {}
        self._frame: TextFrame | None = None
        self._framed = 0  # the choice that the frame is of
        self._usage: Usage | None = None
        self.failed = False

    def encode(self, event: StreamEvent) -> bytes:
        """The bytes of one event; empty where the format has nothing to say (yet)."""
        if type(event) is TextDelta:  # as nearly all are
            return self._part(event)
        match event:
            case Started():
                self._start(event)
                return b""
            case Used():
                self._usage = event.usage
                return b""
            case Unplaced():
                return self._unplaced(event)
            case Failed():
                self.failed = True
                return _failure_frame(event)
            case Finished():
                return self._finish(event)
            case _:
                return self._part(event)

    def _part(
        self,
        event: PartStarted
        | TextDelta
        | ThinkingDelta
        | SignatureDelta
        | ArgumentsDelta
        | CitationDelta
        | WholePart
        | PartFinished,
    ) -> bytes:
        written = self._written(event.choice)
        match event:
            case TextDelta():
                return self._text(event, written)
            case PartStarted():
                return self._begin(event, written)
            case ThinkingDelta():
                return self._delta(event.choice, written.thoughts.text(event.text))
            case SignatureDelta():
                return self._delta(event.choice, written.signature(event))
            case ArgumentsDelta():
                call = {
                    "index": written.tools[event.index],
                    "function": {"arguments": event.text},
                }
                return self._delta(event.choice, {"tool_calls": [call]})
            case CitationDelta():
                written.citations.append((event.index, event.citation))
                return b""
            case WholePart():
                return self._whole(event, written)
            case PartFinished():
                return b""
            case _:
                assert_never(event)

    def _written(self, choice: int) -> "_Written":
        written = self._choices.get(choice)
        if written is None:
            written = self._choices[choice] = _Written()
        return written

    def finish(self) -> bytes:
        """The chunk of the usage, where the client asked, and [DONE]; nothing after a failure."""
        if self.failed:
            return b""
        if self._include_usage and self._usage is not None:
            return self._chunk([], usage=usage_to_openai(self._usage)) + DONE
        return DONE

    def fail(self, error: ConduitError) -> bytes:
        """The frame that ends a stream which cannot go on; no [DONE] follows."""
        self.failed = True
        return error_frame(error)

    def _start(self, event: Started) -> None:
        self._is_own = event.dialect == _DIALECT
        self._frame = None
        self._head = {
            "id": id_or_new("chatcmpl-", event.id),
            "object": "chat.completion.chunk",
            "created": time_or_now(event.created_s),
            "model": event.model,
            **(event.extras if self._is_own else {}),
        }

    def _begin(self, event: PartStarted, written: "_Written") -> bytes:
        written.kinds[event.index] = event.kind
        match event.kind:
            case "thinking":
                fields = written.thoughts.begin(event.redacted, event.signed_by)
                return self._delta(event.choice, fields) if fields else b""
            case "tool_call":
                call = written.call(event, event.extras if self._is_own else {})
                return self._delta(event.choice, {"tool_calls": [call]})
            case "text" | "refusal" | "audio":
                return b""
            case kind:
                assert_never(kind)

    def _text(self, event: TextDelta, written: "_Written") -> bytes:
        delta = written.text(event)
        if event.logprobs is not None or not written.opened or "content" not in delta:
            return self._delta(event.choice, delta, logprobs=_logprobs(event.logprobs))
        frame = self._frame
        if frame is None or self._framed != event.choice:
            self._framed = event.choice
            frame = self._frame = text_frame(self._delta(event.choice, {"content": ""}), "content")
        return frame.around(event.text) or self._delta(event.choice, delta)

    def _whole(self, event: WholePart, written: "_Written") -> bytes:
        if not isinstance(event.part, Image):
            return b""  # sounds, files and foreign parts have no place in an answer of this format
        image = {**image_of(event.part), "index": written.images}
        written.images += 1
        return self._delta(event.choice, {"images": [image]})

    def _finish(self, event: Finished) -> bytes:
        written = self._written(event.choice)
        annotations = written.annotations()
        cited = self._delta(event.choice, {"annotations": annotations}) if annotations else b""
        reason = reason_to_openai(event.reason, event.raw_reason if self._is_own else None)
        return cited + self._delta(event.choice, {}, finish_reason=reason)

    def _delta(
        self,
        choice: int,
        delta: Mapping[str, Any],
        *,
        finish_reason: str | None = None,
        logprobs: Any = None,
    ) -> bytes:
        """A chunk of one choice, after the one that opens the choice by its role."""
        opening = b""
        written = self._written(choice)
        if not written.opened:
            written.opened = True
            opening = self._delta(choice, {"role": "assistant", "content": ""})
        return opening + self._chunk(
            [
                {
                    "index": choice,
                    "delta": delta,
                    "logprobs": logprobs,
                    "finish_reason": finish_reason,
                }
            ]
        )

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        chunk = {**self._head, "choices": choices, **more}
        if self._include_usage:
            chunk.setdefault("usage", None)
        return event_of(write_json(chunk))

    def _unplaced(self, event: Unplaced) -> bytes:
        if not self._is_own:
            return b""
        if event.choice is None:
            return self._chunk([], **event.fields)
        fields = dict(event.fields)
        logprobs = fields.pop("logprobs", None)
        return self._delta(event.choice, fields, logprobs=logprobs)


@dataclass(slots=True)
class _Written:
    """What has been written of one choice."""

    opened: bool = False
    kinds: dict[int, str] = field(default_factory=dict)
    tools: dict[int, int] = field(default_factory=dict)
    signed: set[int] = field(default_factory=set)
    lengths: dict[int, int] = field(default_factory=dict)
    citations: list[tuple[int, Citation]] = field(default_factory=list)
    thoughts: ThoughtWriter = field(default_factory=ThoughtWriter)
    images: int = 0

    def text(self, event: TextDelta) -> dict[str, Any]:
        match self.kinds.get(event.index):
            case "refusal":
                return {"refusal": event.text}
            case "audio":
                return {"audio": {"data": event.text}}
            case _:
                self.lengths[event.index] = self.lengths.get(event.index, 0) + len(event.text)
                return {"content": event.text}

    def call(self, event: PartStarted, extras: Mapping[str, Any]) -> dict[str, Any]:
        self.tools[event.index] = len(self.tools)
        call: dict[str, Any] = {
            "index": self.tools[event.index],
            "id": id_or_new("call_", event.tool_call_id),
            "type": "function",
            "function": {"name": event.tool_name or "", "arguments": ""},
            **extras,
        }
        if event.signature is not None:
            text = written_signature(event.signature, event.signed_by)
            call["extra_content"] = signed_content(text, call.get("extra_content"))
        return call

    def signature(self, event: SignatureDelta) -> dict[str, Any]:
        """A piece of a signature, of thinking or, where it comes late, of a call."""
        if event.index not in self.tools:
            return dict(self.thoughts.signature(event.signature, event.signed_by))
        text = event.signature
        if event.index not in self.signed:
            self.signed.add(event.index)
            text = written_signature(text, event.signed_by)
        call = {
            "index": self.tools[event.index],
            "function": {"arguments": ""},
            "extra_content": signed_content(text),
        }
        return {"tool_calls": [call]}

    def annotations(self) -> list[Mapping[str, Any]]:
        """All sources at once, as OpenAI sends them: only now the texts are known whole."""
        bases: dict[int, int] = {}
        base = 0
        for index, length in self.lengths.items():
            bases[index] = base
            base += length
        found = [
            annotation_of(citation, self.lengths.get(index, 0), bases.get(index, 0))
            for index, citation in self.citations
        ]
        self.citations = []
        return [annotation for annotation in found if annotation is not None]


def encode_stream(events: Iterable[StreamEvent], *, include_usage: bool) -> Iterator[bytes]:
    """The client's bytes of a stream of events, [DONE] included unless it failed."""
    return written_by(StreamEncoder(include_usage=include_usage), events)


def reason_to_openai(reason: FinishReason, raw: str | None) -> str:
    """The finish reason that this format's clients know; `raw` is one of its own providers."""
    if raw is not None and raw in REASONS:
        return raw
    return "content_filter" if reason is FinishReason.REFUSAL else reason.value


def _logprobs(logprobs: Any) -> Any:
    """Only what has this format's shape: `content` and `refusal`, each a list of tokens."""
    return logprobs if isinstance(logprobs, dict) else None


def _failure_frame(event: Failed) -> bytes:
    error = {
        "message": event.message,
        "type": "upstream_error",
        "param": None,
        "code": event.code,
    }
    return event_of(write_json({"error": error}))
