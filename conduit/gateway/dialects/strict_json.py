"""The strict reading of a client's JSON body: what passes here is what is sent on.

A body is read twice in C: once into top-level fields over raw bytes, so that number text, key order
and unknown fields survive, and once into plain values, which proves that every string is UTF-8 and
every number finite, and gives the callers something to look at.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import msgspec

from conduit.core.errors import InvalidRequestError, UnknownParameterError
from conduit.gateway.dialects.long_text import LONG, read_long_text

MAX_DEPTH = 64
_CONTAINERS = frozenset({dict, list})
MAX_INTEGER_DIGITS = 4300
MAX_COMMAS = 1_000_000
"""Which bounds the values a body may hold: as `[],[],…`, 32 MiB would decode to 700."""
_FEW = 1000

# Fields with which other gateways let a caller choose where a request goes, with what credential
# or at what price. Here only the operator decides these, so they are refused rather than ignored.
_OPERATOR_FIELDS = frozenset(
    {
        "api_base",
        "api_key",
        "api_version",
        "base_url",
        "callbacks",
        "custom_llm_provider",
        "failure_callback",
        "headers",
        "extra_headers",
        "input_cost_per_second",
        "input_cost_per_token",
        "mock_response",
        "output_cost_per_second",
        "output_cost_per_token",
        "success_callback",
    }
)
_OPERATOR_PATTERN = re.compile(r"_callbacks?$|^callback_|_cost_per_|^cost_per_|_api_(key|base)$")

# Names that clients send all day, so that the pattern above is tried on the others alone.
_USUAL_FIELDS = frozenset(
    {
        "dimensions",
        "encoding_format",
        "frequency_penalty",
        "input",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "prompt",
        "reasoning_effort",
        "response_format",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
    }
)


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A body's top-level fields, in order: as they were written, and as values."""

    raw: dict[str, msgspec.Raw]
    values: dict[str, Any]


Body = bytes | JsonObject
"""A client's body as it came, or as it has been read."""

decode_raw: Callable[[bytes], dict[str, msgspec.Raw]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw]
).decode
_decode_items: Callable[[msgspec.Raw], list[msgspec.Raw]] = msgspec.json.Decoder(
    list[msgspec.Raw]
).decode
_decode_value: Callable[[bytes], Any] = msgspec.json.Decoder().decode


def read_object(body: Body) -> JsonObject:
    """Read a client's body, or raise an InvalidRequestError that says what is wrong and where."""
    if isinstance(body, JsonObject):
        return body
    if len(body) > MAX_COMMAS and _holds_many_commas(body):
        raise InvalidRequestError(f"The request body holds more than {MAX_COMMAS:,} commas")
    try:
        fields = JsonObject(decode_raw(body), _value_of(body))
    except RecursionError as error:
        raise _too_deep() from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fields = _read_slowly(body, error)
    check_duplicates(body, fields.raw)
    _check_depth(body, fields.values)
    return fields


def _value_of(body: bytes) -> Any:
    value = read_long_text(body) if len(body) >= LONG else None
    return _decode_value(body) if value is None else value


def _holds_many_commas(body: bytes) -> bool:
    return _count_up_to(_FEW, b",", body) > _FEW and body.count(b",") > MAX_COMMAS


def _count_up_to(most: int, mark: bytes, body: bytes) -> int:
    """How often the mark is there, or `most` + 1: by leaps, where `count` looks at each byte."""
    found, at = 0, body.find(mark)
    while at >= 0 and found <= most:
        found += 1
        at = body.find(mark, at + 1)
    return found


def raw_items(array: msgspec.Raw) -> list[msgspec.Raw]:
    """The items of an array that has been read before, as they were written."""
    try:
        return _decode_items(array)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # half of a surrogate pair, see below
    text = bytes(array).decode()
    items: list[msgspec.Raw] = []
    at = _skip_space(text, 1)
    while text[at] != "]":
        start = _skip_space(text, at + 1) if items else at
        _, end = _DECODER.raw_decode(text, start)
        items.append(msgspec.Raw(text[start:end].encode()))
        at = _skip_space(text, end)
    return items


def refuse_operator_fields(names: Mapping[str, Any]) -> None:
    """Raise UnknownParameterError for a top-level field that only an operator may set."""
    if _USUAL_FIELDS.issuperset(names):
        return
    for name in names.keys() - _USUAL_FIELDS:
        if name in _OPERATOR_FIELDS or _OPERATOR_PATTERN.search(name):
            raise UnknownParameterError(
                f'"{name}" cannot be set by a client: it belongs to the gateway\'s configuration',
                param=name,
            )


