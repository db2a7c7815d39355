"""Whole answers of Cohere's chat API, version 2, decoded as the stream they could have been."""

from collections.abc import Iterator, Mapping
from typing import Any

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import ChatResponse
from conduit.gateway.dialects.answer_fields import object_or_empty
from conduit.gateway.dialects.answer_tool import collected
from conduit.gateway.dialects.cohere.stream import StreamDecoder
from conduit.gateway.dialects.fields import rest_of
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.dialects.openai.errors import reported_error

_FIELDS = frozenset({"id", "finish_reason", "message", "usage", "logprobs"})

_Event = dict[str, Any]


def decode_response(body: bytes, *, answer_tool: str | None = None) -> ChatResponse:
    """A provider's whole answer; raises UpstreamFailure where it is none."""
    value = read_json(body)
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        raise reported_error(value)
    if not isinstance(value, dict) or not isinstance(value.get("message"), dict):
        raise UpstreamFailure("The provider's answer is not a chat message")
    decoder = StreamDecoder()
    events = (event for part in _as_stream(value) for event in decoder.decode(part))
    return collected(events, answer_tool)


def _as_stream(value: Mapping[str, Any]) -> Iterator[_Event]:
    message = value["message"]
    blocks = _blocks(message.get("content"))
    citations = _objects(message.get("citations"))
    yield {
        **rest_of(value, _FIELDS),
        "type": "message-start",
        "id": value.get("id"),
        "delta": {"message": message},
    }
    logprobs = value.get("logprobs")
    for index, block in enumerate(blocks):
        if block.get("type") != "text":
            yield _event("content-start", index, content=block)
            continue
        yield _event("content-start", index, content=block) | {"logprobs": logprobs}
        logprobs = None
        of_block = [item for item in citations if item.get("content_index") in (None, index)]
        citations = [item for item in citations if item not in of_block]
        for citation in of_block:
            yield _event("citation-start", index, citations=citation)
    yield _event("tool-plan-delta", 0, tool_plan=message.get("tool_plan"))
    for index, call in enumerate(_objects(message.get("tool_calls"))):
        yield _event("tool-call-start", index, tool_calls=call)
        yield _event("tool-call-end", index)
    for citation in citations:
        yield _event("citation-start", 0, citations=citation)
    yield {"type": "message-end", "delta": value}


def _event(kind: str, index: int, **message: Any) -> _Event:
    return {"type": kind, "index": index, "delta": {"message": message}}


def _blocks(content: Any) -> list[Mapping[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return _objects(content)


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [object_or_empty(item) for item in value] if isinstance(value, list) else []
