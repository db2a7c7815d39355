"""Amounts drawn as bars of text."""

from collections.abc import Sequence


def meter(share: float, width: int, filled: str, empty: str = "") -> str:
    """A bar of `width` cells, filled by a share of 0 to 1."""
    full = round(max(0.0, min(1.0, share)) * width)
    return filled * full + empty * (width - full)


def spark(values: Sequence[float | None], bars: str, top: float | None = None) -> str:
    """A line of bars, from the lowest of the signs to the highest; None leaves a blank."""
    highest = top or max((value for value in values if value is not None), default=0.0)
    return "".join(_bar(value, bars, highest) for value in values)


def towers(values: Sequence[float | None], rows: int, bars: str) -> list[str]:
    """Bars of several lines, the topmost first; of one line they are those of `spark`."""
    if rows < 2:
        return [spark(values, bars)]
    highest = max((value for value in values if value is not None), default=0.0)
    heights = [_height(value, highest, rows * len(bars)) for value in values]
    return [
        "".join(_part(height - row * len(bars), bars) for height in heights)
        for row in reversed(range(rows))
    ]


def _height(value: float | None, highest: float, most: int) -> int:
    """Of a bar, in steps of a sign; nothing at all is a line on the ground."""
    if value is None:
        return 0
    return 1 if highest <= 0 or value <= 0 else max(1, round(value / highest * most))


def _part(height: int, bars: str) -> str:
    return bars[min(height, len(bars)) - 1] if height > 0 else " "


def gathered(values: Sequence[float], most: int) -> list[float]:
    """The values in `most` columns at most, in their order: several in one are added up."""
    sums = [0.0] * min(len(values), most)
    for place, value in enumerate(values):
        sums[place * len(sums) // len(values)] += value
    return sums


def _bar(value: float | None, bars: str, highest: float) -> str:
    if value is None:
        return " "
    last = len(bars) - 1
    if highest <= 0 or value <= 0:
        return bars[0]
    return bars[min(last, max(1, round(value / highest * last)))]


UNICODE_BARS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
ASCII_BARS = "_.:-=+*#"
