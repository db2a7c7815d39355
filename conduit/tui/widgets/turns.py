"""The turns of a conversation: what was asked, what was answered, what went wrong."""

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Markdown, Static

from conduit.client.conversations import Turn
from conduit.core import people
from conduit.tui.widgets.frame import app_of

if TYPE_CHECKING:
    from textual.widgets.markdown import MarkdownStream


class Question(Vertical):
    """What the person wrote."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(classes="turn question")
        self._turn = turn

    def compose(self) -> ComposeResult:
        yield Static(Content.styled("you", "bold $accent"), classes="head")
        text = self._turn.text
        if not isinstance(self._turn.content, str):
            more = len(self._turn.content) - (1 if text else 0)
            text += f"\n[{people.counted(more, 'attachment')}]"
        yield Static(text, classes="text", markup=False)


class Answer(Vertical):
    """What a model wrote, rendered as Markdown; in lite mode as plain text."""

    def __init__(self, model: str, turn: Turn | None = None) -> None:
        super().__init__(classes="turn answer")
        self._model = model
        self._turn = turn
        self._stream: MarkdownStream | None = None
        self._plain = ""

    @property
    def request_id(self) -> str | None:
        return self._turn.request_id if self._turn else None

    def compose(self) -> ComposeResult:
        yield Static("", classes="head", markup=False)
        text = self._turn.text if self._turn else ""
        if app_of(self).look.lite:
            yield Static(text, classes="text", markup=False)
        else:
            yield Markdown(text, classes="text", open_links=False)

    def on_mount(self) -> None:
        self.show_head("" if self._turn is None else self._facts(self._turn))

    def show_turn(self, turn: Turn) -> None:
        """The answer's facts have changed."""
        self._turn = turn
        self.show_head(self._facts(turn))

    def _facts(self, turn: Turn) -> str:
        words = []
        if turn.input_tokens is not None:
            words.append(f"{turn.input_tokens:,} in / {turn.output_tokens or 0:,} out")
        if turn.cost is not None:
            words.append(people.money(turn.cost))
        if turn.cut:
            words.append("stopped before its end")
        return "  ".join(words)

    def show_head(self, facts: str, route: str = "") -> None:
        head = [(self._model, "bold $good"), (route, "$dim")]
        if facts:
            head.append((f"  {facts}", "$dim"))
        self.query_one(".head", Static).update(Content.assemble(*head))

    async def write(self, piece: str) -> None:
        """Add to an answer that is on its way."""
        if app_of(self).look.lite:
            self._plain += piece
            self.query_one(".text", Static).update(self._plain)
            return
        if self._stream is None:
            self._stream = Markdown.get_stream(self.query_one(Markdown))
        await self._stream.write(piece)

    async def finish(self, text: str) -> None:
        """All of it is there: drawn anew, because blocks that grew may have been drawn wrongly."""
        if self._stream is not None:
            await self._stream.stop()
            self._stream = None
        if app_of(self).look.lite:
            self.query_one(".text", Static).update(text)
        else:
            await self.query_one(Markdown).update(text)


class Failure(Static):
    """An error in the place of an answer."""

    def __init__(self, message: str, code: str, hint: str | None, request_id: str | None) -> None:
        self._facts = (message, code, hint, request_id)
        super().__init__(classes="turn failure", markup=False)

    def on_mount(self) -> None:
        message, code, hint, request_id = self._facts
        glyphs = app_of(self).glyphs
        lines = [Content.styled(f"{glyphs.bad} {message}  [{code}]", "bold $bad")]
        if hint:
            lines.append(Content.styled(f"  {hint}", "$foreground"))
        said = "  ^r asks again"
        lines.append(Content.styled(f"{said}   {request_id}" if request_id else said, "$dim"))
        self.update(Content("\n").join(lines))
