"""Which events a reader asked for: some kinds, and requests that hold a filter."""

from collections.abc import Iterable
from dataclasses import dataclass

from conduit.core.events import Event, EventKind
from conduit.core.filters import Filter, Predicate, compile_filter, parse_filter

_REQUEST_KINDS = frozenset({EventKind.REQUEST_STARTED, EventKind.REQUEST_FINISHED})


@dataclass(frozen=True, slots=True)
class Selection:
    """`kinds` None stands for all. A filter speaks of requests: other kinds pass it."""

    kinds: frozenset[EventKind] | None
    filter: Filter
    _holds: Predicate | None

    @property
    def name(self) -> str:
        """The same text for the same selection."""
        kinds = "*" if self.kinds is None else ",".join(sorted(self.kinds))
        return f"{kinds} {self.filter}"

    def admits(self, event: Event) -> bool:
        if self.kinds is not None and event.kind not in self.kinds:
            return False
        if self._holds is None or event.kind not in _REQUEST_KINDS:
            return True
        return self._holds(event.data)


def select(kinds: Iterable[str] | None, filter_text: str | None) -> Selection:
    """The selection that these words say. Raises ValueError with a sentence for their author."""
    chosen = None if kinds is None else frozenset(map(_kind, kinds))
    wanted = parse_filter(filter_text or "")
    return Selection(chosen, wanted, compile_filter(wanted) if wanted.terms else None)


def _kind(name: str) -> EventKind:
    try:
        return EventKind(name)
    except ValueError as error:
        known = ", ".join(EventKind)
        raise ValueError(f"unknown kind of event {name!r}; the kinds are {known}") from error
