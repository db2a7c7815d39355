import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import InvalidRequestError, UnknownParameterError
from conduit.gateway.dialects import strict_json
from conduit.gateway.dialects.long_text import read_long_text
from conduit.gateway.dialects.strict_json import (
    MAX_DEPTH,
    raw_items,
    read_object,
    refuse_operator_fields,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text() | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def written(body: bytes) -> bytes:
    return msgspec.json.encode(read_object(body).raw)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"[1]", "not an array"),
        (b'"x"', "not a string"),
        (b"null", "not null"),
        (b"true", "not a boolean"),
        (b"12", "not a number"),
        (b"{", "byte 1"),
        (b'{"a":1', "byte 6"),
        (b'{"a":1} x', "byte 8"),
        (b'{"a":01}', "not valid JSON"),
        (b'{"a":[1,]}', "not valid JSON"),
        (b'{"a":NaN}', "NaN is not a JSON number"),
        (b'{"a":-Infinity}', "-Infinity is not a JSON number"),
        (b'{"a":1e400}', "1e400 is out of range"),
        (b'{"a":{"b":[-1e999]}}', "-1e999 is out of range"),
        (b'{"a":' + b"9" * 5000 + b"}", "5,000 digits"),
        (b'{"a":"\xff"}', "UTF-8 (byte 6)"),
        (b'\xff{"a":1}', "UTF-8 (byte 0)"),
        (b'{"\xff":1}', "UTF-8 (byte 2)"),
        (b'{"a":"\xed\xa0\x80"}', "UTF-8 (byte 6)"),
        (b'{"a":"\x01"}', "not valid JSON"),
        (b'{"\\ud83d":1}', "half a surrogate pair"),
        (b'\xef\xbb\xbf{"a":1}', "not valid JSON"),
        (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "64 levels"),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "64 levels"),
        (b"[" * 200_000, "64 levels"),
        (b'{"a":"\\ud83d","b":' + b"[" * 90 + b"]" * 90 + b"}", "64 levels"),
        (b'{"model":"a","model":"b"}', '"model" appears more than once'),
        (b'{"model":"a", "n": 1, "model":"a"}', '"model" appears more than once'),
        (b'{"mod\\u0065l":"a","model":"a"}', '"model" appears more than once'),
        (b'{"model":"\\ud83d","model":"b"}', '"model" appears more than once'),
        (b'{"a": 1, "a": 1}', '"a" appears more than once'),
    ],
)
def test_a_malformed_body_is_refused_with_the_truth(body: bytes, said: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_object(body)
    assert said in caught.value.message
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"z":1.0,"a":1e2,"m":0.10,"big":123456789012345678901234567890}',
        b'{"b":{"x":1,"x":2},"a":"\xc3\xa9\\u00e9\\/"}',
        b'{"a":"\\ud83d","n":1.50,"b":[ 1 , 2 ]}',
        b'{"a":' + b"[" * 63 + b"]" * 63 + b"}",
        b'{"tools":[' + b",".join([b"{}"] * 200) + b"]}",
    ],
)
def test_what_was_written_survives_byte_for_byte(body: bytes) -> None:
    assert written(body) == body


@pytest.mark.parametrize(
    "text", [b"\\ud83d", b"\\ude00", b"\\ud83d\\u0041", b"\\ud83dx", b"\\udc00\\ud800"]
)
def test_every_half_of_a_surrogate_pair_passes(text: bytes) -> None:
    body = b'{"a":"' + text + b'"}'
    assert written(body) == body


def test_half_a_surrogate_pair_is_read_and_kept() -> None:
    fields = read_object(b' { "text" : "cut \\ud83d" , "n" : 2.0 } ')
    assert fields.values == {"text": "cut \ud83d", "n": 2.0}
    assert bytes(fields.raw["text"]) == b'"cut \\ud83d"'
    assert bytes(fields.raw["n"]) == b"2.0"


@pytest.mark.parametrize("indent", [None, 2])
def test_spacing_is_no_duplicate(indent: int | None) -> None:
    value = {"model": "m", "stream": False, "nested": {"model": "x"}}
    assert read_object(json.dumps(value, indent=indent).encode()).values == value


SPACE = st.sampled_from(["", "", " ", " ", "\n  "])
NAMES = st.sampled_from(['""', '"n"', '"é"', '"\\u00e9"', '"model"', '"mod\\u0065l"', '"messages"'])
VALUES = st.sampled_from(["1", "12", '""', "[]", '{"n": 1, "model":2}', '", \\"n\\": 1"', "1.50"])


@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=8),
    st.tuples(SPACE, SPACE, SPACE, SPACE) | st.sampled_from([("",) * 4, (" ", "", " ", "")]),
)
def test_a_field_is_refused_just_where_it_comes_twice(
    entries: list[tuple[str, str]], spaces: tuple[str, str, str, str]
) -> None:
    a, b, c, d = spaces
    fields = ",".join([f"{a}{name}{b}:{c}{value}{d}" for name, value in entries])
    if spaces == (" ", "", " ", ""):
        fields = fields.removeprefix(" ")  # as Python writes it
    body = b"{%b}" % fields.encode()
    names = [json.loads(name) for name, _ in entries]
    if len(set(names)) == len(names):
        assert list(read_object(body).raw) == names
    else:
        with pytest.raises(InvalidRequestError, match="appears more than once"):
            read_object(body)


