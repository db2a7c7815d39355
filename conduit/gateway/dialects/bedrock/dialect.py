"""Amazon Bedrock's Converse as a dialect of providers: an encoder and a decoder."""

from conduit.gateway.dialects.bedrock.errors import decode_error
from conduit.gateway.dialects.bedrock.parts import NAME
from conduit.gateway.dialects.bedrock.request import encode_request
from conduit.gateway.dialects.bedrock.response import decode_response
from conduit.gateway.dialects.bedrock.stream import StreamDecoder

__all__ = ["NAME", "StreamDecoder", "decode_error", "decode_response", "encode_request"]
