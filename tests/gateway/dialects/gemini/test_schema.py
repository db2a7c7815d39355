from typing import Any

import pytest

from conduit.gateway.dialects.gemini.schema import cleaned, cleaned_parameters, json_schema_of


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, {}),
        (
            {"type": "OBJECT", "properties": {"a_b": {"type": "STRING"}}, "required": ["a_b"]},
            {"type": "object", "properties": {"a_b": {"type": "string"}}, "required": ["a_b"]},
        ),
        ({"type": "INTEGER", "nullable": True}, {"type": ["integer", "null"]}),
        ({"type": "INTEGER", "nullable": False}, {"type": "integer"}),
        (
            {"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"enum": [None], "type": "STRING", "nullable": True},
            {"enum": [None], "type": ["string", "null"]},
        ),
        (
            {"any_of": [{"type": "STRING"}], "nullable": True},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
        ),
        ({"nullable": True, "description": "d"}, {"description": "d"}),
        (
            {"type": "ARRAY", "items": {"type": "NUMBER"}, "min_items": "1", "maxItems": 3},
            {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 3},
        ),
        ({"minItems": "x"}, {"minItems": "x"}),
        ({"format": "date-time", "example": 1}, {"format": "date-time", "examples": [1]}),
        (
            {"ref": "#/defs/P", "defs": {"P": {"type": "STRING"}, "odd": 1}},
            {"$ref": "#/$defs/P", "$defs": {"P": {"type": "string"}, "odd": 1}},
        ),
        (
            {"properties": {"a": {}, "b": {}}, "propertyOrdering": ["b", 5, "c"]},
            {"properties": {"b": {}, "a": {}}},
        ),
        ({"propertyOrdering": ["b"]}, {}),
        ({"anyOf": [True, {"type": "NULL"}]}, {"anyOf": [True, {"type": "null"}]}),
        ({"type": ["string"]}, {"type": ["string"]}),
    ],
)
def test_an_openapi_schema_becomes_json_schema(
    schema: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = json_schema_of(schema)
    assert found == expected
    assert list(found.get("properties", {})) == list(expected.get("properties", {}))


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": 1, "title": "t"}, {"enum": [1], "title": "t"}),
        ({"const": 1, "enum": [1, 2]}, {"const": 1, "enum": [1, 2]}),
        ({"$ref": "#/$defs/P"}, {"$ref": "#/$defs/P"}),
        ({"$ref": "#/$defs/P", "$comment": "c"}, {"$ref": "#/$defs/P", "$comment": "c"}),
        (
            {"$ref": "#/$defs/P", "description": "d"},
            {"description": "d", "anyOf": [{"$ref": "#/$defs/P"}]},
        ),
        (
            {"$ref": "#/$defs/P", "anyOf": [{"const": "a"}]},
            {"$ref": "#/$defs/P", "anyOf": [{"enum": ["a"]}]},
        ),
        (
            {"type": "object", "additionalProperties": {"const": 1}, "$defs": {"P": {"const": 2}}},
            {
                "type": "object",
                "additionalProperties": {"enum": [1]},
                "$defs": {"P": {"enum": [2]}},
            },
        ),
        (
            {"properties": {"const": {"type": "string"}}},
            {"properties": {"const": {"type": "string"}}},
        ),
    ],
)
def test_a_schema_is_said_in_words_that_the_provider_knows(
    schema: dict[str, Any], expected: dict[str, Any]
) -> None:
    before = repr(schema)
    assert cleaned(schema) == expected
    assert repr(schema) == before


def test_parameters_are_those_of_an_object() -> None:
    assert cleaned_parameters({}) == {"type": "object"}
    assert cleaned_parameters({"properties": {}}) == {"type": "object", "properties": {}}
    assert cleaned_parameters({"$ref": "#"}) == {"$ref": "#"}
    assert cleaned_parameters({"type": "string"}) == {"type": "string"}
