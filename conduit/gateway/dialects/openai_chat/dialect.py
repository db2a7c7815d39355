"""OpenAI's chat completions as a dialect: a decoder and an encoder for the internal form."""

from collections.abc import Mapping
from typing import Final

from conduit.gateway.dialects.openai.errors import decode_error, encode_error
from conduit.gateway.dialects.openai_chat.decode_request import decode_request
from conduit.gateway.dialects.openai_chat.decode_stream import StreamDecoder, decode_stream
from conduit.gateway.dialects.openai_chat.encode_request import encode_request
from conduit.gateway.dialects.openai_chat.encode_stream import StreamEncoder, encode_stream
from conduit.gateway.dialects.openai_chat.entries import TURNS
from conduit.gateway.dialects.openai_chat.response import decode_response, encode_response

__all__ = [
    "FIELD_NAMES",
    "NAME",
    "TURNS",
    "StreamDecoder",
    "StreamEncoder",
    "decode_error",
    "decode_request",
    "decode_response",
    "decode_stream",
    "encode_error",
    "encode_request",
    "encode_response",
    "encode_stream",
]

NAME: Final = "openai_chat"

FIELD_NAMES: Final[Mapping[str, str]] = {
    "answer_format": "response_format",
    "arguments": "messages[].tool_calls[].function.arguments",
    "audio": "messages[].content[].input_audio",
    "budget_tokens": "reasoning.max_tokens",
    "cache_mark": "messages[].content[].cache_control",
    "choices": "n",
    "citations": "messages[].annotations",
    "content": "messages[].content",
    "detail": "messages[].content[].image_url.detail",
    "effort": "reasoning_effort",
    "file": "messages[].content[].file",
    "filename": "messages[].content[].file.filename",
    "image": "messages[].content[].image_url",
    "max_output_tokens": "max_completion_tokens",
    "name": "messages[].name",
    "reasoning": "reasoning_effort",
    "refusal": "messages[].refusal",
    "shown": "reasoning.exclude",
    "signature": "messages[].reasoning_signature",
    "strict": "tools[].function.strict",
    "thinking": "messages[].reasoning_content",
    "tool_call": "messages[].tool_calls",
    "tool_calls": "messages[].tool_calls",
    "tool_result": "messages[].content",
}
"""Our names of features, where a client of this format has other words for them."""
