"""The signs that are drawn, in Unicode and in ASCII: a status is a glyph and a word."""

import locale
import os
from collections.abc import Mapping
from dataclasses import dataclass

from conduit.core import bars
from conduit.tui.state.connectivity import Tone


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One alphabet of signs."""

    good: str
    warn: str
    bad: str
    dim: str
    bars: str
    filled: str
    empty: str
    ellipsis: str
    dot: str
    arrow: str
    cursor: str
    mark: str
    down: str
    gap: str

    def of(self, tone: Tone) -> str:
        match tone:
            case "good":
                return self.good
            case "warn":
                return self.warn
            case "bad":
                return self.bad
            case "dim":
                return self.dim

    def pill(self, tone: Tone, word: str) -> str:
        return f"{self.of(tone)} {word}"

    def meter(self, share: float, width: int) -> str:
        """A bar of `width` cells, filled by a share of 0 to 1."""
        return bars.meter(share, width, self.filled, self.empty)

    def spark(self, values: list[float | None], top: float | None = None) -> str:
        """A line of bars; None leaves a blank."""
        return bars.spark(values, self.bars, top)

    def towers(self, values: list[float | None], rows: int) -> list[str]:
        """Bars of several lines, the topmost first."""
        return bars.towers(values, rows, self.bars)

    def shortened(self, text: str, width: int) -> str:
        """The text in at most `width` characters, with a sign where it was cut."""
        if len(text) <= width:
            return text
        keep = max(0, width - len(self.ellipsis))
        return text[:keep] + self.ellipsis[: width - keep]


UNICODE = Glyphs(
    good="\u25cf",
    warn="\u25b2",
    bad="\u2716",
    dim="\u25cb",
    bars=bars.UNICODE_BARS,
    filled="\u2588",
    empty="\u2591",
    ellipsis="\u2026",
    dot="\u00b7",
    arrow="\u2192",
    cursor="\u203a",
    mark="*",
    down="\u2193",
    gap="\u2500\u2500",
)
ASCII = Glyphs(
    good="ok",
    warn="!!",
    bad="XX",
    dim="--",
    bars=bars.ASCII_BARS,
    filled="#",
    empty="-",
    ellipsis="..",
    dot="-",
    arrow="->",
    cursor=">",
    mark="*",
    down="v",
    gap="--",
)


def speaks_unicode(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the terminal's locale can show more than ASCII."""
    chosen = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    if chosen:
        return "utf" in chosen.lower()
    return "utf" in locale.getencoding().lower()
