"""Looking into an OpenAI stream while it is relayed byte for byte."""

from typing import Any, Final, NamedTuple

import msgspec

from conduit.core.errors import ConduitError, UpstreamFailure
from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.answer_fields import text_or_none
from conduit.gateway.dialects.frames.sse import EventSplitter, payload_of, payloads_of, split_events
from conduit.gateway.dialects.frames.usual_chunk import UsualChunk, usual_chunk
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.dialects.openai.errors import Scrub, error_frame, reported_error, scrub
from conduit.gateway.dialects.openai.relayed_answer import Output, add_message
from conduit.gateway.dialects.openai.usage import is_usage, usage_of_writing

DONE: Final = b"data: [DONE]\n\n"
_DONE_PAYLOAD = b"[DONE]"


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None


class _Chunk(msgspec.Struct):
    """What is looked at in a chunk; everything else is skipped unread."""

    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    x_groq: dict[str, Any] | None = None
    service_tier: Any = None
    error: Any = None
    object: str | None = None


_decode = msgspec.json.Decoder(_Chunk).decode


class Relayed(NamedTuple):
    """What one read of the provider gives the client, and how it ended, if it did.

    After `failure` nothing more may be relayed: the caller writes an error frame and no [DONE].
    """

    data: bytes
    failure: ConduitError | None = None


EVENT_STREAM: Final = "text/event-stream; charset=utf-8"

_NOTHING = Relayed(b"")
_NONE: Final = frozenset[int]()
_MOST_FORMS: Final = 4
"""The first text may come with more beside it than the others; if all differ, each is decoded."""


