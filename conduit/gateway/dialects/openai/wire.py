"""The envelope of a call in OpenAI's wire format: what the gateway reads, and what it replaces."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from conduit.gateway.dialects.call_limits import (
    MAX_CHOICES,
    MAX_MESSAGES,
    MAX_MODEL_LENGTH,
    MAX_TOOLS,
)
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.fields import (
    read_flag,
    read_integer,
    read_object_field,
    read_objects,
    read_text,
    wrong,
)
from conduit.gateway.dialects.input_units import InputUnits
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.openai.plain_chat import read_plain_chat
from conduit.gateway.dialects.openai.rules import adapt_raw
from conduit.gateway.dialects.openai.units import chat_units, prompt_count, prompt_units
from conduit.gateway.dialects.strict_json import read_object, refuse_operator_fields
from conduit.gateway.dialects.target import EncodedRequest
from conduit.gateway.provider import Operation, Quirks

_CAP_FIELDS = ("max_completion_tokens", "max_tokens")
_OWN_FIELDS = frozenset({*_CAP_FIELDS, "model", "stream_options"})
_NULL = msgspec.Raw(b"null")

_encode = msgspec.json.Encoder().encode
_RAW_USAGE_OPTIONS = msgspec.Raw(b'{"include_usage":true}')


def decode_call(operation: Operation, body: bytes) -> ClientCall:
    """Read and check a client's body; raises a RequestError that names the field."""
    if operation is Operation.CHAT:
        plain = read_plain_chat(body)
        if plain is not None:
            return plain
    parsed = read_object(body)
    values = parsed.values
    refuse_operator_fields(values)
    model = _model(values)
    stream = read_flag(values, "stream") or False
    _check_tools(values)
    units, inputs = _input(operation, values)
    choices = read_integer(values, "n", largest=MAX_CHOICES) or 1
    if operation is Operation.COMPLETION:
        choices = max(choices, read_integer(values, "best_of", largest=MAX_CHOICES) or 1) * inputs
    return ClientCall(
        operation=operation,
        model=model,
        stream=stream and operation is not Operation.EMBEDDING,
        wants_stream_usage=_wants_usage(values),
        max_output_tokens=_cap(values),
        choices=choices,
        units=units,
        fields=parsed.raw,
        body=body,
    )


def output_cap(call: ClientCall, params: Mapping[str, Any]) -> int | None:
    """The most that one choice may be, by the fields that the provider will see.

    A target's own parameter replaces the client's, or takes it away. Of two caps the larger one
    counts, as providers do not agree on which of them wins.
    """
    if not params:
        return call.max_output_tokens
    return cap_among(params, call.read)


def cap_among(params: Mapping[str, Any], read: Callable[[str], Any]) -> int | None:
    """The same where `read` gives what the client has in a field, None where it has none."""
    caps = [params[name] if name in params else read(name) for name in _CAP_FIELDS]
    return max([cap for cap in caps if type(cap) is int], default=None)


def answers(call: ClientCall, params: Mapping[str, Any]) -> int:
    """How many answers are generated in all; a target may ask for more."""
    if not params:
        return call.choices
    asked = params.get("n")
    return max(call.choices, asked) if type(asked) is int else call.choices


def encode_call(
    call: ClientCall,
    *,
    model: str,
    params: Mapping[str, Any],
    ask_stream_usage: bool,
    output_cap: int | None,
    quirks: Quirks,
) -> EncodedRequest:
    """The body for a provider of the same dialect: only what the gateway owns is replaced.

    `params` are the target's own: a value replaces the client's field, None takes it away; the
    model and the streaming of a call are not theirs to change. `output_cap` lowers, or sets, the
    cap. A body that needs no change is sent as it is. What the vendor's rules leave out is told as
    dropped; InexpressibleError is raised for what they refuse.
    """
    asks_usage = call.stream and ask_stream_usage and quirks.asks_stream_usage
    if (
        model == call.model
        and not params
        and output_cap is None
        and quirks.fields is None
        and (call.wants_stream_usage if asks_usage else not call.stream)
        and call.fields.get("model", _NULL) != _NULL  # which a moderation need not name
    ):
        return EncodedRequest(call.body)
    fields = _with_params(call, params) if params else call.fields.copy()
    asked = frozenset(fields)
    fields["model"] = msgspec.Raw(_encode(model))
    if call.stream:
        _set_stream_usage(fields, ask=asks_usage)
    if output_cap is not None and call.operation.writes:
        _set_cap(fields, call.operation, output_cap, quirks)
    if quirks.fields is None:
        return EncodedRequest(_encode(fields))
    fields, dropped = adapt_raw(fields, quirks.fields)
    # Nobody asked for what the gateway adds itself.
    told = tuple([name for name in dropped if name in asked or name not in _OWN_FIELDS])
    return EncodedRequest(_encode(fields), told)


