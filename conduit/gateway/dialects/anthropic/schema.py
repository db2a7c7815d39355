"""Which JSON schemas Anthropic's own structured answers take.

Source: platform.claude.com/docs "Structured outputs", "JSON Schema limitations": every object must
be closed, and bounds of numbers, texts and arrays, recursion and foreign references are refused.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

_REFUSED: Final = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "patternProperties",
        "propertyNames",
        "not",
        "if",
        "oneOf",
    }
)
_MAPS: Final = ("properties", "$defs", "definitions")
_LISTS: Final = ("anyOf", "allOf", "prefixItems")


def closed_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema with every object closed, or None where it says what is not taken.

    Closing only narrows: whatever fits the closed schema fits the given one.
    """
    if schema.keys() & _REFUSED or schema.get("additionalProperties", False) is not False:
        return None
    if schema.get("minItems", 0) not in (0, 1):
        return None
    reference = schema.get("$ref", "#/")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None  # foreign, or to the whole, which is recursive
    closed = dict(schema)
    if schema.get("type") == "object" or "properties" in schema:
        closed["additionalProperties"] = False
    for name, key, part in _parts(schema):
        inner = closed_schema(part)
        if inner is None:
            return None
        if key is None:
            closed[name] = inner
        else:
            closed[name] = _replaced(closed[name], key, inner)
    return closed


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """The schemas inside, each with the name and the key under which it stands."""
    for name in _MAPS:
        inner = schema.get(name)
        if isinstance(inner, dict):
            yield from ((name, key, part) for key, part in inner.items() if isinstance(part, dict))
    for name in _LISTS:
        inner = schema.get(name)
        if isinstance(inner, list):
            yield from ((name, at, part) for at, part in enumerate(inner) if isinstance(part, dict))
    items = schema.get("items")
    if isinstance(items, dict):
        yield "items", None, items


def _replaced(container: Any, key: Any, value: Any) -> Any:
    copy = dict(container) if isinstance(container, dict) else list(container)
    copy[key] = value
    return copy
