"""Whether an answer fits the JSON schema that was asked for.

The keywords checked are those that shape an answer: type, enum, const, properties, required,
additionalProperties, items, minItems, maxItems, minLength, maxLength, minimum, maximum, anyOf,
oneOf, allOf and $ref within the document. `unchecked` names the others, such as pattern.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from conduit.cli.failures import Failure
from conduit.cli.files import json_of

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
    "number": lambda value: _is_number(value),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
_LIMITS: Mapping[str, tuple[type | tuple[type, ...], Callable[[Any, Any], bool], str]] = {
    "minItems": (list, lambda value, limit: len(value) >= limit, "fewer than {} items"),
    "maxItems": (list, lambda value, limit: len(value) <= limit, "more than {} items"),
    "minLength": (str, lambda value, limit: len(value) >= limit, "shorter than {}"),
    "maxLength": (str, lambda value, limit: len(value) <= limit, "longer than {}"),
    "minimum": ((int, float), lambda value, limit: value >= limit, "less than {}"),
    "maximum": ((int, float), lambda value, limit: value <= limit, "more than {}"),
}
_CHECKED = frozenset(
    {
        *("type", "enum", "const", "properties", "required", "additionalProperties", "items"),
        *("anyOf", "oneOf", "allOf", "$ref", *_LIMITS),
    }
)
_WORDS = frozenset(
    {
        *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"),
        *("$schema", "$id", "$comment", "$defs", "definitions"),
    }
)
_DEEPEST = 64


def read_schema(file: str) -> dict[str, Any]:
    """The schema in a file. Raises Failure when it is none."""
    schema = json_of(file, f"--schema {file}", code="bad_schema")
    if not isinstance(schema, dict):
        raise Failure(f"--schema {file}: a schema is an object", code="bad_schema")
    return schema


def response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The parameter that asks a model for it; strict where the schema allows that."""
    name = "".join(
        c if c.isascii() and c.isalnum() else "_" for c in str(schema.get("title") or "answer")
    )[:64]
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "schema": dict(schema), "strict": _fits_strict(schema)},
    }


def unchecked(schema: Any) -> list[str]:
    """Keywords of the schema that `problems` knows nothing about."""
    return sorted({name for part in _parts(schema) for name in part} - _CHECKED - _WORDS)


def problems(schema: Mapping[str, Any], value: Any) -> list[str]:
    """What is wrong with a value, each with its place: `$.items[2]: not a string`.

    Raises Failure for a schema whose keywords hold something else than they may.
    """
    try:
        return list(_problems(schema, value, "$", schema, 0))
    except (TypeError, AttributeError) as error:
        raise Failure(f"--schema: not a proper schema ({error})", code="bad_schema") from error


def _problems(
    schema: Any, value: Any, at: str, root: Mapping[str, Any], depth: int
) -> Iterator[str]:
    if schema is True or depth > _DEEPEST:
        return
    if schema is False:
        yield f"{at}: not allowed"
        return
    if "$ref" in schema:
        yield from _problems(_referred(schema["$ref"], root), value, at, root, depth + 1)
    yield from _own_problems(schema, value, at)
    for part in schema.get("allOf", ()):
        yield from _problems(part, value, at, root, depth + 1)
    for name in ("anyOf", "oneOf"):
        yield from _alternatives(name, schema, value, at, root, depth)
    if isinstance(value, dict):
        yield from _object_problems(schema, value, at, root, depth)
    if isinstance(value, list) and "items" in schema:
        for index, inner in enumerate(value):
            yield from _problems(schema["items"], inner, f"{at}[{index}]", root, depth + 1)


def _own_problems(schema: Mapping[str, Any], value: Any, at: str) -> Iterator[str]:
    kinds = schema.get("type")
    wanted = [kinds] if isinstance(kinds, str) else list(kinds or ())
    if wanted and not any(_TYPES[kind](value) for kind in wanted if kind in _TYPES):
        yield f"{at}: not {' or '.join(wanted)}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: none of {json.dumps(schema['enum'], ensure_ascii=False)}"
    if "const" in schema and value != schema["const"]:
        yield f"{at}: not {json.dumps(schema['const'], ensure_ascii=False)}"
    for name, (kind, holds, text) in _LIMITS.items():
        known = isinstance(value, kind) and not isinstance(value, bool)
        if name in schema and known and not holds(value, schema[name]):
            yield f"{at}: {text.format(schema[name])}"


def _object_problems(
    schema: Mapping[str, Any],
    value: Mapping[str, Any],
    at: str,
    root: Mapping[str, Any],
    depth: int,
) -> Iterator[str]:
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{at}: {name} is missing"
    for name, inner in value.items():
        part = known.get(name, schema.get("additionalProperties", True))
        if part is False:
            yield f"{at}: {name} is not in the schema"
        else:
            yield from _problems(part, inner, f"{at}.{name}", root, depth + 1)


def _alternatives(
    name: str, schema: Mapping[str, Any], value: Any, at: str, root: Mapping[str, Any], depth: int
) -> Iterator[str]:
    if name not in schema:
        return
    fitting = sum(not list(_problems(part, value, at, root, depth + 1)) for part in schema[name])
    if not fitting or (name == "oneOf" and fitting > 1):
        yield f"{at}: fits {fitting} of the {name} alternatives"


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    """A part of the document itself; what is elsewhere is not fetched and holds for everything."""
    part: Any = root
    if not reference.startswith("#"):
        return True
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            name = step.replace("~1", "/").replace("~0", "~")
            part = part.get(name, True) if isinstance(part, dict) else True
    return part


def _fits_strict(schema: Any) -> bool:
    """Strict mode wants each object closed and each of its properties required."""
    return all(
        part.get("additionalProperties") is False
        and set(part.get("required", ())) == set(part.get("properties", ()))
        for part in _parts(schema)
        if part.get("type") == "object" or "properties" in part
    )


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """The schema and all schemas inside it."""
    if not isinstance(schema, dict):
        return
    yield schema
    for name in ("properties", "$defs", "definitions"):
        if isinstance(named := schema.get(name), dict):
            for inner in named.values():
                yield from _parts(inner)
    for name in ("anyOf", "oneOf", "allOf"):
        if isinstance(listed := schema.get(name), list):
            for inner in listed:
                yield from _parts(inner)
    for name in ("items", "additionalProperties"):
        yield from _parts(schema.get(name))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
