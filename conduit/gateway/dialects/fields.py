"""Typed reading of JSON fields that a client wrote; a wrong type is a 400 that names the field."""

from collections.abc import Mapping
from typing import Any

from conduit.core.errors import InvalidRequestError

Fields = Mapping[str, Any]

LARGEST_INTEGER = 2**53


def read_flag(fields: Fields, name: str, where: str = "") -> bool | None:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise wrong(where + name, "must be true or false")


def read_integer(
    fields: Fields, name: str, *, least: int = 1, largest: int = LARGEST_INTEGER
) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong(name, "must be an integer")
    if not least <= value <= largest:
        raise wrong(name, f"must be between {least} and {largest}")
    return value


def read_number(fields: Fields, name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(name, "must be a number")
    return value


def read_text(fields: Fields, name: str, where: str = "") -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    raise wrong(where + name, "must be a string")


def read_object_field(fields: Fields, name: str, where: str = "") -> Fields | None:
    value = fields.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise wrong(where + name, "must be an object")


def read_objects(fields: Fields, name: str, where: str = "") -> list[Fields]:
    """An array of objects; an absent or null field is an empty one."""
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong(where + name, "must be an array")
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise wrong(f"{where}{name}[{index}]", "must be an object")
    return value


def rest_of(fields: Fields, known: frozenset[str]) -> dict[str, Any]:
    """The fields that no one has a place for."""
    if known.issuperset(fields):  # as of most
        return {}
    return {name: value for name, value in fields.items() if name not in known}


def wrong(name: str, rule: str) -> InvalidRequestError:
    return InvalidRequestError(f'"{name}" {rule}', param=name)
