"""What an operator can do: the one list behind keys, footer, palette, `:` line and help.

An action's id is `owner.verb`. Its owner, the app or a screen, has a method `do_<verb>` that does
it and may say through `why_not(action)` why it cannot be done now.
"""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

APP = "app"

_SHOWN_KEYS = {
    "question_mark": "?",
    "colon": ":",
    "slash": "/",
    "minus": "-",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "space": "space",
    "enter": "Enter",
    "escape": "Esc",
    "asterisk": "*",
    "delete": "Del",
}
NAMES = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
"""Where Textual's name of a character is not that of Unicode."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done, with all routes to it."""

    id: str
    title: str
    keys: tuple[str, ...] = ()
    """Textual's names of keys; the first one is shown."""
    hint: str = ""
    """The word in the footer; without one the footer leaves it out."""
    priority: int = 5
    """Of the hint: 0 is always shown, the highest number goes first."""
    changes: bool = False
    """Whether it changes the gateway: refused while not connected or read-only."""
    always: bool = False
    """Whether its keys act while text is being typed too."""
    commands: tuple[str, ...] = ()
    """What the `:` line takes for it, beside `<screen> <verb>`."""

    @property
    def owner(self) -> str:
        return self.id.partition(".")[0]

    @property
    def verb(self) -> str:
        return self.id.partition(".")[2]

    @property
    def method(self) -> str:
        return "do_" + self.verb.replace("-", "_")

    @property
    def shown_key(self) -> str:
        return shown_key(self.keys[0]) if self.keys else ""


def shown_key(key: str) -> str:
    """A key as people write it: `ctrl+p` is `^p`, `f2` is `F2`."""
    if key in _SHOWN_KEYS:
        return _SHOWN_KEYS[key]
    if key == "ctrl+@":
        return "^space"
    if key.startswith("ctrl+"):
        return "^" + key.removeprefix("ctrl+")
    if len(key) > 1 and key[0] == "f" and key[1:].isdigit():
        return key.upper()
    return (len(key) > 1 and character_of(key)) or key


@lru_cache(maxsize=256)
def character_of(name: str) -> str | None:
    """The character that Textual calls so, such as `question_mark`; None where it is none."""
    of_unicode = {ours: theirs for theirs, ours in NAMES.items()}.get(name, name)
    for written in (of_unicode, of_unicode.replace("hyphen_", "hyphen-")):
        with suppress(KeyError):
            found = unicodedata.lookup(written.replace("_", " "))
            return found if found.isprintable() else None
    return None


def acts_in_text(key: str) -> bool:
    """Whether a key acts while text is being typed, and is no part of the text."""
    is_function = len(key) > 1 and key[0] == "f" and key[1:].isdigit()
    return is_function or key.startswith(("ctrl+", "alt+"))


APP_ACTIONS: tuple[Action, ...] = (
    Action(
        "app.help",
        "Help: what can be done here",
        ("question_mark", "f1"),
        hint="help",
        priority=0,
        commands=("help",),
    ),
    Action("app.palette", "Palette of everything", ("ctrl+p",), "palette", 0, always=True),
    Action("app.command", "Command line", ("colon",), hint="command", priority=8),
    Action("app.goto", "Go to a screen by its letter", ("g",), hint="go", priority=7),
    Action(
        "app.jump",
        "Jump to a field or list by its letter",
        ("ctrl+space", "ctrl+@", "f10"),
        always=True,
        commands=("jump",),
    ),
    Action("app.previous", "Previous screen", ("minus",)),
    Action("app.back", "Back in history", ("left_square_bracket",)),
    Action("app.forward", "Forward in history", ("right_square_bracket",)),
    Action("app.undo", "Undo what was just done", ("u",), changes=True, commands=("undo",)),
    Action(
        "app.strip",
        "Newest requests at the foot of the screen, or not",
        ("ctrl+l",),
        always=True,
        commands=("strip",),
    ),
    Action("app.messages", "Messages so far, with request ids", commands=("messages",)),
    Action("app.theme", "Choose a theme", commands=("theme",)),
    Action("app.mouse", "Leave the mouse to the terminal, or take it", commands=("mouse",)),
    Action("app.context", "Switch to another context", commands=("context",)),
    Action("app.reconnect", "Connect again now", commands=("reconnect",)),
    Action("app.quit", "Quit", ("ctrl+q",), "quit", 2, always=True, commands=("q", "quit", "exit")),
)


def with_those_of_app(
    actions: Sequence[Action], keyed: Callable[[Action], Action] = lambda action: action
) -> list[Action]:
    """All that can be done on a screen: a key that it has itself is no key of the app there.

    `keyed` gives an action the keys that the operator wants.
    """
    own = [keyed(action) for action in actions]
    taken = {key for action in own for key in action.keys}
    of_app = (
        replace(action, keys=tuple(key for key in action.keys if key not in taken))
        for action in map(keyed, APP_ACTIONS)
    )
    return [*own, *of_app]


def listed(noun: str, title: str, verbs: Iterable[str]) -> tuple[Action, ...]:
    """The verbs of a list screen, with the keys that they have on every list."""
    wanted = set(verbs)
    every = (
        Action(f"{noun}.open", f"Open the {title}", ("enter",), "open", 1),
        Action(f"{noun}.add", f"Add a {title}", ("a",), "add", 1, changes=True),
        Action(f"{noun}.edit", f"Edit the {title}", ("e",), "edit", 2, changes=True),
        Action(f"{noun}.test", f"Test the {title}", ("t",), "test", 3),
        Action(
            f"{noun}.toggle", f"Enable or disable the {title}", ("x",), "on/off", 4, changes=True
        ),
        Action(f"{noun}.delete", f"Delete the {title}", ("D",), "delete", 5, changes=True),
        Action(f"{noun}.filter", "Filter the list", ("slash",), "filter", 3),
        Action(f"{noun}.mark", f"Mark the {title}", ("space",), "mark", 6),
        Action(f"{noun}.mark-all", "Mark all that are shown", ("asterisk",)),
        Action(f"{noun}.mark-range", "Mark all from the nearest marked one to here", ("V",)),
        Action(f"{noun}.sort", "Sort by another column", ("s",), "sort", 6),
        Action(f"{noun}.copy", "Copy: id, name, curl or JSON", ("y",), "copy", 6),
        Action(f"{noun}.export", "Export those marked, else all that are shown", ("E",)),
        Action(f"{noun}.refresh", "Read everything again", ("r",), "refresh", 7),
    )
    return tuple(action for action in every if action.verb in wanted)


LIST_VERBS = (
    *("open", "filter", "mark", "mark-all", "mark-range", "sort", "copy", "export", "refresh"),
)
RECORD_VERBS = (*LIST_VERBS, "add", "edit", "test", "toggle", "delete")
