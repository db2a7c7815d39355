"""A conversation with a model: the answer streams in, the draft survives other screens."""

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widgets import Static

from conduit.client.conversations import ConversationError, Turn, now
from conduit.client.errors import ApiError, ClientError
from conduit.core import people
from conduit.tui.actions import Action
from conduit.tui.dialogue import Answering, Dialogue
from conduit.tui.fitting import Piece
from conduit.tui.traffic import Finished
from conduit.tui.widgets.composer import Composer
from conduit.tui.widgets.forms import Field, FormDialog
from conduit.tui.widgets.frame import FrameScreen
from conduit.tui.widgets.line import Line
from conduit.tui.widgets.picker import Choice, Picker
from conduit.tui.widgets.turns import Answer, Failure, Question

SHOWN_TURNS = 50
_WRITES_PER_S = 5
_LITE_WRITES_PER_S = 2
_STOP_WITHIN_S = 2.0
_NO_KEY = "a chat needs a virtual key: ^k makes one or takes one"
_KEY_NAME = "tui"


class SettingsLine(Line):
    """What the next question is asked with."""

    def pieces(self) -> Sequence[Piece]:
        screen = self.screen
        assert isinstance(screen, ChatScreen)
        dialogue = screen.dialogue
        system = dialogue.conversation.system
        pieces = [Piece(f"model {dialogue.model or '-'}", 0, "bold")]
        pieces += [Piece(f"{name} {value}", 2) for name, value in dialogue.parameters.items()]
        if system:
            pieces.append(Piece(f"system: {screen.glyphs.shortened(system, 24)}", 3, "$dim"))
        if not dialogue.is_kept:
            pieces.append(Piece("not kept on disk", 1, "$warn"))
        spent = screen.spent()
        if spent:
            pieces.append(Piece(f"chat {spent}", 2, right=True))
        return pieces


class ProgressLine(Line):
    """How the answer comes along; how one writes while none does."""

    def pieces(self) -> Sequence[Piece]:
        screen = self.screen
        assert isinstance(screen, ChatScreen)
        answering = screen.dialogue.answering
        if answering is None:
            hint = "Enter sends, ^j begins a new line"
            return [Piece(screen.why_no_chat() or hint, 0, "$dim")]
        elapsed_s = screen.now_s() - answering.began_s
        state = "waiting" if answering.first_s is None else "streaming"
        stop = "Esc again stops" if screen.is_stopping_asked else "Esc Esc stops"
        return [
            Piece(f"{state} {elapsed_s:.1f} s", 0, "bold $accent"),
            Piece(f"est. {answering.tokens:,} tok", 1),
            Piece(f"{answering.tokens / max(elapsed_s, 0.1):.0f} tok/s", 2),
            Piece(stop, 0, "$warn" if screen.is_stopping_asked else "$dim", right=True),
        ]


