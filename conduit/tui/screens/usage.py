"""What was used and spent: sums by model, key, tag or time, and how they went."""

import asyncio
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal

from conduit.client.api import build_request
from conduit.client.errors import ClientError
from conduit.core import people
from conduit.core.groupings import BY_TAG, GROUPINGS, tag_in
from conduit.tui.actions import Action
from conduit.tui.fitting import Piece
from conduit.tui.glyphs import Glyphs
from conduit.tui.pace import Pace
from conduit.tui.state import reports
from conduit.tui.state.reports import METRICS, PERIODS, Ask, Look, Reading
from conduit.tui.state.store import REQUEST_FINISHED
from conduit.tui.state.traffic import Record
from conduit.tui.widgets.dialogs.forms import Field, FormDialog, Misfit, Values
from conduit.tui.widgets.dialogs.picker import Choice, Picker
from conduit.tui.widgets.drawing.plots import Plot
from conduit.tui.widgets.frame import FrameScreen, Said, clock_time
from conduit.tui.widgets.grid import Cell, Column, Grid, Pen
from conduit.tui.widgets.line import Line
from conduit.tui.widgets.records import LOADING_AFTER_S

AGAIN_EVERY_S = 15.0
"""How often sums are read again while requests come in."""
MOST_TRENDS = 12
"""So many rows are asked for how they went: each of them is a question of its own."""
_TREND_CELLS = 16
_BAR_CELLS = 10
_PERIOD_KEYS = "t73ma"
_GROUPING_KEYS = "mkgpadh"


class Switches(Line):
    """The times and groupings that there are; the chosen ones stand out."""

    GAP = 1

    def pieces(self) -> Sequence[Piece]:
        screen = self.screen
        assert isinstance(screen, UsageScreen), "its screen"
        periods = [
            _switch(each.title, f"screen.choose('{each.name}')", each is screen.period)
            for each in PERIODS
        ]
        groupings = [
            _switch(each, f"screen.choose('{each}')", each == screen.look.by) for each in GROUPINGS
        ]
        if screen.look.by not in GROUPINGS:
            groupings.append(_switch(screen.look.by, f"screen.choose('{screen.look.by}')", True))
        return [*periods, Piece(" by", 2, "$dim"), *groupings]


def _switch(text: str, action: str, chosen: bool) -> Piece:
    style = "bold $cursor-text on $cursor" if chosen else "$dim"
    return Piece(text, 0 if chosen else 3, style, action)


class Sum(Grid, can_focus=False):
    """One row below the others, in the same columns and without a heading."""

    HAS_CURSOR = False
    DEFAULT_CSS = """
    Sum { height: 1; text-style: bold; background: $panel; overflow-y: hidden; }
    """

    def _line(self, y: int, pen: Pen) -> Any:
        return super()._line(y + 1, pen)


