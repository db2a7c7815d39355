"""The internal form of a conversation: requests, message parts, stream events, usage.

Every dialect decodes into these values and encodes from them. They are frozen and know no wire
format. What a dialect cannot place in a named field travels in `extras` with its JSON value, so
that nothing is lost in silence.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

import msgspec

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Citation(msgspec.Struct, frozen=True):
    """Where a text comes from; `raw` is the provider's own object, in its dialect.

    `start` and `end` are offsets, in characters, into the text that is cited for.
    """

    dialect: str
    raw: Mapping[str, Any]
    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    start: int | None = None
    end: int | None = None


class Text(msgspec.Struct, frozen=True):
    text: str
    cache_mark: Mapping[str, Any] | None = None
    citations: tuple[Citation, ...] = ()


class Image(msgspec.Struct, frozen=True):
    """An image by URL (data URLs included); `detail` as the client wrote it."""

    url: str
    detail: str | None = None
    cache_mark: Mapping[str, Any] | None = None


class Audio(msgspec.Struct, frozen=True):
    """Base64 audio and its container format, such as "wav" or "mp3"."""

    data: str
    format: str


class File(msgspec.Struct, frozen=True):
    """A file by the provider's id, by base64 data URL (`data`) or by address (`url`)."""

    file_id: str | None = None
    data: str | None = None
    url: str | None = None
    filename: str | None = None
    cache_mark: Mapping[str, Any] | None = None


class Thinking(msgspec.Struct, frozen=True):
    """Reasoning text with the provider's opaque signature, or redacted data alone.

    `signed_by` is the dialect whose provider made the signature or the redacted data: no other can
    read them (see `dialects/signatures.py`). `extras` are of the same dialect.
    """

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    signed_by: str = ""
    extras: Mapping[str, Any] = msgspec.field(default_factory=dict)


class ToolCall(msgspec.Struct, frozen=True):
    """A call of a tool; `arguments` is the exact text the model wrote, valid JSON or not.

    `signature` is of the thinking that led to it, where a provider signs the call itself.
    """

    id: str
    name: str
    arguments: str
    cache_mark: Mapping[str, Any] | None = None
    signature: str | None = None
    signed_by: str = ""
    extras: Mapping[str, Any] = msgspec.field(default_factory=dict)


class ToolResult(msgspec.Struct, frozen=True):
    call_id: str
    parts: tuple["Part", ...]
    is_error: bool = False
    cache_mark: Mapping[str, Any] | None = None


class Refusal(msgspec.Struct, frozen=True):
    text: str


class Opaque(msgspec.Struct, frozen=True):
    """A part that only its own dialect understands, whole; `place` is the field it stood in."""

    dialect: str
    place: str
    value: Mapping[str, Any]


Part = Text | Image | Audio | File | Thinking | ToolCall | ToolResult | Refusal | Opaque


class Message(msgspec.Struct, frozen=True):
    """One turn of a role; `form` is how its own dialect wrote it, where that says nothing.

    Ids and states of items, say: of no use to another dialect, which does not report them either.
    """

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    extras: Mapping[str, Any] = msgspec.field(default_factory=dict)
    form: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Tool(msgspec.Struct, frozen=True):
    """A function the model may call; `parameters` is its JSON schema."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool | None = None
    cache_mark: Mapping[str, Any] | None = None
    extras: Mapping[str, Any] = msgspec.field(default_factory=dict)


class ToolChoice(msgspec.Struct, frozen=True):
    """How the model may choose tools: `name` only where `mode` is "named"."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None


class AnswerFormat(msgspec.Struct, frozen=True):
    """Free text, any JSON object, or JSON by a schema."""

    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: Mapping[str, Any] | None = None
    strict: bool | None = None


