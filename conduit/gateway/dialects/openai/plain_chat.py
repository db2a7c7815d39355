"""Plain chat calls, of which most traffic consists: turns of text, calls of functions and the
usual settings.

What is read here is read in C as far as it goes; a body with anything else in it, or anything wrong
with it, is left to the strict reading of `wire.py`, which knows what to say of it.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from conduit.gateway.dialects.call_limits import (
    MAX_CHOICES,
    MAX_MESSAGES,
    MAX_MODEL_LENGTH,
    MAX_TOOLS,
)
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.fields import LARGEST_INTEGER
from conduit.gateway.dialects.input_units import InputUnits
from conduit.gateway.dialects.long_text import LONG, check_text, find_long_text
from conduit.gateway.dialects.signatures import MADE_ID
from conduit.gateway.dialects.strict_json import (
    MAX_DEPTH,
    check_duplicates,
    decode_raw,
    is_too_deep,
)
from conduit.gateway.provider import Operation

_LARGEST_BODY: Final = 1_000_000  # a larger one is asked first how many values it holds

_MESSAGES: Final = b'"messages"'
_COLON: Final = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*")
_LEFT_OUT: Final = "(left out)"  # stands in for a long text
_NOTHING: Final = msgspec.Raw(b"[]")

_Cap = Annotated[int, Meta(ge=1, le=LARGEST_INTEGER)]


class _Function(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    arguments: str


class _ToolCall(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    id: str
    type: str
    function: _Function


class _Turn(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: str
    content: str | UnsetType | None = UNSET
    name: str | None = None
    tool_calls: list[_ToolCall] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET


class _StreamOptions(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    include_usage: bool | None = None


class _NamedFunction(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str


class _NamedTool(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: str
    function: _NamedFunction


class _Fields(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of a plain call, none of which can be nested too deeply but the tools.

    Those from the temperature to the user are read for their types alone, which bound their depth.
    """

    model: Annotated[str, Meta(min_length=1, max_length=MAX_MODEL_LENGTH)]
    messages: Annotated[list[_Turn], Meta(max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Cap | None = None
    max_completion_tokens: _Cap | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=MAX_TOOLS)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning_effort: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    metadata: dict[str, str | int | float | bool | None] | None = None
    tool_choice: str | _NamedTool | None = None
    parallel_tool_calls: bool | None = None
    user: str | None = None


_decode = msgspec.json.Decoder(_Fields).decode
_decode_turns = msgspec.json.Decoder(Annotated[list[_Turn], Meta(max_length=MAX_MESSAGES)]).decode
_encode = msgspec.json.Encoder().encode


def read_plain_chat(body: bytes) -> ClientCall | None:
    """A plain call, None where the strict reading must look; raises for a repeated field."""
    if len(body) > _LARGEST_BODY:
        return None
    try:
        read = _read_fields(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    values, raw, lacking = read
    model, turns, tools = values.model, values.messages, values.tools
    if not turns or not model.isprintable() or (tools and is_too_deep(tools, MAX_DEPTH - 1)):
        return None
    check_duplicates(body, raw)
    text_bytes, text_alone = _read_turns(turns)
    text_bytes += lacking
    if tools is not None:
        text_alone = False
        text_bytes += len(_encode(tools)) if tools else 0
    options = values.stream_options
    # Providers do not agree on which of the two caps wins, so that the larger one counts.
    cap, older = values.max_completion_tokens, values.max_tokens
    if cap is None or (older is not None and older > cap):
        cap = older
    return ClientCall(
        Operation.CHAT,
        model,
        values.stream or False,
        options is not None and bool(options.include_usage),
        cap,
        values.n or 1,
        InputUnits(text_bytes, len(turns)),
        raw,
        body,
        plain=text_alone,
        # Signatures would stand in fields that are not read here, and of ids it can be seen.
        unmixed=text_alone or not any(map(_has_made_id, turns)),
    )


_Read = tuple[_Fields, dict[str, msgspec.Raw], int]
"""The fields of a body as values, and as they stood; and how many bytes of text the values lack."""


def _read_fields(body: bytes) -> _Read:
    """Raises DecodeError, ValueError or RecursionError where it is no plain call."""
    if len(body) < LONG:
        return _read(body)
    text = find_long_text(body)
    read = _read_long(body) if text is None else _read_around(body, *text)
    return read or _read(body)


def _read(body: bytes) -> _Read:
    return _decode(body), decode_raw(body), 0


def _read_around(body: bytes, start: int, end: int) -> _Read | None:
    """The same but for the text that nearly all of the body is; None if no turn's content is.

    With a short text in its place the body is a short one. That what was taken out is one text is
    proved by the rest, as nothing else between two quotes may be changed so; and that it is what a
    turn says, by the short one being found there. In a body without backslashes what reads
    `"messages"` once is the one field of that name.
    """
    short = _LEFT_OUT.encode()
    rest = b"%b%b%b" % (body[:start], short, body[end:])
    colon = _COLON.match(rest, rest.find(_MESSAGES) + len(_MESSAGES))
    if colon is None or rest.count(_MESSAGES) != 1 or rest.count(short) != 1:
        return None
    values, raw, _ = _read(rest)
    if all(turn.content != _LEFT_OUT for turn in values.messages):
        return None
    check_text(body)
    more = end - start - len(short)
    messages_at = colon.end()
    messages_end = messages_at + len(raw["messages"]) + more
    # No copy, which would be kept as long as the body.
    raw["messages"] = msgspec.Raw(memoryview(body)[messages_at:messages_end])
    return values, raw, more


def _read_long(body: bytes) -> _Read | None:
    """The same, going over the messages once; None where it is not seen where they stand.

    They are nearly all of a long body, so they are read apart, and the rest with none in their
    place. Without a backslash in the rest every quote of it begins or ends a string, and what
    reads `"messages"` once is the one field of that name. That the messages end where they are
    taken to end is proved by their being one array, and the rest an object, by themselves.
    """
    colon = _COLON.match(body, body.find(_MESSAGES) + len(_MESSAGES))
    end = body.rfind(b'"}]') + 3  # the last turn ends in a text; tools mostly in an object
    if colon is None or end <= (start := colon.end()):
        return None
    rest = b"%b[]%b" % (body[:start], body[end:])
    if rest.count(_MESSAGES) != 1 or b"\\" in rest:
        return None
    try:
        values, raw, _ = _read(rest)
        if raw["messages"] != _NOTHING:
            return None
        messages = memoryview(body)[start:end]  # no copy, which would be kept as long as the body
        values.messages = _decode_turns(messages)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return None
    raw["messages"] = msgspec.Raw(messages)
    return values, raw, 0


def _read_turns(turns: Sequence[_Turn]) -> tuple[int, bool]:
    """The bytes of text, as `units.chat_units` counts them, and whether there is nothing else."""
    text_bytes = 0
    text_alone = True
    for turn in turns:
        content = turn.content
        if isinstance(content, str):
            text_bytes += len(content) if content.isascii() else len(content.encode())
        else:
            text_alone = False
        if turn.name is not None:
            text_bytes += len(turn.name.encode())
        if turn.tool_calls is not UNSET:
            text_alone = False
            text_bytes += len(_encode(turn.tool_calls))
        if turn.tool_call_id is not UNSET:
            text_alone = False
            text_bytes += len(turn.tool_call_id.encode())
    return text_bytes, text_alone


def _has_made_id(turn: _Turn) -> bool:
    if isinstance(turn.tool_call_id, str) and MADE_ID in turn.tool_call_id:
        return True
    return turn.tool_calls is not UNSET and any(MADE_ID in call.id for call in turn.tool_calls)
