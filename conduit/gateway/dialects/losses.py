"""What an encoder of requests leaves out or says in another way, gathered for its report."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from conduit.gateway.conversation import ChatRequest, Opaque
from conduit.gateway.dialects.default_words import says_nothing
from conduit.gateway.dialects.loss_rules import RULES
from conduit.gateway.dialects.target import InexpressibleError

# Names that clients write all day to say nothing, or that only count the parts of a conversation.
_SAY_NOTHING: Final = frozenset({"id", "index", "object", "status", "type"})
# Under names that end so, a dialect keeps the tools that are no functions.
_OTHER_TOOLS: Final = ".other_tools"
_EMPTY: Final[tuple[object, ...]] = (None, "", [], {}, ())


class Losses:
    """The report on one request; each name stands in it once, in the order of meeting.

    `dialect` is the target's, `source` that of the request: extras and opaque parts go out only
    where the two are the same (`is_own`).
    """

    __slots__ = ("_dropped", "_emulated", "dialect", "is_own", "source")

    def __init__(self, dialect: str, source: str) -> None:
        self.dialect = dialect
        self.source = source
        self.is_own = source == dialect
        self._dropped: dict[str, None] = {}
        self._emulated: dict[str, None] = {}

    @property
    def dropped(self) -> tuple[str, ...]:
        return tuple(self._dropped)

    @property
    def emulated(self) -> tuple[str, ...]:
        return tuple(self._emulated)

    def lack(self, name: str) -> None:
        """Say that the target has no word for something that was asked for.

        Its rule says what follows: it is left out and reported, or InexpressibleError is raised.
        """
        rule = RULES[name]
        if rule.outcome == "refuse":
            raise InexpressibleError(name, rule.reason)
        self._dropped[name] = None

    def lack_if(self, **asked: object) -> None:
        """Say so of each name whose value is one; zero is none, as that is every default."""
        for name, value in asked.items():
            if value:
                self.lack(name)

    def lack_of(self, request: ChatRequest, names: Iterable[str]) -> None:
        """Say so of those that a request asks for; they must have a rule that tells whether."""
        for name in names:
            asked = RULES[name].asked
            if asked is not None and asked(request):
                self.lack(name)

    def emulate(self, name: str) -> None:
        """Say that something is asked for in another way."""
        self._emulated[name] = None

    def own(self, extras: Mapping[str, Any]) -> dict[str, Any]:
        """The extras as they stand where they are in this dialect; otherwise none, and a report."""
        if self.is_own:
            return dict(extras)
        for name, value in extras.items():
            if name in _SAY_NOTHING or value in _EMPTY or says_nothing(name, value):
                continue
            if name.endswith(_OTHER_TOOLS):
                reason = "Only functions can be offered here: other tools run at their own provider"
                raise InexpressibleError("tools", reason)
            rule = RULES.get(name)
            if rule is not None and rule.outcome == "refuse":
                raise InexpressibleError(name, rule.reason)
            self._dropped[name] = None
        return {}

    def own_part(self, part: Opaque) -> dict[str, Any]:
        """The value of a part of this dialect; raises InexpressibleError for that of another."""
        if part.dialect == self.dialect:
            return dict(part.value)
        kind = part.value.get("type")
        raise InexpressibleError(
            part.place,
            f'"{kind if isinstance(kind, str) else part.place}" can only be served by a provider '
            "whose own format has it",
        )


def without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}
