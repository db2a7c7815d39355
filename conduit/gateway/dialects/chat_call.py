"""Reading a chat call of any client dialect but OpenAI's own, which is read without decoding it."""

from collections.abc import Callable
from functools import partial

from conduit.gateway.conversation import ChatRequest
from conduit.gateway.dialects.call_limits import MAX_MESSAGES, MAX_MODEL_LENGTH, MAX_TOOLS
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.fields import wrong
from conduit.gateway.dialects.registry import DIALECTS
from conduit.gateway.dialects.request_units import units_of
from conduit.gateway.dialects.strict_json import Body, read_object, refuse_operator_fields
from conduit.gateway.provider import Operation

DecodeRequest = Callable[[Body], ChatRequest]
ReadCall = Callable[[bytes], ClientCall]


def reader_in(dialect: str, decode: str = "decode_request") -> ReadCall:
    """What reads a call in a dialect whose requests say all in their body.

    `decode` is the function of the dialect's module that does it.
    """

    def read(body: bytes) -> ClientCall:
        return _read(getattr(DIALECTS[dialect], decode), dialect, body)

    return read


def reader_of(decode_request: DecodeRequest, dialect: str | None = None) -> ReadCall:
    """What reads the body of a call in the dialect of `decode_request`, answered in `dialect`."""
    return partial(_read, decode_request, dialect)


def _read(decode_request: DecodeRequest, dialect: str | None, body: bytes) -> ClientCall:
    """Raises a RequestError that names the field."""
    parsed = read_object(body)
    refuse_operator_fields(parsed.values)
    request = decode_request(parsed)
    if not 0 < len(request.model) <= MAX_MODEL_LENGTH or not request.model.isprintable():
        raise wrong("model", f"must be printable text of 1 to {MAX_MODEL_LENGTH} characters")
    if len(request.messages) > MAX_MESSAGES:
        raise wrong("messages", f"holds more than {MAX_MESSAGES} messages")
    if len(request.tools) > MAX_TOOLS:
        raise wrong("tools", f"holds more than {MAX_TOOLS} tools")
    return ClientCall(
        operation=Operation.CHAT,
        model=request.model,
        stream=request.stream,
        wants_stream_usage=True,
        max_output_tokens=request.sampling.max_output_tokens,
        choices=request.sampling.choices,
        units=units_of(request),
        fields=parsed.raw,
        body=body,
        dialect=dialect or request.dialect,
        request=request,
    )
