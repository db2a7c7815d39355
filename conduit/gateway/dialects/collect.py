"""A stream of events put together into one whole answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, assert_never

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import (
    ArgumentsDelta,
    ChatResponse,
    Choice,
    Citation,
    CitationDelta,
    Failed,
    Finished,
    Part,
    PartEvent,
    PartFinished,
    PartStarted,
    Refusal,
    SignatureDelta,
    Started,
    StreamEvent,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Unplaced,
    Usage,
    Used,
    WholePart,
)

# Of text that comes in pieces, these come whole, and may come again.
_WHOLE_TEXT = frozenset({"id", "type", "role", "format"})


@dataclass(slots=True)
class _OpenPart:
    start: PartStarted
    texts: list[str] = field(default_factory=list)
    signature: str | None = None
    signed_by: str = ""
    citations: list[Citation] = field(default_factory=list)

    def sign(self, delta: SignatureDelta) -> None:
        self.signature = (self.signature or "") + delta.signature
        self.signed_by = delta.signed_by

    def close(self) -> Part:
        text = "".join(self.texts)
        match self.start.kind:
            case "text" | "audio":
                return Text(text, citations=tuple(self.citations))
            case "thinking":
                return Thinking(
                    text,
                    signature=self.signature,
                    redacted=self.start.redacted,
                    signed_by=self.signed_by or self.start.signed_by,
                    extras=self.start.extras,
                )
            case "refusal":
                return Refusal(text)
            case "tool_call":
                return ToolCall(
                    id=self.start.tool_call_id or "",
                    name=self.start.tool_name or "",
                    arguments=text,
                    signature=self.signature or self.start.signature,
                    signed_by=self.signed_by or self.start.signed_by,
                    extras=self.start.extras,
                )
            case kind:
                assert_never(kind)


@dataclass(slots=True)
class _OpenChoice:
    parts: dict[int, _OpenPart | WholePart] = field(default_factory=dict)
    finish: Finished | None = None
    logprobs: Any = None
    extras: dict[str, Any] = field(default_factory=dict)


class Collector:
    """Takes events one by one; `response` is the answer so far."""

    def __init__(self) -> None:
        self._started = Started(id="", model="", created_s=0)
        self._choices: dict[int, _OpenChoice] = {}
        self._usage: Usage | None = None
        self._extras: dict[str, Any] = {}

    def add(self, event: StreamEvent) -> None:
        """Take the next event; raises UpstreamFailure for a failed answer."""
        match event:
            case Started():
                self._started = event
                self._extras |= event.extras
            case Finished():
                self._choice(event.choice).finish = event
            case Used():
                self._usage = event.usage
            case Unplaced():
                self._keep(event)
            case Failed():
                raise UpstreamFailure(event.message)
            case _:
                self._add_to_part(event)

    def _add_to_part(self, event: PartEvent) -> None:
        match event:
            case PartStarted():
                self._choice(event.choice).parts[event.index] = _OpenPart(event)
            case WholePart():
                self._choice(event.choice).parts[event.index] = event
            case TextDelta():
                self._part(event.choice, event.index).texts.append(event.text)
                if event.logprobs is not None:
                    choice = self._choice(event.choice)
                    choice.logprobs = merge(choice.logprobs, event.logprobs)
            case ThinkingDelta() | ArgumentsDelta():
                self._part(event.choice, event.index).texts.append(event.text)
            case SignatureDelta():
                self._part(event.choice, event.index).sign(event)
            case CitationDelta():
                self._part(event.choice, event.index).citations.append(event.citation)
            case PartFinished():
                pass
            case _:
                assert_never(event)

    def response(self) -> ChatResponse:
        return ChatResponse(
            id=self._started.id,
            model=self._started.model,
            created_s=self._started.created_s,
            choices=tuple(_close(index, choice) for index, choice in sorted(self._choices.items())),
            usage=self._usage,
            extras=self._extras,
            dialect=self._started.dialect,
        )

    def _choice(self, index: int) -> _OpenChoice:
        return self._choices.setdefault(index, _OpenChoice())

    def _part(self, choice: int, index: int) -> _OpenPart:
        part = self._choice(choice).parts[index]
        if isinstance(part, WholePart):
            raise UpstreamFailure("The provider's answer goes on with a part that was whole")
        return part

    def _keep(self, event: Unplaced) -> None:
        if event.choice is None:
            self._extras = merge(self._extras, event.fields)
        else:
            choice = self._choice(event.choice)
            choice.extras = merge(choice.extras, event.fields)


def collect(events: Iterable[StreamEvent]) -> ChatResponse:
    """The whole answer of a finished stream."""
    collector = Collector()
    for event in events:
        collector.add(event)
    return collector.response()


def merge(old: Any, new: Any, name: str = "") -> Any:
    """Later pieces joined to earlier ones: text and lists grow, objects join field by field."""
    if isinstance(old, dict) and isinstance(new, Mapping):
        joined = dict(old)
        for key, value in new.items():
            joined[key] = merge(joined[key], value, key) if key in joined else value
        return joined
    if isinstance(old, list) and isinstance(new, list):
        return old + new
    if isinstance(old, str) and isinstance(new, str) and name not in _WHOLE_TEXT:
        return old + new
    return old if new is None else new


def _close(index: int, choice: _OpenChoice) -> Choice:
    finish = choice.finish
    return Choice(
        index=index,
        parts=tuple(_closed(part) for _, part in sorted(choice.parts.items(), key=itemgetter(0))),
        finish_reason=finish.reason if finish else None,
        logprobs=choice.logprobs,
        raw_reason=finish.raw_reason if finish else None,
        stop_sequence=finish.stop_sequence if finish else None,
        extras=choice.extras,
    )


def _closed(part: _OpenPart | WholePart) -> Part:
    return part.part if isinstance(part, WholePart) else part.close()
