"""JSON schemas of the resources: the pydantic models as the document names them."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from conduit.gateway.openapi.answers import Json

Mode = Literal["validation", "serialization"]
Wanted = tuple[type[BaseModel], Mode]

_TEMPLATE = "#/components/schemas/{model}"


class _Schemas(GenerateJsonSchema):
    """Titles say nothing that the names of the fields do not."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401  # pydantic's own
        return False

    def normalize_name(self, name: str) -> str:
        """`KeyPage` for a page of `KeyView`."""
        if name.startswith("Page[") and name.endswith("]"):
            name = f"{name[5:-1].removesuffix('View')}Page"
        return super().normalize_name(name)


def schemas_of(wanted: Iterable[Wanted]) -> tuple[Mapping[Wanted, Json], Json]:
    """A reference for each model that is taken or given, and the schemas they point to."""
    ordered = sorted(set(wanted), key=lambda each: (each[0].__name__, each[1]))
    found, definitions = models_json_schema(
        ordered, ref_template=_TEMPLATE, schema_generator=_Schemas
    )
    return {each: found[each] for each in ordered}, dict(definitions.get("$defs", {}))


def parameters_of(query: Json) -> list[Json]:
    """The query's parameters out of the schema of its model."""
    required = query.get("required", ())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            **_described(_without_null(schema)),
        }
        for name, schema in query.get("properties", {}).items()
    ]


def _without_null(schema: Json) -> Json:
    """A parameter that is not given is absent: no text stands for null."""
    rest = {
        name: value
        for name, value in schema.items()
        if name != "anyOf" and not (name == "default" and value is None)
    }
    for choice in schema.get("anyOf", ()):
        if choice.get("type") != "null":
            rest |= choice
    return rest


def _described(schema: Json) -> Json:
    schema = dict(schema)
    description = schema.pop("description", None)
    return (
        {"schema": schema}
        if description is None
        else {
            "description": description,
            "schema": schema,
        }
    )
