"""What the encoder of Anthropic requests leaves out, says in another way, or cannot say."""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.conversation import ChatRequest, Opaque
from conduit.gateway.dialects.target import InexpressibleError

NAME: Final = "anthropic_messages"
OTHER_TOOLS: Final = f"{NAME}.other_tools"
"""The extras' name for tools that are no functions, as pairs of position and tool."""

# The end of the name under which any dialect keeps the tools that its own provider runs.
_NATIVE_TOOLS = ".other_tools"
_EMPTY: Final[tuple[object, ...]] = (None, False, "", [], {}, ())


class Losses:
    """The report on one request; each name stands in it once, in the order of meeting.

    `is_own` says that the request was written in this dialect: it goes out as it stands.
    """

    def __init__(self, request: ChatRequest) -> None:
        self.is_own = request.dialect == NAME
        self._dropped: dict[str, None] = {}
        self._emulated: dict[str, None] = {}

    @property
    def dropped(self) -> tuple[str, ...]:
        return tuple(self._dropped)

    @property
    def emulated(self) -> tuple[str, ...]:
        return tuple(self._emulated)

    def drop(self, name: str) -> None:
        self._dropped[name] = None

    def drop_if(self, **wanted: object) -> None:
        """Report each name whose value says something."""
        for name, value in wanted.items():
            if value not in _EMPTY:
                self.drop(name)

    def emulate(self, name: str) -> None:
        self._emulated[name] = None

    def own(self, extras: Mapping[str, Any]) -> dict[str, Any]:
        """The extras as they stand; those of another dialect are left out and reported.

        Raises InexpressibleError for tools that only another provider can run.
        """
        if self.is_own:
            return dict(extras)
        for name, value in extras.items():
            if value in _EMPTY:
                continue
            if name.endswith(_NATIVE_TOOLS):
                raise InexpressibleError(
                    "tools", "Only functions can be offered here: other tools run at their provider"
                )
            self.drop(name)
        return {}

    def own_part(self, part: Opaque) -> dict[str, Any]:
        """The value of a part of this dialect; raises InexpressibleError for that of another."""
        if part.dialect == NAME:
            return dict(part.value)
        kind = part.value.get("type")
        word = kind if isinstance(kind, str) else part.place
        raise InexpressibleError(
            part.place, f'"{word}" can only be served by a provider whose own format has it'
        )
