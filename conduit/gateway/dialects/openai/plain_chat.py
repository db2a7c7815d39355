"""Plain chat calls, of which most traffic consists: text turns and the usual settings.

What is read here is read in C as far as it goes; a body with anything else in it, or anything wrong
with it, is left to the strict reading of `wire.py`, which knows what to say of it.
"""

from typing import Any, Final

import msgspec

from conduit.gateway.dialects.fields import LARGEST_INTEGER
from conduit.gateway.dialects.input_units import InputUnits
from conduit.gateway.dialects.strict_json import MAX_DEPTH, check_duplicates, decode_raw

_LARGEST_BODY: Final = 1_000_000  # a larger one is asked first how many values it holds


class _Turn(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: str
    content: str
    name: str | None = None


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

    @property
    def cap(self) -> int | None:
        """The larger of the two caps: providers do not agree on which of them wins."""
        newer, older = self.max_completion_tokens, self.max_tokens
        if newer is None or older is None:
            return older if newer is None else newer
        return max(newer, older)


class PlainChat(msgspec.Struct, frozen=True):
    """A plain call: its fields as values, as they stood, and what they bring."""

    values: PlainFields
    raw: dict[str, msgspec.Raw]
    units: InputUnits


_decode = msgspec.json.Decoder(PlainFields).decode


def read_plain_chat(body: bytes, *, most_messages: int, most_choices: int) -> PlainChat | None:
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
    check_duplicates(body, raw)
    return PlainChat(values, raw, _units(values.messages))


def _are_caps(values: PlainFields) -> bool:
    return all(
        cap is None or 0 < cap <= LARGEST_INTEGER
        for cap in (values.max_tokens, values.max_completion_tokens)
    )


def _are_flat(raw: dict[str, msgspec.Raw]) -> bool:
    """Whether no field can be nested too deeply; of turns that were read it is known.

    A value with fewer bytes than there may be levels cannot be, as with few brackets.
    """
    return all(
        len(value) <= MAX_DEPTH or name == "messages" or _brackets(value) < MAX_DEPTH
        for name, value in raw.items()
    )


def _brackets(value: msgspec.Raw) -> int:
    text = bytes(value)
    return text.count(b"{") + text.count(b"[")


def _units(turns: list[_Turn]) -> InputUnits:
    text_bytes = 0
    for turn in turns:
        content = turn.content
        text_bytes += len(content) if content.isascii() else len(content.encode())
        if turn.name is not None:
            text_bytes += len(turn.name.encode())
    return InputUnits(text_bytes=text_bytes, messages=len(turns))
