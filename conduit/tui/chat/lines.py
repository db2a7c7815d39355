"""The lines around a conversation: what is asked with, how it comes along, and the panes beside."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol, cast

from textual.content import Content
from textual.widgets import Static

from conduit.core import people
from conduit.tui.chat.dialogue import Dialogue
from conduit.tui.fitting import Piece
from conduit.tui.glyphs import Glyphs
from conduit.tui.widgets.line import Line


class Chat(Protocol):
    """What the lines read of the screen that they stand in."""

    dialogue: Dialogue

    @property
    def glyphs(self) -> Glyphs: ...
    @property
    def compares(self) -> bool: ...
    @property
    def is_stopping_asked(self) -> bool: ...
    def now_s(self) -> float: ...
    def spent(self) -> str: ...
    def why_no_chat(self) -> list[str]: ...


def chat_of(node: Line | Static) -> Chat:
    """The chat screen that something stands in."""
    return cast("Chat", node.screen)


class SettingsLine(Line):
    """What the next question is asked with."""

    def pieces(self) -> Sequence[Piece]:
        screen = chat_of(self)
        dialogue = screen.dialogue
        action = "app.perform('chat.settings')"
        model = " | ".join([dialogue.model or "-", *(dialogue.rivals if screen.compares else ())])
        pieces = [Piece(f"model {model}", 0, "bold", "app.perform('chat.model')")]
        pieces += [
            Piece(f"{name} {_value(value)}", 3, action=action)
            for name, value in dialogue.parameters.items()
        ]
        if dialogue.tools:
            pieces.append(
                Piece(f"tools {len(dialogue.tools)}", 2, action="app.perform('chat.tools')")
            )
        if dialogue.conversation.system:
            text = screen.glyphs.shortened(dialogue.conversation.system, 24)
            pieces.append(Piece(f"system: {text}", 4, "$dim", action))
        if not dialogue.is_kept:
            pieces.append(Piece("not kept on disk", 1, "$warn"))
        spent = screen.spent()
        if spent:
            pieces.append(Piece(f"chat {spent}", 2, right=True))
        return pieces


def _value(value: object) -> str:
    return str(value.get("type", "{}")) if isinstance(value, dict) else str(value)


class ProgressLine(Line):
    """How the answer comes along; how one writes while none does."""

    def pieces(self) -> Sequence[Piece]:
        screen = chat_of(self)
        answering = screen.dialogue.answering
        if answering is None:
            return self._hints(screen)
        elapsed_s = screen.now_s() - answering.began_s
        stop = "Esc again stops" if screen.is_stopping_asked else "Esc Esc stops"
        return [
            Piece(f"{answering.state} {elapsed_s:.1f} s", 0, "bold $accent"),
            Piece(f"est. {answering.tokens:,} tok", 1),
            Piece(f"{answering.tokens / max(elapsed_s, 0.1):.0f} tok/s", 2),
            Piece(stop, 0, "$warn" if screen.is_stopping_asked else "$dim", right=True),
        ]

    def _hints(self, screen: Chat) -> list[Piece]:
        dialogue = screen.dialogue
        if reasons := screen.why_no_chat():
            return [Piece(reason, place, "$dim") for place, reason in enumerate(reasons)]
        if dialogue.editing is not None:
            return [Piece("editing: Enter asks it as a branch, Esc leaves it", 0, "$warn")]
        if dialogue.open_calls:
            calls = people.counted(len(dialogue.open_calls), "call")
            return [Piece(f"{calls} of tools: ^x tells the results", 0, "$warn")]
        return [Piece("Enter sends, ^j begins a new line, @path attaches a file", 0, "$dim")]


class FactsPane(Static):
    """Beside the conversation on wide screens: parameters, and what its last answer was."""

    def __init__(self) -> None:
        super().__init__("", id="facts", markup=False)
        self._drawn: tuple[tuple[str, str], ...] = ()

    def show_facts(self) -> None:
        """Draw what has changed."""
        facts = tuple(self._facts())
        if facts != self._drawn:
            self._drawn = facts
            self.update(Content.assemble(*(part for fact in facts for part in _line_of(fact))))

    def _facts(self) -> list[tuple[str, str]]:
        screen = chat_of(self)
        dialogue, answer = screen.dialogue, screen.dialogue.last_answer
        facts = [("", "parameters")]
        facts += [(name, _value(value)) for name, value in dialogue.parameters.items()]
        facts += [("tools", str(len(dialogue.tools)))] if dialogue.tools else []
        facts += [] if len(facts) > 1 else [("none", "^t sets some")]
        if answer is not None:
            facts += [("", ""), ("", "last answer"), ("model", answer.model or "-")]
            facts.append(("provider", answer.provider or "-"))
            if answer.input_tokens is not None:
                facts.append(
                    ("in / out", f"{answer.input_tokens:,} / {answer.output_tokens or 0:,}")
                )
            if answer.duration_ms is not None:
                facts.append(("took", f"{answer.duration_ms / 1000:.1f} s"))
            if answer.tokens_per_s is not None:
                facts.append(("speed", f"{answer.tokens_per_s:.0f} tok/s"))
            facts.append(("cost", people.money(answer.cost) if answer.cost else "-"))
        costs = [turn for turn in dialogue.turns if turn.cost is not None]
        if costs:
            facts += [("", ""), ("", "cost by turn")]
            facts += [(turn.model or "-", people.money(turn.cost)) for turn in costs[-8:]]
            total = sum(Decimal(turn.cost or 0) for turn in costs)
            facts.append(("together", people.money(total)))
        return facts


def _line_of(fact: tuple[str, str]) -> list[tuple[str, str]]:
    name, value = fact
    if not name:
        return [(f"{value}\n", "bold $accent")]
    return [(f"{name[:16]:<9} ", "$dim"), (f"{value}\n", "$foreground")]
