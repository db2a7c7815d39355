"""Chat streams in OpenAI's format, decoded chunk by chunk."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import (
    ArgumentsDelta,
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
    Used,
    WholePart,
)
from conduit.gateway.dialects.answer_fields import objects, text_or_none
from conduit.gateway.dialects.answer_tool import AnswerTool
from conduit.gateway.dialects.fields import rest_of
from conduit.gateway.dialects.frames.sse_payloads import DONE_PAYLOAD, EventPayloads
from conduit.gateway.dialects.frames.usual_deltas import FieldNames, UsualDeltas
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.openai.annotations import citation_of, start_of
from conduit.gateway.dialects.openai.errors import reported_words
from conduit.gateway.dialects.openai.usage import usage_of_chunk

_DIALECT: Final = "openai_chat"
_CHUNK_FIELDS = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "error", "obfuscation"}
)
_DELTA_FIELDS = frozenset(
    {
        "role",
        "content",
        "refusal",
        "reasoning_content",
        "reasoning",
        "reasoning_signature",
        "reasoning_redacted",
        "annotations",
        "images",
        "tool_calls",
    }
)
REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}

_TEXT_FIELDS: Final[FieldNames] = {
    TextDelta: (b"content", b"refusal"),
    ThinkingDelta: (b"reasoning_content", b"reasoning"),
    ArgumentsDelta: (b"arguments",),
}
_Kind = Literal["text", "thinking", "refusal"]
_TEXTS: tuple[tuple[str, _Kind], ...] = (("content", "text"), ("refusal", "refusal"))


class StreamDecoder:
    """A provider's chunks as events of the internal form.

    `done` is whether [DONE] came; the answer is `complete` with it, or once every choice has its
    reason to end, for servers that never send it.
    """

    def __init__(self, *, answer_tool: str | None = None) -> None:
        self._payloads = EventPayloads()
        self._answer = AnswerTool(answer_tool)
        self._usual = UsualDeltas(_TEXT_FIELDS, by_tool=answer_tool is not None)
        self._started = False
        self._failed = False
        self._extras: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self.done = False

    @property
    def complete(self) -> bool:
        if self._failed:
            return False
        choices = self._choices.values()
        return self.done or (bool(choices) and all(choice.is_finished for choice in choices))

    def feed(self, piece: bytes) -> list[StreamEvent]:
        """The events of the next bytes of the body, cut anywhere."""
        try:
            payloads = self._payloads.feed(piece)
        except UpstreamFailure as error:
            return self._fail(error.code, error.message)
        return [event for payload in payloads for event in self.payload(payload)]

    def finish(self) -> list[StreamEvent]:
        """Call at the end of the body; whether the answer is whole then is in `complete`."""
        last = [event for payload in self._payloads.finish() for event in self.payload(payload)]
        return last + self._answer.finish()

    def payload(self, payload: bytes) -> list[StreamEvent]:
        """The events of the data of one event of the body; [DONE] has none."""
        delta = self._usual.read(payload)
        if delta is not None:
            self._choices[delta.choice].goes_on(delta)
            return [delta]
        if payload == DONE_PAYLOAD:
            self.done = True
            return []
        chunk = read_json(payload)
        if not isinstance(chunk, dict):
            return self._fail("unreadable_event", "The provider sent an event that is not JSON")
        return self._usual.learn(payload, self.decode(chunk))

    def decode(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        """The events of one parsed chunk."""
        if self._failed:
            return []
        if chunk.get("error") is not None or chunk.get("object") == "error":
            return self._fail(*reported_words(chunk))
        events = self._start(chunk)
        for fields in objects(chunk.get("choices")):
            index = fields.get("index")
            number = index if isinstance(index, int) else 0
            self._choices.setdefault(number, _Choice(number)).decode(fields, events)
        usage = usage_of_chunk(chunk)
        if usage is not None:
            events.append(Used(usage))
        return self._answer.turn(events)

    def _fail(self, code: str, message: str) -> list[StreamEvent]:
        self._usual.forget()
        if self._failed:
            return []
        self._failed = True
        return [Failed(code, message)]

    def _start(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        extras = rest_of(chunk, _CHUNK_FIELDS)
        if self._started:
            # Every chunk repeats these; what only a later one has (Perplexity's citations) is new.
            extras = {
                name: value
                for name, value in extras.items()
                if value is not None and self._extras.get(name) != value
            }
            self._extras |= extras
            return [Unplaced(extras)] if extras else []
        self._extras |= extras
        if not chunk.get("id") and not chunk.get("choices") and chunk.get("usage") is None:
            return []  # a ping, or Azure's word on the prompt, before the answer has a name
        self._started = True
        created = chunk.get("created")
        return [
            Started(
                id=text_or_none(chunk.get("id")) or "",
                model=text_or_none(chunk.get("model")) or "",
                created_s=int(created) if isinstance(created, int | float) else 0,
                extras=dict(self._extras),
                dialect=_DIALECT,
            )
        ]


def decode_stream(payloads: Iterable[bytes]) -> Iterator[StreamEvent]:
    """The events of a stream's payloads, in order."""
    decoder = StreamDecoder()
    for payload in payloads:
        yield from decoder.payload(payload)


