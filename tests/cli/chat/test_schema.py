"""Which values fit a JSON schema, as far as the command line knows schemas."""

from typing import Any

import pytest

from conduit.cli.chat.schema import problems, response_format, unchecked
from conduit.cli.failures import Failure

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"tag": {"enum": ["a", "b"]}},
}


@pytest.mark.parametrize(
    ("schema", "value", "found"),
    [
        (PERSON, {"name": "x", "tags": ["a"]}, []),
        (PERSON, {"tags": ["c"]}, ["$: name is missing", '$.tags[0]: none of ["a", "b"]']),
        (PERSON, {"name": 1, "more": 2}, ["$.name: not string", "$: more is not in the schema"]),
        ({"type": ["string", "null"]}, None, []),
        ({"type": "integer"}, 1.0, []),
        ({"type": "integer"}, True, ["$: not integer"]),
        ({"type": "number"}, 1.5, []),
        ({"const": 1}, 2, ["$: not 1"]),
        ({"minItems": 2}, [1], ["$: fewer than 2 items"]),
        ({"maxLength": 2}, "abc", ["$: longer than 2"]),
        ({"minimum": 2}, 1, ["$: less than 2"]),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            1,
            ["$: fits 0 of the anyOf alternatives"],
        ),
        (
            {"oneOf": [{"type": "integer"}, {"minimum": 0}]},
            1,
            ["$: fits 2 of the oneOf alternatives"],
        ),
        ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "", ["$: shorter than 1"]),
        ({"additionalProperties": {"type": "string"}}, {"x": 1}, ["$.x: not string"]),
        ({"properties": {"x": False}}, {"x": 1}, ["$: x is not in the schema"]),
        ({"$ref": "https://example.org/schema"}, 1, []),
        ({}, object, []),
    ],
)
def test_problems_are_found_with_their_place(
    schema: dict[str, Any], value: Any, found: list[str]
) -> None:
    assert problems(schema, value) == found


def test_a_schema_that_refers_to_itself_comes_to_an_end() -> None:
    assert problems({"$ref": "#"}, 1) == []


def test_a_schema_with_keywords_of_the_wrong_kind_is_a_failure() -> None:
    with pytest.raises(Failure, match="not a proper schema"):
        problems({"required": 5}, {})


def test_what_is_not_checked_is_known() -> None:
    assert unchecked({"properties": {"x": {"pattern": "a+", "type": "string"}}}) == ["pattern"]
    assert unchecked({"$comment": "words", "items": {"properties": 5, "anyOf": 5}}) == []


def test_strict_mode_is_asked_for_where_the_schema_allows_it() -> None:
    open_object = {"type": "object", "properties": {"x": {}}, "required": ["x"]}
    assert response_format(open_object)["json_schema"]["strict"] is False
    closed = {**open_object, "additionalProperties": False}
    assert response_format(closed)["json_schema"]["strict"] is True
