"""Matrices in NumPy's file format, version 1.0, which needs no NumPy to be written."""

import sys
from array import array
from collections.abc import Sequence

from conduit.cli.failures import Failure

_MAGIC = b"\x93NUMPY\x01\x00"
_ALIGNED_TO = 64
_LENGTH_BYTES = 2


def npy_of(vectors: Sequence[Sequence[float]]) -> bytes:
    """The vectors as rows of little-endian 32-bit floats. Raises Failure where lengths differ."""
    width = len(vectors[0])
    if any(len(each) != width for each in vectors):
        raise Failure("the vectors differ in length: a matrix needs one for all; use NAME.jsonl")
    shape = f"({len(vectors)}, {width})"
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    taken = len(_MAGIC) + _LENGTH_BYTES + len(head) + 1
    head += " " * (-taken % _ALIGNED_TO) + "\n"
    values = array("f", (value for each in vectors for value in each))
    if sys.byteorder == "big":
        values.byteswap()
    length = len(head).to_bytes(_LENGTH_BYTES, "little")
    return _MAGIC + length + head.encode("ascii") + values.tobytes()
