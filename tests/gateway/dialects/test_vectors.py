import base64
import struct
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import UpstreamFailure
from conduit.gateway.dialects import vectors
from conduit.gateway.dialects.vectors import (
    read_vector,
    read_vectors,
    to_base64,
    to_numbers,
    written,
)

FLOATS = st.lists(
    st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20
)


@given(FLOATS)
def test_float32_goes_there_and_back_exactly(numbers: list[float]) -> None:
    text = to_base64(tuple(numbers))
    assert base64.b64decode(text) == struct.pack(f"<{len(numbers)}f", *numbers)
    assert list(to_numbers(text)) == numbers
    assert read_vector(text) == text
    assert to_base64(text) == text
    assert to_numbers(tuple(numbers)) == tuple(numbers)


def test_a_machine_of_the_other_byte_order_writes_the_same(monkeypatch: Any) -> None:
    other = ">" if sys.byteorder == "little" else "<"
    monkeypatch.setattr(vectors, "_SWAPPED", True)
    assert base64.b64decode(to_base64((1.5, -2.0))) == struct.pack(f"{other}2f", 1.5, -2.0)
    assert list(to_numbers(to_base64((1.5, -2.0)))) == [1.5, -2.0]


def test_numbers_stay_as_the_provider_wrote_them() -> None:
    assert read_vector([0.1, 1, -3]) == (0.1, 1, -3)
    assert written((0.1,), "float") == (0.1,)
    assert written((0.1,), "base64") == "zczMPQ=="
    assert written("zczMPQ==", "float") == [0.10000000149011612]


@pytest.mark.parametrize(
    "value", [None, [], {}, ["x"], [None], [[1.0]], [10**400], "", "AAA", "AAAA", "é", "AAAAAAA="]
)
def test_what_is_no_vector_is_the_provider_s_failure(value: Any) -> None:
    with pytest.raises(UpstreamFailure):
        read_vector(value)
    for listed in ([value], value if not isinstance(value, list) else []):
        with pytest.raises(UpstreamFailure):
            read_vectors(listed)
