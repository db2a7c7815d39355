"""One candidate of a provider's answer on its way, as events of the internal form."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from conduit.gateway.conversation import (
    ArgumentsDelta,
    Audio,
    CitationDelta,
    File,
    Finished,
    FinishReason,
    Image,
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
from conduit.gateway.dialects.gemini.grounding import citations_of
from conduit.gateway.dialects.gemini.logprobs import logprobs_from_gemini
from conduit.gateway.dialects.gemini.media import part_of_blob
from conduit.gateway.dialects.gemini.words import NAME, made_id
from conduit.gateway.dialects.lenient_json import write_json

_CANDIDATE_FIELDS = frozenset({"content", "finishReason", "index", "logprobsResult"})
_PART_FIELDS = frozenset({"text", "thought", "thoughtSignature"})
_CALL_FIELDS = frozenset({"id", "name", "args"})
_CITING = ("groundingMetadata", "citationMetadata")

# Where the output was withheld: by a filter, or as a call that cannot be used, which Google's own
# OpenAI endpoint calls a filter as well. Every other word is an end like any other.
_WITHHELD: Final = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "ESCALATION",
        "MODEL_ARMOR",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
    }
)


@dataclass(slots=True)
class Candidate:
    """One candidate on its way: the part that is open, and what its end depends on.

    `material` tells the ids of calls that come without one from those of other answers.
    """

    number: int
    material: str
    finished: bool = False
    _next_index: int = 0
    _kind: Literal["text", "thinking"] | None = None
    _index: int = 0
    _text: list[str] = field(default_factory=list)
    _seal: tuple[str, str | None] | None = None
    _called: bool = False

    def read(self, candidate: Mapping[str, Any], events: list[StreamEvent]) -> None:
        """Add the events of the next piece of this candidate."""
        first = len(events)
        content = candidate.get("content")
        for part in objects(content.get("parts")) if isinstance(content, dict) else ():
            self._read_part(part, events)
        self._read_logprobs(candidate.get("logprobsResult"), events, first)
        if self._kind == "text" and any(candidate.get(name) for name in _CITING):
            for citation in citations_of(candidate, "".join(self._text)):
                events.append(CitationDelta(self._index, citation, self.number))
        rest = rest_of(candidate, _CANDIDATE_FIELDS)
        rest = {name: value for name, value in rest.items() if value not in (None, {}, [])}
        if rest:
            events.append(Unplaced(rest, self.number))
        reason = text_or_none(candidate.get("finishReason"))
        if reason and not self.finished:
            self.end(events)
            self.finished = True
            events.append(Finished(self._reason(reason), self.number, reason))

    def more(self, text: str, *, thought: bool) -> TextDelta | ThinkingDelta | None:
        """The next piece of the part that is open; None where that is of another kind."""
        if (
            self._kind is None
            or (self._kind == "thinking") is not thought
            or self._seal is not None
        ):
            return None
        if thought:
            return ThinkingDelta(self._index, text, self.number)
        self._text.append(text)
        return TextDelta(self._index, text, self.number)

    def end(self, events: list[StreamEvent]) -> None:
        """Close what is open."""
        seal, self._seal = self._seal, None
        self._close(events)
        if seal is None:
            return
        signature, of = seal
        extras = {} if of is None else {"of": of}
        index = self._begin()
        events.append(PartStarted(index, "thinking", self.number, signed_by=NAME, extras=extras))
        events.append(SignatureDelta(index, signature, self.number, NAME))
        events.append(PartFinished(index, self.number))

    def _read_part(self, part: dict[str, Any], events: list[StreamEvent]) -> None:
        text, call, blob = part.get("text"), part.get("functionCall"), part.get("inlineData")
        seal = text_or_none(part.get("thoughtSignature")) or None
        thought = part.get("thought") is True
        if part.keys() <= _PART_FIELDS:
            self._read_text(text_or_none(text) or "", seal, events, thought=thought)
        elif isinstance(call, dict) and _is_whole_call(call):
            self._read_call(call, seal, events)
        else:
            media = part_of_blob(blob) if isinstance(blob, dict) and not thought else None
            if media is None or part.keys() - {"inlineData", "thoughtSignature"}:
                self._whole(Opaque(NAME, "parts", part), events)
            else:
                self._whole(media, events)
                self._seal = (seal, "inlineData") if seal else None

    def _read_text(
        self, text: str, seal: str | None, events: list[StreamEvent], *, thought: bool
    ) -> None:
        if thought:
            if text or seal:
                self._think(text, seal, events)
            return
        if text:
            index = self._open("text", events)
            self._text.append(text)
            events.append(TextDelta(index, text, self.number))
        if seal:
            if self._seal is not None:
                self.end(events)
            # Told when the part ends: what cites this text may still come.
            self._seal = (seal, "text" if text else None)

    def _think(self, text: str, seal: str | None, events: list[StreamEvent]) -> None:
        is_new = self._kind != "thinking" or self._seal is not None
        extras = {"thought": True} if is_new and not text else {}
        index = self._open("thinking", events, extras)
        if text:
            events.append(ThinkingDelta(index, text, self.number))
        if seal:
            events.append(SignatureDelta(index, seal, self.number, NAME))
            self._close(events)

    def _read_call(self, call: dict[str, Any], seal: str | None, events: list[StreamEvent]) -> None:
        arguments = write_json(call.get("args") or {}).decode()
        self.end(events)
        index = self._begin()
        self._called = True
        call_id = text_or_none(call.get("id"))
        events.append(
            PartStarted(
                index,
                "tool_call",
                self.number,
                tool_call_id=call_id or made_id(self.material, self.number, index),
                tool_name=call["name"],
                signature=seal,
                signed_by=NAME if seal else "",
                extras=rest_of(call, _CALL_FIELDS),
            )
        )
        events.append(ArgumentsDelta(index, arguments, self.number))
        events.append(PartFinished(index, self.number))

    def _whole(self, part: Image | Audio | File | Opaque, events: list[StreamEvent]) -> None:
        self.end(events)
        events.append(WholePart(self._begin(), part, self.number))

    def _read_logprobs(self, result: Any, events: list[StreamEvent], first: int) -> None:
        """Put the probabilities to the last text of this piece, where they belong."""
        logprobs = logprobs_from_gemini(result)
        if logprobs is None:
            return
        for at in range(len(events) - 1, first - 1, -1):
            event = events[at]
            if isinstance(event, TextDelta):
                events[at] = TextDelta(event.index, event.text, event.choice, logprobs)
                return
        if self._kind == "text":
            events.append(TextDelta(self._index, "", self.number, logprobs))
        else:
            events.append(Unplaced({"logprobsResult": result}, self.number))

    def _reason(self, raw: str) -> FinishReason:
        if raw == "MAX_TOKENS":
            return FinishReason.LENGTH
        if raw in _WITHHELD:
            return FinishReason.CONTENT_FILTER
        return FinishReason.TOOL_CALLS if self._called else FinishReason.STOP

    def _open(
        self,
        kind: Literal["text", "thinking"],
        events: list[StreamEvent],
        extras: Mapping[str, Any] | None = None,
    ) -> int:
        if self._kind != kind or self._seal is not None:
            self.end(events)
            self._kind = kind
            self._index = self._begin()
            signed_by = NAME if kind == "thinking" else ""
            events.append(
                PartStarted(
                    self._index, kind, self.number, signed_by=signed_by, extras=extras or {}
                )
            )
        return self._index

    def _close(self, events: list[StreamEvent]) -> None:
        if self._kind is not None:
            events.append(PartFinished(self._index, self.number))
            self._kind = None
            self._text.clear()

    def _begin(self) -> int:
        self._next_index += 1
        return self._next_index - 1


def _is_whole_call(call: Mapping[str, Any]) -> bool:
    """Whether a call is one that can be read; Vertex AI may be asked to send it in pieces."""
    args = call.get("args")
    return (
        bool(text_or_none(call.get("name")))
        and (args is None or isinstance(args, dict))
        and not call.keys() & {"partialArgs", "willContinue"}
    )
