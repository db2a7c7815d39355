"""`conduit usage`: what was used and spent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from conduit.cli import inputs, plots
from conduit.cli.call import Call
from conduit.cli.console import Stream, plain
from conduit.cli.failures import Failure
from conduit.cli.output import Column, View
from conduit.cli.records.attempt_columns import COLUMNS
from conduit.cli.records.attempt_filters import (
    AtProvider,
    OfAlias,
    OfKey,
    OfModel,
    SinceOrEver,
    Until,
)
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.client.errors import ApiError
from conduit.core import people
from conduit.core.bars import ASCII_BARS, UNICODE_BARS, gathered, meter, spark
from conduit.core.groupings import BY_TAG, GROUPINGS, tag_in

noun = Noun("What was used and spent.")
WHAT = f"A row for each: {', '.join(GROUPINGS)}, or {BY_TAG}NAME of keys."
_STEPS = {"day": timedelta(days=1), "hour": timedelta(hours=1)}
_BAR_CELLS = 10
_LINE_CELLS = 12
_WIDE = 110
_HOURLY_UP_TO = timedelta(days=3)
_MOST_BARS = 60
MOST_GROUPS = 20_000


_EMPTY = "nothing was used in this time"


@verb(noun, "", "output")
def usage(
    call: Call,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[summary|by WHAT|top|export]",
            help="by WHAT is --by WHAT; top: the dearest models; export: CSV by day.",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="WHAT", help=WHAT),
    ] = None,
    since: SinceOrEver = "30d",
    until: Until = None,
    key: OfKey = None,
    provider: AtProvider = None,
    model: OfModel = None,
    alias: OfAlias = None,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="NAME", help="Only of this group of keys, deleted or not."),
    ] = None,
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="Whose days and hours are meant.")
    ] = "UTC",
    plot: Annotated[
        str | None,
        typer.Option(
            "--plot",
            metavar="[bar|line]",
            help="Draw what each row cost, with --by; by itself: bar.",
        ),
    ] = None,
    series: Annotated[
        bool,
        typer.Option(
            "--series", help="What each row cost by day, or by hour of a short time, in JSON too."
        ),
    ] = False,
) -> None:
    """Sum up what was used and spent, exactly, from the ledger.

    An attempt counts at the moment it was sent. Calls that still run are in no sum; what is held
    for them is told apart. What was sent are requests of which a provider got something: neither
    those that were refused nor those answered from what is kept.
    """
    by = _asked(call, words or [], by)
    if series and (by is None or by in _STEPS):
        raise Failure("--series goes with --by model, key or what else is no time")
    wanted = {
        "key": None if key is None else _id_of(call, "keys", key),
        "provider": provider,
        "model": model,
        "alias": alias,
        "group": None if group is None else _id_of(call, "groups", group),
        "timezone": None if timezone == "UTC" else timezone,
    }
    if plot is None:
        show_usage(call, by, since, until, wanted, series=series)
        return
    kind = _kind_of(call, plot, by)
    drawn = by not in _STEPS and call.console.out.columns >= _WIDE
    fetched = _fetched_with_lines if drawn and not series else _fetched
    _plot(call, kind, fetched(call, by, since, until, wanted, series=drawn or series))


def _asked(call: Call, words: Sequence[str], by: str | None) -> str | None:
    """What rows are to be of, by words or by `--by`. Raises Failure."""
    match words:
        case [] | ["summary"]:
            return by
        case ["by", what] if by in (None, what):
            return what
        case ["top"]:
            return by or "model"
        case ["export"]:
            call.prefer_form("csv")
            return by or "day"
        case _:
            raise Failure(
                f"summary, by WHAT, top or export is expected, not {' '.join(words)!r}",
                hint="see: conduit usage --help",
            )


def show_usage(
    call: Call,
    by: str | None,
    since: str,
    until: str | None,
    wanted: Mapping[str, str | None],
    *,
    series: bool = False,
) -> None:
    """Print what was used and spent of what is `wanted`. Raises Failure.

    A wide terminal gets a line over time for each row, which JSON has with `series` alone.
    """
    out = call.console.out
    is_drawn = call.printer.is_for_people and out.is_terminal and out.columns >= _WIDE
    is_drawn = is_drawn and by is not None and by not in _STEPS
    fetched = _fetched_with_lines if is_drawn and not series else _fetched
    used = fetched(call, by, since, until, wanted, series=series or is_drawn)
    if call.printer.format == "json" or call.options.shape.query is not None:
        call.printer.record(used, View(COLUMNS))
        return
    total = {"group": "total", "key_id": None, "group_id": None} | used["total"]
    rows = used["groups"] if by is not None else [total]
    call.printer.rows(rows, _view(call, used), next_cursor=lambda: None)
    _tell(call, used)


def _fetched(
    call: Call,
    by: str | None,
    since: str,
    until: str | None,
    wanted: Mapping[str, str | None],
    *,
    series: bool = False,
) -> Record:
    if by is not None and by not in GROUPINGS and tag_in(by) is None:
        raise Failure(f"--by: {', '.join(GROUPINGS)} or {BY_TAG}NAME is expected, not {by!r}")
    query: dict[str, Any] = {
        "since": None if since == "ever" else inputs.moment(since, "--since", ahead=False),
        "until": None if until is None else inputs.moment(until, "--until", ahead=False),
        "by": by,
        **wanted,
    }
    if by is not None:
        query["most"] = MOST_GROUPS  # it is a report, and no page of one
    if series:
        query["series"] = _step_of(query["since"], query["until"])
    return call.fetch("usage.show", query=query)


def _fetched_with_lines(
    call: Call,
    by: str | None,
    since: str,
    until: str | None,
    wanted: Mapping[str, str | None],
    *,
    series: bool,
) -> Record:
    """With what each row cost over time, where the gateway can tell that of such a time."""
    try:
        return _fetched(call, by, since, until, wanted, series=series)
    except ApiError as error:
        if error.status != 422:
            raise
        return _fetched(call, by, since, until, wanted)


def _step_of(since: str | None, until: str | None) -> str:
    """Hours of a time of three days at most, else days."""
    if since is None:
        return "day"
    end = datetime.now(UTC) if until is None else datetime.fromisoformat(until)
    return "hour" if end - datetime.fromisoformat(since) <= _HOURLY_UP_TO else "day"


def _id_of(call: Call, noun: str, given: str) -> str:
    """The id of a record that is there; what was given where it may be a deleted one's."""
    try:
        return str(call.find(noun, given)["id"])
    except ApiError as error:
        if error.status != 404:
            raise
        return given