class UsageScreen(FrameScreen):
    """Asks for one report and its course at a time; Enter looks into a row, Esc goes back."""

    PLACE = "usage"
    CSS_PATH = "usage.tcss"
    AUTO_FOCUS = "#grid"
    ACTIONS = (
        Action("usage.open", "Look into the row", ("enter",), "look into", 1),
        Action("usage.back", "Back to what was looked at before", ("escape", "backspace")),
        Action("usage.period", "Choose the period", ("p",), "period", 1),
        Action("usage.by", "Choose the grouping", ("b",), "by", 1),
        Action("usage.metric", "Plot spend, requests or tokens", ("m",), "plot", 2),
        Action("usage.export", "Export the report to a file", ("E",), "export", 3),
        Action("usage.copy", "Copy: JSON, curl or the command", ("y",), "copy", 5),
        Action("usage.refresh", "Read everything again", ("r",), "refresh", 6),
    )

    def __init__(self) -> None:
        super().__init__()
        self.period = PERIODS[2]
        self._looks = [Look()]
        self._looks_of = -1
        self._metric = METRICS[0]
        self._reports = reports.Reports()
        self._again = Pace(self, AGAIN_EVERY_S, self._read_again)
        self._requests_seen = 0
        self._was_live = False
        self._loading_is_due = False
        self._drawn: tuple[object, ...] = ()
        self._shares: Mapping[str, float] = {}
        self._columns = (
            Column("", self._row_name, 14, grow=1, priority=0),
            Column("REQ", _count("requests"), 7, right=True, priority=0),
            Column("IN", _count("input_tokens"), 10, right=True, priority=2),
            Column("OUT", _written, 9, right=True, priority=3),
            Column("CACHED", _count("cache_read_tokens"), 9, right=True, priority=6),
            Column("COST", lambda row, _: people.money(row["cost"]), 9, right=True, priority=0),
            Column("SHARE", self._share, 5, right=True, priority=4),
            Column("", self._bar, _BAR_CELLS, priority=5),
            Column("COURSE", self._course, _TREND_CELLS, priority=1),
        )

    def compose_body(self) -> ComposeResult:
        yield Switches(id="switches")
        yield Said(id="only")
        with Horizontal(id="plots"):
            for metric in METRICS:
                yield Plot(id=f"plot-{metric.name}")
        yield Said(id="banner", classes="banner")
        yield Said(id="state", classes="state")
        yield Grid(self._columns, id="grid")
        yield Sum(self._columns, id="sum")
        yield Said(id="doubts")

    def on_mount(self) -> None:
        self.set_timer(LOADING_AFTER_S, self._loading_due)

    def _loading_due(self) -> None:
        self._loading_is_due = True
        self.show_store()

    # What is looked at

    @property
    def look(self) -> Look:
        return self._looks[-1]

    @property
    def ask(self) -> Ask:
        return reports.ask_of(self.look, self.period, self._now())

    @property
    def reading(self) -> Reading:
        """What is known of what is looked at."""
        return self._reports.of(self.store.epoch).at(self.ask)

    @property
    def row(self) -> Record | None:
        found: Record | None = self.query_one("#grid", Grid).cursor_row
        return found

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.store.wall_ms() / 1000, UTC)

    def title_pieces(self) -> Sequence[Piece]:
        read_ms = self.reading.read_ms
        return [Piece(f"read {clock_time(read_ms)}", 10)] if read_ms else ()

    # Reading

    def show_store(self) -> None:
        if self._looks_of != self.store.epoch:
            self._looks_of = self.store.epoch
            self._looks = [Look()]  # another gateway knows nothing of these names
        self._reports.of(self.store.epoch)
        is_live = self.store.connectivity.is_live
        if is_live and not self._was_live:
            self._reports.forgive()
        self._was_live = is_live
        if is_live:
            self._read_if_needed()
        requests = self.store.received[REQUEST_FINISHED]
        if requests != self._requests_seen:
            self._requests_seen = requests
            self._again.wish()
        self._draw_if_needed()

    def _read_if_needed(self) -> None:
        reading = self.reading
        if reading.value is None and reading.error is None and not reading.is_reading:
            self._read()

    def _read_again(self) -> None:
        """Requests have come in since the last time."""
        if self.is_current and self.reading.value is not None and not self.reading.is_reading:
            self._read()

    def _read(self) -> None:
        ask = self.ask
        self._reports.begin(ask)
        self.conduit.attempt(self._read_all(ask), "Read usage", group="usage")

    async def _read_all(self, ask: Ask) -> None:
        """The report and its course; then the course of its rows, as long as it is looked at."""
        for each in dict.fromkeys((ask, reports.trend_of(ask, self.period))):
            await self._answered(each)
        value = self._reports.at(ask).value
        rows = value["groups"][:MOST_TRENDS] if value else []
        for row in rows:
            course = reports.trend_in(ask, row, self.period)
            if self.ask != ask or not self.is_current:
                return
            if course is not None and self._reports.at(course).value is None:
                await self._answered(course)

    async def _answered(self, ask: Ask) -> None:
        epoch = self.store.epoch
        try:
            value = await self.conduit.link.call("usage.show", query=ask.query())
        except ClientError as error:
            self._reports.fail(ask, error.message, epoch=epoch)
        else:
            self._reports.answer(ask, value, at_ms=self.store.wall_ms(), epoch=epoch)
        if self.can_draw:
            self._draw_if_needed()
            self.refresh_frame()

    # Drawing

    def _draw_if_needed(self) -> None:
        connectivity = self.store.connectivity
        drawn = (
            self._reports.revision,
            self.ask,
            self._metric,
            self._loading_is_due,
            connectivity.phase,
            connectivity.reason,
        )
        if drawn != self._drawn and self.can_draw:
            self._drawn = drawn
            self._draw()

    def _draw(self) -> None:
        reading = self.reading
        report = reading.value
        rows = report["groups"] if report else []
        self._shares = reports.shares_of(report) if report else {}
        self.query_one(Switches).redraw()
        self._draw_rows(report, rows)
        self._draw_plots()
        only = ", ".join(reports.told(self.look.only))
        self._say("#only", f"only {only}  (Esc goes back)" if only else "")
        self._say("#state", "" if rows else self._state_text(reading))
        failed = reading.error is not None and report is not None
        self._say("#banner", f"{reading.error}  (r reads again)" if failed else "")
        self._say("#doubts", ", ".join(_doubts(report)) if rows and report else "")

    def _draw_rows(self, report: Record | None, rows: Sequence[Record]) -> None:
        grid, sum_ = self.query_one("#grid", Grid), self.query_one(Sum)
        by = self.look.by
        if self._columns[0].title != by.upper():
            self._columns = (replace(self._columns[0], title=by.upper()), *self._columns[1:])
            grid.columns = sum_.columns = self._columns
        grid.set_rows(rows, [_key_of(row) for row in rows])
        grid.display = sum_.display = bool(rows)
        if rows and report is not None:
            sum_.set_rows([{**report["total"], "group": "sum", "is_sum": True}], ["sum"])
            if self.focused is None:
                grid.focus()
            self.call_after_refresh(self._align_sum)

    def _align_sum(self) -> None:
        """The sum stands under its columns, whether they have a scroll bar beside them or not."""
        if self.can_draw:
            bar = self.query_one("#grid", Grid).show_vertical_scrollbar
            self.query_one(Sum).set_class(bar, "-beside-bar")

    def on_resize(self) -> None:
        self.call_after_refresh(self._align_sum)

    def _draw_plots(self) -> None:
        report = self._reports.at(reports.trend_of(self.ask, self.period)).value
        for metric in METRICS:
            plot = self.query_one(f"#plot-{metric.name}", Plot)
            plot.set_class(metric is self._metric, "-chosen")
            series = reports.series_of(report, metric, self._now()) if report else None
            if series is None or report is None:
                plot.show((), metric.title, "")
                continue
            shown = _SHOWN[metric.name]
            each = "day" if series.step.days else "hour"
            total, most = shown(metric.of(report["total"])), shown(max(series.values))
            title = f"{metric.title} {total}, most {most}/{each}"
            begins, ends = (
                reports.day_and_hour(moment, series.step)
                for moment in (series.begins, series.ends - series.step)
            )
            span = f"{begins} {self.glyphs.arrow} {ends} UTC"
            plot.show(series.values, title, span)

    def _say(self, selector: str, text: str) -> None:
        line = self.query_one(selector, Said)
        line.say(text)
        line.set_class(bool(text), "-on")

    def _state_text(self, reading: Reading) -> str:
        connectivity = self.store.connectivity
        if reading.value is not None:
            return "Nothing was used in this time.\n\np chooses another period, Esc goes back."
        if reading.error is not None:
            return f"{self.glyphs.bad} {reading.error}\n\nr reads again."
        reason = connectivity.why_no_change()
        if reason is not None and connectivity.phase != "connecting":
            return f"{self.glyphs.bad} {reason}\n\n{connectivity.reason}"
        return "loading" + self.glyphs.ellipsis if self._loading_is_due else ""

    # Columns

    def _row_name(self, row: Record, _: Glyphs) -> Cell | str:
        if row.get("is_sum"):
            return "sum"
        return reports.label_of_row(row, self.look.by) or Cell("(none)", "dim")

    def _share(self, row: Record, _: Glyphs) -> str:
        if row.get("is_sum") or self.look.by in reports.STEPS:
            return ""
        return f"{self._shares.get(row['group'], 0.0):.0%}"

    def _bar(self, row: Record, glyphs: Glyphs) -> str:
        if row.get("is_sum"):
            return ""
        return glyphs.meter(self._shares.get(row["group"], 0.0), _BAR_CELLS)

    def _course(self, row: Record, glyphs: Glyphs) -> Cell | str:
        """How the cost of a row went over the time; of a time, how it stands to the dearest."""
        if row.get("is_sum"):
            return ""
        if self.look.by in reports.STEPS:
            return glyphs.meter(self._shares.get(row["group"], 0.0), _TREND_CELLS)
        ask = reports.trend_in(self.ask, row, self.period)
        report = self._reports.at(ask).value if ask is not None else None
        series = reports.series_of(report, self._metric, self._now()) if report else None
        if series is None:
            return ""
        values: list[float | None] = [*reports.columns_of(series.values, _TREND_CELLS)]
        return Cell(glyphs.spark(values), "accent")

    # Actions

    def why_not(self, action: Action) -> str | None:
        if not self.can_draw:
            return None
        match action.verb:
            case "open" if self.row is None:
                return "there is no row to look into"
            case "open" if tag_in(self.look.by) is not None:
                return "the rows of a tag cannot be asked for alone"
            case "open" if self.row is not None and self.look.into(self.row) is None:
                return "what has no name cannot be asked for alone"
            case "back" if len(self._looks) == 1:
                return "this is where it began"
            case "export" | "copy" if self.reading.value is None:
                return "nothing has been read yet"
        return None

    def on_grid_opened(self) -> None:
        self.conduit.perform("usage.open")

    def on_grid_moved(self) -> None:
        self.refresh_frame()

    def do_open(self) -> None:
        into = self.look.into(self.row) if self.row is not None else None
        if into is not None:
            self._looks.append(into)
            self.query_one("#grid", Grid).move_to(0)
            self.show()

    def do_back(self) -> None:
        self._looks.pop()
        self.show()

    def do_period(self) -> None:
        options: dict[str, tuple[str, Callable[[], object]]] = {
            key: (each.title, partial(self.action_choose, each.name))
            for key, each in zip(_PERIOD_KEYS, PERIODS, strict=True)
        }
        self.conduit.ask_key("period", options)

    def do_by(self) -> None:
        options: dict[str, tuple[str, Callable[[], object]]] = {
            key: (each, partial(self.action_choose, each))
            for key, each in zip(_GROUPING_KEYS, GROUPINGS, strict=True)
        }
        options["t"] = ("tag", self._ask_tag)
        self.conduit.ask_key("by", options)

    async def _ask_tag(self) -> None:
        """Choose among the tags that keys have."""
        await self.conduit.link.load_missing("keys")
        keys = self.store.table("keys").rows.values()
        names = sorted({name for row in keys for name in row.get("tags", ())})
        empty = "no key has a tag: conduit keys update NAME --tags A=B"
        picker = Picker("by which tag", [Choice(name, name) for name in names], empty=empty)
        chosen = await self.conduit.push_screen_wait(picker)
        if chosen is not None:
            self.action_choose(f"{BY_TAG}{chosen}")

    def action_choose(self, name: str) -> bool:
        """A period or a grouping by its name; False where it is neither."""
        period = next((each for each in PERIODS if name in (each.name, each.title)), None)
        grouping = name if name in GROUPINGS or tag_in(name) is not None else None
        if period is not None:
            self.period = period
        elif grouping is not None:
            self._looks[-1] = replace(self.look, by=grouping)
        self.show()
        return period is not None or grouping is not None

    def open_record(self, name: str) -> bool:
        """`:usage 7d key`: a period, a grouping, or both."""
        words = [word for word in name.split() if word != "by"]
        return all(self.action_choose(word) for word in words)

    def do_metric(self) -> None:
        self._metric = METRICS[(METRICS.index(self._metric) + 1) % len(METRICS)]
        self.query_one("#grid", Grid).repaint()
        self.show()

    def do_refresh(self) -> None:
        self._reports.forget()
        self.show()

    def do_copy(self) -> None:
        copy, report = self.conduit.copy_text, self.reading.value
        request = build_request("usage.show", query=self.ask.query())
        url = shlex.quote(self.conduit.target.admin_url + request.target)
        curl = f'curl -s {url} -H "Authorization: Bearer $CONDUIT_MASTER_KEY"'
        self.conduit.ask_key(
            "copy",
            {
                "j": ("JSON", lambda: copy(json.dumps(report, indent=2, ensure_ascii=False))),
                "c": ("curl", lambda: copy(curl)),
                "k": ("command", lambda: copy(command_of(self.ask))),
            },
        )

    async def do_export(self) -> None:
        report, period, ask = self.reading.value, self.period, self.ask
        if report is None:
            return
        usual = {form: reports.file_name(ask, period, form) for form in reports.FORMATS}

        async def write(values: Values) -> Mapping[str, Any]:
            form = values["form"]
            path = values["path"]
            path = usual[form] if path in usual.values() else path
            text = reports.written(report, form)
            await asyncio.to_thread(_write, Path(path), text, values["over"])
            return {"path": path}

        fields = [
            Field("form", "Format", "csv", kind="choice", choices=reports.FORMATS),
            Field("path", "File", usual["csv"], required=True),
            Field("over", "Replace", False, kind="bool", hint="a file that is there"),
        ]
        dialog = FormDialog("export the report", fields, write, verb="Export")
        done = await self.conduit.push_screen_wait(dialog)
        if done is not None:
            count = people.counted(len(report["groups"]), "row")
            self.conduit.tell(f"wrote {count} to {done['path']}")


