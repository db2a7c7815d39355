"""The start screen: traffic, spending, providers and the newest requests at a glance."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.timer import Timer

from conduit.core import people
from conduit.tui.actions import Action
from conduit.tui.fitting import Piece
from conduit.tui.glyphs import Glyphs
from conduit.tui.pace import Pace
from conduit.tui.state.connectivity import duration
from conduit.tui.state.rates import MANY_ERRORS, error_share, shares
from conduit.tui.state.store import Sample, id_of
from conduit.tui.state.traffic import Record
from conduit.tui.widgets import standing
from conduit.tui.widgets.alerts import ALERT_ACTIONS, AlertsScreen
from conduit.tui.widgets.drawing.charts import Chart
from conduit.tui.widgets.drawing.figures import Figures
from conduit.tui.widgets.frame import Said, app_of, clock_time, milliseconds
from conduit.tui.widgets.grid import Cell, Column, Grid
from conduit.tui.widgets.keys.spending import Spending
from conduit.tui.widgets.newest import NEWEST_COLUMNS, Newest
from conduit.tui.widgets.providers import breakers

LOADING_AFTER_S = 0.3
TRAFFIC_EVERY_S = 1.0
_COUNTDOWN_S = 1.0
_SPEND_CELLS = 7
_NO_PROVIDERS = "There are no providers yet.\nF4 and then a adds one, or run: conduit providers add"


class Summary(Figures):
    """Traffic in three lines, for terminals without room for charts."""

    def content(self) -> Content:
        app = app_of(self)
        figures = app.store.last_figures
        if figures is None:
            is_live = app.store.connectivity.is_live
            told = "no requests since the gateway was asked" if is_live else "not known yet"
            return Content.styled(told, "$dim")
        latencies = (
            f"p{number} {milliseconds(figures[f'latency_p{number}_ms'])}" for number in (50, 95, 99)
        )
        ends = list(shares(figures))
        gap = "  " if len("  ".join(ends)) <= self.content_size.width else " "
        return Content("\n").join(
            [
                Content.assemble(
                    (f"{figures['requests_per_s_milli'] / 1000:.1f} rq/s  ", "bold"),
                    f"{figures['in_flight']} in flight",
                    f"  {figures['tokens_per_s_milli'] // 1000:,} tok/s",
                ),
                Content("  ".join(latencies)),
                Content(gap.join(ends) or "nothing finished in the last minute"),
            ]
        )


class OverviewScreen(AlertsScreen):
    """Reads what the gateway samples, the providers and their breakers, budgets, and alerts."""

    PLACE = "overview"
    CSS_PATH = "overview.tcss"
    TABLES = frozenset({"providers", "deployments", "budgets", "notifications"})
    AUTO_FOCUS = "#providers"
    ACTIONS = (
        Action("overview.open", "Open the provider, or what is alerted of", ("enter",), "open", 1),
        Action("overview.test", "Test the provider", ("t",), "test", 2),
        *ALERT_ACTIONS,
        Action("overview.live", "Live traffic", ("l",), "live", 3),
        Action("overview.refresh", "Read everything again", ("r",), "refresh", 4),
    )

    def __init__(self) -> None:
        super().__init__()
        self._loading_is_due = False
        self._providers_height = 0
        self._drawn_besides: tuple[int, ...] = ()
        self._figures: Record | None = None
        self._countdown: Timer | None = None
        self._traffic = Pace(self, TRAFFIC_EVERY_S, self._draw)
        self._columns = (
            Column("PROVIDER", lambda row, _: row["name"], 13, grow=1, priority=0),
            Column("STATE", self._state, 11, priority=0),
            Column("BREAKER", self._breaker, 9, priority=1),
            Column("TYPE", lambda row, _: row["type"], 12, priority=4),
            Column("RPM", self._rpm, 5, right=True),
            Column("ERR%", self._errors, 5, right=True),
            Column("P95", self._p95, 6, right=True, priority=2),
            Column("SPEND", self._spend, _SPEND_CELLS, right=True, priority=2),
            Column("LAST ERROR", self._last_error, 10, grow=3, priority=3),
        )

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="figures"):
            with Vertical(id="charts"):
                with Horizontal(classes="row"):
                    yield Chart("req/s", _milli("requests_per_s_milli"), _decimal, id="rps")
                    yield Chart("p95", _p95_of, _latency, id="p95")
                with Horizontal(classes="row"):
                    yield Chart("error %", _percent, _decimal, id="errors")
                    yield Chart("tokens/s", _milli("tokens_per_s_milli"), _whole, id="tokens")
            summary = Summary(id="summary", classes="pane")
            summary.border_title = "Traffic, last minute"
            yield summary
            spending = Spending(id="spending", classes="pane")
            spending.border_title = "Spending"
            yield spending
        with Container(id="sides"):
            with Vertical(id="served"):
                yield Grid(self._columns, id="providers")
                yield Said(id="state", classes="state")
            yield from self.compose_alerts()
        yield Newest(NEWEST_COLUMNS, id="newest")
        yield Said(id="quiet")

    @cached_property
    def _panes(self) -> Sequence[Chart | Figures]:
        return [*self.query(Chart), *self.query(Figures)]

    @cached_property
    def _providers(self) -> Grid:
        return self.query_one("#providers", Grid)

    @cached_property
    def _spending(self) -> Spending:
        return self.query_one(Spending)

    @cached_property
    def _newest(self) -> Newest:
        return self.query_one(Newest)

    @cached_property
    def _notes(self) -> tuple[Said, Said]:
        """What stands in for the providers, and for the requests."""
        return self.query_one("#state", Said), self.query_one("#quiet", Said)

    def on_mount(self) -> None:
        self.set_timer(LOADING_AFTER_S, self._loading_due)
        self._countdown = self.set_interval(_COUNTDOWN_S, self._traffic.now, pause=True)
        self._spending.begin()

    def _loading_due(self) -> None:
        self._loading_is_due = True
        self._traffic.now()

    def show_store(self) -> None:
        """Once a second while nothing but traffic comes in: every request moves every line, which a
        slow terminal feels."""
        besides = (self.store.epoch, self.store.revision - self.store.events_revision)
        figures = self.store.figures
        if besides == self._drawn_besides and figures is self._figures:
            self._traffic.wish()
        else:  # with new figures row 1 is drawn anyhow
            self._drawn_besides, self._figures = besides, figures
            self._traffic.now()

    def _draw(self) -> None:
        for pane in self._panes:
            pane.redraw()
        self._show_providers()
        self.show_alerts()
        self._show_newest()

    def on_resize(self) -> None:
        self.call_after_refresh(self._traffic.now)

    def _show_providers(self) -> None:
        rows = self.store.rows_of("providers")
        grid = self._providers
        grid.set_rows(rows, [id_of(row) for row in rows])
        grid.display = bool(rows)
        most = 12 if self.has_class("-tall") else 3 if self.has_class("-short") else 5
        height = 1 + min(most, len(rows))
        if height != self._providers_height:
            # Only then: it is the layout of the whole screen that follows.
            self._providers_height = grid.styles.height = height
        state = self._notes[0]
        state.say("" if rows else self._state_text())
        state.set_class(not rows, "-on")
        if self._countdown is not None:
            # How long a breaker stays open goes on by itself; nothing else here does.
            is_open = any(map(breakers.is_open, self.store.rows_of("deployments")))
            (self._countdown.resume if is_open else self._countdown.pause)()

    def _state_text(self) -> str:
        table = self.store.table("providers")
        if table.error is not None:
            return f"{self.glyphs.bad} {table.error}\nr reads again."
        if table.is_loaded:
            return _NO_PROVIDERS
        loading = self._loading_is_due and self.store.connectivity.is_live
        return "loading" + self.glyphs.ellipsis if loading else ""

    def _show_newest(self) -> None:
        grid = self._newest
        quiet = not len(self.store.traffic)
        grid.fill()
        grid.display = not quiet
        note = self._notes[1]
        note.display = quiet
        known = self.store.status is not None
        note.say("no requests yet: conduit chat hello makes one" if known else "")

    def title_pieces(self) -> Sequence[Piece]:
        pieces, recalled = super().title_pieces(), self.store.recalled
        if recalled is None:
            return pieces
        age = duration((self.store.wall_ms() - recalled.at_ms) / 1000)
        return [Piece(f"cached {age} ago", 1, "bold $warn"), *pieces]

    # Columns

    def _window(self, row: Record) -> Mapping[str, int]:
        figures = self.store.last_figures
        found: Mapping[str, int] = (figures or {}).get("providers", {}).get(row["name"], {})
        return found

    def _error_share(self, row: Record) -> float:
        window = self._window(row)
        return window["errors"] / window["requests"] if window.get("requests") else 0.0

    def _state(self, row: Record, glyphs: Glyphs) -> Cell:
        return standing.of_provider(row, glyphs, self._error_share(row))

    def _breaker(self, row: Record, glyphs: Glyphs) -> Cell | str:
        return breakers.told(self._deployments(row), self.store.wall_ms())

    def _deployments(self, row: Record) -> list[Record]:
        every = self.store.rows_of("deployments")
        return [each for each in every if each["provider"] == row["name"]]

    def _rpm(self, row: Record, glyphs: Glyphs) -> str:
        return str(self._window(row).get("requests", 0))

    def _errors(self, row: Record, glyphs: Glyphs) -> Cell | str:
        if not self._window(row).get("requests"):
            return "-"
        share = self._error_share(row)
        return Cell(f"{share * 100:.1f}", "bad" if share >= MANY_ERRORS else "")

    def _p95(self, row: Record, glyphs: Glyphs) -> str:
        seen = self.store.providers.get(row["name"])
        return milliseconds(seen.p95_ms() if seen else None)

    def _last_error(self, row: Record, glyphs: Glyphs) -> Cell | str:
        seen = self.store.providers.get(row["name"])
        if seen is None or seen.last_error is None:
            return "-"
        return Cell(f"{seen.last_error} {clock_time(seen.last_error_ms)}", "dim")

    def _spend(self, row: Record, glyphs: Glyphs) -> str:
        """Today's."""
        known = self._spending.of_providers
        if known is None:
            return "-"
        text = people.money(known.get(row["name"], "0"))
        is_fraction = len(text) > _SPEND_CELLS and text.startswith("$0.00")
        return "<$0.01" if is_fraction else text

    def on_spending_read(self) -> None:
        self._providers.repaint()

    # Actions

    @property
    def _row(self) -> Record | None:
        row: Record | None = self._providers.cursor_row
        return row

    def why_not(self, action: Action) -> str | None:
        on_provider = action.verb == "test" or (action.verb == "open" and not self.is_at_alerts)
        if on_provider and self.can_draw and self._row is None:
            return "there is no provider to choose"
        return super().why_not(action)

    def on_grid_opened(self) -> None:
        self.conduit.perform("overview.open")

    def do_open(self) -> None:
        if self.is_at_alerts:
            self.open_alert()
        elif self._row is not None:
            self.conduit.open_record("providers", self._row["name"])

    def do_live(self) -> None:
        self.conduit.go("live")

    def do_refresh(self) -> None:
        self.conduit.link.refresh(self.TABLES)
        self._spending.read()

    async def do_test(self) -> None:
        row = self._row
        if row is None:
            return
        found = await self.conduit.link.call("providers.test", id_of(row))
        if found["ok"]:
            from conduit.tui.widgets.providers.credentials import answered  # noqa: PLC0415  # deferred: rare

            self.conduit.tell(f"{row['name']}: {answered(found)}")
        else:
            self.conduit.tell(f"{row['name']}: {found['error']}", severity="error")


def _milli(name: str) -> Callable[[Sample], float | None]:
    return lambda sample: sample.figures[name] / 1000


def _p95_of(sample: Sample) -> float | None:
    found: float | None = sample.figures["latency_p95_ms"]
    return found


def _percent(sample: Sample) -> float | None:
    return error_share(sample.figures) * 100


def _decimal(value: float) -> str:
    return f"{value:.1f}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _latency(value: float) -> str:
    return milliseconds(int(value))
