"""What a widget has drawn, kept until it has changed."""

from typing import TYPE_CHECKING, Any

from textual.geometry import Region, Size
from textual.strip import Strip

if TYPE_CHECKING:
    from textual.widget import Widget as _Base
else:
    # No widget at run time: style sheets follow the first base that is one.
    _Base = object


class Kept(_Base):
    """Mix it in before a widget that says by `refresh` whenever it would look different.

    For a change of one widget Textual draws its neighbours and the boxes behind it again, from
    lines that it keeps, but not without asking for all their styles.
    """

    _kept_lines: tuple[Region, Size, list[Strip]] | None = None

    def render_lines(self, crop: Region) -> list[Strip]:
        kept = self._kept_lines
        if kept is None or kept[:2] != (crop, self.size):
            kept = self._kept_lines = (crop, self.size, super().render_lines(crop))
        return kept[2]

    def refresh(self, *regions: Region, **options: Any) -> Any:
        self._kept_lines = None
        return super().refresh(*regions, **options)

    def notify_style_update(self) -> None:
        self._kept_lines = None
        super().notify_style_update()
