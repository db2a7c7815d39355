from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.providers._simulated_json import instance_of


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, "simulated"),
        (None, "simulated"),
        ({"type": "string"}, "simulated"),
        ({"type": "string", "maxLength": 3}, "sim"),
        ({"type": "string", "minLength": 12}, "simulated..."),
        ({"type": "string", "format": "date"}, "2026-01-31"),
        ({"type": "string", "examples": ["x"]}, "x"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 7}, 7),
        ({"type": "integer", "exclusiveMinimum": 7}, 8),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "exclusiveMaximum": 1}, 0),
        ({"type": "integer", "minimum": 7, "multipleOf": 5}, 10),
        ({"type": "integer", "maximum": -3, "multipleOf": 5}, -5),
        ({"type": "number"}, 1.5),
        ({"type": "number", "minimum": 2}, 2),
        ({"type": "number", "maximum": 1}, 1),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "number", "exclusiveMinimum": 5}, 6),
        ({"type": "number", "exclusiveMaximum": 0}, -1),
        ({"type": "number", "multipleOf": 0.5, "minimum": 2.2}, 2.5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"type": ["null"]}, None),
        ({"const": {"a": 1}}, {"a": 1}),
        ({"enum": [3, 4]}, 3),
        ({"default": 9}, 9),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"oneOf": [{"type": "boolean"}]}, True),
        ({"type": "array", "items": {"type": "boolean"}}, [True]),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"type": "array", "maxItems": 0}, []),
        ({"prefixItems": [{"type": "integer"}, {"type": "null"}]}, [1, None]),
        ({"properties": {"a": {"type": "null"}}}, {"a": None}),
        ({"type": "object", "required": ["b"]}, {"b": "simulated"}),
        (
            {"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]},
            {"a": 1, "b": 2},
        ),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "integer"}}}, 1),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 4}}}, 4),
        ({"$ref": "#/$defs/missing"}, "simulated"),
    ],
)
def test_a_value_is_valid_for_its_schema(schema: Any, value: Any) -> None:
    made = instance_of(schema)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]},
        {"type": "array", "items": {"$ref": "#"}},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"anyOf": [{"$ref": "#"}]},
        {"allOf": [{"$ref": "#"}]},
    ],
)
def test_a_recursive_schema_ends(schema: Any) -> None:
    instance_of(schema)


def test_a_recursive_list_takes_the_way_out() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["next"],
    }
    value: Any = instance_of(node)
    depth = 0
    while value is not None:
        value = value["next"]
        depth += 1
    assert depth < 20


@pytest.mark.parametrize("required", [True, False])
def test_a_schema_that_branches_at_every_level_stays_small(required: bool) -> None:
    names = [f"p{number}" for number in range(8)]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: {"$ref": "#"} for name in names},
    }
    if required:
        schema["required"] = names
    assert len(str(instance_of(schema))) < 100_000


KEYWORDS = st.sampled_from(
    (
        "type",
        "$ref",
        "allOf",
        "anyOf",
        "oneOf",
        "properties",
        "required",
        "items",
        "prefixItems",
        "enum",
        "const",
        "default",
        "examples",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "format",
        "a",
    )
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["object", "array", "string", "integer", "number", "#", "#/a", "date"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=5),
    max_leaves=12,
)


@given(st.dictionaries(KEYWORDS, VALUES, max_size=6))
def test_no_schema_raises(schema: dict[str, Any]) -> None:
    instance_of(schema)
