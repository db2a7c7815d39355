"""Whole chat answers in OpenAI's format, decoded and encoded.

An answer is decoded as a stream of one chunk, so that both forms go through the same code.
"""

from collections.abc import Mapping
from typing import Any, Final

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import ChatResponse, Choice, Image, Text
from conduit.gateway.dialects.answer_ids import id_or_new, time_or_now
from conduit.gateway.dialects.answer_tool import collected
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.openai.usage import usage_to_openai
from conduit.gateway.dialects.openai_chat.decode_stream import StreamDecoder
from conduit.gateway.dialects.openai_chat.encode_messages import encode_answer, image_of
from conduit.gateway.dialects.openai_chat.encode_stream import reason_to_openai

_DIALECT: Final = "openai_chat"


def decode_response(body: bytes, *, answer_tool: str | None = None) -> ChatResponse:
    """A provider's whole answer; raises UpstreamFailure where it is none."""
    value = read_json(body)
    if not isinstance(value, dict) or not (
        isinstance(value.get("choices"), list) or "error" in value
    ):
        raise UpstreamFailure("The provider's answer is not a chat completion")
    return collected(StreamDecoder().decode(_as_chunk(value)), answer_tool)


def encode_response(response: ChatResponse) -> bytes:
    """The client's bytes of a whole answer; what another dialect alone understands is left out."""
    is_own = response.dialect == _DIALECT
    fields: dict[str, Any] = {
        "id": id_or_new("chatcmpl-", response.id),
        "object": "chat.completion",
        "created": time_or_now(response.created_s),
        "model": response.model,
        "choices": [_encode_choice(choice, is_own=is_own) for choice in response.choices],
    }
    if response.usage is not None:
        fields["usage"] = usage_to_openai(response.usage)
    return write_json(fields | (dict(response.extras) if is_own else {}))


def _as_chunk(value: Mapping[str, Any]) -> dict[str, Any]:
    choices = []
    for position, choice in enumerate(value.get("choices") or ()):
        if isinstance(choice, dict):
            chunk = {"index": position, **choice, "delta": choice.get("message")}
            choices.append(chunk)
    return {**value, "choices": choices}


def _encode_choice(choice: Choice, *, is_own: bool) -> dict[str, Any]:
    texts = [part.text for part in choice.parts if isinstance(part, Text)]
    images = [image_of(part) for part in choice.parts if isinstance(part, Image)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": None,
        **encode_answer(choice.parts, is_own=is_own),
    }
    if images:
        message["images"] = [{**image, "index": at} for at, image in enumerate(images)]
    if is_own:
        message |= choice.extras
    logprobs = message.pop("logprobs", None) if choice.logprobs is None else choice.logprobs
    reason = choice.finish_reason
    raw = choice.raw_reason if is_own else None
    return {
        "index": choice.index,
        "message": message,
        "logprobs": logprobs if isinstance(logprobs, dict) else None,
        "finish_reason": None if reason is None else reason_to_openai(reason, raw),
    }
