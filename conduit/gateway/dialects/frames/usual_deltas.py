"""The short way of a stream's decoder: events that differ from the last in their text alone."""

from collections.abc import Mapping
from typing import Final

from conduit.gateway.conversation import ArgumentsDelta, StreamEvent, TextDelta, ThinkingDelta
from conduit.gateway.dialects.frames.usual_chunk import UsualChunk, usual_chunk

_KINDS: Final = (TextDelta, ThinkingDelta, ArgumentsDelta)

FieldNames = Mapping[type[StreamEvent], tuple[bytes, ...]]
"""Where a dialect writes the text of each kind of delta."""


class UsualDeltas:
    """Knows the form of the last event, if that gave one delta and nothing else.

    What came before an event of that form has left the decoder as the last one found it: the same
    part is open, nothing has ended. So it gives the same delta with another text. Not so where a
    tool's call is turned into the answer, as then what one delta gives depends on all before it:
    `by_tool` leaves every event to the decoder.
    """

    __slots__ = ("_by_tool", "_form", "_last", "_names")

    def __init__(self, names: FieldNames, *, by_tool: bool = False) -> None:
        self._names = names
        self._by_tool = by_tool
        self._form: UsualChunk | None = None
        self._last: TextDelta | ThinkingDelta | ArgumentsDelta | None = None

    def read(self, payload: bytes) -> TextDelta | ThinkingDelta | ArgumentsDelta | None:
        """The delta that `payload` gives; None where it must be decoded."""
        form, last = self._form, self._last
        if form is None or last is None:
            return None
        text = form.text_of(payload)
        return type(last)(last.index, text, last.choice) if text else None

    def forget(self) -> None:
        self._form = None

    def learn(self, payload: bytes, events: list[StreamEvent]) -> list[StreamEvent]:
        """Take note of what `payload` was decoded to; gives that back."""
        self._form = None
        if len(events) == 1 and not self._by_tool:
            (event,) = events
            if isinstance(event, _KINDS) and getattr(event, "logprobs", None) is None:
                self._last = event
                self._form = self._form_of(payload, event)
        return events

    def _form_of(
        self, payload: bytes, event: TextDelta | ThinkingDelta | ArgumentsDelta
    ) -> UsualChunk | None:
        forms = (usual_chunk(payload, event.text, name) for name in self._names[type(event)])
        return next((form for form in forms if form is not None), None)
