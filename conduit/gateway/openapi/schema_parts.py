"""Pieces of the JSON schemas of the client-facing API."""

from conduit.gateway.openapi.answers import Json

_PASSED_ON = "Passed on to the provider as it stands."


def nullable(schema: Json) -> Json:
    return {**schema, "type": [schema["type"], "null"]}


def text(description: str) -> Json:
    return {"type": "string", "description": description}


def count(description: str) -> Json:
    return {"type": "integer", "minimum": 0, "description": description}


def object_of(required: tuple[str, ...], properties: Json, description: str = "") -> Json:
    schema: Json = {"type": "object", "required": list(required), "properties": properties}
    return {"description": description, **schema} if description else schema


def list_of(schema: str, description: str = "") -> Json:
    return {
        **object_of(
            ("object", "data"),
            {
                "object": {"type": "string", "const": "list"},
                "data": {"type": "array", "items": {"$ref": f"#/components/schemas/{schema}"}},
            },
            description,
        ),
    }


def passed_on(*names: str) -> Json:
    return {name: {"description": _PASSED_ON} for name in names}
