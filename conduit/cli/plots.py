"""Plots in a terminal: over time by plotext, of shares by bars of text."""

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from conduit.cli.console import width_of
from conduit.core.bars import meter

PlotKind = Literal["bar", "line"]

_HEIGHT: Final = 16
_TICKS: Final = 4
_CELLS_BETWEEN_LABELS: Final = 12
_LEAST_WIDTH: Final = 40
_MOST_WIDTH: Final = 160
_LEAST_BAR: Final = 10
_BAR_WIDTH: Final = 0.6


class Series(NamedTuple):
    """What is plotted: a value for each label, in their order, and how values are written.

    `lines` are drawn beside the labels of bars that lie on their side, all as wide or empty.
    """

    title: str
    labels: Sequence[str]
    values: Sequence[float]
    written: Callable[[float], str]
    lines: Sequence[str] = ()


def upright(series: Series, kind: PlotKind, columns: int, *, unicode: bool) -> str:
    """The values upwards over their labels, in lines of `columns` cells at most."""
    import plotext  # noqa: PLC0415  # deferred: 40 ms that few need

    width = max(_LEAST_WIDTH, min(columns, _MOST_WIDTH))
    places = range(len(series.values))
    highest = max(series.values) or 1.0
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.limit_size(False, False)  # else the terminal's, where there is one
    plotext.plot_size(width, _HEIGHT)
    plotext.title(series.title)
    if kind == "bar":
        plotext.bar(places, series.values, width=_BAR_WIDTH, marker="sd" if unicode else "#")
    else:
        plotext.plot(places, series.values, marker="braille" if unicode else "*")
    plotext.ylim(0, highest)
    heights = [highest * step / _TICKS for step in range(_TICKS + 1)]
    plotext.yticks(heights, [series.written(height) for height in heights])
    every = max(1, -(-len(places) * _CELLS_BETWEEN_LABELS // width))
    plotext.xticks(places[::every], series.labels[::every])
    plotext.frame(unicode)
    drawn: str = plotext.uncolorize(plotext.build())
    return "\n".join(line.rstrip() for line in drawn.splitlines())


def sideways(series: Series, columns: int, *, unicode: bool) -> str:
    """A line for each label: a bar that stands to the longest as its value to the highest."""
    highest = max(series.values)
    amounts = [series.written(value) for value in series.values]
    over_time = series.lines if any(series.lines) else [""] * len(amounts)
    longest, widest = max(map(width_of, series.labels)), max(map(width_of, amounts))
    line_width = max(map(width_of, over_time))
    taken = longest + widest + 4 + (line_width + 2 if line_width else 0)
    room = max(_LEAST_BAR, min(columns, _MOST_WIDTH) - taken)
    filled = "\u2588" if unicode else "#"
    lines = [series.title]
    rows = zip(series.labels, series.values, amounts, over_time, strict=True)
    for label, value, amount, line in rows:
        padding = " " * (longest - width_of(label))
        bar = meter(value / highest if highest else 0.0, room, filled)
        drawn = f"  {line.ljust(line_width)}" if line_width else ""
        lines.append(f"{label}{padding}  {amount.rjust(widest)}{drawn}  {bar}".rstrip())
    return "\n".join(lines)
