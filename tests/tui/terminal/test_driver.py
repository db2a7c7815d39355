"""What the driver leaves out changes nothing on the screen."""

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.tui.terminal.driver import thrifty

GREEN, GREEN_ON_BLUE = "\x1b[38;2;0;200;0m", "\x1b[38;2;0;200;0;48;2;0;0;90m"
RED_ON_BLUE = "\x1b[38;2;200;0;0;48;2;0;0;90m"
RESET = "\x1b[0m"
COLUMNS, ROWS = 40, 5


def drawn(output: str) -> list[list[pyte.screens.Char]]:
    """Every cell with its colours, on a screen that held something else before."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.Stream(screen)
    stream.feed("\x1b[7m" + "\r\n".join(["#" * COLUMNS] * ROWS) + RESET)
    stream.feed(output)
    return [[screen.buffer[y][x] for x in range(COLUMNS)] for y in range(ROWS)]


def test_neighbours_of_one_style_are_told_it_once() -> None:
    output = f"{GREEN}a{RESET}{GREEN}b{RESET}{GREEN}c{RESET}"
    assert thrifty(output) == f"{GREEN}abc{RESET}"


def test_only_the_colour_that_differs_is_named() -> None:
    output = f"{GREEN_ON_BLUE}a{RESET}{RED_ON_BLUE}b{RESET}"
    assert thrifty(output) == f"{GREEN_ON_BLUE}a\x1b[38;2;200;0;0mb{RESET}"


def test_a_move_between_two_runs_costs_no_colours() -> None:
    output = f"{GREEN}a{RESET}\n\x1b[2;1H{GREEN}b{RESET}"
    assert thrifty(output) == f"{GREEN}a\n\x1b[2;1Hb{RESET}"


def test_an_attribute_that_ends_is_taken_back() -> None:
    output = f"\x1b[1;31ma{RESET}\x1b[31mb{RESET}"
    assert thrifty(output) == f"\x1b[1;31ma\x1b[0;31mb{RESET}"


def test_long_blanks_are_erased_only_where_the_background_is_the_terminals_own() -> None:
    blanks = " " * 20
    assert thrifty(f"\x1b[32ma{blanks}{RESET}") == f"\x1b[32ma\x1b[20X\x1b[20C{RESET}"
    for style in (GREEN_ON_BLUE, "\x1b[7m", "\x1b[4m"):
        assert blanks in thrifty(f"{style}a{blanks}{RESET}")


def test_blanks_inside_what_is_no_text_stay() -> None:
    link = f"\x1b]8;;http://x/?q={' ' * 20}\x1b\\"
    assert link in thrifty(f"{link}{GREEN}a{RESET}\x1b]8;;\x1b\\")


@pytest.mark.parametrize("output", ["", "plain", "\x1b[?1049h", "\x1b[2J\x1b[3;4H", "\x1b[?2026h"])
def test_what_has_no_style_goes_through_as_it_is(output: str) -> None:
    assert thrifty(output) == output


colours = st.sampled_from(
    ["", "31", "97", "39", "38;5;12", "38;2;1;2;3", "44", "105", "49", "48;5;3", "48;2;9;8;7"]
)
attributes = st.sampled_from(["", "1", "2", "3", "4", "7", "9"])
texts = st.one_of(
    st.text("ab ", max_size=6),
    st.integers(1, 18).map(lambda count: " " * count),
    st.tuples(st.integers(1, ROWS), st.integers(1, 20)).map(lambda at: f"\x1b[{at[0]};{at[1]}H"),
)


@st.composite
def runs(draw: st.DrawFn) -> str:
    codes = [code for code in (draw(attributes), draw(colours), draw(colours)) if code]
    text = draw(texts)
    return f"\x1b[{';'.join(codes)}m{text}{RESET}" if codes else text


@given(st.lists(st.lists(runs(), max_size=2).map("".join), max_size=10))
def test_the_screen_is_the_same(parts: list[str]) -> None:
    # Like Textual: it begins with a move, and a line never runs over the right edge.
    output = "".join(f"\x1b[{1 + place % ROWS};1H{part}" for place, part in enumerate(parts))
    assert drawn(thrifty(output)) == drawn(output)
