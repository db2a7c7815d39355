"""One request over time, as rows with bars that share one scale."""

from collections.abc import Sequence

from conduit.cli.console import Stream, Tone
from conduit.cli.output import Column, View
from conduit.client.api import Record
from conduit.client.timeline import bar_of
from conduit.core import people

_BAR_COLUMNS = 40


def timeline_view(steps: Sequence[Record], out: Stream) -> View:
    """The steps with bars that share one scale."""
    longest = max((step["to_ms"] for step in steps), default=0) or 1

    def bar(step: Record) -> str:
        filled, mark, empty = ("\u2588", "\u258f", "\u00b7") if out.unicode else ("#", "|", ".")
        start, width = bar_of(step, longest, _BAR_COLUMNS)
        shape = filled * width or mark
        return (empty * start + shape).ljust(_BAR_COLUMNS, empty)[:_BAR_COLUMNS]

    def tone(step: Record) -> Tone:
        return "good" if step["ok"] else "bad"

    return View(
        columns=(
            Column("step", "step", tone=tone),
            Column("from", "from_ms", lambda s: people.milliseconds(s["from_ms"]), right=True),
            Column(
                "took",
                "to_ms",
                lambda step: people.milliseconds(step["to_ms"] - step["from_ms"]),
                right=True,
            ),
            Column("", "bar", bar, spare=1),
            Column("what", "note"),
        ),
        id_path="step",
    )