def _write(path: Path, text: str, over: bool) -> None:
    """Write a file. Raises Misfit where that cannot be done."""
    try:
        with path.expanduser().open("w" if over else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Misfit("path", "there is such a file already") from None
    except OSError as error:
        raise Misfit("path", error.strerror or str(error)) from error


def command_of(ask: Ask) -> str:
    """The command that prints the same report."""
    parts = ["conduit", "usage", "--by", ask.by, "--since", ask.since or "ever"]
    parts += ["--until", ask.until] if ask.until else []
    for field, value in ask.only:
        parts += [f"--{field}", value]
    return shlex.join(parts)


def _key_of(row: Record) -> str:
    return str(row.get("key_id") or row.get("group_id") or row["group"])


def _written(row: Record, _: Glyphs) -> str:
    return people.count(reports.tokens_written(row))


def _count(name: str) -> Callable[[Record, Glyphs], str]:
    return lambda row, _: people.count(row[name])


def _short(value: float) -> str:
    """`1,304`, from a hundred thousand on `204k` and `2.21M`."""
    for least, factor, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e5, 1e3, "k")):
        if value >= least:
            return f"{value / factor:.2f}{unit}" if unit != "k" else f"{value / factor:.0f}k"
    return f"{value:,.0f}"


_SHOWN: Mapping[str, Callable[[float], str]] = {
    "cost": lambda value: people.money(f"{value:.9f}"),
    "requests": _short,
    "tokens": _short,
}


def _doubts(report: Record) -> Iterator[str]:
    """What is not certain of the sum, and what is not in it yet."""
    total = report["total"]
    if report["more"]:
        yield f"{len(report['groups']):,} rows of many: narrow it down"
    for word in ("estimated", "recovered", "ambiguous"):
        if total[word]:
            yield f"{total[word]:,} of {people.counted(total['attempts'], 'attempt')} {word}"
    if total["open_holds"]:
        calls = people.counted(total["open_holds"], "open call")
        yield f"{people.money(total['held'])} held for {calls}"
