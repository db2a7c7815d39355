"""Ollama's own chat API as a dialect of providers: requests out, answers in.

Its errors, `{"error": "…"}`, are among those that the reader of OpenAI's knows.
"""

from conduit.gateway.dialects.ollama.request import NAME, encode_request
from conduit.gateway.dialects.ollama.response import decode_response
from conduit.gateway.dialects.ollama.stream import StreamDecoder
from conduit.gateway.dialects.ollama.usage import usage_from_ollama, usage_to_ollama
from conduit.gateway.dialects.openai.errors import decode_error

__all__ = [
    "NAME",
    "StreamDecoder",
    "decode_error",
    "decode_response",
    "encode_request",
    "usage_from_ollama",
    "usage_to_ollama",
]
