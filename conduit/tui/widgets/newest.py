"""The newest requests, without a cursor: a part of the overview, and a strip on other screens."""

from collections.abc import Callable

from conduit.core import people
from conduit.tui.glyphs import Glyphs
from conduit.tui.state.traffic import Finished, Mark
from conduit.tui.widgets.frame import FrameScreen, app_of, clock_time, milliseconds
from conduit.tui.widgets.grid import Cell, Column, LastingGrid

STRIP_EVERY_S = 1.0
_STRIP_ID = "strip"


class Newest(LastingGrid, can_focus=False):
    """The newest requests, without a cursor."""

    HAS_CURSOR = False

    def fill(self) -> None:
        """As many as there is room for."""
        entries = app_of(self).store.traffic.newest(max(0, self.size.height - 1))
        self.set_rows(entries, [entry.key for entry in entries])

    def on_resize(self) -> None:
        self.fill()


def _on_request(draw: Callable[[Finished, Glyphs], Cell | str]) -> Callable[..., Cell | str]:
    """A column that is empty beside a mark."""

    def cell(entry: Finished | Mark, glyphs: Glyphs) -> Cell | str:
        return "" if isinstance(entry, Mark) else draw(entry, glyphs)

    return cell


def _alias(entry: Finished | Mark, glyphs: Glyphs) -> Cell | str:
    if isinstance(entry, Mark):
        return Cell(f"{glyphs.gap} {entry.text}", "warn")
    return entry.alias or "-"


def _status(entry: Finished, glyphs: Glyphs) -> Cell:
    return Cell(str(entry.status), entry.tone)


NEWEST_COLUMNS = (
    Column("TIME", lambda entry, _: clock_time(entry.at_ms), 8, priority=0),
    Column("ST", _on_request(_status), 3, priority=0),
    Column("ALIAS", _alias, 14, grow=2, priority=0),
    Column("PROVIDER", _on_request(lambda entry, _: entry.provider or "-"), 12, grow=1),
    Column("MS", _on_request(lambda e, _: milliseconds(e.duration_ms)), 6, right=True, priority=1),
    Column("TOK", _on_request(lambda e, _: f"{e.tokens:,}"), 7, right=True, priority=3),
    Column(
        "COST",
        _on_request(lambda e, _: people.money(e.cost_usd)),
        9,
        right=True,
        priority=2,
    ),
    Column("KEY", _on_request(lambda e, _: e.key_name or "-"), 8, grow=1, priority=2),
    Column("ID", _on_request(lambda e, _: e.key), 30, priority=5),
)


class LiveStrip(Newest):
    """A few lines at the foot of a screen, drawn again once a second while anything comes."""

    DEFAULT_CSS = """
    LiveStrip { height: 6; background: $panel; }
    Screen.-short LiveStrip, Screen.-tiny LiveStrip, Screen.-flat LiveStrip { display: none; }
    """

    _seen: object = None

    def __init__(self) -> None:
        super().__init__(NEWEST_COLUMNS, id=_STRIP_ID)

    def on_mount(self) -> None:
        self.set_interval(STRIP_EVERY_S, self._fill_anew)

    def _fill_anew(self) -> None:
        traffic = app_of(self).store.traffic
        seen = (app_of(self).store.epoch, traffic.generation, traffic.end)
        if self.screen.is_current and seen != self._seen:
            self._seen = seen
            self.fill()


def place_strip(screen: FrameScreen, *, wanted: bool) -> None:
    """Have the strip on this screen, or not."""
    standing = screen.query(LiveStrip)
    if wanted and not standing:
        _ = screen.mount(LiveStrip(), before="#hints")
    elif not wanted and standing:
        _ = standing.remove()
