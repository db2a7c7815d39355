"""Help for whatever has the focus: its own keys, to be pressed from the list."""

from collections.abc import Iterable, Iterator
from typing import Any

from textual.dom import DOMNode
from textual.screen import Screen

from conduit.tui.actions import APP_ACTIONS, shown_key
from conduit.tui.widgets.dialogs.picker import Choice
from conduit.tui.widgets.frame import FrameScreen

PRESS = "press:"


def help_choices(screen: Screen[Any], offers: Iterable[Choice]) -> list[Choice]:
    """What can be done here: of the screen, of what has the focus, of the program.

    A dialog hears nothing but its own keys.
    """
    focused = [*_keys_of(screen.focused)] if screen.focused is not None else []
    if not isinstance(screen, FrameScreen):
        return list({choice.id: choice for choice in (*_keys_of(screen), *focused)}.values())
    own = {action.id for action in screen.ACTIONS}
    listed = list(offers)
    here = [choice for choice in listed if choice.id in own]
    return [*here, *focused, *(choice for choice in listed if choice.id not in own)]


def _keys_of(node: DOMNode) -> Iterator[Choice]:
    """The keys that a widget or dialog has itself, those for one thing together."""
    of_app = {key for action in APP_ACTIONS for key in action.keys}
    by_action: dict[str, list[str]] = {}
    titles: dict[str, str] = {}
    for key, bindings in node._bindings.key_to_bindings.items():
        for binding in bindings:
            is_ours = binding.action.startswith("app.perform(") or key in of_app
            if binding.description and not is_ours:
                by_action.setdefault(binding.action, []).append(key)
                titles[binding.action] = binding.description
    for action, keys in by_action.items():
        others = " ".join(map(shown_key, keys[1:]))
        note = f"also {others}" if others else ""
        yield Choice(f"{PRESS}{keys[0]}", titles[action], shown_key(keys[0]), note)
