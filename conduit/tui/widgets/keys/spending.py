"""What is spent, today and against budgets."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from textual.content import Content
from textual.message import Message
from textual.timer import Timer

from conduit.client.errors import ClientError
from conduit.core import people
from conduit.core.money import NANODOLLARS_PER_DOLLAR
from conduit.tui.glyphs import Glyphs
from conduit.tui.state.remembering import Spent
from conduit.tui.state.store import REQUEST_FINISHED
from conduit.tui.state.traffic import Record
from conduit.tui.widgets import standing
from conduit.tui.widgets.drawing.figures import Figures
from conduit.tui.widgets.frame import app_of

DAYS_EVERY_S = 60.0
FIRST_WITHIN_S = 5.0
_METER_CELLS = 10
_TOPS = ("key", "model")
_MOST_TOPS = 5
_ROOMY_LINES = 6


class Spending(Figures):
    """The rate now, today and yesterday, and the budgets that are nearest to their ends."""

    _days: dict[str, str] | None = None
    _tops: tuple[Sequence[Record], ...] = ()
    """What today's keys and models cost, the dearest first; read where there is room."""
    _of_providers: dict[str, str] | None = None
    _days_of: tuple[int, int] | None = None
    _reading: Timer | None = None
    _waited_s = 0.0

    class Read(Message):
        """What was spent has been read."""

    @property
    def of_providers(self) -> Mapping[str, str] | None:
        """What today's calls to each provider cost; None as long as that is not known."""
        if self._of_providers is None and (recalled := app_of(self).store.recalled) is not None:
            return recalled.spent.by_provider if recalled.spent else None
        return self._of_providers

    @property
    def _by_day(self) -> Mapping[str, str] | None:
        """What was spent each day; None as long as that is not known."""
        if self._days is None and (recalled := app_of(self).store.recalled) is not None:
            return recalled.spent.by_day if recalled.spent else None
        return self._days

    def begin(self) -> None:
        """Read what was spent, and again each minute in which anything was; the first of a day
        soon, beside requests that have a cost."""
        self._reading = self.set_interval(FIRST_WITHIN_S, self._read_when_due)

    def _read_when_due(self) -> None:
        self._waited_s += FIRST_WITHIN_S
        today = str(_today(app_of(self).store.wall_ms()))
        if self._waited_s >= DAYS_EVERY_S or today not in (self._days or {}):
            self._waited_s = 0.0
            self.read()

    def on_resize(self) -> None:
        """Room for more may have come."""
        if self._is_roomy and self._days_of is not None and not self._tops:
            self._days_of = self._days_of[0], -1
            self.read()

    def redraw(self) -> None:
        if self._days_of is None or self._days_of[0] != app_of(self).store.epoch:
            self._days, self._tops, self._of_providers = None, (), None
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
        tops: tuple[Sequence[Record], ...] = ()
        try:
            found = await app.link.call("usage.show", query={"since": since, "by": "day"})
            begun = f"{today}T00:00:00Z"
            by_provider = {"since": begun, "by": "provider"}
            providers = await app.link.call("usage.show", query=by_provider)
            if self._is_roomy:
                tops = await self._read_tops(begun)
        except ClientError:
            self._days_of = epoch, -1  # asked again in a minute; the tail tells of it, if anybody
            return
        if epoch == app.store.epoch:
            self._days = {row["group"]: row["cost"] for row in found["groups"]}
            self._tops = tops
            self._of_providers = {row["group"]: row["cost"] for row in providers["groups"]}
            app.store.know_spent(Spent(self._days, self._of_providers))
            super().redraw()
            self.post_message(self.Read())

    @property
    def _is_roomy(self) -> bool:
        return self.content_size.height >= _ROOMY_LINES

    async def _read_tops(self, since: str) -> tuple[Sequence[Record], ...]:
        link, found = app_of(self).link, []
        for by in _TOPS:
            told = await link.call("usage.show", query={"since": since, "by": by})
            found.append(sorted(told["groups"], key=_by_cost)[:_MOST_TOPS])
        return tuple(found)

    def content(self) -> Content:
        app = app_of(self)
        width, height = self.content_size.width, self.content_size.height
        lines = [Content.assemble(*self._now()), *(self._more(width) if self._is_roomy else ())]
        budgets = sorted(budgets_of(app.store.rows_of("budgets")), key=_by_share)
        shown = [
            (name, share, f"{share:4.0%} of {people.money(limit)}")
            for name, share, limit in budgets[: max(0, height - len(lines))]
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
        days = self._by_day
        if days is None:
            if store.figures is None:
                yield "not known yet", "$dim"
                return
            rate = store.figures["cost_nanodollars_per_min"]
            yield f"${rate / NANODOLLARS_PER_DOLLAR:.4f} ", "bold"
            yield "a minute now", ""
            return
        today = _today(store.wall_ms())
        yield f"today {people.money(days.get(str(today), '0'))}", "bold"
        before = people.money(days.get(str(today - timedelta(days=1)), "0"))
        yield f"  yesterday {before}", "$foreground"

    def _more(self, width: int) -> Iterator[Content]:
        """Where today goes to, and what takes most of it."""
        # Deferred: 5 ms for time zones, which the first frame does without.
        from conduit.core.projections import projection_of  # noqa: PLC0415

        now_s = app_of(self).store.wall_ms() / 1000
        today = _today(round(now_s * 1000))
        budget = {
            "period": "day",
            "timezone": "UTC",
            "period_start": f"{today}T00:00:00+00:00",
            "spent": (self._days or {}).get(str(today), "0"),
        }
        projection = projection_of(budget, now_s) if self._days else None
        if projection is not None:
            text = f"projected {people.money(projection.spent)} by 24:00 UTC"
            yield Content.styled(text, "$foreground")
        for by, rows in zip(_TOPS, self._tops, strict=False):
            named = [row for row in rows if row["group"] and _by_cost(row)]
            if named:
                parts = [f"{row['group']} {people.money(row['cost'])}" for row in named]
                yield Content.assemble((f"{by}s".ljust(8), "$dim"), _fitting(parts, width - 8))

    def _budget(self, name: str, share: float, figure: str, glyphs: Glyphs, width: int) -> Content:
        tone = f"${standing.tone_of_share(share)}"
        label_cells = max(4, width - _METER_CELLS - len(figure) - 2)
        label = glyphs.shortened(name, label_cells).ljust(label_cells)
        return Content.assemble(
            label, " ", (glyphs.meter(share, _METER_CELLS), tone), " ", (figure, "$foreground")
        )


def _fitting(parts: Sequence[str], width: int) -> str:
    """As many of the parts as fit whole, and the first one in any case."""
    text = parts[0][:width]
    for part in parts[1:]:
        if len(text) + 2 + len(part) > width:
            break
        text = f"{text}  {part}"
    return text


def _by_cost(row: Record) -> Decimal:
    return -Decimal(row["cost"])


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
