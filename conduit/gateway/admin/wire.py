"""Reads admin requests and writes admin answers."""

import json
import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator
from pydantic_core import from_json

from conduit.core.errors import InvalidRequestError, ValidationFailedError
from conduit.core.resources.fields import PATTERNS_IN_WORDS, Page, Patch, Resource
from conduit.gateway.server.body import BodyLimits, read_body
from conduit.gateway.storage.rows import Found, Window

R = TypeVar("R", bound=Resource)
Q = TypeVar("Q", bound=Resource)

BODY_LIMIT_BYTES = 1024 * 1024
_BODY_LIMITS = BodyLimits(max_bytes=BODY_LIMIT_BYTES)
_SHOWN_ERRORS = 5
_CURSOR = re.compile(r"^[A-Za-z0-9_-]*$")


class _NoQuery(Resource):
    """The query of operations that take none."""


def _digits(text: object) -> object:
    if isinstance(text, str) and not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError("must be a whole number")
    return text


def _truth(text: object) -> object:
    if isinstance(text, str) and text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text


QueryInt = Annotated[int, BeforeValidator(_digits)]
"""A number in a query, written one way: digits alone."""

QueryBool = Annotated[bool, BeforeValidator(_truth)]
"""A truth in a query, written as in JSON."""


class ListQuery(Resource):
    """The query of every list."""

    limit: QueryInt = Field(default=50, ge=1, le=1000)
    cursor: str | None = Field(
        default=None, max_length=1000, json_schema_extra={"pattern": _CURSOR.pattern}
    )

    @field_validator("cursor")
    @classmethod
    def _made_here(cls, cursor: str | None) -> str | None:
        """Before anything is asked for that is then not shown."""
        if cursor is not None and _CURSOR.fullmatch(cursor) is None:
            raise ValueError("not one that this gateway gave")
        return cursor

    def window(self) -> Window:
        return Window(limit=self.limit, cursor=self.cursor)


def query_of(request: web.Request, query_type: type[Q] | None) -> Q | None:
    """The query, checked; None where none is taken. Raises ValidationFailedError."""
    for name in request.query:
        if len(request.query.getall(name)) > 1:
            raise ValidationFailedError(f"{name}: given more than once", param=name)
    given = dict(request.query)
    _refuse_unstorable(given, "query")
    if query_type is not None:
        return validated(query_type, given)
    validated(_NoQuery, given)
    return None


async def body_of(request: web.Request, resource_type: type[R]) -> R:
    """The body, checked. Raises InvalidRequestError, ValidationFailedError."""
    raw = await read_body(request, _BODY_LIMITS)
    try:
        given = from_json(raw, allow_inf_nan=False)
        json.loads(raw, object_pairs_hook=_each_once)
    except ValueError:
        # Not the parser's own words, which may quote the body.
        raise InvalidRequestError("the body is not valid JSON") from None
    _refuse_unstorable(given, "body")
    return validated(resource_type, given, strict=True)


def _each_once(fields: Sequence[tuple[str, Any]]) -> None:
    """Raise for a field that is there twice: the parsers let the last one win without a word."""
    seen: set[str] = set()
    for name, _ in fields:
        if name in seen:
            raise InvalidRequestError(f"the field {name[:80]!r} is given more than once")
        seen.add(name)


def _refuse_unstorable(given: object, at: str) -> None:
    """Raise for what not every database can store, `at` says where: U+0000, and a number that is
    infinite for a float (1e400), which the parser lets through.
    """
    match given:
        case str() if "\0" in given:
            raise ValidationFailedError(f"{at}: may not hold the character U+0000", param=at)
        case float() if not math.isfinite(given):
            raise ValidationFailedError(f"{at}: the number is too large", param=at)
        case dict():
            for name, value in given.items():
                _refuse_unstorable(name, at)
                _refuse_unstorable(value, str(name))
        case list():
            for value in given:
                _refuse_unstorable(value, at)
        case _:
            pass


def validated(resource_type: type[R], given: object, *, strict: bool = False) -> R:
    """What was given as a resource. Raises ValidationFailedError.

    A query is all text, so its fields say how they are read; JSON has types, and means them.
    """
    try:
        return resource_type.model_validate(given, strict=strict)
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> ValidationFailedError:
    """The errors by field, without the values that were given: one of them may be a secret."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    lines = []
    for each in found[:_SHOWN_ERRORS]:
        name = ".".join(str(part) for part in each["loc"]) or "body"
        message = each["msg"].removeprefix("Value error, ")
        if each["type"] == "extra_forbidden":
            message = "there is no such field"
        elif each["type"] == "string_pattern_mismatch":
            message = _in_words(message)
        lines.append(f"{name}: {message}")
    if len(found) > _SHOWN_ERRORS:
        lines.append(f"and {len(found) - _SHOWN_ERRORS} more")
    param = ".".join(str(part) for part in found[0]["loc"]) or None
    return ValidationFailedError("; ".join(lines), param=param)


def _in_words(message: str) -> str:
    """What a text has to be, where its pattern is one that people meet."""
    for pattern, words in PATTERNS_IN_WORDS.items():
        if pattern in message:
            return f"must be {words}"
    return message


def changes_of(patch: Patch) -> dict[str, Any]:
    """The fields that a patch names, but for its version."""
    return {name: getattr(patch, name) for name in patch.model_fields_set if name != "version"}


def page(found: Found[Any], views: Sequence[R]) -> Page[R]:
    """A page of a list: what was found, as it is shown."""
    return Page[Any](data=list(views), next_cursor=found.next_cursor)


def response_of(given: BaseModel | bytes | None, status: int) -> web.Response:
    """What a handler gave, as an answer; bytes are JSON already."""
    if given is None:
        return web.Response(status=status)
    body = given if isinstance(given, bytes) else given.model_dump_json().encode()
    return web.Response(body=body, status=status, content_type="application/json")