def _view(call: Call, used: Record) -> View:
    """The columns, and for people's eyes a bar of what each row cost."""
    columns: tuple[Column, ...] = COLUMNS
    if used["by"] == "hour":
        columns = (replace(COLUMNS[0], text=_hour), *columns[1:])
    if used["by"] is not None and call.printer.is_for_people:
        columns = (*columns, _bars(used, call.console.out))
    if any(row.get("series") is not None for row in used["groups"]):
        columns = (*columns, _lines(used, call.console.out))
    return View(columns, id_path="group", empty=_EMPTY)


def _hour(row: Record) -> str:
    """`2026-11-20 14:00Z`, or with the distance from UTC."""
    begins: str = row["group"]
    return f"{begins[:10]} {begins[11:16]}{begins[19:]}"


def _bars(used: Record, out: Stream) -> Column:
    """Of a model or a key the share of all; of a day or an hour, how it stands to the dearest."""
    is_of_time = used["by"] in _STEPS
    costs = [Decimal(row["cost"]) for row in used["groups"]]
    whole = max(costs, default=Decimal(0)) if is_of_time else Decimal(used["total"]["cost"])
    filled = "\u2588" if _draws(out) else "#"

    def bar(row: Record) -> str:
        share = float(Decimal(row["cost"]) / whole) if whole else 0.0
        drawn = meter(share, _BAR_CELLS, filled, " ")
        return drawn.rstrip() if is_of_time else f"{drawn} {share:4.0%}"

    return Column("cost over time" if is_of_time else "share", "share", bar, spare=1)


def _lines(used: Record, out: Stream) -> Column:
    """What each row cost over time, drawn; each line has a height of its own."""
    lines = _drawn_over_time(used, unicode=_draws(out))
    return Column("over time", "series", lambda row: lines[_who(row)], spare=0)


def _who(row: Record) -> tuple[object, ...]:
    """What tells a row from others, whose names may be the same."""
    return row["group"], row["key_id"], row["group_id"]


def _drawn_over_time(used: Record, *, unicode: bool) -> Mapping[tuple[object, ...], str]:
    """Of each row a line over the days or hours of the whole time; none where that is unknown."""
    rows = [row for row in used["groups"] if row.get("series") is not None]
    lines = {_who(row): "" for row in used["groups"]}
    points = [each["at"] for row in rows for each in row["series"]]
    if not points:
        return lines
    by = "hour" if "T" in points[0] else "day"
    step, ends = _STEPS[by], _ends(used, by)
    moments = [*map(datetime.fromisoformat, points), *ends]
    first, last = min(moments), max(moments)
    bars = UNICODE_BARS if unicode else ASCII_BARS
    for row in rows:
        costs = [0.0] * (round((last - first) / step) + 1)
        for each in row["series"]:
            place = round((datetime.fromisoformat(each["at"]) - first) / step)
            costs[place] += float(each["cost"])  # money is drawn, not counted
        lines[_who(row)] = spark(gathered(costs, _LINE_CELLS), bars)
    return lines


