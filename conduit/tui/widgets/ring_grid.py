"""A list that follows a ring of things that happen, can be held still, and never lies about it."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from conduit.tui.state.ring import Ring
from conduit.tui.widgets.grid import Column, LastingGrid

Admits = Callable[[Any], bool]


def everything(entry: object) -> bool:
    """The filter that lets all through."""
    return True


class RingGrid(LastingGrid):
    """Shows the entries of a ring that a filter admits, the newest at the bottom.

    With the cursor on the last row it follows: then `Moved` is not said of every new entry, and the
    scroll bar waits for `show_bar`. Elsewhere the rows stay where they are while new ones gather
    below; `behind` counts those. While it is paused it takes nothing in at all. While it is held,
    its cursor stays on its entry, on the last row too, until `follow` or `release`.
    """

    def __init__(
        self, columns: Sequence[Column], ring: Callable[[], Ring[Any]], *, id: str | None = None
    ) -> None:
        super().__init__(columns, id=id)
        self._ring_of = ring
        self._admits: Admits = everything
        self._shown: deque[Any] = deque()
        self._ring: Ring[Any] | None = None
        self._seen = 0
        self._generation = -1
        self._cleared_at = 0
        self._last_read = 0
        self.following = True
        self.paused = False
        self._held = False
        self._left_at: str | None = None

    def count(self) -> int:
        return len(self._shown)

    def row_at(self, index: int) -> Any:
        return self._shown[index]

    def key_at(self, index: int) -> str:
        return str(self._shown[index].key)

    @property
    def behind(self) -> int:
        """How many entries have come that stand below what was last looked at."""
        if self.following and not self.paused:
            return 0
        ring = self._ring_of()
        return max(0, len(self._shown) - self._last_read) + max(0, ring.end - self._seen)

    def set_filter(self, admits: Admits) -> None:
        """Show only what it admits, of the old entries too."""
        self._admits = admits
        self._read_again()

    def clear(self) -> None:
        """Show only what comes from now on."""
        self._cleared_at = self._ring_of().end
        self._read_again()

    def pause(self, paused: bool) -> None:
        self.paused = paused
        if not paused:
            self.take()

    def hold(self) -> None:
        """Stay on the entry under the cursor, whatever comes: somebody reads it."""
        if not self._held:
            self._left_at = self.cursor_key if self.following else None
            self._held = True
            self.following = False
            self._last_read = len(self._shown)

    def release(self) -> None:
        """It has been read: follow as before, unless the cursor has been moved meanwhile."""
        if self._held:
            self._held = False
            if self._left_at is not None and self._left_at == self.cursor_key:
                self._stand_at_the_end()
            else:
                self._follow_if(self.cursor >= len(self._shown) - 1)

    def _follow_if(self, at_the_end: bool) -> None:
        self.following = at_the_end and not self._held
        if at_the_end:
            self._last_read = len(self._shown)

    def follow(self) -> None:
        """Go to the newest entry and stay there."""
        self._held = False
        self.paused = False
        self.following = True
        self.take()
        self._to_the_end()

    def take(self) -> None:
        """Take in what the ring has got since the last time."""
        if self.paused:
            return
        ring = self._ring_of()
        if ring is not self._ring:
            self._cleared_at = 0
        if ring is not self._ring or ring.generation != self._generation:
            self._read_again()
            return
        if ring.end == self._seen:
            return
        fresh = ring.window(self._seen, ring.end - self._seen)
        self._seen = ring.end
        self._add(entry for entry in fresh if self._admits(entry))

    def _read_again(self) -> None:
        """Begin anew with all that the ring holds; the cursor finds its entry again."""
        at = self.cursor_key
        ring = self._ring = self._ring_of()
        self._generation, self._seen = ring.generation, ring.end
        entries = ring.window(max(ring.start, self._cleared_at), len(ring))
        self._shown = deque(entry for entry in entries if self._admits(entry))
        self._last_read = len(self._shown)
        place = None if self.following else self._index_of(at)
        if place is None:
            self._to_the_end()
        else:
            self.resized()
            self.move_to(place)

    def _index_of(self, key: str | None) -> int | None:
        return next((i for i, entry in enumerate(self._shown) if entry.key == key), None)

    def _add(self, entries: Iterable[Any]) -> None:
        before = len(self._shown)
        self._shown.extend(entries)
        if len(self._shown) == before:
            return
        gone = 0
        while len(self._shown) > self._ring_of().capacity:
            self._shown.popleft()
            gone += 1
        if self.following:
            self._lets_bar_wait = True
            self._stand_at_the_end()
            self._lets_bar_wait = False
            return
        # What is looked at stays where it is, although its index has changed.
        self._last_read = max(0, self._last_read - gone)
        self.cursor = max(0, self.cursor - gone)
        self.resized()
        if gone:
            top = max(0, self.scroll_offset.y - gone)
            self.scroll_to(y=top, animate=False, immediate=True)
        self.repaint()

    def _to_the_end(self) -> None:
        before = self.cursor_key
        self._stand_at_the_end()
        if self.cursor_key != before:
            self.post_message(self.Moved(self, self.cursor_key))

    def _stand_at_the_end(self) -> None:
        self.following = not self._held
        self.cursor = max(0, len(self._shown) - 1)
        self._last_read = len(self._shown)
        self.resized()
        self._show_cursor()

    def move_to(self, index: int) -> None:
        super().move_to(index)
        self._follow_if(self.cursor >= len(self._shown) - 1)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        # Somebody reads further up with the wheel: what stands there must not run away.
        if round(new_value) < round(old_value) and not self.is_vertical_scroll_end:
            self.following = False
        elif self.is_vertical_scroll_end and self.cursor >= len(self._shown) - 1:
            self.following = not self._held
