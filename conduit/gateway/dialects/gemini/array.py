"""Gemini as a client reads it that asked for a stream without `alt=sse`: one array of answers."""

from functools import partial
from typing import Final

from conduit.gateway.dialects.gemini import dialect as gemini
from conduit.gateway.dialects.gemini.dialect import (
    FIELD_NAMES,
    TURNS,
    decode_response,
    encode_error,
    encode_request,
    encode_response,
)

__all__ = [
    "FIELD_NAMES",
    "NAME",
    "TURNS",
    "StreamDecoder",
    "StreamEncoder",
    "decode_response",
    "encode_error",
    "encode_request",
    "encode_response",
]

NAME: Final = "gemini_array"

StreamDecoder = gemini.StreamDecoder
StreamEncoder = partial(gemini.StreamEncoder, array=True)
