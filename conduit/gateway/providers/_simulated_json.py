"""Values that are valid for a JSON schema, made up without a model."""

import math
from collections.abc import Mapping
from typing import Any, cast

# A recursive schema is followed no deeper than this where it leaves a way out, and a schema that
# leaves none, or branches at every level, ends when the values are used up.
_MAX_DEPTH = 12
_MAX_VALUES = 2000
_MAX_REFERENCES = 16
_MAX_TEXT = 100_000
_SMALLEST_STEP = 1e-9
_LARGEST_STEPS = 1e15
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "simulated@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/simulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_Schema = Mapping[str, Any]
Json = dict[str, "Json"] | list["Json"] | str | float | bool | None


def instance_of(schema: object, text: str = "simulated") -> Json:
    """A value that is valid for `schema`; `text` fills its strings.

    Patterns are beyond it: a string with one takes the schema's own example or default, if it has.
    """
    root = schema if isinstance(schema, dict) else {}
    return _Maker(root, text).make(root, 0)


class _Maker:
    """Makes values for the parts of one schema, whose references point into it."""

    def __init__(self, root: _Schema, text: str) -> None:
        self._root = root
        self._text = text
        self._left = _MAX_VALUES

    def make(self, part: object, depth: int) -> Json:
        self._left -= 1
        if self._left < 0 or depth > 4 * _MAX_DEPTH:
            return None
        schema = self._resolve(part)
        given = _given(schema)
        if given:
            return cast(Json, given[0])
        branch = self._branch(schema, depth)
        if branch is not None:
            return self.make(branch, depth + 1)
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer":
                return _integer(schema)
            case "number":
                return _number(schema)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema)

    def _resolve(self, schema: object, steps: int = _MAX_REFERENCES) -> _Schema:
        """The schema behind its references, with the schemas that must hold as well joined in."""
        while isinstance(schema, dict) and isinstance(schema.get("$ref"), str) and steps > 0:
            schema = self._referenced(schema["$ref"])
            steps -= 1
        if not isinstance(schema, dict):
            return {}
        joined = dict(schema)
        for part in _list(schema.get("allOf")) if steps > 0 else ():
            other = self._resolve(part, steps - 1)
            properties = _object(joined.get("properties")) | _object(other.get("properties"))
            required = [*_list(joined.get("required")), *_list(other.get("required"))]
            joined |= other
            joined |= {"properties": properties, "required": required}
        return joined

    def _referenced(self, reference: str) -> object:
        found: object = self._root
        for name in reference.removeprefix("#").strip("/").split("/"):
            name = name.replace("~1", "/").replace("~0", "~")
            if name and isinstance(found, dict):
                found = found.get(name)
        return found

    def _branch(self, schema: _Schema, depth: int) -> object:
        for name in ("anyOf", "oneOf"):
            branches = _list(schema.get(name))
            if branches:
                # The last branch is where recursive schemas put the way out.
                return branches[0] if depth < _MAX_DEPTH else branches[-1]
        return None

    def _object(self, schema: _Schema, depth: int) -> dict[str, Json]:
        properties = _object(schema.get("properties"))
        required = [name for name in _list(schema.get("required")) if isinstance(name, str)]
        names = list(properties) if depth < _MAX_DEPTH else []
        names += [name for name in required if name not in names]
        return {name: self.make(properties.get(name), depth + 1) for name in names}

    def _array(self, schema: _Schema, depth: int) -> list[Json]:
        values = [self.make(item, depth + 1) for item in _list(schema.get("prefixItems"))]
        wanted = max(_size(schema, "minItems") or 0, 1 if depth < _MAX_DEPTH else 0)
        most = _size(schema, "maxItems")
        wanted = min(wanted, _MAX_VALUES if most is None else most)
        while len(values) < wanted:
            values.append(self.make(schema.get("items"), depth + 1))
        return values

    def _string(self, schema: _Schema) -> str:
        known = _FORMATS.get(str(schema.get("format")))
        if known is not None:
            return known
        text = self._text.ljust(min(_size(schema, "minLength") or 0, _MAX_TEXT), ".")
        return text[: _size(schema, "maxLength")]


def _given(schema: _Schema) -> list[Any]:
    """Values that the schema itself brings, best first."""
    fixed = [schema[name] for name in ("const", "default") if name in schema]
    return fixed or _list(schema.get("enum")) or _list(schema.get("examples"))


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _size(schema: _Schema, name: str) -> int | None:
    value = schema.get(name)
    return max(value, 0) if type(value) is int else None


def _step(schema: _Schema) -> float | None:
    """`multipleOf`, where it is a step that can be taken."""
    value = schema.get("multipleOf")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if value > _SMALLEST_STEP else None


def _type_of(schema: _Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def _integer(schema: _Schema) -> int:
    least, most = _bounds(schema, step=1)
    number = 1 if least <= 1 <= most else math.ceil(least) if least > 1 else math.floor(most)
    step = _step(schema)
    if step is not None and step == int(step):
        whole = int(step)
        up = -(-number // whole) * whole
        number = up if up <= most else number // whole * whole
    return number


def _number(schema: _Schema) -> float:
    least, most = _bounds(schema, step=0)
    if "exclusiveMinimum" in schema or "exclusiveMaximum" in schema:
        if math.isfinite(least) and math.isfinite(most):
            return least / 2 + most / 2
        return least + 1 if math.isfinite(least) else min(1.0, most - 1)
    multiple = _step(schema)
    if multiple is not None and abs(least) < _LARGEST_STEPS:
        return math.ceil(least / multiple) * multiple
    return multiple if multiple is not None else min(max(1.5, least), most)


def _bounds(schema: _Schema, *, step: int) -> tuple[float, float]:
    least, most = -math.inf, math.inf
    for name, inward in (("minimum", 0), ("exclusiveMinimum", step)):
        value = schema.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            least = max(least, value + inward)
    for name, inward in (("maximum", 0), ("exclusiveMaximum", step)):
        value = schema.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            most = min(most, value - inward)
    return least, most
