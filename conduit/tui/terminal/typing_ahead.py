"""Gives keys on one at a time, so that what is typed ahead reaches what the key before has opened.

Textual forwards every key to what is focused when it arrives, and a key acts only once it has
passed all widgets above that. Of several that arrive together, as they do from a fast hand over a
slow line, all but the first would go to the list beneath the dialog that the first one opens.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from textual.app import App
from textual.dom import DOMNode
from textual.events import Key, Paste
from textual.screen import Screen
from textual.timer import Timer

Typed = Key | Paste

_TURNS: Final = 4
"""Of the loop, in which an action that runs by itself shows the dialog that it begins with."""

_LONGEST_S: Final = 0.5
"""For which a key waits at most: a widget that is gone tells nothing any more."""


class TypeAhead:
    """Belongs to the message pump of an app: `take` is called, and calls `deal`, within it."""

    def __init__(self, app: App[Any], deal: Callable[[Typed], Awaitable[None]]) -> None:
        self._app = app
        self._deal = deal
        self._waiting: deque[Typed] = deque()
        self._is_busy = False
        self._turn = 0
        self._patience: Timer | None = None

    async def take(self, key: Typed) -> None:
        """Deal with a key or a paste, or keep it until those before it have been dealt with."""
        if not self._is_busy:
            await self._give(key)
            return
        self._waiting.append(key)
        if self._patience is None:
            self._patience = self._app.set_timer(_LONGEST_S, self._next)

    async def _give(self, key: Typed) -> None:
        self._is_busy = True
        self._turn += 1
        screen = self._app.screen
        first = self._app.focused or screen
        await self._deal(key)
        self._follow(first, self._turn, screen)

    def _follow(self, node: DOMNode, turn: int, screen: Screen[Any]) -> None:
        """Pass the queues that the key passes, each after it has."""
        if turn != self._turn:
            return
        if node is self._app:
            self._look(turn, screen, _TURNS)
            return
        above = node.parent or self._app
        if not node.call_later(self._follow, above, turn, screen):
            self._app.call_later(self._next, turn)

    def _look(self, turn: int, screen: Screen[Any], turns: int) -> None:
        """See what the key has opened: a screen takes no key before it has its focus."""
        if turns and self._app.screen is screen:
            asyncio.get_running_loop().call_soon(self._look, turn, screen, turns - 1)
        elif self._app.screen is screen or not self._app.screen.call_later(self._stands, turn):
            self._app.call_later(self._next, turn)

    def _stands(self, turn: int) -> None:
        self._app.call_later(self._next, turn)

    async def _next(self, turn: int | None = None) -> None:
        """Deal with the key that waits longest; without a `turn`, whatever became of the last."""
        if turn is not None and turn != self._turn:
            return
        if self._patience is not None:
            self._patience.stop()
            self._patience = None
        self._is_busy = False
        if not self._waiting:
            return
        await self._give(self._waiting.popleft())
        if self._waiting:
            self._patience = self._app.set_timer(_LONGEST_S, self._next)
