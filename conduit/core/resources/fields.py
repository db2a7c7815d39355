"""Field types that several resources share."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from conduit.core.money import format_usd, parse_usd

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_USD = r"^\s*\$?([0-9]+\.?[0-9]*|\.[0-9]+)\s*$"


class Resource(BaseModel):
    """The base of all: unknown fields are refused, values are frozen."""

    # A refused value may be a secret in the wrong place, so no error repeats it.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        defer_build=True,  # a validator is built when it is first needed, not at every start
    )


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError("is no time zone of the IANA database") from error
    return name


TimeZone = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    AfterValidator(_known_zone),
    Field(examples=["UTC", "Europe/Berlin"]),
]


class Patch(Resource):
    """A change of some fields: one that is left out stays as it is.

    Null is refused but for the fields in `nullable`, where it means something. `version` may be
    null, which is to say nothing of it.
    """

    nullable: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def _may_be_null(cls, name: str | None) -> bool:
        return name == "version" or name in cls.nullable

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_null(cls, value: object, info: ValidationInfo) -> object:
        if value is None and not cls._may_be_null(info.field_name):
            raise ValueError("may not be null; leave it out")
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """A field of None by default is one that may be left out, and none that may be null."""
        reference = handler(core_schema)
        properties = handler.resolve_ref_schema(reference).get("properties", {})
        for name, field in properties.items():
            if not cls._may_be_null(name):
                field.pop("default", None)
                choices = [each for each in field.pop("anyOf", ()) if each != {"type": "null"}]
                if len(choices) == 1:
                    field |= choices[0]
                elif choices:
                    field["anyOf"] = choices
        return reference


class Page(Resource, Generic[T]):
    """A list of resources; `next_cursor` is None on the last page."""

    data: list[T]
    next_cursor: str | None = None


def _canonical_usd(text: str) -> str:
    return format_usd(parse_usd(text))


def time_text(at_ms: int | None) -> str | None:
    """RFC 3339 in UTC with milliseconds; None stays None. Raises ValueError beyond the calendar."""
    if at_ms is None:
        return None
    try:
        moment = _EPOCH + at_ms * _MILLISECOND
    except OverflowError as error:
        raise ValueError("a time must be of the years 1 to 9999 in UTC") from error
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_ms(text: str) -> int:
    """Epoch milliseconds of an RFC 3339 text that names its offset. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("a time is written as 2026-01-31T00:00:00Z") from error
    if moment.tzinfo is None:
        raise ValueError(f"a time needs an offset, such as 2026-01-31T00:00:00Z: {text!r}")
    return (moment - _EPOCH) // _MILLISECOND


def _canonical_time(text: str) -> str:
    return str(time_text(time_ms(text)))


Usd = Annotated[
    str,
    AfterValidator(_canonical_usd),
    WithJsonSchema({"type": "string", "pattern": _USD, "examples": ["12.34"]}),
]
"""A decimal string in USD, such as "12.34"."""

UsdSum = Annotated[str, WithJsonSchema({"type": "string", "pattern": _USD, "examples": ["12.34"]})]
"""A sum of amounts that this gateway made, which may exceed what one amount can be."""

Time = Annotated[
    str,
    AfterValidator(_canonical_time),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-01-31T00:00:00.000Z"]}
    ),
]
"""An RFC 3339 time in UTC."""

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_ALIAS = r"^[A-Za-z0-9*@][A-Za-z0-9*@._:/+-]{0,199}$"
_MODEL = r"^[\x21-\x7e]{1,200}$"
PATTERNS_IN_WORDS: Mapping[str, str] = {
    _NAME: "up to 64 letters, digits and . _ - that begin with a letter or a digit",
    _ALIAS: (
        "up to 200 letters, digits and * @ . _ : / + - that begin with a letter, a digit, * or @"
    ),
    _MODEL: "up to 200 visible ASCII characters without a space",
}
"""What people are told in the place of a pattern."""

Name = Annotated[str, StringConstraints(pattern=_NAME)]
"""A name that is safe in paths, files and shells."""

Alias = Annotated[str, StringConstraints(pattern=_ALIAS)]
"""The name of a model as clients say it; slashes and colons as vendors write them."""

ModelName = Annotated[str, StringConstraints(pattern=_MODEL)]
"""The name of a model as its provider says it."""

ModelPattern = Annotated[str, StringConstraints(pattern=_MODEL)]
"""Names of aliases, with `*` for any run of characters."""

JsonObject = dict[str, Any]
