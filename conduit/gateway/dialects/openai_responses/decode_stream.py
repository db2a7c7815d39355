"""Streams of OpenAI's responses, decoded event by event.

The events and their fields: https://platform.openai.com/docs/api-reference/responses-streaming.
Whatever was streamed in pieces comes again whole: what a piece lacked is taken from there, as some
servers give text or arguments in the last event alone.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import (
    Failed,
    Finished,
    FinishReason,
    Started,
    StreamEvent,
    Unplaced,
    Used,
)
from conduit.gateway.dialects.answer_fields import objects, text_or_none
from conduit.gateway.dialects.answer_tool import AnswerTool
from conduit.gateway.dialects.fields import rest_of
from conduit.gateway.dialects.frames.sse_payloads import DONE_PAYLOAD, EventPayloads
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.dialects.openai.errors import reported_words
from conduit.gateway.dialects.openai_responses.decode_items import (
    Call,
    Fields,
    Item,
    Message,
    Parts,
    item_of,
    kind_by_event,
)
from conduit.gateway.dialects.openai_responses.usage import usage_of_response

_DIALECT: Final = "openai_responses"
_RESPONSE_FIELDS = frozenset(
    {
        "id",
        "object",
        "created_at",
        "model",
        "status",
        "output",
        "output_text",
        "usage",
        "error",
        "incomplete_details",
    }
)
_INCOMPLETE: Final[Mapping[str, FinishReason]] = {
    "max_output_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_USUAL: Final = b'{"type":"response.output_text.delta",'


class _MoreText(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What nearly every event is; one with a field more than these is read by the general way."""

    type: Literal["response.output_text.delta"]
    delta: str
    output_index: int
    content_index: int = 0
    item_id: str = ""
    sequence_number: int = 0
    logprobs: tuple[()] = ()
    obfuscation: str = ""


_read_usual = msgspec.json.Decoder(_MoreText).decode


class StreamDecoder:
    """A provider's events as those of the internal form.

    `done` is whether the last event came, which alone makes an answer `complete`.
    """

    def __init__(self, *, answer_tool: str | None = None) -> None:
        self._payloads = EventPayloads()
        self._answer = AnswerTool(answer_tool)
        self._started = False
        self._failed = False
        self._items: dict[int, Item] = {}
        self._parts = Parts()
        self._events: list[StreamEvent] = []
        self.done = False

    @property
    def complete(self) -> bool:
        return self.done and not self._failed

    def feed(self, piece: bytes) -> list[StreamEvent]:
        """The events of the next bytes of the body, cut anywhere."""
        try:
            payloads = self._payloads.feed(piece)
        except UpstreamFailure as error:
            self._fail(error.code, error.message)
            return self._taken()
        return [event for payload in payloads for event in self.payload(payload)]

    def finish(self) -> list[StreamEvent]:
        """Call at the end of the body; whether the answer is whole then is in `complete`."""
        last = [event for payload in self._payloads.finish() for event in self.payload(payload)]
        return last + self._answer.finish()

    def payload(self, payload: bytes) -> list[StreamEvent]:
        """The events of the data of one event of the body."""
        if payload.startswith(_USUAL) and self._more_text(payload):
            return self._taken()
        if payload == DONE_PAYLOAD:  # not of this format, but sent by some who speak chat as well
            return []
        event = read_json(payload)
        if not isinstance(event, dict):
            self._fail("unreadable_event", "The provider sent an event that is not JSON")
            return self._taken()
        return self.decode(event)

    def _more_text(self, payload: bytes) -> bool:
        """Whether `payload` is no more than text that goes on; then it has been told of."""
        if self._failed or self.done:
            return False
        try:
            event = _read_usual(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        item = self._items.get(event.output_index)
        if not isinstance(item, Message):
            return False
        return item.more(event.content_index, event.delta, self._events.append)

    def decode(self, event: Fields) -> list[StreamEvent]:
        """The events of one parsed event; of a kind that is unknown there are none."""
        if self._failed or self.done:
            return []
        kind = event.get("type")
        response = event.get("response")
        if kind == "error" or (kind is None and event.get("error") is not None):
            self._fail(*reported_words(event))
        elif isinstance(response, dict):
            self._start(response)
            if kind in _ENDS:
                self._end(response, kind)
        elif isinstance(kind, str) and kind.startswith("response."):
            self._decode_part(kind, event)
        return self._taken()

    def _taken(self) -> list[StreamEvent]:
        events, self._events = self._events, []
        return self._answer.turn(events)

    def _fail(self, code: str, message: str) -> None:
        if not self._failed:
            self._failed = True
            self._events.append(Failed(code, message))

    def _start(self, response: Fields) -> None:
        if self._started:
            return
        self._started = True
        created = response.get("created_at")
        self._events.append(
            Started(
                id=text_or_none(response.get("id")) or "",
                model=text_or_none(response.get("model")) or "",
                created_s=int(created) if isinstance(created, int | float) else 0,
                dialect=_DIALECT,
            )
        )

    def _decode_part(self, kind: str, event: Fields) -> None:
        at = event.get("output_index")
        if not isinstance(at, int):
            return
        self._start({})
        emit = self._events.append
        fields = event.get("item")
        if kind == "response.output_item.added" and isinstance(fields, dict):
            self._items.setdefault(at, item_of(fields, self._parts)).begin(fields, emit)
            return
        if kind == "response.output_item.done" and isinstance(fields, dict):
            self._items.setdefault(at, item_of(fields, self._parts)).end(fields, emit)
            return
        if at not in self._items:
            made = item_of({"type": kind_by_event(kind), "id": event.get("item_id")}, self._parts)
            self._items[at] = made
        self._items[at].decode(kind.removeprefix("response."), event, emit)

    def _end(self, response: Fields, kind: str) -> None:
        """The last event, which has all of the answer once more."""
        emit = self._events.append
        self.done = True
        status = text_or_none(response.get("status")) or kind.removeprefix("response.")
        usage = usage_of_response(response)
        if status in ("failed", "cancelled"):
            if usage is not None:
                emit(Used(usage))
            error = response.get("error") or {"message": f"The provider's answer has {status}"}
            self._fail(*reported_words({"error": error}))
            return
        self._read_output(response)
        extras = {n: v for n, v in rest_of(response, _RESPONSE_FIELDS).items() if v is not None}
        if extras:
            emit(Unplaced(extras))
        if status in ("completed", "incomplete"):
            emit(self._finished(status, response.get("incomplete_details")))
        if usage is not None:
            emit(Used(usage))

    def _read_output(self, response: Fields) -> None:
        emit = self._events.append
        by_id = {item.id: item for item in self._items.values() if item.id}
        for at, fields in enumerate(objects(response.get("output"))):
            item = by_id.get(text_or_none(fields.get("id")) or "")
            if item is None and (at not in self._items or self._items[at].id):
                item = item_of(fields, self._parts)
                self._items[max(self._items, default=-1) + 1] = item
            (item or self._items[at]).end(fields, emit)
        for item in self._items.values():
            item.close(emit)

    def _finished(self, status: str, details: Any) -> Finished:
        if status == "incomplete":
            raw = text_or_none(details.get("reason")) if isinstance(details, dict) else None
            reason = _INCOMPLETE.get(raw or "", FinishReason.LENGTH)
            return Finished(reason, raw_reason=raw or status)
        calls = any(isinstance(item, Call) for item in self._items.values())
        return Finished(FinishReason.TOOL_CALLS if calls else FinishReason.STOP, raw_reason=status)