def _read_slowly(body: bytes, refusal: Exception) -> JsonObject:
    """Tell a malformed body from one that msgspec alone refuses.

    msgspec refuses half of a surrogate pair (`\\ud83d` by itself), which real clients send when
    they cut text by UTF-16 units; the standard library reads it.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"The request body is not valid UTF-8 (byte {error.start})"
        ) from error
    if not text.strip():
        raise InvalidRequestError("The request body is empty; a JSON object is expected")
    try:
        value = _DECODER.decode(text)
        if not isinstance(value, dict):
            raise InvalidRequestError(
                f"The request body must be a JSON object, not {_kind_of(value)}"
            )
        return JsonObject(_raw_fields(text), value)
    except RecursionError as error:
        raise _too_deep() from error
    except json.JSONDecodeError as error:
        position = len(text[: error.pos].encode())
        raise InvalidRequestError(
            f"The request body is not valid JSON: {error.msg} (byte {position})"
        ) from refusal


def _raw_fields(text: str) -> dict[str, msgspec.Raw]:
    """The top-level fields of an object that has been parsed once, as they were written."""
    fields: dict[str, msgspec.Raw] = {}
    at = _skip_space(text, text.index("{") + 1)
    while text[at] == '"':
        name, at = _DECODER.raw_decode(text, at)
        if not _is_unicode(name):
            raise InvalidRequestError(f"The field name {name!a} holds half a surrogate pair")
        if name in fields:
            raise _duplicate(name)
        start = _skip_space(text, _skip_space(text, at) + 1)
        _, at = _DECODER.raw_decode(text, start)
        fields[name] = msgspec.Raw(text[start:at].encode())
        at = _skip_space(text, at)
        if text[at] == ",":
            at = _skip_space(text, at + 1)
    return fields


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _skip_space(text: str, at: int) -> int:
    match = _WHITESPACE.match(text, at)
    return match.end() if match else at


_WHITESPACE = re.compile(r"[ \t\n\r]*")
_KEY = re.compile(rb'[ \t\n\r]*("(?:[^"\\]|\\.)*")[ \t\n\r]*:[ \t\n\r]*')
_AFTER_VALUE = re.compile(rb"[ \t\n\r]*[,}]")


def check_duplicates(body: bytes, fields: Mapping[str, msgspec.Raw]) -> None:
    """Raise for a repeated field: it would be read differently here and at the provider."""
    count = len(fields)
    spare = len(body) - 1 - 4 * count - sum(map(len, fields)) - sum(map(len, fields.values()))
    # Compact JSON leaves nothing over, and usual spacing less than the shortest repetition takes: a
    # name and five bytes, which are its quotes, a colon, a value and a comma. Python's own spacing
    # of many fields is tried next, as a copy is cheaper than a walk.
    if spare < 5 or spare < 5 + min(map(len, fields), default=0):  # the first is cheaper
        return
    if spare == 2 * count - 1 and _spaced(fields) == body:
        return
    seen: set[str] = set()
    at = body.index(b"{") + 1
    while (key := _KEY.match(body, at)) is not None:
        name: str = json.loads(key[1])
        value = fields[name]
        end = key.end() + len(value)
        same = body.startswith(bytes(value), key.end())
        after = _AFTER_VALUE.match(body, end) if same else None
        if name in seen or after is None:
            raise _duplicate(name)
        seen.add(name)
        at = after.end()


def _spaced(fields: Mapping[str, msgspec.Raw]) -> bytes:
    pieces: list[bytes | msgspec.Raw] = []
    before = b'{"'
    for name, raw in fields.items():
        pieces += (before, name.encode(), b'": ', raw)
        before = b', "'
    pieces.append(b"}")
    return b"".join(pieces)


def _check_depth(body: bytes, value: Any) -> None:
    # A body with fewer brackets than the limit cannot be deeper; most stop here.
    braces = _count_up_to(MAX_DEPTH, b"{", body)
    brackets = _count_up_to(MAX_DEPTH, b"[", body) if braces <= MAX_DEPTH else 0
    if braces + brackets > MAX_DEPTH and is_too_deep(value, MAX_DEPTH):
        raise _too_deep()


def is_too_deep(value: Any, most: int) -> bool:
    """Whether an object or an array is nested in more levels than `most`, its own included."""
    level = [value]
    for _ in range(most):
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) in _CONTAINERS
        ]
        if not level:
            return False
    return True


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidRequestError(f"The number {text[:40]} is out of range")
    return number


def _integer(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS:
        raise InvalidRequestError(f"An integer of {len(text):,} digits is out of range")
    return int(text)


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRequestError(f"The request body is not valid JSON: {name} is not a JSON number")


_DECODER = json.JSONDecoder(
    parse_float=_finite, parse_int=_integer, parse_constant=_refuse_constant
)


def _kind_of(value: Any) -> str:
    match value:
        case list():
            return "an array"
        case str():
            return "a string"
        case None:
            return "null"
        case bool():
            return "a boolean"
        case _:
            return "a number"


def _duplicate(name: str) -> InvalidRequestError:
    return InvalidRequestError(f'The field "{name}" appears more than once', param=name)


def _too_deep() -> InvalidRequestError:
    return InvalidRequestError(f"The request body is nested more than {MAX_DEPTH} levels deep")