@given(st.dictionaries(st.text(), JSON, max_size=6), st.booleans(), st.booleans())
def test_every_object_is_read_as_the_standard_library_reads_it(
    value: dict[str, Any], ascii_only: bool, compact: bool
) -> None:
    separators = (",", ":") if compact else None
    text = json.dumps(value, ensure_ascii=ascii_only, separators=separators)
    fields = read_object(text.encode())
    assert fields.values == value
    assert {name: json.loads(bytes(raw)) for name, raw in fields.raw.items()} == value
    assert list(fields.raw) == list(value)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ue0d83 1-+.eE', max_size=40))
def test_no_bytes_raise_anything_but_a_400(body: bytes | str) -> None:
    with suppress(InvalidRequestError):
        read_object(body if isinstance(body, bytes) else b'{"a":' + body.encode() + b"}")


LONG_TEXT = (
    st.sampled_from([b"", b"\n", b"\x00", b"\x7f", b"\\n", b"\\u00e9", b"\\ud83d", b'"', b"9e9"])
    | st.sampled_from(["é".encode(), b"\xff"])
).map(lambda piece: b"+" * 30_000 + piece + b"/" * 20_000)


@pytest.mark.parametrize(
    "value",
    [
        *(
            b"1e400",
            b"-1e400",
            b"1E5",
            b"9" * 400,
            b"9" * 5000,
            b"0.5",
            b"NaN",
            b"01",
            b"-Infinity",
        ),
        *(b"[" * levels + b"]" * levels for levels in (63, 64, 300)),
        *(b"null", b'"b"', b'{"a":1,"a":2}', b"{]", b'"\x1f"', b'"\xff"'),
    ],
)
@given(LONG_TEXT)
def test_one_long_text_is_read_as_all_others(value: bytes, text: bytes) -> None:
    for form in (b'{"a":%b,"b":"%b"}', b'{"b":1,"a":[%b],"b":"%b"}', b'{"a":%b,"b":["%b"],"c":0}'):
        body = form % (value, text)
        quickly = read_or_refusal(body)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(strict_json, "LONG", len(body) + 1)
            assert read_or_refusal(body) == quickly


def read_or_refusal(body: bytes) -> object:
    try:
        fields = read_object(body)
    except InvalidRequestError as error:
        return str(error)
    return repr(fields.values), {name: bytes(raw) for name, raw in fields.raw.items()}


def test_a_picture_is_one_long_text() -> None:
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 10_000
    part = {"type": "image_url", "image_url": {"url": picture}}
    body = {"model": "m", "messages": [{"role": "user", "content": [part]}], "n": 2}
    assert read_long_text(json.dumps(body).encode()) == body


@pytest.mark.parametrize("levels", [64, 65])
def test_brackets_and_braces_are_levels_alike(levels: int) -> None:
    body = b'{"a":[' * (levels // 2) + (b"[]" if levels % 2 else b"1") + b"]}" * (levels // 2)
    if levels <= MAX_DEPTH:
        assert read_object(body).values
    else:
        with pytest.raises(InvalidRequestError, match="nested more than 64 levels"):
            read_object(body)


@pytest.mark.parametrize(
    "name",
    [
        "api_base",
        "api_key",
        "base_url",
        "custom_llm_provider",
        "success_callback",
        "my_callbacks",
        "input_cost_per_token",
        "output_cost_per_second",
        "azure_api_key",
    ],
)
def test_a_field_of_the_operator_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnknownParameterError) as caught:
        refuse_operator_fields({"model": "m", name: 1})
    assert caught.value.param == name
    assert caught.value.code == "unknown_parameter"


def test_unknown_fields_that_are_no_operator_s_pass() -> None:
    refuse_operator_fields({"model": "m", "top_k": 3, "guided_json": {}, "reasoning": {"x": 1}})


def test_a_body_of_countless_small_values_is_refused_before_it_is_decoded() -> None:
    body = b'{"messages": [' + b"[]," * 1_000_001 + b"[]]}"
    with pytest.raises(InvalidRequestError, match="more than 1,000,000 commas"):
        read_object(body)


@pytest.mark.parametrize(
    ("array", "items"),
    [
        (b"[]", []),
        (b"[ ]", []),
        (b'[1.50, {"a" : [1,2]} ,"x"]', [b"1.50", b'{"a" : [1,2]}', b'"x"']),
        (b'[ "\\ud83d" , 1e2,\n[ ] ]', [b'"\\ud83d"', b"1e2", b"[ ]"]),
        ('["é\\ud83d","中"]'.encode(), ['"é\\ud83d"'.encode(), '"中"'.encode()]),
    ],
)
def test_items_of_an_array_stay_as_they_were_written(array: bytes, items: list[bytes]) -> None:
    raw = read_object(b'{"a": %b }' % array).raw["a"]
    assert [bytes(item) for item in raw_items(raw)] == items
