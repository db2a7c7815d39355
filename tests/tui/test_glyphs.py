"""Signs in both alphabets."""

import pytest

from conduit.tui.glyphs import ASCII, UNICODE, Glyphs, speaks_unicode
from conduit.tui.state.connectivity import Tone

BOTH = pytest.mark.parametrize("glyphs", [ASCII, UNICODE], ids=["ascii", "unicode"])


@BOTH
def test_every_status_is_a_glyph_and_a_word(glyphs: Glyphs) -> None:
    tones: tuple[Tone, ...] = ("good", "warn", "bad", "dim")
    signs = {glyphs.of(tone) for tone in tones}
    assert len(signs) == len(tones)
    assert glyphs.pill("bad", "down").endswith(" down")


@BOTH
@pytest.mark.parametrize(("share", "full"), [(-1, 0), (0, 0), (0.5, 5), (1, 10), (7, 10)])
def test_a_meter_has_its_width_whatever_the_share(glyphs: Glyphs, share: float, full: int) -> None:
    meter = glyphs.meter(share, 10)
    assert len(meter) == 10
    assert meter.count(glyphs.filled) == full


@BOTH
def test_a_spark_line_has_a_bar_for_each_value_and_a_blank_for_none(glyphs: Glyphs) -> None:
    line = glyphs.spark([None, 0.0, 0.01, 1.0])
    assert line == " " + glyphs.bars[0] + glyphs.bars[1] + glyphs.bars[-1]
    assert glyphs.spark([0.0, 0.0]) == glyphs.bars[0] * 2


def test_ascii_is_ascii() -> None:
    signs = "".join(str(getattr(ASCII, name)) for name in ASCII.__slots__)
    assert signs.isascii()


@pytest.mark.parametrize(
    ("environ", "speaks"),
    [
        ({"LANG": "en_US.UTF-8"}, True),
        ({"LANG": "de_DE.utf8"}, True),
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, False),
        ({"LC_CTYPE": "POSIX"}, False),
    ],
)
def test_the_locale_says_whether_unicode_can_be_drawn(
    environ: dict[str, str], speaks: bool
) -> None:
    assert speaks_unicode(environ) is speaks
