"""Amazon Bedrock's Converse as a dialect of providers: an encoder and a decoder."""

from conduit.gateway.dialects.bedrock_converse_errors import decode_error
from conduit.gateway.dialects.bedrock_converse_parts import NAME
from conduit.gateway.dialects.bedrock_converse_request import encode_request
from conduit.gateway.dialects.bedrock_converse_response import decode_response
from conduit.gateway.dialects.bedrock_converse_stream import StreamDecoder

__all__ = ["NAME", "StreamDecoder", "decode_error", "decode_response", "encode_request"]
