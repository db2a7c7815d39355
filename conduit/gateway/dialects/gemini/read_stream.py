"""Answers of a provider in Gemini's format, decoded: streams and whole ones by the same code.

Source: https://ai.google.dev/api/generate-content#GenerateContentResponse. A stream is one such
object an event; every one repeats the head and counts the usage so far.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import (
    ChatResponse,
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
    Usage,
    Used,
)
from conduit.gateway.dialects.answer_fields import objects, text_or_none
from conduit.gateway.dialects.answer_tool import AnswerTool, collected
from conduit.gateway.dialects.fields import rest_of
from conduit.gateway.dialects.frames.sse import EventSplitter, payload_of, payloads_of, split_events
from conduit.gateway.dialects.gemini.errors import failure_of
from conduit.gateway.dialects.gemini.read_candidate import Candidate
from conduit.gateway.dialects.gemini.usage import reported_usage
from conduit.gateway.dialects.gemini.words import NAME
from conduit.gateway.dialects.lenient_json import read_json


class _Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel", gc=False):
    """What has a field more than these is not the usual chunk, and read by the general way."""


class _Part(_Strict):
    text: str
    thought: bool = False


class _Content(_Strict):
    parts: list[_Part]
    role: str = "model"


class _Candidate(_Strict):
    content: _Content
    index: int = 0


class _Chunk(_Strict):
    """What nearly every chunk is: one piece of text, and the usage so far, which is left unread."""

    candidates: list[_Candidate]
    usage_metadata: msgspec.Raw = msgspec.Raw()
    model_version: str | None = None
    response_id: str | None = None
    create_time: str = ""  # null is told, so it is not usual


_read_usual = msgspec.json.Decoder(_Chunk).decode
_HEAD_FIELDS = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId"})
_A_COUNT = b'"promptTokenCount"'


def decode_response(body: bytes, *, answer_tool: str | None = None) -> ChatResponse:
    """A provider's whole answer; raises UpstreamFailure where it is none."""
    value = read_json(body)
    decoder = StreamDecoder()
    chunks = [value] if isinstance(value, dict) else objects(value)
    events = [event for chunk in chunks for event in decoder.decode(chunk)]
    response = collected(events + decoder.finish(), answer_tool)
    if not response.choices:
        raise UpstreamFailure("The provider's answer has no candidates")
    return response


