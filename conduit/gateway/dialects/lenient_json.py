"""JSON that must get through: read leniently, written even where text is half a surrogate pair."""

import json
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode


def read_json(text: bytes) -> Any:
    """The value in `text`, or None where it cannot be read.

    msgspec refuses half a surrogate pair, NaN and numbers out of range, which providers do send;
    the standard library reads them.
    """
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def write_json(value: Any) -> bytes:
    """Compact JSON; the same value always gives the same bytes."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), default=_value_of).encode()


def _value_of(raw: Any) -> Any:
    """The value of JSON that is written already, which the standard library cannot embed."""
    if isinstance(raw, msgspec.Raw):
        return read_json(bytes(raw))
    raise TypeError(f"{type(raw).__name__} is not JSON")
