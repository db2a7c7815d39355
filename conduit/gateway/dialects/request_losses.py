"""What an encoder of requests leaves out, or asks for in another way, as it works."""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.conversation import Opaque
from conduit.gateway.dialects.target import InexpressibleError

# Under names that end so, a dialect keeps the tools that are no functions.
_OTHER_TOOLS: Final = ".other_tools"
_EMPTY: Final[tuple[object, ...]] = (None, False, "", [], {}, ())


class Losses:
    """Names for `EncodedRequest.dropped` and `emulated`, each once and in the order they were met.

    `dialect` is the target's, `source` that of the request: extras and opaque parts go out only
    where the two are the same.
    """

    def __init__(self, dialect: str, source: str) -> None:
        self.dialect = dialect
        self.own = source == dialect
        self._dropped: dict[str, None] = {}
        self._emulated: dict[str, None] = {}

    @property
    def dropped(self) -> tuple[str, ...]:
        return tuple(self._dropped)

    @property
    def emulated(self) -> tuple[str, ...]:
        return tuple(self._emulated)

    def drop(self, *names: str) -> None:
        """Say that fields were left out which do not change the meaning of the request."""
        self._dropped |= dict.fromkeys(names)

    def drop_where(self, given: Mapping[str, object]) -> None:
        """Say so of each name whose value was given."""
        self.drop(*(name for name, value in given.items() if value))

    def emulate(self, name: str) -> None:
        self._emulated[name] = None

    def extras(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Extras that go out as they stand; those of another dialect are left out.

        Raises InexpressibleError for tools that another provider runs itself.
        """
        if self.own:
            return fields
        for name, value in fields.items():
            if value in _EMPTY:
                continue
            if name.endswith(_OTHER_TOOLS):
                reason = "Only functions can be offered here: other tools run at their own provider"
                raise InexpressibleError("tools", reason)
            self.drop(name)
        return {}

    def opaque(self, part: Opaque) -> dict[str, Any]:
        """A part that only this dialect understands; one of another is content, so refused."""
        if part.dialect != self.dialect:
            kind = part.value.get("type", part.place)
            reason = f'"{kind}" can only be served by a provider whose own format has it'
            raise InexpressibleError(part.place, reason)
        return dict(part.value)


def refuse_choices(choices: int) -> None:
    """Refuse more than one choice, for formats that write one answer alone."""
    if choices > 1:
        raise InexpressibleError("choices", "This model's provider writes one choice a request")


def without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}