class Sampling(msgspec.Struct, frozen=True):
    """How the answer is drawn; None means the provider's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    max_output_tokens: int | None = None
    choices: int = 1
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool = False
    top_logprobs: int | None = None


class Reasoning(msgspec.Struct, frozen=True):
    """How the model is to think before it answers; None is the provider's default.

    `effort` is a word such as "low", "budget_tokens" a cap of the thinking, `enabled` False where
    the client asks for none. `shown` is whether thoughts are to come back in the answer.
    """

    enabled: bool | None = None
    effort: str | None = None
    budget_tokens: int | None = None
    shown: bool | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """One chat call, whatever dialect it came in.

    Everything called `extras`, here and in the parts, is in the words of `dialect`: an encoder of
    another dialect reports each name of it as dropped, or refuses it. `form` is as in a message.
    """

    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    wants_stream_usage: bool = False
    sampling: Sampling = Sampling()
    reasoning: Reasoning = Reasoning()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    answer_format: AnswerFormat = AnswerFormat("text")
    user: str | None = None
    extras: Mapping[str, Any] = msgspec.field(default_factory=dict)
    dialect: str = ""
    form: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Usage(msgspec.Struct, frozen=True):
    """Disjoint token buckets that add up to what the provider reported.

    `input_tokens` are those neither read from nor written to a cache; `output_tokens` are those
    that are neither reasoning nor audio. `units` are what was used beside tokens, by the names of
    `core/units.py` and as counted there. `service_tier` is the grade of service that the provider
    says it gave, None for its ordinary one. `raw` is the provider's own object, kept beside them.
    `units_assumed` says that nobody told the number of `requests`, which is an upper estimate then.
    `output_untold` says that nobody told how much was written, which zero would have done: where
    something was, it is not known what was used.
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    output_audio_tokens: int = 0
    requests: int = 1
    units: tuple[tuple[str, int], ...] = ()
    service_tier: str | None = None
    raw: Mapping[str, Any] | None = None
    units_assumed: bool = False
    output_untold: bool = False

    @property
    def total_input_tokens(self) -> int:
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
            + self.input_audio_tokens
        )

    @property
    def total_output_tokens(self) -> int:
        return self.output_tokens + self.reasoning_tokens + self.output_audio_tokens


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"


class Started(msgspec.Struct, frozen=True):
    """The answer begins; `model` is what the provider says it runs.

    The extras of all events are in the words of `dialect`, and of no use to another.
    """

    id: str
    model: str
    created_s: int
    extras: Mapping[str, Any] = msgspec.field(default_factory=dict)
    dialect: str = ""


class PartStarted(msgspec.Struct, frozen=True):
    """A part opens at `index` of `choice`; a tool call brings its id and name.

    Thinking that may not be read brings its `redacted` data. `signature` is that of a tool call.
    """

    index: int
    kind: Literal["text", "thinking", "tool_call", "refusal", "audio"]
    choice: int = 0
    tool_call_id: str | None = None
    tool_name: str | None = None
    redacted: str | None = None
    signature: str | None = None
    signed_by: str = ""
    extras: Mapping[str, Any] = msgspec.field(default_factory=dict)


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of text. Streams are made of the three deltas, so these are structs: far cheaper."""

    index: int
    text: str
    choice: int = 0
    logprobs: Any = None


class ThinkingDelta(msgspec.Struct, frozen=True):
    index: int
    text: str
    choice: int = 0


class SignatureDelta(msgspec.Struct, frozen=True):
    index: int
    signature: str
    choice: int = 0
    signed_by: str = ""


class ArgumentsDelta(msgspec.Struct, frozen=True):
    """A piece of the exact text of a tool call's arguments."""

    index: int
    text: str
    choice: int = 0


class CitationDelta(msgspec.Struct, frozen=True):
    """A source of the text at `index`."""

    index: int
    citation: Citation
    choice: int = 0


class WholePart(msgspec.Struct, frozen=True):
    """A part that comes at once: a picture, or what only its own dialect understands."""

    index: int
    part: Image | Audio | File | Opaque
    choice: int = 0


class PartFinished(msgspec.Struct, frozen=True):
    index: int
    choice: int = 0


class Finished(msgspec.Struct, frozen=True):
    """`raw_reason` is the provider's word, `stop_sequence` the one that was met, where told."""

    reason: FinishReason
    choice: int = 0
    raw_reason: str | None = None
    stop_sequence: str | None = None


class Used(msgspec.Struct, frozen=True):
    usage: Usage


class Failed(msgspec.Struct, frozen=True):
    """The provider reported an error inside the stream."""

    code: str
    message: str


class Unplaced(msgspec.Struct, frozen=True):
    """Fields that the internal form has no place for; of one choice, or of the whole answer."""

    fields: Mapping[str, Any]
    choice: int | None = None


PartEvent = (
    PartStarted
    | TextDelta
    | ThinkingDelta
    | SignatureDelta
    | ArgumentsDelta
    | CitationDelta
    | WholePart
    | PartFinished
)
StreamEvent = Started | PartEvent | Finished | Used | Failed | Unplaced


class Choice(msgspec.Struct, frozen=True):
    index: int
    parts: tuple[Part, ...]
    finish_reason: FinishReason | None
    logprobs: Any = None
    raw_reason: str | None = None
    stop_sequence: str | None = None
    extras: Mapping[str, Any] = msgspec.field(default_factory=dict)


class ChatResponse(msgspec.Struct, frozen=True):
    """A whole answer, collected from stream events or decoded at once."""

    id: str
    model: str
    created_s: int
    choices: tuple[Choice, ...]
    usage: Usage | None
    extras: Mapping[str, Any] = msgspec.field(default_factory=dict)
    dialect: str = ""
