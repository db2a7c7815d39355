"""Whole answers in the format of Bedrock's Converse, decoded.

An answer is taken apart into the events of a stream, so that both forms go through the same code.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import ChatResponse, StreamEvent
from conduit.gateway.dialects.answer_fields import object_or_empty
from conduit.gateway.dialects.answer_tool import collected
from conduit.gateway.dialects.bedrock.answer import is_client_call, list_of
from conduit.gateway.dialects.bedrock.stream import StreamDecoder
from conduit.gateway.dialects.fields import rest_of
from conduit.gateway.dialects.lenient_json import read_json, write_json

_Event = tuple[str, dict[str, Any]]
_STOP = ("stopReason", "additionalModelResponseFields")
_OWN_FIELDS = frozenset({"output", *_STOP})


def decode_response(body: bytes, *, answer_tool: str | None = None) -> ChatResponse:
    """A provider's whole answer; raises UpstreamFailure where it is none."""
    value = object_or_empty(read_json(body))
    message = object_or_empty(value.get("output")).get("message")
    if not isinstance(message, dict):
        raise UpstreamFailure("The provider's answer is not one of Bedrock's Converse")
    decoder = StreamDecoder()
    events: list[StreamEvent] = []
    for kind, fields in _taken_apart(value, message):
        events += decoder.decode(kind, fields)
    return collected(events, answer_tool)


def _taken_apart(value: Mapping[str, Any], message: Mapping[str, Any]) -> Iterator[_Event]:
    yield "messageStart", {}
    for index, block in enumerate(list_of(message.get("content"))):
        if isinstance(block, dict) and block:
            yield from _block(index, block)
    yield "messageStop", {name: value[name] for name in _STOP if name in value}
    yield "metadata", rest_of(value, _OWN_FIELDS)


def _block(index: int, block: dict[str, Any]) -> Iterator[_Event]:
    at = {"contentBlockIndex": index}
    match block:
        case {"text": str(text)}:
            deltas: list[dict[str, Any]] = [{"text": text}]
        case {"toolUse": dict() as use} if is_client_call(use):
            yield "contentBlockStart", {**at, "start": {"toolUse": use}}
            deltas = [{"toolUse": {"input": write_json(use.get("input", {})).decode()}}]
        case {"reasoningContent": {"reasoningText": dict() as thought}}:
            deltas = [{"reasoningContent": thought}]
        case {"reasoningContent": {"redactedContent": str(redacted)}}:
            deltas = [{"reasoningContent": {"redactedContent": redacted}}]
        case {"citationsContent": {"content": list(content)} as cited}:
            deltas = [{"text": object_or_empty(item).get("text")} for item in content]
            deltas += [{"citation": item} for item in list_of(cited.get("citations"))]
        case _:
            yield "contentBlock", block
            return
    for delta in deltas:
        yield "contentBlockDelta", {**at, "delta": delta}
    yield "contentBlockStop", at
