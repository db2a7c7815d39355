"""The turns of a conversation: what was asked, what was answered, what went wrong."""

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Markdown, Static

from conduit.client.conversation_texts import attachments_of, calls_of, facts_of
from conduit.client.conversations import Turn
from conduit.client.errors import ApiError, ClientError
from conduit.tui.chat.asking import Outcome
from conduit.tui.chat.dialogue import Answering, tokens_of
from conduit.tui.widgets.frame import app_of


class Question(Vertical):
    """What the person wrote; `way` is which of how many ways it is."""

    def __init__(self, turn: Turn, way: tuple[int, int] = (1, 1)) -> None:
        super().__init__(classes="turn question")
        self._turn = turn
        self._way = way

    def compose(self) -> ComposeResult:
        head = Content.assemble(("you", "bold $accent"), (_counted(self._way), "$dim"))
        yield Static(head, classes="head")
        results = [f"result: {each['content']}" for each in self._turn.tool_results or ()]
        attached = [f"[{each}]" for each in attachments_of(self._turn)]
        lines = [self._turn.text, *results, *attached]
        yield Static("\n".join(filter(None, lines)), classes="text", markup=False)


class Thoughts(Static):
    """The reasoning before an answer: a line that says that there is some, or all of it."""

    def __init__(self, text: str, *, unfolded: bool) -> None:
        super().__init__("", classes="thoughts", markup=False)
        self._text = text
        self._unfolded = unfolded

    def on_mount(self) -> None:
        self._draw()

    def say(self, text: str) -> None:
        """There is more of it."""
        if text != self._text:
            self._text = text
            self._draw()

    def unfold(self, unfolded: bool) -> None:
        self._unfolded = unfolded
        self._draw()

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.unfold(not self._unfolded)

    def _draw(self) -> None:
        self.display = bool(self._text)
        sign = "v" if self._unfolded else ">"
        line = f"{sign} reasoning, about {tokens_of(len(self._text)):,} tok"
        self.update(f"{line}\n{self._text}" if self._unfolded else line)


class Answer(Vertical):
    """What a model wrote, rendered as Markdown; in lite mode as plain text."""

    def __init__(
        self,
        model: str,
        turn: Turn | None = None,
        *,
        way: tuple[int, int] = (1, 1),
        unfolded: bool = False,
    ) -> None:
        super().__init__(classes="turn answer")
        self._model = model
        self._turn = turn
        self._way = way
        self._unfolded = unfolded
        self._plain = ""

    @property
    def request_id(self) -> str | None:
        return self._turn.request_id if self._turn else None

    def compose(self) -> ComposeResult:
        yield Static("", classes="head", markup=False)
        thoughts = self._turn.reasoning if self._turn else None
        yield Thoughts(thoughts or "", unfolded=self._unfolded)
        text = self._turn.text if self._turn else ""
        if app_of(self).look.lite:
            yield Static(text, classes="text", markup=False)
        else:
            yield Markdown(text, classes="text", open_links=False)
        yield Static("", classes="calls", markup=False)

    def on_mount(self) -> None:
        self._show_facts()

    def show_turn(self, turn: Turn, way: tuple[int, int] | None = None) -> None:
        """The answer's facts have changed."""
        self._turn = turn
        self._way = way or self._way
        self._show_facts()

    def _show_facts(self) -> None:
        turn, arrow = self._turn, app_of(self).glyphs.arrow
        head = [(self._model, "bold $good")]
        calls = self.query_one(".calls", Static)
        calls.display = turn is not None and bool(turn.tool_calls)
        if turn is not None:
            via = f" {arrow} {turn.provider}" if turn.provider else ""
            facts = "  ".join(facts_of(turn))
            head += [(via, "$dim"), (_counted(self._way), "$accent"), (f"  {facts}", "$dim")]
            calls.update("\n".join(f"{arrow} {call}" for call in calls_of(turn)))
        self.query_one(".head", Static).update(Content.assemble(*head))

    async def draw(self, answering: Answering) -> None:
        """Draw what has come of an answer that is on its way, since the last time."""
        if answering.thoughts:
            self.query_one(Thoughts).say("".join(answering.thoughts))
        piece = answering.take_undrawn()
        if not piece:
            return
        if app_of(self).look.lite:
            self._plain += piece
            self.query_one(".text", Static).update(self._plain)
            return
        # Not through Textual's stream: stopped before it has begun, it cancels whoever stops it.
        await self.query_one(Markdown).append(piece)

    async def finish(self, turn: Turn) -> None:
        """All of it is there: drawn anew, because blocks that grew may have been drawn wrongly."""
        self.query_one(Thoughts).say(turn.reasoning or "")
        if app_of(self).look.lite:
            self.query_one(".text", Static).update(turn.text)
        else:
            await self.query_one(Markdown).update(turn.text)
        self.show_turn(turn)

    def unfold(self, unfolded: bool) -> None:
        """Show the reasoning, or fold it."""
        self._unfolded = unfolded
        self.query_one(Thoughts).unfold(unfolded)


def _counted(way: tuple[int, int]) -> str:
    place, ways = way
    return f"  {place}/{ways}" if ways > 1 else ""


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


def failure_of(error: ClientError) -> Failure:
    """An error as it stands in the place of an answer."""
    if isinstance(error, ApiError):
        hint = "^k makes or takes another key" if error.status == 401 else error.hint
        return Failure(error.message, error.code, hint, error.request_id)
    return Failure(error.message, "unreachable", None, None)


async def show_failures(
    turns: Widget,
    mounted: Sequence[Widget],
    answers: Sequence[Answer],
    outcomes: Sequence[Outcome],
) -> None:
    """Show what went wrong below the turns; with several models, each in the column of its own."""
    for number, outcome in enumerate(outcomes):
        if outcome.failure is not None:
            place = answers[number] if len(answers) > 1 else turns
            await place.mount(failure_of(outcome.failure))
    if len(answers) == 1 and outcomes[0].turn is None:
        await answers[0].remove()
    if not any(outcome.turn for outcome in outcomes):
        for widget in mounted:
            widget.add_class("unkept")
