import msgspec
import pytest

from conduit.gateway.dialects.lenient_json import write_json


def test_json_that_is_written_already_stands_as_it_is() -> None:
    assert write_json({"a": msgspec.Raw(b'{"b": 1.10}')}) == b'{"a":{"b": 1.10}}'


def test_half_a_surrogate_pair_is_written_beside_it() -> None:
    value = {"a": msgspec.Raw(b'{"b": 1}'), "c": "\ud83d"}
    assert write_json(value) == b'{"a":{"b":1},"c":"\\ud83d"}'


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="object is not JSON"):
        write_json({"c": "\ud83d", "a": object()})
