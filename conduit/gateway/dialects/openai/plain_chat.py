"""Plain chat calls, of which most traffic consists: turns of text, calls of functions and the
usual settings.

What is read here is read in C as far as it goes; a body with anything else in it, or anything wrong
with it, is left to the strict reading of `wire.py`, which knows what to say of it.
"""

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from conduit.gateway.dialects.fields import LARGEST_INTEGER
from conduit.gateway.dialects.input_units import InputUnits
from conduit.gateway.dialects.signatures import MADE_ID
from conduit.gateway.dialects.strict_json import (
    MAX_DEPTH,
    check_duplicates,
    decode_raw,
    is_too_deep,
)

_LARGEST_BODY: Final = 1_000_000  # a larger one is asked first how many values it holds
_READ_WHOLE: Final = frozenset({"messages", "tools"})


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


class PlainFields(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of a plain call; those of type Any are only read, so as to be proved JSON."""

    model: str
    messages: list[_Turn]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    temperature: Any = None
    top_p: Any = None
    seed: Any = None
    stop: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    logprobs: Any = None
    top_logprobs: Any = None
    reasoning_effort: Any = None
    service_tier: Any = None
    store: Any = None
    metadata: Any = None
    user: Any = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    parallel_tool_calls: Any = None

    @property
    def cap(self) -> int | None:
        """The larger of the two caps: providers do not agree on which of them wins."""
        newer, older = self.max_completion_tokens, self.max_tokens
        if newer is None or older is None:
            return older if newer is None else newer
        return max(newer, older)


class PlainChat(msgspec.Struct, frozen=True):
    """A plain call: its fields as values, as they stood, and what they bring.

    `text_alone` says that its turns are of text, and that it brings no functions. `unmixed` says
    that nothing of another dialect is in it: signatures would stand in fields that are not read
    here, and of ids it can be seen.
    """

    values: PlainFields
    raw: dict[str, msgspec.Raw]
    units: InputUnits
    text_alone: bool
    unmixed: bool


_decode = msgspec.json.Decoder(PlainFields).decode
_encode = msgspec.json.Encoder().encode


def read_plain_chat(
    body: bytes, *, most_messages: int, most_tools: int, most_choices: int
) -> PlainChat | None:
    """A plain call, None where the strict reading must look; raises for a repeated field."""
    if len(body) > _LARGEST_BODY:
        return None
    try:
        values = _decode(body)
        raw = decode_raw(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    cap = values.cap
    if (
        not 0 < len(values.messages) <= most_messages
        or (values.n is not None and not 0 < values.n <= most_choices)
        or (cap is not None and not _are_caps(values))
        or not _are_flat(raw)
    ):
        return None
    tools = values.tools
    if tools and (len(tools) > most_tools or is_too_deep(tools, MAX_DEPTH - 1)):
        return None
    check_duplicates(body, raw)
    turns = values.messages
    text_alone = tools is None and all(map(_is_text, turns))
    unmixed = text_alone or not any(map(_has_made_id, turns))
    return PlainChat(values, raw, _units(values), text_alone=text_alone, unmixed=unmixed)


def _are_caps(values: PlainFields) -> bool:
    return all(
        cap is None or 0 < cap <= LARGEST_INTEGER
        for cap in (values.max_tokens, values.max_completion_tokens)
    )


def _are_flat(raw: dict[str, msgspec.Raw]) -> bool:
    """Whether no field but the tools can be nested too deeply; of turns that were read it is known.

    A value with fewer bytes than there may be levels cannot be, as with few brackets.
    """
    return all(
        len(value) <= MAX_DEPTH or name in _READ_WHOLE or _brackets(value) < MAX_DEPTH
        for name, value in raw.items()
    )


def _brackets(value: msgspec.Raw) -> int:
    text = bytes(value)
    return text.count(b"{") + text.count(b"[")


def _is_text(turn: _Turn) -> bool:
    return isinstance(turn.content, str) and turn.tool_calls is UNSET and turn.tool_call_id is UNSET


def _has_made_id(turn: _Turn) -> bool:
    if isinstance(turn.tool_call_id, str) and MADE_ID in turn.tool_call_id:
        return True
    return turn.tool_calls is not UNSET and any(MADE_ID in call.id for call in turn.tool_calls)


def _units(values: PlainFields) -> InputUnits:
    """As `units.chat_units` counts them: what is no text, as the JSON that it is."""
    text_bytes = 0
    for turn in values.messages:
        for text in (turn.content, turn.name, turn.tool_call_id):
            if isinstance(text, str):
                text_bytes += len(text) if text.isascii() else len(text.encode())
        if turn.tool_calls is not UNSET:
            text_bytes += len(_encode(turn.tool_calls))
    if values.tools:
        text_bytes += len(_encode(values.tools))
    return InputUnits(text_bytes=text_bytes, messages=len(values.messages))
