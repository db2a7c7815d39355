"""What an encoder of requests leaves out or says in another way, gathered for its report."""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.conversation import ChatRequest, Opaque
from conduit.gateway.dialects.target import InexpressibleError

# Names that clients write all day to say nothing, or that only count the parts of a conversation.
_SAY_NOTHING: Final = frozenset({"id", "index", "object", "status", "type"})


class Losses:
    """The report on one request that is written in `dialect`; each name stands in it once."""

    def __init__(self, request: ChatRequest, dialect: str) -> None:
        self.is_own = request.dialect == dialect
        self.asked_in = request.dialect
        self._dialect = dialect
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

    def emulate(self, name: str) -> None:
        self._emulated[name] = None

    def own(self, extras: Mapping[str, Any]) -> dict[str, Any]:
        """The extras as they stand where they are in this dialect; otherwise none, and a report."""
        if self.is_own:
            return dict(extras)
        for name, value in extras.items():
            if name not in _SAY_NOTHING and value not in (None, [], {}, ()):
                self.drop(name)
        return {}

    def own_part(self, part: Opaque) -> dict[str, Any]:
        """The value of a part of this dialect; raises InexpressibleError for that of another."""
        if part.dialect == self._dialect:
            return dict(part.value)
        kind = part.value.get("type")
        raise InexpressibleError(
            part.place,
            f'"{kind if isinstance(kind, str) else part.place}" can only be served by a provider '
            "whose own format has it",
        )
