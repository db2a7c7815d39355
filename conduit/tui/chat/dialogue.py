"""One conversation as the chat screen holds it; plain Python, no terminal.

The screen asks and draws; what is asked, with what, and what is kept of it is decided here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from conduit.client.attachments import MOST_BYTES, AttachmentError, described, within_limit
from conduit.client.chat import ChatRequest
from conduit.client.conversations import (
    Conversation,
    Conversations,
    Listed,
    Turn,
    messages_of,
    new_conversation,
    now,
)

_CHARACTERS_A_TOKEN = 4
MOST_RIVALS = 2


@dataclass(slots=True)
class Answering:
    """An answer while it comes; `undrawn` is what has come since it was last drawn.

    `thoughts` is the reasoning so far. Seconds are of the screen's clock.
    """

    model: str
    began_s: float
    pieces: list[str] = field(default_factory=list)
    undrawn: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    characters: int = 0
    first_s: float | None = None
    request_id: str | None = None
    provider: str | None = None
    is_over: bool = False

    def add(self, piece: str, at_s: float) -> None:
        if self.first_s is None:
            self.first_s = at_s
        self.pieces.append(piece)
        self.undrawn.append(piece)
        self.characters += len(piece)

    def take_undrawn(self) -> str:
        taken = "".join(self.undrawn)
        self.undrawn.clear()
        return taken

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def tokens(self) -> int:
        """About how many, until the provider tells."""
        return tokens_of(self.characters + sum(map(len, self.thoughts)))

    @property
    def state(self) -> str:
        if self.first_s is not None:
            return "streaming"
        return "thinking" if self.thoughts else "waiting"

    def turn(self, at_s: float, **facts: Any) -> Turn:
        """The answer as a conversation keeps it."""
        return Turn(
            "assistant",
            self.text,
            now(),
            model=self.model,
            request_id=self.request_id,
            provider=self.provider,
            duration_ms=round((at_s - self.began_s) * 1000),
            reasoning="".join(self.thoughts) or None,
            **facts,
        )


def tokens_of(characters: int) -> int:
    """About how many tokens so many characters are."""
    return -(-characters // _CHARACTERS_A_TOKEN)


@dataclass(slots=True)
class Asked:
    """A question on its way; it stands at a place of the conversation, before those it replaces.

    `is_again` says that it is kept already, and that only an answer is added to it.
    """

    question: Turn
    place: int
    is_again: bool
    answers: list[Answering]

    @property
    def shown(self) -> int:
        """How many turns of the conversation stand before what it brings."""
        return self.place + (1 if self.is_again else 0)

    def is_at_end(self, turns: int) -> bool:
        """Whether it goes on after all turns, and stands for none of them."""
        return self.shown == turns


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that goes along with the next question, and the sign that stands for it."""

    sign: str
    part: dict[str, Any]

    @property
    def words(self) -> str:
        return f"{self.sign} {described(self.part)}"


