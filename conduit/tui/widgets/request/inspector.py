"""One request in full: a summary, its steps over time, its route, its bodies, the record itself."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from conduit.client.errors import ApiError, ClientError
from conduit.client.timeline import bar_of, steps_of
from conduit.core import people
from conduit.core.redaction import redacted_fields
from conduit.tui.fitting import Piece
from conduit.tui.glyphs import Glyphs
from conduit.tui.state.traffic import Finished, Happened, Record
from conduit.tui.widgets.frame import app_of
from conduit.tui.widgets.line import Line
from conduit.tui.widgets.request import payloads
from conduit.tui.widgets.request.finding import line_of, places_of, shown_in
from conduit.tui.widgets.request.routed import route_of

Page = Literal["summary", "timeline", "route", "request", "sent", "answer", "headers", "json"]
PAGES: tuple[Page, ...] = get_args(Page)
OF_BODIES = frozenset[Page]({"request", "sent", "answer", "headers"})
"""The pages that need the bodies of the request."""
SEARCHED = OF_BODIES | {"json"}
"""The pages that a text can be looked for in."""
_SHORT = {"summary": "sum", "timeline": "time", "request": "req", "answer": "ans"}
_ROOMY_CELLS = 71
_LABEL_CELLS = 13
_STEP_CELLS = 11
_BODIES_HINT = "4 to 7 show what was sent and answered, where it is kept."
_TABS_LINES = 2
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Inspected:
    """What is shown: an entry of a ring, and the whole record once it has been read."""

    entry: Finished | Happened
    detail: Record | None = None
    error: str | None = None
    bodies: Record | None = None
    bodies_error: ClientError | None = None
    """Why they could not be read, or that none are kept."""


class PageTabs(Line):
    """The pages, and which of them is shown."""

    GAP = 1

    def pieces(self) -> Sequence[Piece]:
        inspector = self.parent
        assert isinstance(inspector, Inspector)
        is_narrow = self.content_size.width < _ROOMY_CELLS
        return [
            Piece(
                f"{number} {_SHORT.get(name, name) if is_narrow else name}",
                0 if name == inspector.page else 1,
                "current" if name == inspector.page else "",
                f"app.perform('live.{name}')",
            )
            for number, name in enumerate(PAGES, 1)
        ]

    def draw(self, piece: Piece) -> Content:
        if piece.style == "current":
            return Content.styled(piece.text, "bold $cursor-text on $cursor")
        return Content.styled(piece.text, "$dim")


class Inspector(VerticalScroll, can_focus=True):
    """Draws what it is given; it asks nobody."""

    DEFAULT_CSS = """
    Inspector { height: 1fr; }
    Inspector PageTabs { padding: 0; margin: 0 0 1 0; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="pane")
        self.page: Page = "summary"
        self.only_differences = False
        """Of what the provider was sent: where it is not what the client sent."""
        self._shown: Inspected | None = None
        self._wanted = ""
        self._places: list[tuple[int, int]] = []
        self._place = 0

    def compose(self) -> ComposeResult:
        yield PageTabs()
        yield Static("", id="inspected", markup=False)

    def show(self, inspected: Inspected | None) -> None:
        """Show another entry, or more of the same one."""
        before, self._shown = self._shown, inspected
        if inspected is None or before is None or before.entry.key != inspected.entry.key:
            self.scroll_home(animate=False)
        self.draw()

    @property
    def shown(self) -> Inspected | None:
        """What is shown."""
        return self._shown

    def turn_to(self, page: Page) -> None:
        self.page = page
        self.query_one(PageTabs).refresh()
        self.scroll_home(animate=False)
        self._place = 0
        self.draw()

    @property
    def text(self) -> str:
        """The page as plain text."""
        return self._content().plain

    @property
    def whole(self) -> str:
        """The page as plain text, with all of a body that is too long to be laid out."""
        bodies = self._shown.bodies if self._shown is not None else None
        if bodies is None:
            return self.text
        sent = bodies["attempts"][-1]["request"] if bodies["attempts"] else None
        messages = {"request": bodies["request"], "sent": sent, "answer": bodies["response"]}
        message = messages.get(self.page)
        if message is None or (self.page == "sent" and self.only_differences):
            return self.text
        return payloads.whole_of(message)

    def find(self, wanted: str) -> None:
        """Mark where a text stands in the page, and go to the first place; "" ends that."""
        self._wanted, self._place = wanted, 0
        self.draw()
        self._show_place()

    def step(self, by: int) -> None:
        """Go to the next place where it stands, from the last one to the first."""
        if self._places:
            self._place = (self._place + by) % len(self._places)
            self.draw()
            self._show_place()

    def _show_place(self) -> None:
        if self._places:
            page = self.query_one("#inspected", Static)
            end = self._places[self._place][1]
            line = line_of(self._content(), end, page.content_size.width) + _TABS_LINES
            self.scroll_to(y=max(0, line - self.size.height // 2), animate=False)

    def draw(self) -> None:
        content = self._content()
        self._places = places_of(self._wanted, content.plain)
        self._place = min(self._place, max(0, len(self._places) - 1))
        found = f"{self._place + 1} of {len(self._places)}" if self._places else "not found"
        self.border_subtitle = found if self._wanted else ""
        shown = shown_in(content, self._places, self._place)
        self.query_one("#inspected", Static).update(shown)

    def on_resize(self) -> None:
        self.draw()

    def _content(self) -> Content:
        shown = self._shown
        if shown is None:
            return Content.styled("nothing is chosen", "$dim")
        entry = shown.entry
        self.border_title = entry.key if isinstance(entry, Finished) else entry.kind
        if self.page == "json" or isinstance(entry, Happened):
            record = entry.data if isinstance(entry, Happened) else shown.detail or entry.record
            return Content(json.dumps(redacted_fields(record), indent=2, ensure_ascii=False))
        if self.page in OF_BODIES:
            return self._payload(shown)
        if self.page == "timeline":
            return self._timeline(shown)
        if self.page == "route":
            return self._route(shown)
        return Content("\n").join(self._summary(entry, shown))

    def _summary(self, entry: Finished, shown: Inspected) -> Iterable[Content]:
        glyphs = app_of(self).glyphs
        record = shown.detail or entry.record
        error = f"  {entry.error_code}" if entry.error_code else ""
        status = f"{glyphs.of(entry.tone)} {entry.status} {entry.outcome}{error}"
        yield _fact("status", Content.styled(status, f"bold ${entry.tone}"))
        yield _fact("at", people.moment(record.get("at")) if "at" in record else _at(entry))
        route = f"{entry.alias or '-'} {glyphs.arrow} {entry.provider or '-'}/{entry.model or '-'}"
        yield _fact("route", route)
        attempts = record["attempts"]
        yield _fact("attempts", f"{attempts}" + ("" if attempts == 1 else "  (2 timeline)"))
        yield _fact("operation", f"{record['operation']}{', streamed' * record['stream']}")
        yield _fact("dialect", _dialects(record, glyphs))
        yield _fact("key", entry.key_name or "-")
        yield _fact("credential", record.get("credential") or "-")
        ttft = people.milliseconds(record["ttft_ms"])
        yield _fact("took", f"{people.milliseconds(entry.duration_ms)}, first byte after {ttft}")
        yield _fact("tokens", _tokens(record))
        yield _fact("cost", _cost(entry, record))
        yield _fact("client", f"{record['client_ip'] or '-'}  {record['user_agent'] or ''}")
        if shown.error is not None:
            yield Content.styled(f"\n{glyphs.bad} {shown.error}", "$bad")
        yield Content.styled(f"\n{_BODIES_HINT}", "$dim")

    def _route(self, shown: Inspected) -> Content:
        if shown.detail is None:
            return _waiting(shown.error)
        return route_of(shown.detail, app_of(self).glyphs)

    def _payload(self, shown: Inspected) -> Content:
        if shown.bodies is None:
            return _without(shown.bodies_error)
        match self.page:
            case "request":
                return payloads.request_of(shown.bodies)
            case "sent":
                return payloads.sent_of(shown.bodies, only_differences=self.only_differences)
            case "answer":
                return payloads.answer_of(shown.bodies)
            case _:
                return payloads.headers_of(shown.bodies)

    def _timeline(self, shown: Inspected) -> Content:
        if shown.detail is None:
            return _waiting(shown.error)
        steps = steps_of(shown.detail)
        longest = max(step["to_ms"] for step in steps)
        cells = max(10, self.content_size.width - _STEP_CELLS - 16)
        glyphs = app_of(self).glyphs
        return Content("\n").join(
            line for step in steps for line in _step_lines(step, longest, cells, glyphs)
        )


def _without(error: ClientError | None) -> Content:
    """What stands there for bodies that are not there."""
    if not isinstance(error, ApiError) or error.status != _NOT_FOUND:
        return _waiting(None if error is None else error.message)
    return Content.styled(f"{error.message}\n\n{error.hint or ''}", "$dim")


def _waiting(error: str | None) -> Content:
    return Content.styled(error or "loading", "$bad" if error else "$dim")


def _step_lines(step: Record, longest: int, cells: int, glyphs: Glyphs) -> Iterable[Content]:
    start, width = bar_of(step, longest, cells)
    bar = glyphs.filled * width or glyphs.bars[-1 if glyphs.ellipsis == ".." else 0]
    tone = "$good" if step["ok"] else "$bad"
    took = people.milliseconds(step["to_ms"] - step["from_ms"])
    yield Content.assemble(
        (step["step"].ljust(_STEP_CELLS), "bold"),
        people.milliseconds(step["from_ms"]).rjust(7),
        took.rjust(8),
        " ",
        (" " * start + bar, tone),
    )
    if step["note"]:
        yield Content.assemble(" " * _STEP_CELLS, (step["note"], "$dim"))


def _fact(name: str, value: Content | str) -> Content:
    shown = value if isinstance(value, Content) else Content(value)
    return Content.assemble((name.ljust(_LABEL_CELLS), "$dim"), shown)


def _at(entry: Finished) -> str:
    return datetime.fromtimestamp(entry.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _dialects(record: Record, glyphs: Glyphs) -> str:
    """The client's, and the provider's where it is another."""
    client, provider = record.get("client_dialect"), record.get("provider_dialect")
    if provider in (client, None):
        return client or "-"
    return f"{client or '-'} {glyphs.arrow} {provider}"


def _tokens(record: Record) -> str:
    """All that went in and came out, and what of them has a name and a price of its own."""
    written, audio, spoken = (
        record.get(f"{name}_tokens") or 0 for name in ("cache_write", "audio", "output_audio")
    )
    of_input = _named(
        (record["cached_tokens"], "cached"), (written, "written"), (audio - spoken, "audio")
    )
    of_output = _named((record["reasoning_tokens"], "reasoning"), (spoken, "audio"))
    return f"{record['input_tokens']:,} in{of_input} {record['output_tokens']:,} out{of_output}"


def _named(*counts: tuple[int, str]) -> str:
    words = [f"{count:,} {name}" for count, name in counts if count]
    return f" ({', '.join(words)})" if words else ""


def _cost(entry: Finished, record: Record) -> str:
    cost = people.money(entry.cost_usd)
    return f"{cost}, usage: {record['usage_source']}"
