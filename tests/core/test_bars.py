"""Bars of text."""

from conduit.core.bars import ASCII_BARS, UNICODE_BARS, gathered, meter, spark, towers


def test_a_meter_has_its_width_whatever_the_share() -> None:
    assert [meter(share, 4, "#", "-") for share in (-1, 0, 0.5, 1, 7)] == [
        *("----", "----", "##--", "####", "####")
    ]


def test_a_line_of_bars_ends_at_the_highest_sign_and_shows_what_is_little() -> None:
    for bars in (ASCII_BARS, UNICODE_BARS):
        assert spark([None, 0.0, 0.001, 1.0], bars) == f" {bars[0]}{bars[1]}{bars[-1]}"
    assert spark([1.0], ASCII_BARS, top=7.0) == ASCII_BARS[1]


def test_bars_of_several_lines_stand_on_the_lowest_one() -> None:
    assert towers([None, 0.0, 1.0, 2.0, 4.0], 2, "_#") == ["    #", " __##"]
    assert towers([1.0, 24.0], 3, UNICODE_BARS) == [" \u2588", " \u2588", "\u2581\u2588"]
    assert towers([], 3, ASCII_BARS) == ["", "", ""]
    assert towers([1.0, 2.0], 1, ASCII_BARS) == [spark([1.0, 2.0], ASCII_BARS)]


def test_many_values_are_gathered_and_none_is_lost() -> None:
    assert gathered([1.0, 2.0, 4.0], 5) == [1.0, 2.0, 4.0]
    assert gathered([1.0, 2.0, 4.0, 8.0, 16.0], 2) == [7.0, 24.0]
    assert gathered([], 2) == []
