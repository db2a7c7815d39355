"""A conversation as the command line holds it: what is asked, with what, and what is kept."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from conduit.cli.call import Call
from conduit.cli.chat.answers import Reply, Show, receive
from conduit.cli.failures import Failure
from conduit.cli.output import Column, View
from conduit.client.attachments import MOST_BYTES, AttachmentError, part_of, within_limit
from conduit.client.chat import ChatRequest
from conduit.client.conversations import (
    Conversation,
    ConversationError,
    Conversations,
    Turn,
    new_conversation,
    now,
)
from conduit.client.errors import ClientError
from conduit.core import people

CONVERSATIONS = View(
    columns=(
        Column("id", "id", firm=True),
        Column("at", "at", lambda row: people.moment(row["at"]), spare=2),
        Column("model", "model", spare=1),
        Column("turns", "turns", right=True, spare=3),
        Column("title", "title"),
        Column("gateway", "url", wide=True),
    ),
    empty='no conversations yet; begin one with: conduit chat -m MODEL, or conduit chat "hello"',
)


@dataclass(slots=True)
class Session:
    """The state of a conversation; `keep` says whether it goes to disk."""

    call: Call
    key: str
    conversation: Conversation
    model: str
    parameters: dict[str, Any]
    keep: bool = True
    stream: bool = True
    with_cost: bool = False
    waiting: list[dict[str, Any]] = field(default_factory=list)
    store: Conversations = field(default_factory=Conversations)

    def attach(self, given: str) -> None:
        """Send a file or an image's URL along with the next question. Raises Failure."""
        try:
            part = part_of(given)
        except AttachmentError as error:
            raise Failure(f"--attach: {error}", code="bad_attachment") from error
        if not within_limit([*self.waiting, part]):
            raise Failure(
                f"--attach: more than {MOST_BYTES // 1024**2} MiB together", code="bad_attachment"
            )
        self.waiting.append(part)

    def ask(self, text: str, reply: Reply, show: Show) -> None:
        """Ask, and add the exchange to the conversation; a broken answer is kept as far as it came.

        Raises what `receive` raises.
        """
        words = [{"type": "text", "text": text}] if text else []
        content = [*words, *self.waiting] if self.waiting else text
        self.ask_again(Turn("user", content, now()), reply, show)

    def ask_again(self, question: Turn, reply: Reply, show: Show, *, again: bool = False) -> None:
        """Ask a question that has been put together before; `again`: one that was answered, too.

        The question is kept once, with all its answers.
        """
        request = ChatRequest(
            model=self.model,
            messages=[*self.conversation.messages(), question.message()],
            key=self.key,
            stream=self.stream,
            parameters=self.parameters,
        )
        try:
            receive(self.call, request, reply, show, with_cost=self.with_cost)
        except (ClientError, KeyboardInterrupt):
            if reply.text:
                self._keep(question, reply.turn(self.model, cut=True), again=again)
            raise
        self._keep(question, reply.turn(self.model), again=again)

    def _keep(self, question: Turn, answer: Turn, *, again: bool) -> None:
        """Add an exchange; to a question that is kept already, the answer alone."""
        if not again:
            self._add(question, answer)
            return
        conversation = self.conversation
        others = tuple(turn for turn in conversation.others if turn != question)
        self.conversation = replace(
            conversation, turns=(*conversation.turns, question), others=others
        )
        self._add(answer)

    def _add(self, *turns: Turn) -> None:
        self.waiting = []
        self.conversation = replace(self.conversation, model=self.model)
        if not self.keep:
            self.conversation = self.conversation.extended(*turns)
            return
        try:
            self.conversation = self.store.append(self.conversation, *turns)
        except OSError as error:
            self.keep = False
            self.call.console.say(f"the conversation is not kept: {error.strerror}", "warn")
            self._add(*turns)

    def rewrite(self, conversation: Conversation) -> None:
        """Put a changed conversation in place of this one, on disk too where it is there."""
        self.conversation = conversation
        if not self.keep:
            return
        if self.store.joined(conversation).every():
            self.conversation = self.store.save(conversation)
        else:
            self.store.delete(conversation.id)

    def begin_anew(self) -> None:
        """Leave this conversation and begin another one with the same model and system text."""
        old = self.conversation
        self.conversation = new_conversation(old.url, self.model, old.system)
        self.waiting = []


def conversation_of(call: Call, *, again: bool, cid: str | None) -> Conversation:
    """The conversation that the options of a call mean. Raises Failure."""
    url = call.where.url
    if not again and cid is None:
        return new_conversation(url)
    if again and cid is not None:
        raise Failure("--continue and --cid exclude each other")
    store = Conversations()
    try:
        found = store.latest(url) if cid is None else store.open(cid)
    except ConversationError as error:
        raise Failure(str(error), code="no_conversation", hint="conduit chat --list") from error
    if found is None:
        raise Failure(f"there is no conversation with {url} yet", code="no_conversation")
    return found


def default_model(call: Call, key: str) -> str:
    """The context's model, else the only one that the key may use. Raises Failure."""
    context = call.where.context
    if context is not None and context.default_model:
        return context.default_model
    aliases = models_of(call, key)
    if len(aliases) == 1 and not aliases[0].endswith("*"):
        return aliases[0]
    some = ", ".join(aliases[:8]) or "none: map one with conduit mappings add"
    raise Failure(f"--model is needed; this key may use {some}", code="model_needed")


def models_of(call: Call, key: str) -> list[str]:
    """What the key may use."""
    return [str(model["id"]) for model in call.gateway_at(call.client_target(key)).models()]


def show_conversations(
    call: Call,
    conversations: Iterable[Conversation],
    found: Mapping[str, str] | None = None,
) -> None:
    """A line for each; `found` says by id where words that were looked for stand."""
    view = CONVERSATIONS
    if found is not None:
        where = Column("found", "found")
        view = View(columns=(*view.columns, where), empty="no conversation has all these words")
    rows = [
        {
            "id": conversation.id,
            "at": conversation.at,
            "model": conversation.model,
            "turns": len(conversation.turns),
            "title": conversation.title,
            "url": conversation.url,
            **({} if found is None else {"found": found[conversation.id]}),
        }
        for conversation in conversations
    ]
    call.printer.rows(rows, view, next_cursor=lambda: None)