class StreamDecoder:
    """A provider's stream as events of the internal form.

    Fed with the bytes of a body as they arrive. Besides events, a body may hold an error as bare
    JSON after them, and is one JSON array where the provider was not asked for events; both are
    read. `answer_tool` is the tool whose calls are text. `usage` is what was reported so far; the
    event of it comes once, at the end. There is no mark of the end, so `done` is never true.
    """

    def __init__(self, *, answer_tool: str | None = None) -> None:
        self.done = False
        self._usage: Usage | None = None
        self._unread_usage = b""
        self._answer = AnswerTool(answer_tool)
        self._by_tool = answer_tool is not None
        self._splitter = EventSplitter()
        self._id: str | None = None
        self._extras: dict[str, Any] = {}
        self._candidates: dict[int, Candidate] = {}
        self._ended = False

    @property
    def complete(self) -> bool:
        """Whether every candidate seen has finished, and none of it failed."""
        states = self._candidates.values()
        return not self._ended and bool(states) and all(state.finished for state in states)

    @property
    def usage(self) -> Usage | None:
        if self._unread_usage:
            self._usage = reported_usage(read_json(self._unread_usage), self._usage)
            self._unread_usage = b""
        return self._usage

    def feed(self, piece: bytes) -> list[StreamEvent]:
        """The events of the next bytes of the body."""
        try:
            whole = self._splitter.feed(piece)
        except UpstreamFailure as error:
            return self._fail(Failed("upstream_error", error.message))
        return self._read(whole) if whole else []

    def finish(self) -> list[StreamEvent]:
        """What is left at the end of the body: a last event, or an error, and the usage."""
        rest = self._splitter.finish().rstrip(b"\r\n")
        events = self._read(rest + b"\n\n", is_last=True) if rest else []
        if self._ended:
            return events
        left: list[StreamEvent] = []
        for state in self._candidates.values():
            state.end(left)
        return [*events, *self._answer.turn(left), *self._answer.finish(), *self._used()]

    def decode(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        """The events of one object of the stream."""
        if self._ended or not chunk:
            return []
        failure = failure_of(chunk)
        if failure is not None:
            return self._fail(failure)
        self._usage = reported_usage(chunk.get("usageMetadata"), self.usage)
        self._unread_usage = b""
        events = self._start(chunk)
        for position, candidate in enumerate(objects(chunk.get("candidates"))):
            index = candidate.get("index")
            number = index if type(index) is int else position
            state = self._candidates.get(number)
            if state is None:
                state = Candidate(number, self._id or repr(chunk))
                self._candidates[number] = state
            state.read(candidate, events)
        self._refuse(chunk, events)
        return self._answer.turn(events)

    def _read(self, whole: bytes, *, is_last: bool = False) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        for event, payload in _events_of(whole):
            if payload is not None:
                events += self._payload(payload, is_last=is_last)
                continue
            text = event.strip()
            if text.startswith((b"{", b"[")):  # not a comment, nor a field that is no data
                events += self._decode_all(read_json(text))
        return events

    def _payload(self, payload: bytes, *, is_last: bool) -> list[StreamEvent]:
        delta = self._usual(payload)
        if delta is not None:
            return [delta]
        value = read_json(payload)
        if value is None and not is_last and payload.strip() not in (b"", b"null", b"[DONE]"):
            text = "The provider sent an event that is not JSON"
            return self._fail(Failed("unreadable_event", text))
        return self._decode_all(value)

    def _usual(self, payload: bytes) -> TextDelta | ThinkingDelta | None:
        """The one delta of a chunk that brings more of what is open; None where it brings else."""
        if self._id is None or self._ended or self._by_tool:
            return None
        try:
            chunk = _read_usual(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if len(chunk.candidates) != 1 or len(chunk.candidates[0].content.parts) != 1:
            return None
        (candidate,) = chunk.candidates
        (part,) = candidate.content.parts
        usage, created = bytes(chunk.usage_metadata), chunk.create_time
        state = self._candidates.get(candidate.index)
        if (
            state is None
            or not part.text
            or self._extras.get("createTime") != (created or self._extras.get("createTime"))
        ):
            return None
        if usage and _A_COUNT not in usage:
            return None
        delta = state.more(part.text, thought=part.thought)
        if delta is not None and usage:
            self._unread_usage = usage
        return delta

    def _decode_all(self, value: Any) -> list[StreamEvent]:
        chunks = [value] if isinstance(value, dict) else objects(value)
        return [event for chunk in chunks for event in self.decode(chunk)]

    def _start(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        extras = rest_of(chunk, _HEAD_FIELDS)
        if self._id is not None:
            new = {name: extras[name] for name in extras if self._extras.get(name) != extras[name]}
            self._extras |= new
            return [Unplaced(new)] if new else []
        self._id = text_or_none(chunk.get("responseId")) or ""
        self._extras = dict(extras)
        model = text_or_none(chunk.get("modelVersion")) or ""
        created_s = _seconds(chunk.get("createTime"))
        return [Started(self._id, model, created_s, extras, NAME)]

    def _refuse(self, chunk: Mapping[str, Any], events: list[StreamEvent]) -> None:
        """A prompt that was blocked has no candidates: say why as a refusal."""
        feedback = chunk.get("promptFeedback")
        reason = text_or_none(feedback.get("blockReason")) if isinstance(feedback, dict) else None
        if reason is None or self._candidates or not isinstance(feedback, dict):
            return
        state = self._candidates[0] = Candidate(0, "")
        said = text_or_none(feedback.get("blockReasonMessage"))
        events.append(PartStarted(0, "refusal"))
        events.append(TextDelta(0, said or f"The provider blocked the prompt: {reason}"))
        events.append(PartFinished(0))
        events.append(Finished(FinishReason.CONTENT_FILTER, raw_reason=reason))
        state.finished = True

    def _used(self) -> list[StreamEvent]:
        return [] if self.usage is None else [Used(self.usage)]

    def _fail(self, failure: Failed) -> list[StreamEvent]:
        if self._ended:
            return []
        self._ended = True
        return [*self._used(), failure]


def _events_of(whole: bytes) -> list[tuple[bytes, bytes | None]]:
    """(what is no data, data) of each event."""
    payloads = payloads_of(whole)
    if None not in payloads:
        return [(b"", payload) for payload in payloads]
    return [(event, payload_of(event)) for event in split_events(whole)]


def _seconds(created: Any) -> int:
    try:
        return int(datetime.fromisoformat(created).timestamp())
    except (TypeError, ValueError, OverflowError):
        return 0
