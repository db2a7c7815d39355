"""The line above keys and groups: the two lists of one tab, and what their budgets come to."""

from collections.abc import Sequence
from decimal import Decimal

from textual.content import Content

from conduit.core import people
from conduit.tui.fitting import Piece
from conduit.tui.places import PLACES, tab_of
from conduit.tui.state.store import Table
from conduit.tui.widgets.frame import app_of, frame_of
from conduit.tui.widgets.line import Line

_NEAR = Decimal("0.8")


class Kinds(Line):
    """Which of the lists is shown; a click shows the other one."""

    _summed_at: tuple[int, int] | None = None
    _summed: tuple[Decimal, Decimal | None] = Decimal(0), None

    def pieces(self) -> Sequence[Piece]:
        app = app_of(self)
        here = frame_of(self).PLACE
        tab = tab_of(here)
        pieces = [
            Piece(
                place.title,
                0,
                "current" if place.name == here else "other",
                f"app.go('{place.name}')",
            )
            for place in PLACES
            if tab in (place.name, place.part_of)
        ]
        spent, limit = self._sums(app.store.epoch, app.store.table(here))
        if limit is not None:
            told = f"{people.money(spent)} of {people.money(limit)} budgeted"
            tone = "$warn" if spent > limit * _NEAR else "$dim"
            pieces.append(Piece(told, 3, tone, right=True))
        return pieces

    def _sums(self, epoch: int, table: Table) -> tuple[Decimal, Decimal | None]:
        """What is spent and what may be, in USD; no limit where nothing has a budget.

        Summed when the table has changed, as this line is drawn far more often.
        """
        stamp = epoch, table.revision
        if stamp != self._summed_at:
            budgets = [budget for row in table.rows.values() for budget in row["budgets"]]
            spent = sum((Decimal(budget["spent"]) for budget in budgets), Decimal(0))
            limit = sum((Decimal(budget["limit"]) for budget in budgets), Decimal(0))
            self._summed_at, self._summed = stamp, (spent, limit if budgets else None)
        return self._summed

    def draw(self, piece: Piece) -> Content:
        match piece.style:
            case "current":
                return Content.styled(piece.text, "bold $accent underline")
            case "other":
                return Content.styled(piece.text, "$foreground")
            case _:
                return super().draw(piece)
