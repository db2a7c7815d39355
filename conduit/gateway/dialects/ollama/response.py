"""Whole answers of Ollama's own chat API, which are streams of one line."""

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import ChatResponse
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.dialects.ollama.stream import StreamDecoder


def decode_response(body: bytes, *, answer_tool: str | None = None) -> ChatResponse:
    """A provider's whole answer; raises UpstreamFailure where it is none."""
    value = read_json(body)
    if not isinstance(value, dict) or not (
        isinstance(value.get("message"), dict) or value.get("error") is not None
    ):
        raise UpstreamFailure("The provider's answer is not a chat message")
    return collect(StreamDecoder(answer_tool=answer_tool).decode({**value, "done": True}))
