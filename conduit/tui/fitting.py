"""Which pieces of a line are shown when not all of them fit: whole ones, by priority."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line. 0 is always shown, the highest priority number goes first."""

    text: str
    priority: int = 1
    style: str = ""
    action: str = ""
    right: bool = False

    @property
    def cells(self) -> int:
        return cell_len(self.text)


def fitted(pieces: Sequence[Piece], width: int, gap: int = 2) -> list[Piece]:
    """The pieces that fit into `width` cells with `gap` between them, in their order.

    The least important go first, of one priority the later ones; a piece is never cut.
    """
    kept = list(pieces)
    while kept and _cells(kept, gap) > width:
        lowest = max(piece.priority for piece in kept)
        index = max(i for i, piece in enumerate(kept) if piece.priority == lowest)
        del kept[index]
    return kept


def _cells(pieces: Sequence[Piece], gap: int) -> int:
    return sum(piece.cells for piece in pieces) + gap * (len(pieces) - 1)


def spacing(pieces: Sequence[Piece], width: int, gap: int = 2) -> int:
    """How many cells stand between those on the left and those on the right."""
    lefts = [piece for piece in pieces if not piece.right]
    rights = [piece for piece in pieces if piece.right]
    used = sum(piece.cells for piece in pieces)
    used += gap * max(0, len(lefts) - 1) + gap * max(0, len(rights) - 1)
    return max(0, width - used)
