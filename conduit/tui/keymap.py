"""Keys of the operator's own: `[tui.keymap]` of `config.toml`, by the ids of actions.

What cannot be had (an unknown id, a key that is none, a key that means something else on the same
screen) is left out and told; the rest counts.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from conduit.client import contexts
from conduit.tui.actions import APP, APP_ACTIONS, NAMES, Action, character_of
from conduit.tui.places import PLACES, Place

Keys = tuple[str, ...]
GO = "go"
"""Owner of the keys of screens: `go.chat`."""
LETTER = "goto"
"""Owner of the keys that follow that of `app.goto`: `goto.chat`."""
_MODIFIED = re.compile(r"(?P<modifiers>(?:(?:ctrl|alt|shift|super)\+)*)(?P<key>.+)", re.DOTALL)
_NAMED = frozenset(
    {
        *("space", "enter", "escape", "tab", "backspace", "delete", "insert"),
        *("home", "end", "pageup", "pagedown", "up", "down", "left", "right"),
        *(f"f{number}" for number in range(1, 25)),
    }
)
LEFT_OUT = "left out; see conduit doctor"
"""What is said of a problem to whoever has the interface before them."""
OF_LISTS = frozenset({"up", "k", "down", "j", "pageup", "pagedown", "home", "end", "G"})
"""What every list has for getting about in it."""
_TAKEN = OF_LISTS | {"tab", "shift+tab", "ctrl+c"}
_GOTO = f"{APP}.goto"
_CANCELS = "escape"


@dataclass(frozen=True, slots=True)
class Keymap:
    """The keys that count, by the ids of actions, and a sentence on each that does not."""

    keys: Mapping[str, Keys] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def on(self, action: Action) -> Action:
        """An action with the keys that it has here."""
        keys = self.keys.get(action.id)
        return action if keys is None else replace(action, keys=keys)

    def shown_keys(self) -> Mapping[str, str]:
        """The keys of all screens by their names, as people write them: `F2`, `gl`."""
        first = next(self.on(action).shown_key for action in APP_ACTIONS if action.id == _GOTO)
        after = {each.verb: first + self.on(each).shown_key for each in letters()}
        own = {each.verb: self.on(each).shown_key for each in _of_places()}
        return {name: own[name] or after[name] for name in own}


NOTHING = Keymap()


def wanted() -> Mapping[str, Any]:
    """What `config.toml` says, by ids: `"keys.rotate" = "G"`, or rotate under [tui.keymap.keys].

    Raises ContextError.
    """
    section = contexts.section("tui").get("keymap", {})
    return dict(_flat("", section)) if isinstance(section, dict) else {"[tui.keymap]": section}


def _flat(prefix: str, section: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def read() -> Keymap:
    """The keymap of this machine. Loads every screen, unless it has none."""
    try:
        asked = wanted()
    except contexts.ContextError as error:
        return Keymap(problems=(str(error),))
    return checked(asked) if asked else NOTHING


def checked(asked: Mapping[str, Any]) -> Keymap:
    """What of it can be had."""
    screens = {place: place.load().ACTIONS for place in PLACES}
    known = {action.id for action in (*APP_ACTIONS, *_of_places(), *letters())}
    known |= {action.id for actions in screens.values() for action in actions}
    keys: dict[str, Keys] = {}
    problems: list[str] = []
    for action, value in asked.items():
        try:
            if action not in known:
                raise ValueError("there is no such action")
            keys[action] = _keys(value, is_letter=action.startswith(f"{LETTER}."))
        except ValueError as error:
            problems.append(f"{action}: {error}")
    # Each round leaves at least one out.
    while clashes := dict(_clashes(screens, Keymap(keys))):
        for action, why in clashes.items():
            del keys[action]
            problems.append(f"{action}: {why}")
    return Keymap(keys, tuple(problems))


def _keys(value: Any, *, is_letter: bool) -> Keys:
    """`"G"`, `"ctrl+r, f12"` or a list of them, as Textual names keys. Raises ValueError."""
    texts = value if isinstance(value, list) else re.split(r"(?<!^),(?!$)", str(value))
    if not isinstance(value, str | list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("a key is a text, such as 'ctrl+r'")
    keys = tuple(dict.fromkeys(_key(text if text == " " else text.strip()) for text in texts))
    for key in keys:
        if is_letter and key == _CANCELS:
            raise ValueError(f"{key} is for going nowhere")
        if not is_letter and key in _TAKEN:
            raise ValueError(f"{key} is for getting about in lists and forms")
    return keys


def _key(text: str) -> str:
    found = _MODIFIED.fullmatch(text)
    if found is None:
        raise ValueError("a key is missing")
    name = found["key"]
    if len(name) == 1:
        return found["modifiers"] + _name_of(name)
    if name not in _NAMED and character_of(name) is None:
        raise ValueError(f"no key is called {text!r}")
    return found["modifiers"] + name


def _name_of(character: str) -> str:
    if character.isalnum():
        return character
    name = unicodedata.name(character, "").lower().replace("-", "_").replace(" ", "_")
    if not name:
        raise ValueError(f"no key is called {character!r}")
    return NAMES.get(name, name)


def _of_places() -> Iterator[Action]:
    for place in PLACES:
        keys = (place.key,) if place.key else ()
        yield Action(f"{GO}.{place.name}", f"Go to {place.title}", keys)


def letters() -> Iterator[Action]:
    """Going to a screen by the key after that of `app.goto`, as actions."""
    for place in sorted(PLACES, key=lambda each: (each.part_of is not None, each.rank)):
        yield Action(f"{LETTER}.{place.name}", place.title, (place.letter,))


def _clashes(
    screens: Mapping[Place, Sequence[Action]], keymap: Keymap
) -> Iterator[tuple[str, str]]:
    """One of the ids of the keymap whose key means something else too, if there is any."""
    everywhere = [*APP_ACTIONS, *_of_places()]
    heard = {f"on {place.title}": (*everywhere, *screens[place]) for place in screens}
    heard["after the key of app.goto"] = tuple(letters())
    for where, actions in heard.items():
        by_key: dict[str, list[str]] = defaultdict(list)
        for action in map(keymap.on, actions):
            for key in action.keys:
                by_key[key].append(action.id)
        for key, ids in by_key.items():
            ours = [each for each in ids if each in keymap.keys]
            if len(ids) > 1 and ours and not _gives_way(ids, ours):
                other = next(each for each in ids if each != ours[-1])
                yield ours[-1], f"{key} is the key of {other} {where}"
                return


def _gives_way(ids: Iterable[str], ours: Sequence[str]) -> bool:
    """A screen that has a key itself keeps it from the program's undo, as it does by default."""
    of_app = [each for each in ours if each.startswith((f"{APP}.", f"{GO}."))]
    return "app.undo" in ids and not of_app