class StreamReader:
    """Relays one stream of the same dialect and counts what passes.

    `output` counts the text of all choices, `usage` is what the provider reported last.
    `strip_usage` takes out the chunk that carries usage alone, for a client that did not ask.
    """

    __slots__ = (
        "_forms",
        "_scrub",
        "_splitter",
        "_strip_usage",
        "_usual",
        "done",
        "failure",
        "finish_reasons",
        "id",
        "model",
        "output",
        "unreadable_events",
        "usage",
    )

    def __init__(self, *, strip_usage: bool, secrets_scrub: Scrub = scrub) -> None:
        self._splitter = EventSplitter()
        self._strip_usage = strip_usage
        self._scrub = secrets_scrub
        self._usual: UsualChunk | None = None
        self._forms = 0
        self.output = Output()
        self.usage: Usage | None = None
        self.model: str | None = None
        self.id: str | None = None
        self.finish_reasons: dict[int, str] = {}
        self.done = False
        self.failure: ConduitError | None = None
        self.unreadable_events = 0

    @property
    def complete(self) -> bool:
        """Whether the answer is whole: [DONE] came, or every choice seen has finished.

        Some servers never send [DONE]; for them the caller adds `DONE`.
        """
        return self.failure is None and (
            self.done or (bool(self.finish_reasons) and self.finish_reasons.keys() >= self._choices)
        )

    @property
    def end_mark(self) -> bytes:
        return DONE

    @property
    def content_type(self) -> str:
        return EVENT_STREAM

    def error_frame(self, error: ConduitError) -> bytes:
        """How a client of this format is told in the middle of its stream."""
        return error_frame(error)

    @property
    def started(self) -> bool:
        """Whether an event has been understood; comments and broken events are none."""
        return bool(self.id or self.model or self.output.choices or self.usage is not None)

    @property
    def _choices(self) -> set[int]:
        return self.output.choices

    def feed(self, chunk: bytes) -> Relayed:
        """The whole events that are here now; the very same bytes where nothing is held back."""
        if self.failure is not None:
            return _NOTHING
        if self._is_one_event(chunk):
            return self._relay_one(chunk)
        try:
            whole = self._splitter.feed(chunk)
        except UpstreamFailure as error:
            self.failure = error
            return Relayed(b"", error)
        return self._relay(whole) if whole else _NOTHING

    def _is_one_event(self, chunk: bytes) -> bool:
        """Whether a read is just one event of one line, as most are."""
        return (
            chunk.startswith(b"data: {")
            and chunk.endswith(b"}\n\n")
            and chunk.find(b"\n") == len(chunk) - 2
            and b"\r" not in chunk
            and not self._splitter.is_holding
        )

    def _relay_one(self, event: bytes) -> Relayed:
        usage_only = self._look(event[6:-2])
        if self.failure is not None:
            return Relayed(b"", self.failure)
        return _NOTHING if usage_only and self._strip_usage else Relayed(event)

    def finish(self) -> Relayed:
        """Call at the end of the body: a last event that only lacks its empty line is relayed."""
        rest = self._splitter.finish()
        if self.failure is not None or not rest.strip():
            return _NOTHING
        event = rest.rstrip(b"\r\n") + b"\n\n"
        payload = payload_of(event)
        if payload is None or (payload != _DONE_PAYLOAD and read_json(payload) is None):
            return _NOTHING  # half an event: the caller is told by `complete`
        return self._relay(event)

    def _relay(self, whole: bytes) -> Relayed:
        stripped: frozenset[int] = _NONE
        for at, payload in enumerate(payloads_of(whole)):
            if payload is None:
                continue
            if payload == _DONE_PAYLOAD:
                self.done = True
                continue
            usage_only = self._look(payload)
            if self.failure is not None:
                return Relayed(_without(split_events(whole)[:at], stripped), self.failure)
            if usage_only and self._strip_usage:
                stripped = stripped | {at}
        return Relayed(_without(split_events(whole), stripped) if stripped else whole)

    def _look(self, payload: bytes) -> bool:
        """Take note of one chunk; True where it carries nothing but usage."""
        if self._usual is not None:
            text = self._usual.text_of(payload)
            if text is not None:
                self.output.add(text)
                return False
        try:
            chunk = _decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._look_slowly(payload)
        if chunk.error is not None or chunk.object == "error":
            return self._fail(payload)
        if not self.model or not self.id:  # empty in Azure's chunk about the prompt
            self.model = self.model or chunk.model
            self.id = self.id or chunk.id
        if chunk.choices:
            for choice in chunk.choices:
                self._count(choice)
        if chunk.usage is None and chunk.x_groq is None:
            if self._forms < _MOST_FORMS and (form := _form_of(payload, chunk)) is not None:
                self._usual = form
                self._forms += 1
            return False
        usage = _first_usage(chunk.usage, chunk.x_groq)
        return self._note_usage(usage, chunk.service_tier) and not chunk.choices

    def _count(self, choice: _Choice) -> None:
        output = self.output
        output.choices.add(choice.index)
        delta = choice.delta
        if choice.text:
            output.add(choice.text)
        if delta is not None:
            if delta.content:
                output.add(delta.content)
            if delta.tool_calls:
                for call in delta.tool_calls:
                    _count_function(output, call.function)
            # A vendor that renames a field sends the same text under both names: count one.
            thought = delta.reasoning_content or delta.reasoning
            if thought:
                output.add(thought)
            if delta.refusal:
                output.add(delta.refusal)
            if delta.function_call is not None:
                _count_function(output, delta.function_call)
        if choice.finish_reason is not None:
            self.finish_reasons[choice.index] = choice.finish_reason
        if choice.usage is not None:  # where Moonshot puts it
            self._note_usage(choice.usage)

    def _look_slowly(self, payload: bytes) -> bool:
        """A chunk of a form that the fast view does not know, such as content in parts."""
        chunk = read_json(payload)
        if not isinstance(chunk, dict):
            self.unreadable_events += 1
            return False
        if chunk.get("error") is not None or chunk.get("object") == "error":
            return self._fail(payload)
        self.model = self.model or text_or_none(chunk.get("model"))
        self.id = self.id or text_or_none(chunk.get("id"))
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._count_slowly(choice)
        usage = _first_usage(chunk.get("usage"), chunk.get("x_groq"))
        return self._note_usage(usage, chunk.get("service_tier")) and not choices

    def _count_slowly(self, choice: dict[str, Any]) -> None:
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        self.output.choices.add(index)
        add_message(self.output, choice.get("delta"))
        self.output.add(text_or_none(choice.get("text")) or "")
        reason = text_or_none(choice.get("finish_reason"))
        if reason is not None:
            self.finish_reasons[index] = reason
        self._note_usage(choice.get("usage"))

    def _note_usage(self, usage: Any, service_tier: Any = None) -> bool:
        if not is_usage(usage):
            return False
        self.usage = usage_of_writing(usage, service_tier)
        return True

    def _fail(self, payload: bytes) -> bool:
        self.failure = reported_error(read_json(payload), secrets_scrub=self._scrub)
        return False


def _form_of(payload: bytes, chunk: _Chunk) -> UsualChunk | None:
    """The form of a chunk of one choice that brings a piece of its text and nothing else."""
    if chunk.choices is None or len(chunk.choices) != 1:
        return None
    (choice,) = chunk.choices
    delta = choice.delta
    if delta is None or not delta.content or delta != _Delta(content=delta.content):
        return None
    if choice.text or choice.finish_reason is not None or choice.usage is not None:
        return None
    return usual_chunk(payload, delta.content)


def _without(events: list[bytes], stripped: frozenset[int]) -> bytes:
    return b"".join(event for at, event in enumerate(events) if at not in stripped)


def _count_function(output: Output, function: _Function | None) -> None:
    if function is not None:
        output.add(function.name or "")
        output.add(function.arguments or "")


def _first_usage(usage: Any, x_groq: Any) -> Any:
    # Groq puts usage under x_groq, on a chunk that has a choice.
    return x_groq.get("usage") if usage is None and isinstance(x_groq, dict) else usage
