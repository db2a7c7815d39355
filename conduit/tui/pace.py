"""Something that is done at once, and then not too often."""

from collections.abc import Callable

from textual.message_pump import MessagePump
from textual.timer import Timer


class Pace:
    """Does `act` when it is wished, at most once in `every_s`; a wish meanwhile is kept."""

    def __init__(self, node: MessagePump, every_s: float, act: Callable[[], object]) -> None:
        self._node = node
        self._every_s = every_s
        self._act = act
        self._rest: Timer | None = None
        self._wished = False

    def wish(self) -> None:
        if self._rest is None:
            self.now()
        else:
            self._wished = True

    def now(self) -> None:
        """Do it without regard for the last time."""
        self._wished = False
        if self._rest is not None:
            self._rest.stop()
        # Not a timer for once: Textual drops those that are due before they have begun to wait.
        self._rest = self._node.set_interval(self._every_s, self._rested)
        self._act()

    def _rested(self) -> None:
        if self._rest is not None:
            self._rest.stop()
        self._rest = None
        if self._wished:
            self.now()
