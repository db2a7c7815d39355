"""The screens, where they stand and how one gets there."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conduit.tui.widgets.frame import FrameScreen


@dataclass(frozen=True, slots=True)
class Place:
    """One screen of the frame. `nouns` are what the `:` line calls it."""

    name: str
    title: str
    key: str
    letter: str
    screen: str
    nouns: tuple[str, ...]
    table: str | None = None

    @property
    def module(self) -> str:
        return f"conduit.tui.screens.{self.name}"

    @property
    def shown_key(self) -> str:
        return self.key.upper() if self.key else f"g{self.letter}"

    def load(self) -> "type[FrameScreen]":
        """The screen's class; its module is imported the first time that it is needed."""
        found: type[FrameScreen] = getattr(importlib.import_module(self.module), self.screen)
        return found

    def load_screen(self) -> "FrameScreen":
        return self.load()()


PLACES = (
    Place("chat", "Chat", "f2", "c", "ChatScreen", ("chat",)),
    Place(
        "mappings",
        "Mappings",
        "f3",
        "m",
        "MappingsScreen",
        ("mappings", "mapping", "models", "route"),
        "mappings",
    ),
    Place(
        "providers",
        "Providers",
        "f4",
        "p",
        "ProvidersScreen",
        ("providers", "provider", "credentials"),
        "providers",
    ),
    Place("keys", "Keys", "f7", "k", "KeysScreen", ("keys", "key", "budgets"), "keys"),
    Place("overview", "Overview", "f8", "h", "OverviewScreen", ("overview", "health", "status")),
    Place("live", "Live", "", "l", "LiveScreen", ("live", "events", "logs", "requests")),
)
START = "overview"
NAMES = tuple(place.name for place in PLACES)


def place_named(word: str) -> Place | None:
    """The screen that a word of the `:` line means."""
    return next((place for place in PLACES if word == place.name or word in place.nouns), None)
