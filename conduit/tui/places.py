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
    rank: int = 1
    """Where there is no room in the tab strip for all, the highest go first."""
    part_of: str | None = None
    """The screen under whose tab this one is shown, which has none of its own."""

    @property
    def module(self) -> str:
        return f"conduit.tui.screens.{self.name}"

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
    Place("images", "Images", "f5", "i", "ImagesScreen", ("images", "image"), rank=3),
    Place("video", "Video", "f6", "v", "VideoScreen", ("video", "videos"), rank=3),
    Place("keys", "Keys", "f7", "k", "KeysScreen", ("keys", "key", "budgets"), "keys"),
    Place(
        "groups", "Groups", "", "g", "GroupsScreen", ("groups", "group"), "groups", part_of="keys"
    ),
    Place("overview", "Overview", "f8", "h", "OverviewScreen", ("overview", "health", "status")),
    Place("config", "Config", "f9", "s", "ConfigScreen", ("config", "setting"), "config"),
    Place(
        "prices",
        "Prices",
        "",
        "r",
        "PricesScreen",
        ("prices", "price"),
        "prices",
        part_of="config",
    ),
    Place("cache", "Cache", "", "a", "CacheScreen", ("cache",), part_of="config"),
    Place(
        "notifications",
        "Notifications",
        "",
        "n",
        "NotificationsScreen",
        ("notifications", "notification"),
        part_of="config",
    ),
    Place("contexts", "Contexts", "", "t", "ContextsScreen", ("contexts",), part_of="config"),
    Place("live", "Live", "", "l", "LiveScreen", ("live", "events", "logs", "requests")),
    Place("usage", "Usage", "", "u", "UsageScreen", ("usage", "spending")),
    Place("security", "Security", "", "x", "SecurityScreen", ("security", "limits"), rank=2),
)
START = "overview"
NAMES = tuple(place.name for place in PLACES)
TABS = tuple(place for place in PLACES if not place.part_of)
SHOW_TRAFFIC = frozenset({"overview", "live"})
"""The places that show the newest requests by themselves."""


def tab_of(name: str) -> str:
    """The place whose tab stands out while the place of this name is shown."""
    return next((place.part_of or place.name for place in PLACES if place.name == name), name)


def place_named(word: str) -> Place | None:
    """The screen that a word of the `:` line means."""
    return next((place for place in PLACES if word == place.name or word in place.nouns), None)
