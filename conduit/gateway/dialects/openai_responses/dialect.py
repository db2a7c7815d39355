"""OpenAI's responses as a dialect: a decoder and an encoder for the internal form."""

from collections.abc import Mapping
from typing import Final

from conduit.gateway.dialects.openai.errors import decode_error, encode_error
from conduit.gateway.dialects.openai_responses.decode_request import decode_request
from conduit.gateway.dialects.openai_responses.decode_stream import StreamDecoder
from conduit.gateway.dialects.openai_responses.encode_request import encode_request
from conduit.gateway.dialects.openai_responses.encode_stream import StreamEncoder
from conduit.gateway.dialects.openai_responses.entries import TURNS
from conduit.gateway.dialects.openai_responses.response import decode_response, encode_response

__all__ = [
    "FIELD_NAMES",
    "NAME",
    "TURNS",
    "StreamDecoder",
    "StreamEncoder",
    "decode_error",
    "decode_request",
    "decode_response",
    "encode_error",
    "encode_request",
    "encode_response",
]

NAME: Final = "openai_responses"

FIELD_NAMES: Final[Mapping[str, str]] = {
    "answer_format": "text.format",
    "arguments": "input[].arguments",
    "audio": "input[].content[].input_audio",
    "cache_mark": "input[].content[].prompt_cache_breakpoint",
    "citations": "input[].content[].annotations",
    "content": "input[].content",
    "detail": "input[].content[].detail",
    "effort": "reasoning.effort",
    "file": "input[].content[].input_file",
    "filename": "input[].content[].filename",
    "image": "input[].content[].input_image",
    "logprobs": "include",
    "max_output_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning": "reasoning.effort",
    "refusal": "input[].content[].refusal",
    "shown": "reasoning.summary",
    "signature": "input[].encrypted_content",
    "strict": "tools[].strict",
    "thinking": "input[].summary",
    "tool_call": "input[].arguments",
    "tool_result": "input[].output",
}
"""Our names of features, where a client of this format has other words for them."""