@dataclass(slots=True)
class _Choice:
    """One choice: the part that is open, the index of each tool call, the length of each text."""

    number: int
    next_index: int = 0
    kind: _Kind | None = None
    index: int = 0
    calls: dict[int, tuple[int, str | None]] = field(default_factory=dict)
    texts: dict[int, int] = field(default_factory=dict)
    is_finished: bool = False

    def decode(self, fields: Mapping[str, Any], events: list[StreamEvent]) -> None:
        delta = fields.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        logprobs = fields.get("logprobs")
        self._think(delta, events)
        for name, kind in _TEXTS:
            text = text_or_none(delta.get(name))
            if text:
                self._say(kind, text, events, logprobs)
                logprobs = None
        left = self._say_parts(delta.get("content"), events)
        for raw in objects(delta.get("annotations")):
            self._cite(raw, events)
        for raw in objects(delta.get("images")):
            self._show(raw, events)
        for position, call in enumerate(objects(delta.get("tool_calls"))):
            self._call(call, position, events)
        self._keep(delta, left, logprobs, events)
        reason = fields.get("finish_reason")
        if isinstance(reason, str):
            self._finish(reason, events)

    def goes_on(self, delta: TextDelta | ThinkingDelta | ArgumentsDelta) -> None:
        """Count a delta that was read the short way, where its kind of text is counted."""
        if isinstance(delta, TextDelta) and delta.index in self.texts:
            self.texts[delta.index] += len(delta.text)

    def _think(self, delta: Mapping[str, Any], events: list[StreamEvent]) -> None:
        text = text_or_none(delta.get("reasoning_content")) or text_or_none(delta.get("reasoning"))
        signature = text_or_none(delta.get("reasoning_signature"))
        redacted = text_or_none(delta.get("reasoning_redacted"))
        if text or signature:
            at = self._open("thinking", events)
            if text:
                events.append(ThinkingDelta(at, text, self.number))
            if signature:
                events.append(SignatureDelta(at, signature, self.number, _DIALECT))
        if redacted:
            self._close(events)
            at = self._begin()
            events.append(
                PartStarted(at, "thinking", self.number, redacted=redacted, signed_by=_DIALECT)
            )
            events.append(PartFinished(at, self.number))

    def _say(self, kind: _Kind, text: str, events: list[StreamEvent], logprobs: Any = None) -> None:
        at = self._open(kind, events)
        if kind == "thinking":
            events.append(ThinkingDelta(at, text, self.number))
            return
        events.append(TextDelta(at, text, self.number, logprobs))
        if kind == "text":
            self.texts[at] = self.texts.get(at, 0) + len(text)

    def _say_parts(self, content: Any, events: list[StreamEvent]) -> list[Any]:
        """Content in parts, as Mistral's reasoning models send; what has no place is left."""
        left = []
        for part in content if isinstance(content, list) else ():
            match part:
                case {"type": "text", "text": str(text)}:
                    self._say("text", text, events)
                case {"type": "thinking", "thinking": [*pieces]} if all(map(_said, pieces)):
                    for piece in pieces:
                        self._say("thinking", piece["text"], events)
                case _:
                    left.append(part)
        return left

    def _cite(self, raw: Mapping[str, Any], events: list[StreamEvent]) -> None:
        """A source of the text in which it begins: its offsets count from that of the message."""
        if not self.texts:
            events.append(Unplaced({"annotations": [dict(raw)]}, self.number))
            return
        start = start_of(raw) or 0
        base = end = at = 0
        for index, length in self.texts.items():
            if start >= end:  # otherwise it begins before this text
                base, at = end, index
            end += length
        events.append(CitationDelta(at, citation_of(raw, _DIALECT, base), self.number))

    def _show(self, raw: Mapping[str, Any], events: list[StreamEvent]) -> None:
        match raw:
            case {"image_url": {"url": str(url)}}:
                self._close(events)
                events.append(WholePart(self._begin(), Image(url), self.number))
            case _:
                events.append(Unplaced({"images": [dict(raw)]}, self.number))

    def _call(self, call: Mapping[str, Any], position: int, events: list[StreamEvent]) -> None:
        function = call.get("function")
        if not isinstance(function, dict):
            events.append(Unplaced({"tool_calls": [dict(call)]}, self.number))
            return
        given = call.get("index")
        key = given if isinstance(given, int) else position
        call_id = text_or_none(call.get("id"))
        # Some count every call as the first (Gemini's compatible endpoint): a new id is a new call.
        known = self.calls.get(key)
        if known is None or (call_id and known[1] and call_id != known[1]):
            self._begin_call(key, call, function, events)
        arguments = function.get("arguments")
        if isinstance(arguments, dict):  # some servers forget to write them as text
            arguments = write_json(arguments).decode()
        if isinstance(arguments, str) and arguments:
            events.append(ArgumentsDelta(self.calls[key][0], arguments, self.number))

    def _begin_call(
        self,
        key: int,
        call: Mapping[str, Any],
        function: Mapping[str, Any],
        events: list[StreamEvent],
    ) -> None:
        self._close(events)
        if key in self.calls:
            events.append(PartFinished(self.calls[key][0], self.number))
        call_id = text_or_none(call.get("id"))
        at = self._begin()
        self.calls[key] = (at, call_id)
        extras = rest_of(call, frozenset({"index", "id", "type", "function"}))
        signature = _signature(extras)
        events.append(
            PartStarted(
                at,
                "tool_call",
                self.number,
                tool_call_id=call_id,
                tool_name=text_or_none(function.get("name")),
                signature=signature,
                signed_by="" if signature is None else _DIALECT,
                extras=extras,
            )
        )

    def _keep(
        self, delta: Mapping[str, Any], left: list[Any], logprobs: Any, events: list[StreamEvent]
    ) -> None:
        rest = rest_of(delta, _DELTA_FIELDS)
        rest = {name: value for name, value in rest.items() if value is not None and value != []}
        if left:
            rest["content"] = left
        if logprobs is not None:
            rest["logprobs"] = logprobs
        if rest:
            events.append(Unplaced(rest, self.number))

    def _begin(self) -> int:
        self.next_index += 1
        return self.next_index - 1

    def _open(self, kind: _Kind, events: list[StreamEvent]) -> int:
        if self.kind != kind:
            self._close(events)
            self.kind = kind
            self.index = self._begin()
            events.append(PartStarted(self.index, kind, self.number))
        return self.index

    def _close(self, events: list[StreamEvent]) -> None:
        if self.kind is not None:
            events.append(PartFinished(self.index, self.number))
            self.kind = None

    def _finish(self, raw: str, events: list[StreamEvent]) -> None:
        self._close(events)
        events.extend(PartFinished(index, self.number) for index, _ in self.calls.values())
        self.calls.clear()
        self.is_finished = True
        reason = REASONS.get(raw, FinishReason.STOP)
        events.append(Finished(reason, self.number, raw if raw != reason.value else None))


def _signature(extras: Mapping[str, Any]) -> str | None:
    match extras.get("extra_content"):
        case {"google": {"thought_signature": str(text)}}:
            return text
        case _:
            return None


def _said(piece: Any) -> bool:
    return isinstance(piece, dict) and isinstance(piece.get("text"), str) and bool(piece["text"])
