"""A line of pieces that are shown whole or not at all."""

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from conduit.tui.fitting import Piece, fitted, spacing
from conduit.tui.widgets.kept import Kept

_RUN = "run"


class Line(Kept, Widget):
    """One row; `pieces` says what stands in it, `action` of a piece is run by a click."""

    DEFAULT_CSS = """
    Line { height: 1; width: 1fr; padding: 0 1; }
    """
    GAP = 2
    _known: Sequence[Piece] = ()

    def pieces(self) -> Sequence[Piece]:
        """What stands in the line, the left ones first."""
        return ()

    def redraw(self) -> None:
        """Draw again if that changes anything."""
        pieces = list(self.pieces())
        if pieces != self._known:
            # Kept here too: what is not on the screen is not drawn, but need not be told twice.
            self._known = pieces
            self.refresh()

    def render(self) -> Content:
        """The pieces that fit."""
        width = self.content_size.width
        self._known = list(self.pieces())
        pieces = fitted(self._known, width, self.GAP)
        lefts = [self._drawn(piece) for piece in pieces if not piece.right]
        rights = [self._drawn(piece) for piece in pieces if piece.right]
        between = Content(" " * self.GAP)
        left, right = between.join(lefts), between.join(rights)
        if not rights:
            return left
        return Content("").join([left, Content(" " * spacing(pieces, width, self.GAP)), right])

    def _drawn(self, piece: Piece) -> Content:
        drawn = self.draw(piece)
        if piece.action:
            drawn = drawn.stylize(Style.from_meta({_RUN: piece.action}))
        return drawn

    async def on_click(self, event: events.Click) -> None:
        # Not Textual's own `@click`, which draws links in colours of its own.
        action = event.style.meta.get(_RUN)
        if action:
            await self.run_action(action)

    def draw(self, piece: Piece) -> Content:
        """One piece with its style."""
        return Content.styled(piece.text, piece.style)
