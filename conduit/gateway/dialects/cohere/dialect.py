"""Cohere's chat API, version 2, as a dialect of providers: requests out, answers in."""

from conduit.gateway.dialects.cohere.errors import decode_error
from conduit.gateway.dialects.cohere.request import NAME, encode_request
from conduit.gateway.dialects.cohere.response import decode_response
from conduit.gateway.dialects.cohere.stream import StreamDecoder
from conduit.gateway.dialects.cohere.usage import usage_from_cohere, usage_to_cohere

__all__ = [
    "NAME",
    "StreamDecoder",
    "decode_error",
    "decode_response",
    "encode_request",
    "usage_from_cohere",
    "usage_to_cohere",
]
