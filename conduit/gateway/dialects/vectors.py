"""Vectors between numbers and base64, exactly: little-endian float32, one after the other."""

import base64
import binascii
import sys
from array import array
from collections.abc import Sequence
from typing import Any, Final

from conduit.core.errors import UpstreamFailure
from conduit.gateway.embedding import EncodingFormat, Vector

_SWAPPED: Final = sys.byteorder != "little"
_BYTES: Final = 4


def to_base64(vector: Vector) -> str:
    """The vector as base64; numbers are rounded to float32, which is what models compute in."""
    if isinstance(vector, str):
        return vector
    numbers = array("f", vector)
    if _SWAPPED:
        numbers.byteswap()
    return base64.b64encode(numbers).decode()


def to_numbers(vector: Vector) -> Sequence[float]:
    """The vector as numbers, each float32 as the double of the same value."""
    if not isinstance(vector, str):
        return vector
    numbers = array("f")
    numbers.frombytes(base64.b64decode(vector))
    if _SWAPPED:
        numbers.byteswap()
    return numbers.tolist()


def written(vector: Vector, encoding_format: EncodingFormat) -> Any:
    """The vector in the form that a client asked for."""
    return to_base64(vector) if encoding_format == "base64" else to_numbers(vector)


def read_vector(value: Any) -> Vector:
    """A provider's vector in either form; raises UpstreamFailure for what is none."""
    if isinstance(value, str):
        try:
            raw = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise _no_vector() from error
        if not raw or len(raw) % _BYTES:
            raise _no_vector()
        return value
    if not isinstance(value, list) or not value:
        raise _no_vector()
    try:
        array("d", value)  # checks that all are numbers, in C
    except (TypeError, OverflowError) as error:
        raise _no_vector() from error
    return tuple(value)


def read_vectors(value: Any) -> tuple[Vector, ...]:
    """A provider's vectors; raises UpstreamFailure where there are none."""
    if not isinstance(value, list) or not value:
        raise UpstreamFailure("The provider's answer holds no embeddings")
    return tuple(map(read_vector, value))


def _no_vector() -> UpstreamFailure:
    return UpstreamFailure("The provider's answer holds an embedding that is no vector of numbers")
