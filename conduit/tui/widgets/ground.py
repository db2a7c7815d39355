"""What stands behind other widgets, drawn once."""

from typing import TYPE_CHECKING, Any

from textual.geometry import Region, Size
from textual.strip import Strip

if TYPE_CHECKING:
    from textual.widget import Widget as _Base
else:
    # No widget at run time: style sheets follow the first base that is one.
    _Base = object


class Ground(_Base):
    """A box without contents of its own. Mix it in before a container or a screen.

    Textual draws the boxes behind a widget again for each change of the widget; what they look like
    depends on their styles and size alone.
    """

    _drawn_ground: tuple[Region, Size, list[Strip]] | None = None

    def render_lines(self, crop: Region) -> list[Strip]:
        drawn = self._drawn_ground
        if drawn is None or drawn[:2] != (crop, self.size):
            drawn = self._drawn_ground = (crop, self.size, super().render_lines(crop))
        return drawn[2]

    def refresh(self, *regions: Region, **options: Any) -> Any:
        self._drawn_ground = None
        return super().refresh(*regions, **options)

    def notify_style_update(self) -> None:
        self._drawn_ground = None
        super().notify_style_update()
