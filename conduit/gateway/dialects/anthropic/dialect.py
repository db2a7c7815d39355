"""Anthropic's messages as a dialect: a decoder and an encoder for the internal form."""

from collections.abc import Mapping
from typing import Final

from conduit.gateway.dialects.anthropic.count import decode_count, encode_count
from conduit.gateway.dialects.anthropic.decode_answer import StreamDecoder, decode_response
from conduit.gateway.dialects.anthropic.encode_stream import PING, StreamEncoder, encode_stream
from conduit.gateway.dialects.anthropic.entries import TURNS
from conduit.gateway.dialects.anthropic.errors import decode_error, encode_error
from conduit.gateway.dialects.anthropic.native import refuse_native
from conduit.gateway.dialects.anthropic.read_request import (
    decode_count_request,
    decode_request,
    request_from,
)
from conduit.gateway.dialects.anthropic.words import NAME
from conduit.gateway.dialects.anthropic.write_answer import encode_response
from conduit.gateway.dialects.anthropic.write_request import encode_count_request, encode_request

__all__ = [
    "FIELD_NAMES",
    "NAME",
    "PING",
    "TURNS",
    "StreamDecoder",
    "StreamEncoder",
    "decode_count",
    "decode_count_request",
    "decode_error",
    "decode_request",
    "decode_response",
    "encode_count",
    "encode_count_request",
    "encode_error",
    "encode_request",
    "encode_response",
    "encode_stream",
    "refuse_native",
    "request_from",
]

FIELD_NAMES: Final[Mapping[str, str]] = {
    "answer_format": "output_config.format",
    "budget_tokens": "thinking.budget_tokens",
    "cache_mark": "cache_control",
    "citations": "messages[].content[].citations",
    "content": "messages[].content",
    "effort": "output_config.effort",
    "file": "messages[].content[].source",
    "image": "messages[].content[].source",
    "is_error": "messages[].content[].is_error",
    "max_output_tokens": "max_tokens",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "reasoning": "thinking",
    "shown": "thinking.display",
    "stop": "stop_sequences",
    "strict": "tools[].strict",
    "thinking": "messages[].content[].thinking",
    "tool_result": "messages[].content[].content",
    "user": "metadata.user_id",
}
