"""Lines of pieces: whole ones, the important ones first."""

from hypothesis import given
from hypothesis import strategies as st

from conduit.tui.fitting import Piece, fitted, spacing

PIECES = st.lists(
    st.builds(Piece, st.text("abc界", min_size=1, max_size=8), st.integers(0, 6)), max_size=12
)


@given(pieces=PIECES, width=st.integers(0, 60))
def test_what_is_shown_fits_and_no_more_important_piece_was_left_out(
    pieces: list[Piece], width: int
) -> None:
    shown = fitted(pieces, width)
    assert sum(piece.cells for piece in shown) + 2 * max(0, len(shown) - 1) <= width or not shown
    assert [piece for piece in pieces if any(piece is each for each in shown)] == shown
    dropped = [piece for piece in pieces if not any(piece is each for each in shown)]
    if shown and dropped:
        assert min(piece.priority for piece in dropped) >= max(p.priority for p in shown)


def test_of_one_importance_the_later_goes_first() -> None:
    pieces = [Piece("one", 1), Piece("two", 1), Piece("three", 0)]
    assert fitted(pieces, 10) == [pieces[0], pieces[2]]


def test_a_piece_on_the_right_is_pushed_to_the_edge() -> None:
    pieces = [Piece("ab"), Piece("cd", right=True)]
    assert spacing(pieces, 10) == 6
