"""How one gets about with keys: where one has been, and keys that wait for a second one."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from conduit.tui.actions import shown_key

_HISTORY = 50


@dataclass(frozen=True, slots=True)
class Chord:
    """A key that waits for a second one; the footer shows the options."""

    title: str
    options: Mapping[str, tuple[str, Callable[[], object]]]

    def labels(self) -> Iterator[tuple[str, str]]:
        return ((shown_key(key), label) for key, (label, _) in self.options.items())


@dataclass(slots=True)
class Trail:
    """Where one has been, as a browser knows it."""

    places: list[str] = field(default_factory=list)
    at: int = -1

    def visit(self, name: str) -> None:
        if self.at >= 0 and self.places[self.at] == name:
            return
        self.places = [*self.places[: self.at + 1], name][-_HISTORY:]
        self.at = len(self.places) - 1

    def step(self, by: int) -> str | None:
        to = self.at + by
        if not 0 <= to < len(self.places):
            return None
        self.at = to
        return self.places[to]
