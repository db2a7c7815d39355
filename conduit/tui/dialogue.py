"""One conversation as the chat screen holds it; plain Python, no terminal.

The screen asks and draws; what is asked, with what, and what is kept of it is decided here.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from conduit.client.chat import ChatRequest
from conduit.client.conversations import Conversation, Conversations, Turn, new_conversation, now

_CHARACTERS_A_TOKEN = 4


@dataclass(slots=True)
class Answering:
    """An answer while it comes."""

    question: Turn
    model: str
    began_s: float
    pieces: list[str] = field(default_factory=list)
    characters: int = 0
    first_s: float | None = None
    request_id: str | None = None
    provider: str | None = None

    def add(self, piece: str, at_s: float) -> None:
        if self.first_s is None:
            self.first_s = at_s
        self.pieces.append(piece)
        self.characters += len(piece)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def tokens(self) -> int:
        """About how many, until the provider tells."""
        return -(-self.characters // _CHARACTERS_A_TOKEN)


class Dialogue:
    """The conversation that is shown, what the next question is asked with, and its draft."""

    def __init__(self, url: str, model: str | None, store: Conversations | None = None) -> None:
        self.store = store or Conversations()
        self.conversation = new_conversation(url, model)
        self.model = model
        self.parameters: dict[str, Any] = {}
        self.answering: Answering | None = None
        self.is_kept = True

    @property
    def turns(self) -> tuple[Turn, ...]:
        return self.conversation.turns

    @property
    def last_question(self) -> Turn | None:
        return next((turn for turn in reversed(self.turns) if turn.role == "user"), None)

    @property
    def last_answer(self) -> Turn | None:
        return next((turn for turn in reversed(self.turns) if turn.role == "assistant"), None)

    def request_for(self, question: Turn, key: str) -> ChatRequest:
        """The request that asks it."""
        assert self.model is not None, "a model is chosen first"
        return ChatRequest(
            model=self.model,
            messages=[*self.conversation.messages(), question.message()],
            key=key,
            stream=True,
            parameters=self.parameters,
        )

    def begin(self, text: str, at_s: float) -> Answering:
        """A question is being asked."""
        assert self.model is not None, "a model is chosen first"
        self.answering = Answering(Turn("user", text, now()), self.model, at_s)
        return self.answering

    def end(self, answer: Turn | None) -> None:
        """The answer has ended; without any text of it, the question is not kept either."""
        answering, self.answering = self.answering, None
        if answering is None or answer is None:
            return
        self.conversation = replace(self.conversation, model=self.model)
        self._append(answering.question, answer)

    def _append(self, *turns: Turn) -> None:
        if self.is_kept:
            try:
                self.conversation = self.store.append(self.conversation, *turns)
            except OSError:
                self.is_kept = False  # the screen says so; the conversation goes on in memory
            else:
                return
        self.conversation = replace(self.conversation, turns=(*self.turns, *turns))

    def take_back(self) -> str | None:
        """Take the last question and its answer out; says what was asked."""
        question = self.last_question
        if question is None:
            return None
        self._rewrite(self.conversation.without_last_exchange())
        return question.text

    def priced(self, request_id: str, cost: str) -> bool:
        """The cost of an answer is known now; False where it belongs to no turn without one."""
        for index, turn in enumerate(self.turns):
            if turn.request_id == request_id and turn.cost is None:
                turns = list(self.turns)
                turns[index] = replace(turn, cost=cost)
                self._rewrite(replace(self.conversation, turns=tuple(turns)))
                return True
        return False

    def set_system(self, text: str | None) -> None:
        self.conversation = replace(self.conversation, system=text)
        if self.turns:
            self._rewrite(self.conversation)

    def _rewrite(self, conversation: Conversation) -> None:
        self.conversation = conversation
        if not self.is_kept:
            return
        try:
            if conversation.turns:
                self.store.save(conversation)
            else:
                self.store.delete(conversation.id)
        except OSError:
            self.is_kept = False

    def open(self, conversation: Conversation) -> None:
        """Show another conversation."""
        self.conversation = conversation
        self.model = conversation.model or self.model

    def begin_anew(self) -> None:
        """Leave this one; model, system text and parameters stay."""
        old = self.conversation
        self.conversation = new_conversation(old.url, self.model, old.system)