class Dialogue:
    """The conversation that is shown, and what the next question is asked with."""

    def __init__(self, url: str, model: str | None, store: Conversations | None = None) -> None:
        self.store = store or Conversations()
        self.conversation = new_conversation(url, model)
        self.model = model
        self.rivals: list[str] = []
        self.parameters: dict[str, Any] = {}
        self.tools: list[dict[str, Any]] = []
        self.waiting: list[Attachment] = []
        self.editing: int | None = None
        self.asked: Asked | None = None
        self.unanswered: Asked | None = None
        self.is_kept = True

    @property
    def turns(self) -> tuple[Turn, ...]:
        return self.conversation.turns

    @property
    def answering(self) -> Answering | None:
        """The answer that is on its way, the first one of several."""
        if self.asked is None:
            return None
        coming = [each for each in self.asked.answers if not each.is_over]
        return (coming or self.asked.answers)[0]

    @property
    def last_question(self) -> Turn | None:
        return next((turn for turn in reversed(self.turns) if turn.role == "user"), None)

    @property
    def last_answer(self) -> Turn | None:
        return next((turn for turn in reversed(self.turns) if turn.role == "assistant"), None)

    @property
    def open_calls(self) -> list[dict[str, Any]]:
        """The calls of tools at the end of the conversation, which nobody has answered yet."""
        last = self.turns[-1] if self.turns else None
        return list(last.tool_calls or ()) if last is not None else []

    # Asking

    def request_for(self, answering: Answering, key: str) -> ChatRequest:
        """The request that asks for it."""
        assert self.asked is not None, "something is asked"
        before = self.turns[: self.asked.place]
        system = self.conversation.system
        instructed = [{"role": "system", "content": system}] if system else []
        tools = {"tools": self.tools} if self.tools else {}
        return ChatRequest(
            model=answering.model,
            messages=[*instructed, *messages_of([*before, self.asked.question])],
            key=key,
            stream=True,
            parameters={**self.parameters, **tools},
        )

    def begin(self, text: str, at_s: float, *, rivals: bool = False) -> Asked:
        """A question is being asked, in place of the one that is being edited."""
        parts = [attachment.part for attachment in self.waiting]
        words = [{"type": "text", "text": text}] if text else []
        question = Turn("user", [*words, *parts] if parts else text, now())
        place = len(self.turns) if self.editing is None else self.editing
        self.waiting, self.editing = [], None
        return self._ask(question, place, at_s, is_again=False, rivals=rivals)

    def answer_calls(self, results: Sequence[str], at_s: float) -> Asked:
        """The results of the open calls, in their order, are told to the model."""
        told = [
            {"tool_call_id": call["id"], "content": result}
            for call, result in zip(self.open_calls, results, strict=True)
        ]
        question = Turn("user", "", now(), tool_results=told)
        return self._ask(question, len(self.turns), at_s, is_again=False)

    def again(self, at_s: float, *, rivals: bool = False) -> Asked | None:
        """Ask the last question again: one without an answer, or for another answer."""
        asked, self.unanswered, self.editing = self.unanswered, None, None
        if asked is not None:
            return self._ask(
                asked.question, asked.place, at_s, is_again=asked.is_again, rivals=rivals
            )
        question = self.last_question
        if question is None:
            return None
        return self._ask(question, self.turns.index(question), at_s, is_again=True, rivals=rivals)

    def _ask(
        self, question: Turn, place: int, at_s: float, *, is_again: bool, rivals: bool = False
    ) -> Asked:
        assert self.model is not None, "a model is chosen first"
        models = [self.model, *(self.rivals if rivals else ())]
        answers = [Answering(model, at_s) for model in models]
        self.unanswered = None
        self.asked = Asked(question, place, is_again, answers)
        return self.asked

    def end(self, answers: Sequence[Turn | None]) -> None:
        """All answers have ended; without any text of them, the question is not kept either."""
        asked, self.asked = self.asked, None
        if asked is None:
            return
        found = [answer for answer in answers if answer is not None]
        if not found:
            self.unanswered = asked
            return
        before = replace(self.conversation, model=self.model)
        before = self.store.joined(before) if self.is_kept else before
        before = before.forked(asked.shown)
        asked_now = () if asked.is_again else (asked.question,)
        if len(found) == 1:
            self._append(before, *asked_now, found[0])
            return
        ways = before.extended(*asked_now)
        place = len(ways.turns)
        for answer in found:
            ways = ways.extended(answer).forked(place)
        first = ways.others[-len(found)]
        self._rewrite(ways.showing(first.id))

    def _append(self, conversation: Conversation, *turns: Turn) -> None:
        if self.is_kept:
            try:
                self.conversation = self.store.append(conversation, *turns)
            except OSError:
                self.is_kept = False  # the screen says so; the conversation goes on in memory
            else:
                return
        self.conversation = conversation.extended(*turns)

    def attach(self, part: dict[str, Any]) -> Attachment:
        """Send a part along with the next question. Raises AttachmentError."""
        if not within_limit([*(each.part for each in self.waiting), part]):
            raise AttachmentError(f"more than {MOST_BYTES // 1024**2} MiB together")
        kind = "Image" if part["type"] == "image_url" else "File"
        number = 1 + sum(each.sign.startswith(f"[{kind}") for each in self.waiting)
        attachment = Attachment(f"[{kind} #{number}]", part)
        self.waiting.append(attachment)
        return attachment

    # Ways

    def edit_before(self) -> Turn | None:
        """Edit the last question, or the one before that which is being edited; None: there is
        none."""
        places = [i for i, turn in enumerate(self.turns) if turn.role == "user" and turn.content]
        if not places:
            return None
        earlier = [i for i in places if self.editing is not None and i < self.editing]
        self.editing = (earlier or places)[-1]
        return self.turns[self.editing]

    @property
    def fork(self) -> int | None:
        """The last place of the conversation where there are several ways."""
        places = reversed(range(len(self.turns)))
        return next((at for at in places if len(self.conversation.ways(at)) > 1), None)

    def flip(self, by: int) -> bool:
        """Show the next way, or the one before; False where there is one alone."""
        at = self.fork
        if at is None:
            return False
        ways = self.conversation.ways(at)
        place = (ways.index(self.turns[at]) + by) % len(ways)
        self.show_way(ways[place].id)
        return True

    def show_way(self, number: int) -> None:
        """Show the way that leads through a turn."""
        self.editing = None
        self._rewrite(self.conversation.showing(number))

    def way_of(self, at: int) -> tuple[int, int]:
        """Which of how many ways is shown at a place: (2, 3)."""
        ways = self.conversation.ways(at)
        return ways.index(self.turns[at]) + 1, len(ways)

    # What is kept

    def kept(self) -> list[Conversation]:
        """The conversations with this gateway, the newest first; files are read."""
        return [each for each in self.store.all() if each.url == self.conversation.url]

    def listed(self) -> list[Listed]:
        """The same without their turns; files that have changed are read."""
        return self.store.listed(self.conversation.url)

    def unpriced(self) -> Iterator[str]:
        """The requests whose cost is not known yet."""
        for turn in self.conversation.every():
            if turn.role == "assistant" and turn.cost is None and turn.request_id is not None:
                yield turn.request_id

    def priced(self, request_id: str, cost: str) -> bool:
        """The cost of an answer is known now; False where it belongs to no turn without one."""

        def with_cost(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
            return tuple(
                replace(turn, cost=cost)
                if turn.request_id == request_id and turn.cost is None
                else turn
                for turn in turns
            )

        old = self.conversation
        new = replace(old, turns=with_cost(old.turns), others=with_cost(old.others))
        if new == old:
            return False
        self._rewrite(new)
        return True

    def set_system(self, text: str | None) -> None:
        if text == self.conversation.system:
            return
        self.conversation = replace(self.conversation, system=text)
        if self.turns:
            self._rewrite(self.conversation)

    def _rewrite(self, conversation: Conversation) -> None:
        self.conversation = conversation
        if not self.is_kept:
            return
        try:
            self.conversation = self.store.save(conversation)
        except OSError:
            self.is_kept = False

    def open(self, conversation: Conversation) -> None:
        """Show another conversation."""
        self.conversation = conversation
        self.model = conversation.model or self.model
        self.editing = self.unanswered = None

    def begin_anew(self) -> None:
        """Leave this one; model, system text and parameters stay."""
        old = self.conversation
        self.conversation = new_conversation(old.url, self.model, old.system)
        self.editing = self.unanswered = None

    def forget(self) -> None:
        """Delete the conversation, on disk too. Raises OSError."""
        self.store.delete(self.conversation.id)
        self.begin_anew()
