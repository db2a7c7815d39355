"""Bodies that are nearly all one text with nothing escaped in it, as a picture in base64 is.

msgspec looks at each byte of a text, pydantic's parser (jiter) at many at a time, so that it reads
such a body in a third of the time. With anything else in it, it is the slower of the two.
"""

from typing import Any, Final

import msgspec
from pydantic_core import from_json

LONG: Final = 16 * 1024
"""Bytes of a body from which on it is worth looking for such a text."""

_MOST_BESIDE: Final = 1 / 8
_LOOKED_AT: Final = 256

_decode_rest = msgspec.json.Decoder().decode


def check_text(body: bytes) -> None:
    """Raises ValueError where a text holds what JSON must escape, or is no UTF-8."""
    _parse(body)


def find_long_text(body: bytes) -> tuple[int, int] | None:
    """Where the one text begins and ends that nearly all of a body without backslashes is.

    It is there for sure only in JSON: what is found lies between two quotes, and may as well be
    what stands between two texts. Texts that begin with other than ASCII are left out, as jiter
    is slow with them.
    """
    middle = len(body) // 2  # such a text goes across it
    start = body.rfind(b'"', 0, middle) + 1
    end = body.find(b'"', middle)
    if not start or len(body) - (end - start) > len(body) * _MOST_BESIDE or b"\\" in body:
        return None
    return (start, end) if body[start : start + _LOOKED_AT].isascii() else None


def read_long_text(body: bytes) -> Any | None:
    """The value of such a body, None where it is another one or there is anything wrong with it."""
    found = find_long_text(body)
    if found is None:
        return None
    start, end = found
    try:
        _decode_rest(body[:start] + body[end:])  # numbers that jiter takes for infinite are refused
        return _parse(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _parse(body: bytes) -> Any:
    return from_json(body, allow_inf_nan=False, cache_strings=False)  # which would outlive the call
