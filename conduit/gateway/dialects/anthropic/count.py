"""Answers to the counting of tokens.

Source: platform.claude.com/docs "Token counting".
"""

from conduit.core.errors import UpstreamFailure
from conduit.gateway.dialects.anthropic.errors import failure_in
from conduit.gateway.dialects.lenient_json import read_json, write_json


def encode_count(tokens: int) -> bytes:
    """The client's bytes of a count."""
    return write_json({"input_tokens": tokens})


def decode_count(body: bytes) -> int:
    """The count in a provider's answer; raises UpstreamFailure where it is none."""
    value = read_json(body)
    if isinstance(value, dict):
        count = value.get("input_tokens")
        if isinstance(count, int) and not isinstance(count, bool) and count >= 0:
            return count
        if value.get("error") is not None:
            raise failure_in(value)
    raise UpstreamFailure("The provider's answer is not a count of tokens")
