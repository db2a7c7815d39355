"""Every theme can be read."""

import pytest
from textual.color import Color

from conduit.tui.state.session import THEME_NAMES
from conduit.tui.themes import THEMES, TOKENS, text_pairs

LEAST_CONTRAST = 4.5


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, as WCAG 2 defines it."""
    lights = sorted((_luminance(Color.parse(one)), _luminance(Color.parse(other))), reverse=True)
    return (lights[0] + 0.05) / (lights[1] + 0.05)


def _luminance(color: Color) -> float:
    def linear(channel: int) -> float:
        share = channel / 255
        return share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4

    return 0.2126 * linear(color.r) + 0.7152 * linear(color.g) + 0.0722 * linear(color.b)


def test_black_on_white_has_the_contrast_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("name", sorted(TOKENS))
def test_every_text_stands_out_from_every_ground(name: str) -> None:
    weak = {
        what: round(contrast(text, ground), 2)
        for what, text, ground in text_pairs(name)
        if contrast(text, ground) < LEAST_CONTRAST
    }
    assert not weak


def test_the_command_line_knows_the_names_of_all_themes() -> None:
    assert set(THEME_NAMES) == set(THEMES)


def test_the_ansi_theme_asks_for_the_terminals_own_colours_alone() -> None:
    theme = THEMES["ansi"]
    assert theme.ansi
    colors = [theme.primary, theme.background, theme.foreground, *theme.variables.values()]
    assert all(str(color).startswith("ansi_") for color in colors)


def test_no_status_is_told_in_ansi_blue() -> None:
    assert not [value for value in THEMES["ansi"].variables.values() if "blue" in value]
