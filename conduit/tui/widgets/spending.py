"""What is spent, today and against budgets."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from textual.content import Content
from textual.timer import Timer

from conduit.client.errors import ClientError
from conduit.core import people
from conduit.core.money import NANODOLLARS_PER_DOLLAR
from conduit.tui.glyphs import Glyphs
from conduit.tui.store import REQUEST_FINISHED
from conduit.tui.traffic import Record
from conduit.tui.widgets import standing
from conduit.tui.widgets.figures import Figures
from conduit.tui.widgets.frame import app_of

DAYS_EVERY_S = 60.0
_METER_CELLS = 10


class Spending(Figures):
    """The rate now, today and yesterday, and the budgets that are nearest to their ends."""

    _days: dict[str, str] | None = None
    _days_of: tuple[int, int] | None = None
    _reading: Timer | None = None

    def begin(self) -> None:
        """Read what was spent, and again each minute in which anything was."""
        self._reading = self.set_interval(DAYS_EVERY_S, self.read)

    def redraw(self) -> None:
        if self._days_of is None or self._days_of[0] != app_of(self).store.epoch:
            self._days = None
            self.read()
        super().redraw()

    def read(self) -> None:
        """Ask for the sums of today and yesterday, unless nothing has been spent since."""
        app = app_of(self)
        now = app.store.epoch, app.store.received[REQUEST_FINISHED]
        if app.store.connectivity.is_live and self.screen.is_current and now != self._days_of:
            self._days_of = now
            app.attempt(self._read(), "Read what was spent", group="spending")

    async def _read(self) -> None:
        app = app_of(self)
        epoch, today = app.store.epoch, _today(app.store.wall_ms())
        since = f"{today - timedelta(days=1)}T00:00:00Z"
        try:
            found = await app.link.call("usage.show", query={"since": since, "by": "day"})
        except ClientError:
            self._days_of = epoch, -1  # asked again in a minute; the tail tells of it, if anybody
            return
        if epoch == app.store.epoch:
            self._days = {row["group"]: row["cost"] for row in found["groups"]}
            super().redraw()

    def content(self) -> Content:
        app = app_of(self)
        width, height = self.content_size.width, self.content_size.height
        lines = [Content.assemble(*self._now())]
        budgets = sorted(budgets_of(app.store.table("budgets").rows.values()), key=_by_share)
        shown = [
            (name, share, f"{share:4.0%} of {people.money(limit)}")
            for name, share, limit in budgets[: max(0, height - 1)]
        ]
        cells = max((len(figure) for _, _, figure in shown), default=0)
        lines += [
            self._budget(name, share, figure.ljust(cells), app.glyphs, width)
            for name, share, figure in shown
        ]
        if not budgets and app.store.table("budgets").is_loaded:
            lines.append(Content.styled("nothing has a budget", "$dim"))
        return Content("\n").join(lines)

    def _now(self) -> Iterator[tuple[str, str]]:
        """Today and yesterday; the rate alone where they are not known."""
        store = app_of(self).store
        if self._days is None:
            rate = store.figures["cost_nanodollars_per_min"] if store.figures else 0
            yield f"${rate / NANODOLLARS_PER_DOLLAR:.4f} ", "bold"
            yield "a minute now", ""
            return
        today = _today(store.wall_ms())
        yield f"today {people.money(self._days.get(str(today), '0'))}", "bold"
        before = people.money(self._days.get(str(today - timedelta(days=1)), "0"))
        yield f"  yesterday {before}", "$foreground"

    def _budget(self, name: str, share: float, figure: str, glyphs: Glyphs, width: int) -> Content:
        tone = f"${standing.tone_of_share(share)}"
        label_cells = max(4, width - _METER_CELLS - len(figure) - 2)
        label = glyphs.shortened(name, label_cells).ljust(label_cells)
        return Content.assemble(
            label, " ", (glyphs.meter(share, _METER_CELLS), tone), " ", (figure, "$foreground")
        )


def budgets_of(budgets: Iterable[Record]) -> Iterator[tuple[str, float, Decimal]]:
    """(whose, share that is spent or held, limit) of every budget."""
    for budget in budgets:
        kind = budget["scope"]["kind"]
        name = budget.get("scope_name") or budget["scope"]["id"]
        whose = name if kind == "key" else f"{kind}:{name}" if name else kind
        yield whose, standing.share_used(budget), Decimal(budget["limit"])


def _by_share(budget: tuple[str, float, Decimal]) -> float:
    return -budget[1]


def _today(now_ms: int) -> date:
    return datetime.fromtimestamp(now_ms / 1000, UTC).date()
