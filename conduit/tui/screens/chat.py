"""A conversation with a model: the answer streams in, the draft survives other screens."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from decimal import Decimal

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from conduit.client.attachments import AttachmentError, part_of
from conduit.client.conversations import ConversationError, Turn
from conduit.client.errors import ClientError
from conduit.core import people
from conduit.tui.actions import Action
from conduit.tui.chat import chat_key, dialogs
from conduit.tui.chat.asking import Outcome, receive
from conduit.tui.chat.attaching import named_files, with_sign
from conduit.tui.chat.composer import Composer
from conduit.tui.chat.dialogue import Answering, Asked, Dialogue
from conduit.tui.chat.lines import FactsPane, ProgressLine, SettingsLine
from conduit.tui.chat.sidebar import ConversationList
from conduit.tui.chat.turns import Answer, Failure, Question, show_failures
from conduit.tui.fitting import Piece
from conduit.tui.state.gateway import Refused
from conduit.tui.state.traffic import Finished
from conduit.tui.widgets.dialogs.confirming import Confirm
from conduit.tui.widgets.dialogs.picker import Choice, Picker
from conduit.tui.widgets.frame import FrameScreen

SHOWN_TURNS = 50
WIDE_COLUMNS = 120
"""From here on there are panes beside the conversation, and models can be compared."""

_WRITES_PER_S = 5
_LITE_WRITES_PER_S = 2
_STOP_WITHIN_S = 2.0
_DRAWN_WITHIN_S = 5.0
_NO_KEY = "a chat needs a virtual key: ^k takes one"
_BUSY = "an answer is on its way: Esc Esc stops it"


class ChatScreen(FrameScreen):
    """The conversation above, the message below."""

    PLACE = "chat"
    CSS_PATH = "chat.tcss"
    TABLES = frozenset({"mappings", "models"})
    AUTO_FOCUS = "#message"
    ACTIONS = (
        Action("chat.stop", "Stop the answer", ("ctrl+c",), always=True),
        Action("chat.new", "Begin a new conversation", ("ctrl+n",), "new", 1, always=True),
        Action("chat.model", "Choose the model", ("ctrl+o",), "model", 1, always=True),
        Action("chat.retry", "Ask for another answer", ("ctrl+r",), "retry", 2, always=True),
        Action("chat.flip", "Show the other answer, or way", ("alt+right", "greater_than_sign")),
        Action("chat.flip-back", "Show the answer before", ("alt+left", "less_than_sign")),
        Action("chat.ways", "All ways the conversation took"),
        Action("chat.rewrite", "Edit a question, as a branch", ("ctrl+e",), "edit", 4, always=True),
        Action("chat.settings", "System text, parameters", ("ctrl+t",), "params", 3, always=True),
        Action("chat.attach", "Attach a file or an image", ("ctrl+f",), "file", 4, always=True),
        Action("chat.detach", "Take the attached files out"),
        Action("chat.tools", "Offer the tools of a file"),
        Action("chat.results", "Tell what the tools answered", ("ctrl+x",), always=True),
        Action("chat.reasoning", "Show or fold the reasoning", ("ctrl+g",), always=True),
        Action(
            "chat.compare", "Ask several models at once", ("ctrl+d",), "compare", 6, always=True
        ),
        Action("chat.copy", "Copy the last answer", ("ctrl+y",), "copy", 3, always=True),
        Action("chat.list", "Find a conversation", ("ctrl+b",), "list", 2, always=True),
        Action("chat.export", "Export as Markdown or JSON", ("ctrl+s",), "export", 6, always=True),
        Action("chat.forget", "Delete the conversation"),
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
        self._asking: asyncio.Task[None] | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._listing = asyncio.Lock()
        self._stop_asked_s = 0.0
        self._unfolded = False
        self._is_wide = False
        self._epoch = -1
        self._welcomed = ""

    def compose_body(self) -> ComposeResult:
        yield SettingsLine(id="settings")
        with Horizontal(id="middle"):
            yield ConversationList()
            with VerticalScroll(id="turns"):
                yield Static("", id="welcome", markup=False)
            yield FactsPane()
        yield ProgressLine(id="progress")
        message = Composer("", id="message", soft_wrap=True, compact=True)
        message.border_title = "message"
        yield message

    def on_mount(self) -> None:
        self.query_one("#turns").anchor()
        self._begin_with_target()

    def on_unmount(self) -> None:
        self.do_stop()

    def on_resize(self, event: events.Resize) -> None:
        was_wide, self._is_wide = self._is_wide, event.size.width >= WIDE_COLUMNS
        self._redraw_lines()
        if not was_wide:
            self._list_conversations()

    def _begin_with_target(self) -> None:
        """Another gateway is another conversation, with another key."""
        self._target = target = self.conduit.target
        self._epoch = self.store.epoch
        self._key = target.virtual_key
        self.dialogue = Dialogue(target.core_url, target.default_model)
        self._welcome()
        self._list_conversations()

    # What is shown

    def now_s(self) -> float:
        return time.monotonic()

    @property
    def is_stopping_asked(self) -> bool:
        return self.now_s() - self._stop_asked_s < _STOP_WITHIN_S

    @property
    def compares(self) -> bool:
        """Whether the next question goes to several models, side by side."""
        return bool(self.dialogue.rivals) and self._is_wide

    def title_pieces(self) -> Sequence[Piece]:
        title = self.dialogue.conversation.title
        return [Piece(f"chat: {self.glyphs.shortened(title, 30)}", 5)] if title else []

    def spent(self) -> str:
        """What the answers so far have cost, of all ways, where it is known."""
        every = self.dialogue.conversation.every()
        costs = [turn.cost for turn in every if turn.cost is not None]
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
        if not self.query("#settings"):
            return
        self.query_one(SettingsLine).redraw()
        self.query_one(ProgressLine).redraw()
        # Several answers beside each other need the room themselves.
        self.set_class(self._is_wide and not self.compares, "-panes")
        if self._is_wide:
            self.query_one(FactsPane).show_facts()
        waiting = "  ".join(each.words for each in self.dialogue.waiting)
        self.query_one(Composer).border_title = waiting or "message"

    def _welcome(self) -> None:
        welcome, dialogue = self.query_one("#welcome", Static), self.dialogue
        welcome.display = not (dialogue.turns or dialogue.asked or dialogue.unanswered)
        text = "Ask a model through the gateway, as an application would."
        reason = "\n".join(self.why_no_chat())
        if not reason and self._key is None:
            reason = f"The first question makes a virtual key for it ({chat_key.WORDS});\n"
            reason += "^k takes one that you have."
        text = f"{text}\n\n{reason}" if reason else text
        if text != self._welcomed:
            self._welcomed = text
            welcome.update(text)

    def _learn_costs(self) -> None:
        """A stream's cost is told by the event of its end, after the answer."""
        for request_id in list(self.dialogue.unpriced()):
            place = self.store.traffic.position_of(request_id)
            entry = None if place is None else self.store.traffic.at(place)
            if isinstance(entry, Finished) and self.dialogue.priced(request_id, entry.cost_usd):
                self._show_facts(request_id)

    def _show_facts(self, request_id: str) -> None:
        every = self.dialogue.conversation.every()
        turn = next(turn for turn in every if turn.request_id == request_id)
        for answer in self.query(Answer):
            if answer.request_id == request_id:
                answer.show_turn(turn)

    def _aliases(self) -> list[str]:
        rows = self.store.table("mappings").rows.values()
        return [row["alias"] for row in rows if row["enabled"] and "*" not in row["alias"]]

    def _list_conversations(self) -> None:
        if self._is_wide:
            self.conduit.attempt(self._show_list(), "List the conversations", group="chat-list")

    async def _show_list(self) -> None:
        async with self._listing:  # one after the other: the later finds little to read
            found = await asyncio.to_thread(self.dialogue.listed)
        for shown in self.query(ConversationList):
            shown.show_all(found, self.dialogue.conversation.id)

    def why_no_chat(self) -> list[str]:
        """Why nothing can be asked now, what matters most first; nothing where all is well."""
        if self._key is None and (reason := self.conduit.link.why_no_change()):
            return [_NO_KEY, reason]
        return [] if self.dialogue.model else ["no model is chosen: ^o chooses one"]

    def why_not(self, action: Action) -> str | None:
        dialogue = self.dialogue
        match action.verb:
            case "stop":
                return None if dialogue.asked else "nothing is being answered"
            case "new" | "retry" | "rewrite" | "list" | "flip" | "flip-back" | "ways" if (
                dialogue.asked
            ):
                return _BUSY
            case "results" | "forget" if dialogue.asked:
                return _BUSY
            case "retry" | "rewrite":
                asked = dialogue.unanswered or dialogue.last_question
                return None if asked else "nothing has been asked yet"
            case "flip" | "flip-back" | "ways":
                return None if dialogue.fork is not None else "there is one way alone"
            case "results":
                return None if dialogue.open_calls else "no tool was called"
            case "detach":
                return None if dialogue.waiting else "nothing is attached"
            case "export" | "forget":
                return None if dialogue.turns else "there is no conversation yet"
            case "compare":
                return None if self._is_wide else f"needs {WIDE_COLUMNS} columns"
            case "copy":
                return None if dialogue.last_answer else "there is no answer yet"
            case _:
                return None

    def is_busy(self) -> str | None:
        return None if self.dialogue.asked is None else "An answer is still being written."

    # Asking

    async def on_composer_sent(self, event: Composer.Sent) -> None:
        reasons = [_BUSY] if self.dialogue.asked is not None else self.why_no_chat()
        if reasons:
            self.conduit.tell("; ".join(reasons), severity="warning")
            return
        if named_files(event.text):
            self.conduit.attempt(self._attach_named(event.text), "Attach")
            return
        self.query_one(Composer).text = ""
        self.ask(self.dialogue.begin(event.text, self.now_s(), rivals=self.compares))

    async def _attach_named(self, text: str) -> None:
        """Put signs in place of files that the message names; it is sent once that was seen."""
        for given in named_files(text):
            try:
                attachment = self.dialogue.attach(await asyncio.to_thread(part_of, given))
            except AttachmentError as error:
                self.conduit.tell(str(error), severity="error")
                return
            text = with_sign(text, given, attachment.sign)
        message = self.query_one(Composer)
        message.text = text
        message.move_cursor(message.document.end)
        self._redraw_lines()

    def ask(self, asked: Asked) -> None:
        """Ask, in tasks of their own that outlive a change of screens."""
        outcomes = [Outcome() for _ in asked.answers]
        self._receiving = asyncio.create_task(self._receive(asked, outcomes), name="chat-receiving")
        asking = self._ask(asked, self._receiving, outcomes)
        self._asking = asyncio.create_task(asking, name="chat")
        self._redraw_lines()

    async def _ask(
        self, asked: Asked, receiving: asyncio.Task[None], outcomes: Sequence[Outcome]
    ) -> None:
        """Draw a question and its answers. A stop ends the receiving alone: this goes on."""
        over = asyncio.Event()
        try:
            mounted, answers = await self._mount_asked(asked)
            drawing = asyncio.create_task(self._draw_until(over, asked, answers))
            await asyncio.wait([receiving])
            over.set()
            await asyncio.wait([drawing], timeout=_DRAWN_WITHIN_S)
        except Exception as error:  # noqa: BLE001  # the interface stays up, whatever comes
            self.conduit.crashed("Chat", error)
            return
        finally:
            over.set()
            receiving.cancel()
            # Whatever has happened: a question that is never over would keep the chat busy.
            pairs = zip(asked.answers, outcomes, strict=True)
            self.dialogue.end([outcome.kept(each, self.now_s()) for each, outcome in pairs])
        if self.query("#turns"):  # the program may be ending
            await self._ended(asked, mounted, answers, outcomes)
            self.show_store()  # another gateway may have been chosen meanwhile

    async def _mount_asked(self, asked: Asked) -> tuple[list[Widget], list[Answer]]:
        """Draw a question that is on its way, and its answers, which are empty yet."""
        turns = self.query_one("#turns", VerticalScroll)
        await turns.remove_children(".unkept")
        await turns.remove_children(Failure)
        if not asked.is_at_end(len(self.dialogue.turns)):
            await self._mount_turns(asked.shown)
        self._welcome()
        answers = [Answer(each.model, unfolded=self._unfolded) for each in asked.answers]
        new: list[Widget] = [] if asked.is_again else [Question(asked.question)]
        new += answers if len(answers) == 1 else [Horizontal(*answers, classes="turn rivals")]
        await turns.mount_all(new)
        turns.anchor()
        return new, answers

    async def _receive(self, asked: Asked, outcomes: Sequence[Outcome]) -> None:
        """Fill in the outcomes; those that have come before a stop stay."""
        try:
            if await self._has_key():
                pairs = zip(asked.answers, outcomes, strict=True)
                await asyncio.gather(*(self._received(*pair) for pair in pairs))
        except ClientError as error:  # no key could be made
            outcomes[0].failure = error
        except Exception as error:  # noqa: BLE001  # the interface stays up, whatever comes
            self.conduit.crashed("Chat", error)

    async def _has_key(self) -> bool:
        """Whether there is a key to ask with; the first question makes one."""
        if self._key is None:
            await self._make_key()
        return self._key is not None

    @property
    def _writes_per_s(self) -> int:
        return _LITE_WRITES_PER_S if self.conduit.look.lite else _WRITES_PER_S

    async def _received(self, answering: Answering, outcome: Outcome) -> None:
        """One answer, or as much of it as came before an error or a stop."""
        assert self._key is not None, "there is one before anything is asked"
        request = self.dialogue.request_for(answering, self._key)
        try:
            outcome.turn = await receive(self._target, request, answering, self.now_s)
        except ClientError as error:
            outcome.failure = error
        except Exception as error:  # noqa: BLE001  # the interface stays up, whatever comes
            self.conduit.crashed("Chat", error)
        finally:
            answering.is_over = True
            outcome.kept(answering, self.now_s())

    async def _draw_until(
        self, over: asyncio.Event, asked: Asked, answers: Sequence[Answer]
    ) -> None:
        """Draw what has come, a few times a second; the last drawing is not broken off."""
        while not over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(1 / self._writes_per_s):
                    await over.wait()
            if over.is_set() or not self.query("#turns"):
                return
            for answering, answer in zip(asked.answers, answers, strict=True):
                await answer.draw(answering)
            self.query_one(ProgressLine).redraw()

    async def _ended(
        self,
        asked: Asked,
        mounted: Sequence[Widget],
        answers: Sequence[Answer],
        outcomes: Sequence[Outcome],
    ) -> None:
        turns = self.query_one("#turns", VerticalScroll)
        kept = [outcome.turn for outcome in outcomes if outcome.turn is not None]
        for answer, outcome in zip(answers, outcomes, strict=True):
            if outcome.turn is not None:
                await answer.finish(outcome.turn)
                self._show_way(answer, len(kept))
        if kept or asked.is_at_end(len(self.dialogue.turns)):
            await show_failures(turns, mounted, answers, outcomes)
        else:
            # What it would have replaced is still part of the conversation: it is shown again.
            await self._mount_turns()
            again = [] if asked.is_again else [Question(asked.question)]
            await turns.mount_all(again)
            await show_failures(turns, again, (), outcomes)
        self._learn_costs()
        self._redraw_lines()
        self.refresh_frame()
        self._list_conversations()

    def _show_way(self, answer: Answer, kept: int) -> None:
        """Which of several answers to the question it is."""
        last = self.dialogue.last_answer
        if kept == 1 and last is not None:
            answer.show_turn(last, self.dialogue.way_of(len(self.dialogue.turns) - 1))

    # Stopping

    def action_stop_softly(self) -> None:
        """Esc: the first one asks, the second one stops; without an answer it ends editing."""
        if self.dialogue.asked is None:
            if self.dialogue.editing is not None:
                self.dialogue.editing = None
                self.query_one(Composer).text = ""
                self._redraw_lines()
            return
        if self.is_stopping_asked:
            self.do_stop()
            return
        self._stop_asked_s = self.now_s()
        self.query_one(ProgressLine).redraw()

    def do_stop(self) -> None:
        """Stop what is being received, once: a second time would break off its ending."""
        if self._receiving is not None and not self._receiving.cancelling():
            self._receiving.cancel()

    def action_scroll(self, pages: int) -> None:
        turns = self.query_one("#turns", VerticalScroll)
        if pages < 0:
            turns.scroll_page_up(animate=False)
        else:
            turns.scroll_page_down(animate=False)

    # Verbs

    def do_new(self) -> None:
        self.dialogue.begin_anew()
        self._show_again()

    def _show_again(self) -> None:
        self.conduit.attempt(self._mount_turns(), "Show the conversation")

    async def _mount_turns(self, most: int | None = None) -> None:
        """Draw the conversation anew, up to a turn."""
        turns = self.query_one("#turns", VerticalScroll)
        await turns.remove_children(".turn")
        every = self.dialogue.turns[:most]
        first = max(0, len(every) - SHOWN_TURNS)
        if first:
            await turns.mount(Static(f"{first} earlier turns are not shown", classes="turn"))
        await turns.mount_all(
            self._drawn(turn, place) for place, turn in enumerate(every) if place >= first
        )
        turns.anchor()
        self._welcome()
        self._redraw_lines()
        self.refresh_frame()
        self._list_conversations()

    def _drawn(self, turn: Turn, place: int) -> Question | Answer:
        way = self.dialogue.way_of(place)
        if turn.role == "user":
            return Question(turn, way)
        return Answer(turn.model or "model", turn, way=way, unfolded=self._unfolded)

    def do_retry(self) -> None:
        if reasons := self.why_no_chat():
            self.conduit.tell("; ".join(reasons), severity="warning")
            return
        if asked := self.dialogue.again(self.now_s(), rivals=self.compares):
            self.ask(asked)

    def do_rewrite(self) -> None:
        dialogue, message = self.dialogue, self.query_one(Composer)
        unanswered, dialogue.unanswered = dialogue.unanswered, None
        question = unanswered.question if unanswered else dialogue.edit_before()
        if question is not None:
            message.text = question.text
            message.move_cursor(message.document.end)
            message.focus()
            self._redraw_lines()

    def do_flip(self, by: int = 1) -> None:
        if self.dialogue.flip(by):
            self._show_again()

    def do_flip_back(self) -> None:
        self.do_flip(-1)

    async def do_ways(self) -> None:
        number = await dialogs.chosen_way(self.conduit, self.dialogue.conversation)
        if number is not None:
            self.dialogue.show_way(number)
            await self._mount_turns()

    def do_copy(self) -> None:
        if answer := self.dialogue.last_answer:
            self.conduit.copy_text(answer.text)

    async def do_model(self) -> None:
        models = dict(self.store.table("models").rows)
        chosen = await dialogs.chosen_model(
            self.conduit, self._aliases(), models, self.dialogue.model
        )
        if chosen is not None:
            self.dialogue.model = chosen
            self.dialogue.rivals = [name for name in self.dialogue.rivals if name != chosen]
            self._welcome()
            self._redraw_lines()

    async def do_settings(self) -> None:
        await self._and_redraw(dialogs.change_settings(self.conduit, self.dialogue))

    async def do_attach(self) -> None:
        await self._and_redraw(dialogs.attach_file(self.conduit, self.dialogue))

    async def do_tools(self) -> None:
        await self._and_redraw(dialogs.offer_tools(self.conduit, self.dialogue))

    async def do_compare(self) -> None:
        await self._and_redraw(dialogs.chosen_rivals(self.conduit, self.dialogue, self._aliases()))

    async def _and_redraw(self, work: Awaitable[None]) -> None:
        await work
        self._redraw_lines()

    def do_detach(self) -> None:
        self.dialogue.waiting = []
        self._redraw_lines()

    async def do_results(self) -> None:
        results = await dialogs.results_of_calls(self.conduit, self.dialogue.open_calls)
        if results is not None and self.dialogue.asked is None:
            self.ask(self.dialogue.answer_calls(results, self.now_s()))

    def do_reasoning(self) -> None:
        self._unfolded = not self._unfolded
        for answer in self.query(Answer):
            answer.unfold(self._unfolded)

    async def do_export(self) -> None:
        await dialogs.export_conversation(self.conduit, self.dialogue.conversation)

    async def do_forget(self) -> None:
        title = self.glyphs.shortened(self.dialogue.conversation.title, 40)
        effect = "The conversation is deleted from this machine."
        if await self.conduit.push_screen_wait(Confirm(f"Delete {title!r}?", effect)):
            await asyncio.to_thread(self.dialogue.forget)
            await self._mount_turns()

    async def do_list(self) -> None:
        picker = dialogs.ConversationPicker(await asyncio.to_thread(self.dialogue.kept))
        chosen = await self.conduit.push_screen_wait(picker)
        if chosen is not None:
            await self._open(chosen)

    def on_conversation_list_wanted(self, event: ConversationList.Wanted) -> None:
        if self.dialogue.asked is not None:
            self.conduit.tell(_BUSY, severity="warning")
        else:
            self.conduit.attempt(self._open(event.id), "Open the conversation")

    async def _open(self, id: str) -> None:
        try:
            self.dialogue.open(await asyncio.to_thread(self.dialogue.store.open, id))
        except ConversationError as error:
            self.conduit.tell(str(error), severity="error")
            return
        await self._mount_turns()

    async def do_key(self) -> None:
        target, reason = self._target, self.conduit.link.why_no_change()
        choices = [
            Choice("make", "Make a key for this", note=chat_key.WORDS, reason=reason),
            Choice("take", "Take a key that I have"),
        ]
        chosen = await self.conduit.push_screen_wait(Picker("virtual key", choices))
        if chosen == "make":
            await self._make_key()
        elif chosen == "take" and (taken := await dialogs.key_taken(self.conduit)):
            self._key = taken if self._target is target else self._key
        self._welcome()
        self._redraw_lines()

    async def _make_key(self) -> None:
        """A key of its own for these chats; it is never shown, `conduit-tui -s` prints it."""
        target, link = self._target, self.conduit.link
        if link.target != target:  # another context was chosen while an answer came
            raise Refused(f"not sent: this chat is with context {target.name!r}")
        secret, said = await chat_key.make(link, target)
        if self._target is target:
            self._key = secret
        self.conduit.tell(said, hint="F7 changes or deletes it")