def _with_params(call: ClientCall, params: Mapping[str, Any]) -> dict[str, msgspec.Raw]:
    fields = dict(call.fields)
    for name, value in params.items():
        if value is None:
            fields.pop(name, None)
        else:
            fields[name] = msgspec.Raw(_encode(value))
    for name in ("stream", "stream_options"):
        if name in params:
            _restore(fields, call, name)
    return fields


def _restore(fields: dict[str, msgspec.Raw], call: ClientCall, name: str) -> None:
    if name in call.fields:
        fields[name] = call.fields[name]
    else:
        fields.pop(name, None)


def _set_stream_usage(fields: dict[str, msgspec.Raw], *, ask: bool) -> None:
    raw = fields.get("stream_options")
    if raw is None:
        if ask:
            fields["stream_options"] = _RAW_USAGE_OPTIONS
        return
    options: dict[str, Any] = read_json(bytes(raw)) or {}
    if options.get("include_usage") is True if ask else "include_usage" not in options:
        return
    options.pop("include_usage", None)
    if ask:
        options["include_usage"] = True
    if options:
        fields["stream_options"] = msgspec.Raw(write_json(options))
    else:
        del fields["stream_options"]


def _set_cap(
    fields: dict[str, msgspec.Raw], operation: Operation, cap: int, quirks: Quirks
) -> None:
    written = [name for name in _CAP_FIELDS if fields.get(name) not in (None, _NULL)]
    own = "max_tokens" if operation is Operation.COMPLETION else quirks.output_cap_field
    for name in written or [own]:
        fields[name] = msgspec.Raw(b"%d" % cap)


def _model(values: Mapping[str, Any]) -> str:
    model = read_text(values, "model")
    if not model:
        raise wrong("model", "must be a non-empty string")
    if len(model) > MAX_MODEL_LENGTH or not model.isprintable():
        raise wrong("model", f"must be printable text of at most {MAX_MODEL_LENGTH} characters")
    return model


def _cap(values: Mapping[str, Any]) -> int | None:
    cap = read_integer(values, "max_completion_tokens")
    older = read_integer(values, "max_tokens")
    if cap is None or older is None:
        return older if cap is None else cap
    return max(cap, older)


def _wants_usage(values: Mapping[str, Any]) -> bool:
    options = read_object_field(values, "stream_options")
    return bool(options and read_flag(options, "include_usage", "stream_options."))


def _check_tools(values: Mapping[str, Any]) -> None:
    if len(read_objects(values, "tools")) > MAX_TOOLS:
        raise wrong("tools", f"holds more than {MAX_TOOLS} tools")


def _input(operation: Operation, values: Mapping[str, Any]) -> tuple[InputUnits, int]:
    """What the call brings, and of how many inputs it consists."""
    if operation is Operation.CHAT:
        _check_messages(values)
        return chat_units(values), 1
    name = "prompt" if operation is Operation.COMPLETION else "input"
    value = values.get(name)
    count = prompt_count(value)
    if not count:
        raise wrong(name, "must be a string, an array of strings, or arrays of tokens; not empty")
    return prompt_units(value, values.get("suffix")), count


def _check_messages(values: Mapping[str, Any]) -> None:
    messages = read_objects(values, "messages")
    if not messages:
        raise wrong("messages", "must be a non-empty array")
    if len(messages) > MAX_MESSAGES:
        raise wrong("messages", f"holds more than {MAX_MESSAGES} messages")
    for index, message in enumerate(messages):
        if not isinstance(message.get("role"), str):
            raise wrong(f"messages[{index}].role", "must be a string")