class ChatScreen(FrameScreen):
    """The conversation above, the message below."""

    PLACE = "chat"
    CSS_PATH = "chat.tcss"
    TABLES = frozenset({"mappings"})
    AUTO_FOCUS = "#message"
    ACTIONS = (
        Action("chat.stop", "Stop the answer", ("ctrl+c",), always=True),
        Action("chat.new", "Begin a new conversation", ("ctrl+n",), "new", 1, always=True),
        Action("chat.model", "Choose the model", ("ctrl+o",), "model", 1, always=True),
        Action("chat.retry", "Ask the last question again", ("ctrl+r",), "retry", 2, always=True),
        Action("chat.rewrite", "Edit the last question", ("ctrl+e",), "edit last", 4, always=True),
        Action("chat.settings", "System text, parameters", ("ctrl+t",), "params", 3, always=True),
        Action("chat.copy", "Copy the last answer", ("ctrl+y",), "copy", 3, always=True),
        Action("chat.list", "Earlier conversations", ("ctrl+b",), "list", 2, always=True),
        Action("chat.key", "Virtual key to ask with", ("ctrl+k",), "key", 5, always=True),
    )
    BINDINGS = [
        Binding("escape", "stop_softly", show=False),
        Binding("pageup", "scroll(-1)", show=False, priority=True),
        Binding("pagedown", "scroll(1)", show=False, priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.dialogue = Dialogue("", None)
        self._key: str | None = None
        self._asking: asyncio.Task[Any] | None = None
        self._stop_asked_s = 0.0
        self._waiting: list[str] = []
        self._unanswered: str | None = None
        self._epoch = -1

    def compose_body(self) -> ComposeResult:
        yield SettingsLine(id="settings")
        with VerticalScroll(id="turns"):
            yield Static("", id="welcome", markup=False)
        yield ProgressLine(id="progress")
        message = Composer("", id="message", soft_wrap=True, compact=True)
        message.border_title = "message"
        yield message

    def on_mount(self) -> None:
        self.query_one("#turns").anchor()
        self._begin_with_target()

    def on_unmount(self) -> None:
        self.do_stop()

    def _begin_with_target(self) -> None:
        """Another gateway is another conversation, with another key."""
        target = self.conduit.target
        self._epoch = self.store.epoch
        self._key = target.virtual_key
        self.dialogue = Dialogue(target.core_url, target.default_model)
        self._welcome()

    # What is shown

    def now_s(self) -> float:
        return time.monotonic()

    @property
    def is_stopping_asked(self) -> bool:
        return self.now_s() - self._stop_asked_s < _STOP_WITHIN_S

    def title_pieces(self) -> Sequence[Piece]:
        title = self.dialogue.conversation.title
        return [Piece(f"chat: {self.glyphs.shortened(title, 30)}", 5)] if title else []

    def spent(self) -> str:
        """What the answers so far have cost, where it is known."""
        costs = [turn.cost for turn in self.dialogue.turns if turn.cost is not None]
        return people.money(sum(map(Decimal, costs))) if costs else ""

    def show_store(self) -> None:
        if self.store.epoch != self._epoch and self.dialogue.answering is None:
            self._begin_with_target()
            _ = self.query_one("#turns").remove_children(".turn")
        if self.dialogue.model is None:
            self.dialogue.model = next(iter(self._aliases()), None)
        self._learn_costs()
        self._welcome()
        self._redraw_lines()

    def _redraw_lines(self) -> None:
        self.query_one("#settings").refresh()
        self.query_one("#progress").refresh()

    def _welcome(self) -> None:
        welcome = self.query_one("#welcome", Static)
        welcome.display = not self.dialogue.turns and self.dialogue.answering is None
        reason = self.why_no_chat()
        text = "Ask a model through the gateway, as an application would."
        welcome.update(f"{text}\n\n{reason}" if reason else text)

    def _learn_costs(self) -> None:
        """A stream's cost is told by the event of its end, after the answer."""
        for turn in self.dialogue.turns:
            if turn.role != "assistant" or turn.cost is not None or turn.request_id is None:
                continue
            place = self.store.traffic.position_of(turn.request_id)
            entry = None if place is None else self.store.traffic.at(place)
            if isinstance(entry, Finished):
                self.dialogue.priced(turn.request_id, entry.cost_usd)
                self._show_facts(turn.request_id)

    def _show_facts(self, request_id: str) -> None:
        turn = next(turn for turn in self.dialogue.turns if turn.request_id == request_id)
        for answer in self.query(Answer):
            if answer.request_id == request_id:
                answer.show_turn(turn)

    def _aliases(self) -> list[str]:
        rows = self.store.table("mappings").rows.values()
        return [row["alias"] for row in rows if row["enabled"] and "*" not in row["alias"]]

    def why_no_chat(self) -> str | None:
        """Why nothing can be asked now, or None."""
        if self._key is None:
            return _NO_KEY
        if self.dialogue.model is None:
            return "no model is chosen: ^o chooses one"
        return None

    def why_not(self, action: Action) -> str | None:
        busy = self.dialogue.answering is not None
        match action.verb:
            case "stop":
                return None if busy else "nothing is being answered"
            case "new" | "retry" | "rewrite" | "list" if busy:
                return "an answer is on its way: Esc Esc stops it"
            case "retry" | "rewrite":
                asked = self._unanswered or self.dialogue.last_question
                return None if asked else "nothing has been asked yet"
            case "copy":
                return None if self.dialogue.last_answer else "there is no answer yet"
            case _:
                return None

    def is_busy(self) -> str | None:
        return None if self.dialogue.answering is None else "An answer is still being written."

    # Asking

    async def on_composer_sent(self, event: Composer.Sent) -> None:
        reason = self.why_no_chat()
        if self.dialogue.answering is not None:
            reason = "an answer is on its way: Esc Esc stops it"
        if reason is not None:
            self.conduit.tell(reason, severity="warning")
            return
        self.query_one("#message", Composer).text = ""
        self.ask(event.text)

    def ask(self, text: str) -> None:
        """Ask, in a task of its own that outlives a change of screens."""
        answering = self.dialogue.begin(text, self.now_s())
        self._asking = asyncio.create_task(self._ask(answering), name="chat")
        self._redraw_lines()

    async def _ask(self, answering: Answering) -> None:
        turns = self.query_one("#turns", VerticalScroll)
        await turns.remove_children(Failure)
        self._welcome()
        answer = Answer(answering.model)
        await turns.mount(Question(answering.question), answer)
        turns.anchor()
        ticking = self.set_interval(1 / self._writes_per_s, lambda: self._flush(answer))
        failure: ClientError | None = None
        turn: Turn | None = None
        try:
            turn = await self._receive(answering)
        except asyncio.CancelledError:
            turn = self._turn_of(answering, cut=True) if answering.text else None
        except ClientError as error:
            failure = error
            turn = self._turn_of(answering, cut=True) if answering.text else None
        except Exception as error:  # noqa: BLE001  # the interface stays up, whatever comes
            self.conduit.crashed("Chat", error)
        finally:
            ticking.stop()
            self._waiting.clear()
        self.dialogue.end(turn)
        if self.query("#turns"):  # the program may be ending
            await self._ended(answering, answer, turn, failure)

    @property
    def _writes_per_s(self) -> int:
        return _LITE_WRITES_PER_S if self.conduit.look.lite else _WRITES_PER_S

    async def _receive(self, answering: Answering) -> Turn:
        """The whole answer; what comes meanwhile waits to be drawn."""
        from conduit.client.chat import Patience  # noqa: PLC0415  # deferred: network
        from conduit.client.chatting import asked  # noqa: PLC0415  # deferred: network

        target = self.conduit.target
        assert self._key is not None, "checked before asking"
        request = self.dialogue.request_for(answering.question, self._key)
        async with asked(
            target.core_url, request, patience=Patience(), ca_file=target.ca_file
        ) as stream:
            answering.request_id = stream.request_id
            answering.provider = stream.headers.get("x-conduit-provider")
            async for piece in stream.text():
                answering.add(piece, self.now_s())
                self._waiting.append(piece)
        usage = stream.reader.usage
        return self._turn_of(
            answering,
            input_tokens=usage.input_tokens if usage else None,
            output_tokens=usage.output_tokens if usage else None,
        )

    def _turn_of(self, answering: Answering, **facts: Any) -> Turn:
        return Turn(
            "assistant",
            answering.text,
            now(),
            model=answering.model,
            request_id=answering.request_id,
            **facts,
        )

    async def _flush(self, answer: Answer) -> None:
        """Draw what has come since the last time."""
        if self._waiting:
            piece = "".join(self._waiting)
            self._waiting.clear()
            await answer.write(piece)
        self.query_one("#progress").refresh()

    async def _ended(
        self,
        answering: Answering,
        answer: Answer,
        turn: Turn | None,
        failure: ClientError | None,
    ) -> None:
        turns = self.query_one("#turns", VerticalScroll)
        if turn is None:
            await answer.remove()
        else:
            await answer.finish(turn.text)
            answer.show_turn(turn)
        self._unanswered = answering.question.text if turn is None else None
        if failure is not None:
            await turns.mount(_failure_of(failure))
        self._learn_costs()
        self._redraw_lines()
        self.refresh_frame()

    # Stopping

    def action_stop_softly(self) -> None:
        """Esc: the first one asks, the second one stops."""
        if self.dialogue.answering is None:
            return
        if self.is_stopping_asked:
            self.do_stop()
            return
        self._stop_asked_s = self.now_s()
        self.query_one("#progress").refresh()

    def do_stop(self) -> None:
        if self._asking is not None:
            self._asking.cancel()

    def action_scroll(self, pages: int) -> None:
        turns = self.query_one("#turns", VerticalScroll)
        if pages < 0:
            turns.scroll_page_up(animate=False)
        else:
            turns.scroll_page_down(animate=False)

    # Verbs

    def do_new(self) -> None:
        self.dialogue.begin_anew()
        self._unanswered = None
        self.conduit.attempt(self._mount_turns(), "Show the conversation")

    async def _mount_turns(self) -> None:
        turns = self.query_one("#turns", VerticalScroll)
        await turns.remove_children(".turn")
        shown = self.dialogue.turns[-SHOWN_TURNS:]
        hidden = len(self.dialogue.turns) - len(shown)
        if hidden:
            await turns.mount(Static(f"{hidden} earlier turns are not shown", classes="turn"))
        await turns.mount_all(
            Question(turn) if turn.role == "user" else Answer(turn.model or "model", turn)
            for turn in shown
        )
        turns.anchor()
        self._welcome()
        self._redraw_lines()
        self.refresh_frame()

    async def do_retry(self) -> None:
        question = self._take_last_question()
        if question:
            await self._mount_turns()
            self.ask(question)

    async def do_rewrite(self) -> None:
        question = self._take_last_question()
        if question:
            await self._mount_turns()
            message = self.query_one("#message", Composer)
            message.text = question
            message.move_cursor(message.document.end)
            message.focus()

    def _take_last_question(self) -> str | None:
        """One that got no answer, and is in no conversation, or that of the last exchange."""
        unanswered, self._unanswered = self._unanswered, None
        return unanswered or self.dialogue.take_back()

    def do_copy(self) -> None:
        answer = self.dialogue.last_answer
        if answer is not None:
            self.conduit.copy_text(answer.text)

    async def do_model(self) -> None:
        aliases = self._aliases()
        choices = [
            Choice(alias, alias, note="now" if alias == self.dialogue.model else "")
            for alias in aliases
        ]
        picker = Picker("model", choices, empty="there are no mappings yet: F3 adds one")
        chosen = await self.conduit.push_screen_wait(picker)
        if chosen is not None:
            self.dialogue.model = chosen
            self._welcome()
            self._redraw_lines()

    async def do_settings(self) -> None:
        parameters = self.dialogue.parameters
        fields = [
            Field("system", "System text", self.dialogue.conversation.system or ""),
            Field(
                "temperature", "Temperature", str(parameters.get("temperature", "")), check=_number
            ),
            Field("top_p", "Top p", str(parameters.get("top_p", "")), check=_number),
            Field("max_tokens", "Max tokens", str(parameters.get("max_tokens", "")), check=_count),
            Field("seed", "Seed", str(parameters.get("seed", "")), check=_count),
            Field(
                "reasoning_effort", "Reasoning effort", str(parameters.get("reasoning_effort", ""))
            ),
        ]

        async def keep(values: dict[str, Any]) -> dict[str, Any]:
            self.dialogue.set_system(values.pop("system"))
            self.dialogue.parameters = {k: v for k, v in values.items() if v is not None}
            return values

        await self.conduit.push_screen_wait(FormDialog("Parameters", fields, keep, verb="Use"))
        self._redraw_lines()

    async def do_list(self) -> None:
        url = self.dialogue.conversation.url
        found = await asyncio.to_thread(self.dialogue.store.all)
        choices = [
            Choice(each.id, each.title or each.id, note=each.at[:16].replace("T", " "))
            for each in found
            if each.url == url
        ]
        picker = Picker("conversations", choices, empty="none yet with this gateway")
        chosen = await self.conduit.push_screen_wait(picker)
        if chosen is None:
            return
        try:
            self.dialogue.open(await asyncio.to_thread(self.dialogue.store.open, chosen))
        except ConversationError as error:
            self.conduit.tell(str(error), severity="error")
            return
        await self._mount_turns()

    async def do_key(self) -> None:
        reason = self.conduit.link.why_no_change()
        choices = [
            Choice("make", "Make a key for this", note=f"named {_KEY_NAME}-…", reason=reason),
            Choice("take", "Take a key that I have"),
        ]
        chosen = await self.conduit.push_screen_wait(Picker("virtual key", choices))
        if chosen == "make":
            await self._make_key()
        elif chosen == "take":
            await self._take_key()
        self._welcome()
        self._redraw_lines()

    async def _make_key(self) -> None:
        """The key stays in memory: it is in nobody's way once this program has ended."""
        name = f"{_KEY_NAME}-{int(time.time()):x}"
        made = await self.conduit.link.change("keys.create", body={"name": name})
        self._key = made["secret"]
        self.conduit.tell(f"made key {name}, for as long as this runs", hint="F7 deletes it")

    async def _take_key(self) -> None:
        async def keep(values: dict[str, Any]) -> dict[str, Any]:
            self._key = values["key"]
            return {}

        field = Field("key", "Virtual key", kind="secret", required=True, check=_virtual_key)
        await self.conduit.push_screen_wait(FormDialog("Virtual key", [field], keep, verb="Use"))


def _failure_of(error: ClientError) -> Failure:
    if isinstance(error, ApiError):
        return Failure(error.message, error.code, error.hint, error.request_id)
    return Failure(error.message, "unreachable", None, None)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError("must be a number, such as 0.7") from error


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError("must be a whole number")
    return int(text)


def _virtual_key(text: str) -> str:
    from conduit.core.keys import is_virtual_key  # noqa: PLC0415  # deferred: rare

    if not is_virtual_key(text):
        raise ValueError("is no virtual key, or is mistyped")
    return text
