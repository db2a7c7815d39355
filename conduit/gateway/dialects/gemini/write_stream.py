"""Streams for Gemini's clients, encoded event by event.

Every piece is a whole `GenerateContentResponse`. The SDKs keep a turn in the history of a chat only
if each piece has a candidate with parts, and the last one a finish reason and the usage: so ends
and usage wait for the end of the stream, and stand there beside an empty text, as the original has
them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from conduit.core.errors import ConduitError
from conduit.gateway.conversation import (
    ArgumentsDelta,
    Citation,
    CitationDelta,
    Failed,
    Finished,
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
from conduit.gateway.dialects.frames.sse import event_of
from conduit.gateway.dialects.frames.text import TextFrame, text_frame
from conduit.gateway.dialects.gemini.errors import encode_error, encode_failure
from conduit.gateway.dialects.gemini.grounding import CitedText, grounding_of
from conduit.gateway.dialects.gemini.logprobs import logprobs_to_gemini
from conduit.gateway.dialects.gemini.usage import usage_to_gemini
from conduit.gateway.dialects.gemini.words import NAME
from conduit.gateway.dialects.gemini.write_answer import is_blocked
from conduit.gateway.dialects.gemini.write_parts import (
    call_part,
    malformed,
    thinking_part,
    whole_part,
    write_reason,
)
from conduit.gateway.dialects.lenient_json import write_json

# The only form in which sound comes in pieces: samples without a head.
_SPOKEN: Final = "audio/L16;rate=24000"


@dataclass(slots=True)
class _Open:
    """A part that has begun; calls and signatures are written once they are whole."""

    start: PartStarted
    begins: int = 0
    texts: list[str] = field(default_factory=list)
    signature: str | None = None
    signed_by: str = ""
    citations: list[Citation] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.texts)


@dataclass(slots=True)
class _Choice:
    open: dict[int, _Open] = field(default_factory=dict)
    written_bytes: int = 0
    cited: list[CitedText] = field(default_factory=list)
    finish: Finished | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    wrong: dict[str, Any] = field(default_factory=dict)
    frame: TextFrame | None = None


class StreamEncoder:
    """Events of the internal form as the pieces that a client of this dialect reads.

    `array` writes them as the elements of one JSON array, for clients that did not ask for
    `alt=sse`. `failed` is whether the stream ended in an error.
    """

    def __init__(self, *, include_usage: bool = True, array: bool = False) -> None:
        self.failed = False
        self._include_usage = include_usage
        self._array = array
        self._is_open = False
        self._is_own = False
        self._head: dict[str, Any] = {}
        self._extras: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: dict[str, Any] | None = None

    def encode(self, event: StreamEvent) -> bytes:
        """The bytes of one event; empty where they wait for more, or nothing is to be said."""
        if type(event) is TextDelta:  # as nearly all are
            return self._text(event)
        match event:
            case Started():
                for choice in self._choices.values():
                    choice.frame = None
                self._is_own = event.dialect == NAME
                self._head = {"modelVersion": event.model, "responseId": event.id}
                self._extras = dict(event.extras) if self._is_own else {}
            case Finished():
                self._choice(event.choice).finish = event
            case Used():
                self._usage = usage_to_gemini(event.usage)
            case Unplaced():
                self._keep(event)
            case Failed():
                self.failed = True
                return self._error(encode_failure(event))
            case _:
                return self._encode_part(event)
        return b""

    def finish(self) -> bytes:
        """The last piece, with the ends of all choices and the usage."""
        if self.failed:
            return b""
        parts = b"".join(
            self._flush(choice, index)
            for choice, state in self._choices.items()
            for index in list(state.open)
        )
        return parts + self._last() + self._closing()

    def fail(self, error: ConduitError) -> bytes:
        """The error that ends a stream which has begun.

        In a stream of events it is bare JSON between them, as the original writes it: that is how
        the SDKs tell it from an answer.
        """
        if self.failed:
            return b""
        self.failed = True
        return self._error(encode_error(error))

    def _encode_part(
        self,
        event: PartStarted
        | WholePart
        | TextDelta
        | ThinkingDelta
        | ArgumentsDelta
        | SignatureDelta
        | CitationDelta
        | PartFinished,
    ) -> bytes:
        match event:
            case PartStarted():
                state = self._choice(event.choice)
                state.open[event.index] = _Open(event, state.written_bytes)
            case WholePart():
                part = whole_part(event.part)
                return b"" if part is None else self._piece(event.choice, part)
            case TextDelta():
                return self._text(event)
            case ThinkingDelta():
                self._part(event).texts.append(event.text)
                return self._piece(event.choice, thinking_part(event.text))
            case ArgumentsDelta():
                self._part(event).texts.append(event.text)
            case SignatureDelta():
                part_state = self._part(event)
                part_state.signature = (part_state.signature or "") + event.signature
                part_state.signed_by = event.signed_by
            case CitationDelta():
                self._part(event).citations.append(event.citation)
            case PartFinished():
                return self._flush(event.choice, event.index)
            case _:
                assert_never(event)
        return b""

    def _choice(self, number: int) -> _Choice:
        choice = self._choices.get(number)
        if choice is None:
            choice = self._choices[number] = _Choice()
        return choice

    def _part(
        self, event: TextDelta | ThinkingDelta | ArgumentsDelta | SignatureDelta | CitationDelta
    ) -> _Open:
        parts = self._choice(event.choice).open
        part = parts.get(event.index)
        if part is None:
            part = parts[event.index] = _Open(PartStarted(event.index, "text"))
        return part

    def _keep(self, event: Unplaced) -> None:
        if not self._is_own:
            return
        if event.choice is None:
            self._extras |= event.fields
        else:
            self._choice(event.choice).fields |= event.fields

    def _text(self, event: TextDelta) -> bytes:
        if self._is_own and is_blocked(self._extras):
            return b""  # the reason is told in another field
        part = self._part(event)
        state = self._choice(event.choice)
        if part.start.kind == "audio":
            blob = {"mimeType": _SPOKEN, "data": event.text}
            return self._piece(event.choice, {"inlineData": blob})
        if not self._is_own:
            part.texts.append(event.text)
            state.written_bytes += _size(event.text)
        if event.logprobs is None:
            return self._usual(event, state)
        logprobs = logprobs_to_gemini(event.logprobs)
        more = {} if logprobs is None else {"logprobsResult": logprobs}
        return self._piece(event.choice, {"text": event.text}, more)

    def _usual(self, event: TextDelta, state: _Choice) -> bytes:
        if state.frame is None:
            empty = write_json(self._fields(event.choice, {"text": ""}))
            state.frame = text_frame(empty, "text")
        text = state.frame.around(event.text)
        if text is None:
            return self._piece(event.choice, {"text": event.text})
        return self._element(text) if self._array else event_of(text)

    def _flush(self, number: int, index: int) -> bytes:
        """What a part says only once it is whole."""
        state = self._choice(number)
        part = state.open.pop(index, None)
        if part is None:
            return b""
        if part.start.kind == "tool_call":
            return self._call(number, part)
        if part.start.kind == "thinking":
            return self._seal(number, part)
        if part.citations and not self._is_own:
            state.cited.append(CitedText(part.text, tuple(part.citations), part.begins))
        return b""

    def _call(self, number: int, part: _Open) -> bytes:
        start = part.start
        name = start.tool_name or ""
        written = call_part(
            start.tool_call_id or "",
            name,
            part.text,
            signature=part.signature or start.signature,
            signed_by=part.signed_by or start.signed_by,
        )
        if written is None:
            self._choice(number).wrong = malformed(name, part.text)
            return b""
        if self._is_own:
            written["functionCall"] |= start.extras
        return self._piece(number, written)

    def _seal(self, number: int, part: _Open) -> bytes:
        start = part.start
        signed_by = part.signed_by or start.signed_by
        if part.signature is None and start.redacted is None:
            return b""
        if signed_by == NAME and not part.texts and not start.extras.get("thought"):
            return self._piece(number, {"text": "", "thoughtSignature": part.signature})
        return self._piece(
            number,
            thinking_part(
                "", signature=part.signature, redacted=start.redacted, signed_by=signed_by
            ),
        )

    def _last(self) -> bytes:
        blocked = self._is_own and is_blocked(self._extras)
        candidates = [] if blocked else [self._end(*item) for item in self._choices.items()]
        if not candidates and not self._extras and self._usage is None:
            return b""
        fields: dict[str, Any] = {"candidates": candidates} if candidates else {}
        if self._usage is not None and self._include_usage:
            fields["usageMetadata"] = self._usage
        return self._frame(fields | self._head | self._extras)

    def _end(self, number: int, state: _Choice) -> dict[str, Any]:
        fields = _candidate(number, {"text": ""})
        if state.finish is not None:
            reason = state.finish
            fields["finishReason"] = write_reason(
                reason.reason, reason.raw_reason, own=self._is_own
            )
        grounding = grounding_of(state.cited)
        if grounding is not None:
            fields["groundingMetadata"] = grounding
        return fields | state.fields | state.wrong

    def _piece(
        self, number: int, part: Mapping[str, Any], more: Mapping[str, Any] | None = None
    ) -> bytes:
        self._choice(number)
        return self._frame(self._fields(number, part, more))

    def _fields(
        self, number: int, part: Mapping[str, Any], more: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        candidate = _candidate(number, part) | dict(more or {})
        return {"candidates": [candidate], **self._head}

    def _frame(self, fields: Mapping[str, Any]) -> bytes:
        text = write_json(fields)
        return self._element(text) if self._array else event_of(text)

    def _error(self, text: bytes) -> bytes:
        return self._element(text) + self._closing() if self._array else text + b"\n"

    def _element(self, text: bytes) -> bytes:
        before = b",\r\n" if self._is_open else b"["
        self._is_open = True
        return before + text

    def _closing(self) -> bytes:
        if not self._array:
            return b""
        return b"]" if self._is_open else b"[]"


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _candidate(number: int, part: Mapping[str, Any]) -> dict[str, Any]:
    return {"content": {"parts": [part], "role": "model"}, "index": number}