def _ends(used: Record, by: str) -> Iterator[datetime]:
    """The first day or hour of the time that was asked for, where it has one, and the last."""
    zone = ZoneInfo(used["timezone"])
    until = datetime.now(UTC) if used["until"] is None else datetime.fromisoformat(used["until"])
    since = [] if used["since"] is None else [datetime.fromisoformat(used["since"])]
    for moment in (*since, until - timedelta(milliseconds=1)):
        local = moment.astimezone(zone)
        if by == "hour":
            yield local.replace(minute=0, second=0, microsecond=0)
        else:
            yield datetime(local.year, local.month, local.day)  # as days are told


def _draws(stream: Stream) -> bool:
    """Whether more than ASCII is to be drawn."""
    return stream.is_terminal and stream.unicode


def _tell(call: Call, used: Record) -> None:
    """The total, and what is not certain of it."""
    total, say = used["total"], call.console.say
    if used["by"] is not None and used["groups"]:
        line = ""
        if used["by"] in _STEPS:
            line = f"  {_line(used, UNICODE_BARS if _draws(call.console.err) else ASCII_BARS)}"
        count = people.counted(total["requests"], "request")
        call.narrate(f"{count} sent, {people.money(total['cost'])} in all{line}")
    if call.options.quiet:
        return
    if used["more"]:
        say(f"{len(used['groups']):,} rows of many - narrow it down, such as with --since", "dim")
    doubts = [
        f"{total[word]:,} {word}" for word in ("estimated", "recovered", "ambiguous") if total[word]
    ]
    if doubts:
        say(f"of {people.counted(total['attempts'], 'attempt')}: {', '.join(doubts)}", "dim")
    if total["open_holds"]:
        calls = people.counted(total["open_holds"], "open call")
        say(f"{people.money(total['held'])} is held for {calls}", "dim")


def _line(used: Record, bars: str) -> str:
    return spark(gathered(_over_time(used), _MOST_BARS), bars)


def _over_time(used: Record) -> list[float]:
    """The cost of every day or hour from the first to the last, those without any too."""
    step = _STEPS[used["by"]]
    moments = [datetime.fromisoformat(row["group"]) for row in used["groups"]]
    places = [round((moment - moments[0]) / step) for moment in moments]
    costs = [0.0] * (places[-1] + 1)
    for place, row in zip(places, used["groups"], strict=True):
        costs[place] += float(row["cost"])  # money is drawn, not counted
    return costs


def _kind_of(call: Call, given: str, by: str | None) -> plots.PlotKind:
    """The kind of plot that was asked for. Raises Failure where it cannot be drawn."""
    shape = call.options.shape
    if given not in ("bar", "line"):
        raise Failure(f"--plot: bar or line is expected, not {given!r}")
    if by is None:
        raise Failure("--plot draws the rows of --by: say which, such as --by day")
    if given == "line" and by not in _STEPS:
        raise Failure(f"--plot line goes from day to day or hour to hour, and not by {by}")
    if shape.format is not None or shape.is_chosen:
        raise Failure("--plot draws: leave it out to have the figures in another form")
    return "bar" if given == "bar" else "line"


def _plot(call: Call, kind: plots.PlotKind, used: Record) -> None:
    rows, out = used["groups"], call.console.out
    if not rows:
        call.console.say(_EMPTY)
        return
    title = "cost, USD"
    if used["by"] in _STEPS:
        series = plots.Series(title, _labels(used), _over_time(used), people.money)
        drawn = plots.upright(series, kind, out.columns, unicode=out.unicode)
    else:
        labels = [plain(row["group"] or "-") for row in rows]
        over_time = _drawn_over_time(used, unicode=out.unicode)
        lines = [over_time[_who(row)] for row in rows]
        costs = [float(row["cost"]) for row in rows]
        series = plots.Series(title, labels, costs, people.money, lines)
        drawn = plots.sideways(series, out.columns, unicode=out.unicode)
    call.console.data(drawn)
    _tell(call, used)


def _labels(used: Record) -> list[str]:
    """`11-20` of a day, `20 14:00` of an hour, one for each value of `_over_time`."""
    step, first = _STEPS[used["by"]], datetime.fromisoformat(used["groups"][0]["group"])
    form = "%m-%d" if used["by"] == "day" else "%d %H:%M"
    return [(first + number * step).strftime(form) for number in range(len(_over_time(used)))]
