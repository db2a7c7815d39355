"""Whole answers of OpenAI's responses, decoded and encoded.

An answer is the last event of a stream without those before it, so both forms go through the same
code, in both directions.
"""

from collections.abc import Iterator
from typing import Any

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import (
    ArgumentsDelta,
    ChatResponse,
    Choice,
    CitationDelta,
    Finished,
    Part,
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
    Used,
    WholePart,
)
from conduit.gateway.dialects.answer_tool import collected
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.openai_responses.decode_items import MESSAGES
from conduit.gateway.dialects.openai_responses.decode_stream import StreamDecoder
from conduit.gateway.dialects.openai_responses.encode_stream import StreamEncoder


def decode_response(body: bytes, *, answer_tool: str | None = None) -> ChatResponse:
    """A provider's whole answer; raises UpstreamFailure where it is none."""
    value = read_json(body)
    if not isinstance(value, dict) or not (
        isinstance(value.get("output"), list) or value.get("error") is not None
    ):
        raise UpstreamFailure("The provider's answer is not a response")
    if not isinstance(value.get("output"), list):
        return collect(StreamDecoder().decode({"error": value["error"]}))
    events = StreamDecoder().decode({"type": "response.completed", "response": value})
    return collected(events, answer_tool)


def encode_response(response: ChatResponse) -> bytes:
    """The client's bytes of a whole answer; what another dialect alone understands is left out."""
    encoder = StreamEncoder()
    for event in _events_of(response):
        encoder.encode(event)
    return write_json(encoder.response())


def _events_of(response: ChatResponse) -> Iterator[StreamEvent]:
    """The events that `collect` would make this answer of, of its first choice."""
    yield Started(response.id, response.model, response.created_s, dialect=response.dialect)
    for choice in response.choices[:1]:
        yield from _choice_events(choice)
    yield Unplaced(response.extras)
    if response.usage is not None:
        yield Used(response.usage)


def _choice_events(choice: Choice) -> Iterator[StreamEvent]:
    messages = choice.extras.get(MESSAGES)
    logprobs = choice.logprobs
    for index, part in enumerate(choice.parts):
        message = messages.get(str(index)) if isinstance(messages, dict) else None
        yield from _part_events(index, part, message or {}, logprobs)
        if isinstance(part, Text):
            logprobs = None  # they are of all texts together, and stand at the first
        yield PartFinished(index)
    if choice.finish_reason is not None:
        yield Finished(choice.finish_reason)


def _part_events(
    index: int, part: Part, message: dict[str, Any], logprobs: Any
) -> Iterator[StreamEvent]:
    match part:
        case Text():
            yield PartStarted(index, "text", extras=message)
            yield TextDelta(index, part.text, logprobs=logprobs)
            for citation in part.citations:
                yield CitationDelta(index, citation)
        case Refusal():
            yield PartStarted(index, "refusal", extras=message)
            yield TextDelta(index, part.text)
        case Thinking():
            yield PartStarted(
                index,
                "thinking",
                redacted=part.redacted,
                signed_by=part.signed_by,
                extras=part.extras,
            )
            if part.text:
                yield ThinkingDelta(index, part.text)
            if part.signature is not None:
                yield SignatureDelta(index, part.signature, signed_by=part.signed_by)
        case ToolCall():
            yield PartStarted(
                index,
                "tool_call",
                tool_call_id=part.id,
                tool_name=part.name,
                signature=part.signature,
                signed_by=part.signed_by,
                extras=part.extras,
            )
            yield ArgumentsDelta(index, part.arguments)
        case _:
            yield WholePart(index, part)  # type: ignore[arg-type]  # an answer holds no results
