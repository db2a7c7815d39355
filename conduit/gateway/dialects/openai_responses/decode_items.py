"""Items of the output of OpenAI's responses, read piece by piece."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from conduit.gateway.conversation import (
    ArgumentsDelta,
    CitationDelta,
    Opaque,
    PartFinished,
    PartStarted,
    SignatureDelta,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    Unplaced,
    WholePart,
)
from conduit.gateway.dialects.answer_fields import objects, text_or_none
from conduit.gateway.dialects.fields import rest_of
from conduit.gateway.dialects.openai.annotations import citation_of

_DIALECT: Final = "openai_responses"
MESSAGES: Final = "openai_responses.messages"
"""What tells a client's own kind of provider which message a part of the answer stood in."""

_CALL_FIELDS = frozenset({"type", "status", "call_id", "name", "arguments"})

Emit = Callable[[StreamEvent], None]
Fields = Mapping[str, Any]


@dataclass(slots=True)
class Parts:
    """Counts the parts of the answer."""

    begun: int = 0

    def begin(self) -> int:
        self.begun += 1
        return self.begun - 1


@dataclass(slots=True)
class Piece:
    """A text that comes in pieces: what of it has been told, and whether it goes on."""

    index: int
    kind: Literal["text", "refusal", "thinking", "tool_call"]
    told: list[str] = field(default_factory=list)
    has_logprobs: bool = False
    cited: int = 0
    is_open: bool = True

    def add(self, text: Any, emit: Emit, logprobs: Any = None) -> None:
        if not isinstance(text, str) or not text or not self.is_open:
            return
        self.told.append(text)
        match self.kind:
            case "tool_call":
                emit(ArgumentsDelta(self.index, text))
            case "thinking":
                emit(ThinkingDelta(self.index, text))
            case _:
                found = _logprobs(logprobs)
                self.has_logprobs = self.has_logprobs or found is not None
                emit(TextDelta(self.index, text, logprobs=found))

    def complete(self, whole: Any, emit: Emit, logprobs: Any = None) -> None:
        """What `whole` has more than the pieces so far."""
        rest = _rest(whole, self.told)
        if rest:
            self.add(rest, emit, None if self.has_logprobs else logprobs)

    def close(self, emit: Emit) -> None:
        if self.is_open:
            self.is_open = False
            emit(PartFinished(self.index))


class Item:
    """An item of the output. This one is of a kind that only its own dialect understands."""

    def __init__(self, fields: Fields, parts: Parts) -> None:
        self.id = text_or_none(fields.get("id")) or ""
        self.parts = parts
        self.is_closed = False

    def begin(self, fields: Fields, emit: Emit) -> None:
        """The item has been added, still empty."""

    def decode(self, kind: str, event: Fields, emit: Emit) -> None:
        """An event of the item, by its kind without `response.`."""

    def end(self, fields: Fields, emit: Emit) -> None:
        """The item is whole."""
        if not self.is_closed:
            emit(WholePart(self.parts.begin(), Opaque(_DIALECT, "output", dict(fields))))
        self.close(emit)

    def close(self, emit: Emit) -> None:
        """Nothing more comes of it."""
        self.is_closed = True


class Message(Item):
    def __init__(self, fields: Fields, parts: Parts) -> None:
        super().__init__(fields, parts)
        self.pieces: dict[int, Piece] = {}
        given = {name: text_or_none(fields.get(name)) for name in ("id", "phase")}
        self.extras = {name: text for name, text in given.items() if text}

    def decode(self, kind: str, event: Fields, emit: Emit) -> None:
        at = event.get("content_index")
        at = at if isinstance(at, int) else 0
        match kind:
            case "content_part.added":
                self._complete(at, event.get("part"), emit)
            case "output_text.delta":
                self._open(at, "text", emit).add(event.get("delta"), emit, event.get("logprobs"))
            case "refusal.delta":
                self._open(at, "refusal", emit).add(event.get("delta"), emit)
            case "output_text.done":
                piece = self._open(at, "text", emit)
                piece.complete(event.get("text"), emit, event.get("logprobs"))
            case "refusal.done":
                self._open(at, "refusal", emit).complete(event.get("refusal"), emit)
            case "output_text.annotation.added":
                self._cite(self._open(at, "text", emit), [event.get("annotation")], emit)
            case "content_part.done":
                self._complete(at, event.get("part"), emit)
                if at in self.pieces:
                    self.pieces[at].close(emit)
            case _:
                pass

    def more(self, at: int, text: str, emit: Emit) -> bool:
        """Whether `text` goes on with what is open at `at`; then it has been told of."""
        piece = self.pieces.get(at)
        if piece is None or not piece.is_open:
            return False
        piece.add(text, emit)
        return True

    def end(self, fields: Fields, emit: Emit) -> None:
        for at, part in enumerate(objects(fields.get("content"))):
            self._complete(at, part, emit)
        self.close(emit)

    def close(self, emit: Emit) -> None:
        for piece in self.pieces.values():
            piece.close(emit)
        if self.extras and self.pieces and not self.is_closed:
            ids = {str(piece.index): self.extras for piece in self.pieces.values()}
            emit(Unplaced({MESSAGES: ids}, 0))
        self.is_closed = True

    def _complete(self, at: int, part: Any, emit: Emit) -> None:
        match part:
            case {"type": "output_text"}:
                piece = self._open(at, "text", emit)
                piece.complete(part.get("text"), emit, part.get("logprobs"))
                annotations = part.get("annotations")
                if isinstance(annotations, list):
                    self._cite(piece, annotations[piece.cited :], emit)
            case {"type": "refusal"}:
                self._open(at, "refusal", emit).complete(part.get("refusal"), emit)
            case _:
                pass

    def _cite(self, piece: Piece, annotations: list[Any], emit: Emit) -> None:
        for raw in annotations:
            piece.cited += 1
            if isinstance(raw, dict) and piece.is_open:
                emit(CitationDelta(piece.index, citation_of(raw, _DIALECT)))

    def _open(self, at: int, kind: Literal["text", "refusal"], emit: Emit) -> Piece:
        if at not in self.pieces:
            piece = self.pieces[at] = Piece(self.parts.begin(), kind)
            emit(PartStarted(piece.index, kind, extras=self.extras))
        return self.pieces[at]


