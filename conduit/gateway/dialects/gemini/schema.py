"""Schemas, between Gemini's subset of OpenAPI and JSON Schema.

Requests to a provider use the fields that take JSON Schema (`responseJsonSchema`,
`parametersJsonSchema`); only clients still send the older `Schema` objects.
Source: https://ai.google.dev/api/generate-content#GenerationConfig and /api/caching#Schema.
"""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.dialects.gemini.words import camel

_COUNTS = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
)
# Where schemas stand inside a schema.
_ONE: Final = frozenset({"items", "additionalProperties", "not"})
_LIST: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_NAMED: Final = frozenset({"properties", "$defs", "definitions", "patternProperties"})


def json_schema_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A client's OpenAPI `Schema` as JSON Schema: small types, null among them, counts as numbers.

    `propertyOrdering` is left out, as the order of `properties` says the same.
    """
    named = camel(schema)
    nullable = named.pop("nullable", None) is True
    ordering = named.pop("propertyOrdering", None)
    renamed: dict[str, Any] = {}
    for name, value in named.items():
        match name:
            case "type" if isinstance(value, str):
                renamed["type"] = value.lower()
            case "defs" | "ref":
                renamed[f"${name}"] = value
            case "example":
                renamed["examples"] = [value]
            case "format" if value == "enum":
                pass
            case _ if name in _COUNTS and isinstance(value, str) and value.isdecimal():
                renamed[name] = int(value)
            case _:
                renamed[name] = value
    if isinstance(renamed.get("$ref"), str):
        renamed["$ref"] = renamed["$ref"].replace("#/defs/", "#/$defs/")
    _order(renamed, ordering)
    changed = _inside(renamed, json_schema_of)
    return _nullable(changed) if nullable else changed


def cleaned(schema: Mapping[str, Any]) -> dict[str, Any]:
    """JSON Schema in the words that the provider knows, with the same meaning.

    It knows no `const`, and nothing may stand beside a `$ref`.
    """
    named = dict(schema)
    if "const" in named and "enum" not in named:
        named = {
            ("enum" if name == "const" else name): ([value] if name == "const" else value)
            for name, value in named.items()
        }
    has_more = any(not name.startswith("$") for name in named)
    if "$ref" in named and has_more and "anyOf" not in named:
        named["anyOf"] = [{"$ref": named.pop("$ref")}]
    return _inside(named, cleaned)


def cleaned_parameters(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a function's parameters, which must be that of an object."""
    named = cleaned(schema)
    if not named.keys() & {"type", "$ref", "anyOf", "oneOf", "allOf"}:
        return {"type": "object", **named}
    return named


def _inside(schema: dict[str, Any], change: Any) -> dict[str, Any]:
    """The schema with every schema in it changed."""
    for name, value in schema.items():
        if name in _ONE and isinstance(value, dict):
            schema[name] = change(value)
        elif name in _LIST and isinstance(value, list):
            schema[name] = [change(item) if isinstance(item, dict) else item for item in value]
        elif name in _NAMED and isinstance(value, dict):
            schema[name] = {
                key: change(item) if isinstance(item, dict) else item for key, item in value.items()
            }
    return schema


def _order(schema: dict[str, Any], ordering: Any) -> None:
    properties = schema.get("properties")
    if isinstance(properties, dict) and isinstance(ordering, list):
        first = [name for name in ordering if isinstance(name, str) and name in properties]
        schema["properties"] = {name: properties[name] for name in first} | properties


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if isinstance(kind, str):
        schema["type"] = [kind, "null"]
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
    elif isinstance(schema.get("anyOf"), list):
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    return schema
