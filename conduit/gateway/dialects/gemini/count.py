"""Counting the tokens of a prompt: `countTokens`.

Sources: https://ai.google.dev/api/tokens and the Vertex AI reference of the same method, which
takes the fields of a request as they are; the Gemini API takes contents alone or a whole request.
"""

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import ChatRequest
from conduit.gateway.dialects.answer_fields import objects
from conduit.gateway.dialects.fields import read_object_field
from conduit.gateway.dialects.gemini.read_request import request_from
from conduit.gateway.dialects.gemini.words import NAME, camel
from conduit.gateway.dialects.gemini.write_request import request_fields
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.strict_json import Body, read_object
from conduit.gateway.dialects.target import EncodedRequest, Target

_COUNTED = ("contents", "systemInstruction", "tools", "toolConfig")
_WHOLE = "generateContentRequest"


def decode_count_request(body: Body, *, model: str) -> ChatRequest:
    """What a client wants counted, as the request it stands for."""
    fields = camel(read_object(body).values)
    whole = read_object_field(fields, _WHOLE)
    if whole is not None:
        fields = camel(whole, f"{_WHOLE}.")
    return request_from(fields, model=model, stream=False)


def encode_count(tokens: int) -> bytes:
    """The client's bytes of a count."""
    return write_json({"totalTokens": tokens})


def encode_count_request(
    request: ChatRequest, target: Target, *, wrapped: bool = True
) -> EncodedRequest:
    """The provider's body; `wrapped` as the Gemini API wants more than contents, not Vertex AI."""
    losses = Losses(NAME, request.dialect)
    whole, _ = request_fields(request, target, losses)
    fields = {name: whole[name] for name in _COUNTED if name in whole}
    if not wrapped:
        fields.pop("toolConfig", None)
    elif len(fields) > 1:
        fields = {_WHOLE: {"model": f"models/{target.model}", **fields}}
    return EncodedRequest(write_json(fields), losses.dropped, losses.emulated)


def decode_count(body: bytes) -> int:
    """The count of a provider's answer; raises UpstreamFailure where it is none."""
    value = read_json(body)
    if isinstance(value, list):
        value = objects(value)[0] if objects(value) else None
    total = value.get("totalTokens") if isinstance(value, dict) else None
    if type(total) is not int or total < 0:
        raise UpstreamFailure("The provider's answer is not a count of tokens")
    return total