class Call(Item):
    def __init__(self, fields: Fields, parts: Parts) -> None:
        super().__init__(fields, parts)
        self.piece: Piece | None = None

    def begin(self, fields: Fields, emit: Emit) -> None:
        self._open(fields, emit).complete(fields.get("arguments"), emit)

    def decode(self, kind: str, event: Fields, emit: Emit) -> None:
        match kind:
            case "function_call_arguments.delta" if self.piece is not None:
                self.piece.add(event.get("delta"), emit)
            case "function_call_arguments.done" if self.piece is not None:
                self.piece.complete(event.get("arguments"), emit)
            case _:
                pass

    def end(self, fields: Fields, emit: Emit) -> None:
        self.begin(fields, emit)
        self.close(emit)

    def close(self, emit: Emit) -> None:
        self.is_closed = True
        if self.piece is not None:
            self.piece.close(emit)

    def _open(self, fields: Fields, emit: Emit) -> Piece:
        if self.piece is None:
            self.piece = Piece(self.parts.begin(), "tool_call")
            emit(
                PartStarted(
                    self.piece.index,
                    "tool_call",
                    tool_call_id=text_or_none(fields.get("call_id")) or self.id or None,
                    tool_name=text_or_none(fields.get("name")),
                    extras=rest_of(fields, _CALL_FIELDS),
                )
            )
        return self.piece


class Reasoning(Item):
    """Reasoning as one part: its summaries, or its own words, with an empty line between them."""

    def __init__(self, fields: Fields, parts: Parts) -> None:
        super().__init__(fields, parts)
        self.piece: Piece | None = None
        self.segments: dict[tuple[str, int], list[str]] = {}

    def decode(self, kind: str, event: Fields, emit: Emit) -> None:
        place, _, verb = kind.rpartition(".")
        match place:
            case "reasoning_summary_text":
                key = ("summary", _count(event.get("summary_index")))
            case "reasoning_text":
                key = ("content", _count(event.get("content_index")))
            case _:
                return
        if verb == "delta":
            self._add(key, event.get("delta"), emit)
        elif verb == "done":
            self._complete(key, event.get("text"), emit)

    def end(self, fields: Fields, emit: Emit) -> None:
        if self.is_closed:
            return
        for place in ("summary", "content"):
            for at, part in enumerate(objects(fields.get(place))):
                self._complete((place, at), part.get("text"), emit)
        signature = text_or_none(fields.get("encrypted_content"))
        if signature:
            piece = self._open("summary", emit)
            emit(SignatureDelta(piece.index, signature, signed_by=_DIALECT))
        if self.piece is None:
            super().end(fields, emit)  # nothing but an id, of use to its own provider alone
        self.close(emit)

    def close(self, emit: Emit) -> None:
        self.is_closed = True
        if self.piece is not None:
            self.piece.close(emit)

    def _complete(self, key: tuple[str, int], whole: Any, emit: Emit) -> None:
        self._add(key, _rest(whole, self.segments.get(key, [])), emit)

    def _add(self, key: tuple[str, int], text: Any, emit: Emit) -> None:
        if not isinstance(text, str) or not text:
            return
        piece = self._open(key[0], emit)
        if key not in self.segments and self.segments:
            piece.add("\n\n", emit)
        self.segments.setdefault(key, []).append(text)
        piece.add(text, emit)

    def _open(self, place: str, emit: Emit) -> Piece:
        if self.piece is None:
            self.piece = Piece(self.parts.begin(), "thinking")
            extras: dict[str, Any] = {"id": self.id} if self.id else {}
            if place == "content":
                extras["place"] = place
            emit(PartStarted(self.piece.index, "thinking", extras=extras))
        return self.piece


_ITEMS: Final[Mapping[str, type[Item]]] = {
    "message": Message,
    "function_call": Call,
    "reasoning": Reasoning,
}


def item_of(fields: Fields, parts: Parts) -> Item:
    kind = fields.get("type")
    made = _ITEMS.get(kind, Item) if isinstance(kind, str) else Item
    return made(fields, parts)


def kind_by_event(kind: str) -> str:
    """The kind of an item whose beginning some servers leave out."""
    name = kind.removeprefix("response.")
    if name.startswith("function_call_arguments"):
        return "function_call"
    if name.startswith("reasoning"):
        return "reasoning"
    return "message" if name.startswith(("output_text", "refusal", "content_part")) else ""


def _rest(whole: Any, told: list[str]) -> str:
    """What a whole text has more than the pieces of it that came before."""
    text = "".join(told)
    return whole[len(text) :] if isinstance(whole, str) and whole.startswith(text) else ""


def _logprobs(tokens: Any) -> Any:
    """The logprobs of a text in the shape that chat gives them, which is the internal one."""
    return {"content": tokens, "refusal": None} if isinstance(tokens, list) and tokens else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
