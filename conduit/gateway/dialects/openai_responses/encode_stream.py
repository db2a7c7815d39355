"""Streams of OpenAI's responses, written event by event.

The grammar: https://platform.openai.com/docs/api-reference/responses-streaming, and what the
accumulator of openai-python (lib/streaming/responses) demands. There is no [DONE].
"""

from collections.abc import Mapping
from typing import Any, Final, assert_never

from conduit.core.errors import ConduitError
from conduit.gateway.conversation import (
    ArgumentsDelta,
    CitationDelta,
    Failed,
    Finished,
    FinishReason,
    Image,
    Opaque,
    PartEvent,
    PartFinished,
    PartStarted,
    SignatureDelta,
    Started,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    Unplaced,
    Usage,
    Used,
    WholePart,
)
from conduit.gateway.dialects.answer_ids import id_or_new, id_with, time_or_now
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.openai_responses.encode_output import (
    call_item,
    failure,
    message_item,
    reasoning_item,
    response_object,
    status_of,
)
from conduit.gateway.dialects.openai_responses.encode_parts import (
    Call,
    Part,
    Spoke,
    Spoken,
    Thought,
)
from conduit.gateway.dialects.openai_responses.seals import Seal, write_seal
from conduit.gateway.dialects.signatures import MADE_ID

_DIALECT: Final = "openai_responses"
_TEXT_DELTA: Final = (
    b"event: response.output_text.delta\n"
    b'data: {"type":"response.output_text.delta","sequence_number":'
)
_KNOWN_EXTRAS: Final = frozenset({"id", "place"})


class StreamEncoder:
    """Events of the internal form as those that a client of this format reads.

    It has one choice; others are left out. Usage is always told (`include_usage` changes nothing):
    the last event, which `finish` gives, holds the whole answer.
    """

    def __init__(self, *, include_usage: bool = True) -> None:
        self._include_usage = include_usage
        self._is_own = False
        self._head: dict[str, Any] = {}
        self._base = ""
        self._sequence = 0
        self._frames: list[bytes] = []
        self._items: list[dict[str, Any]] = []
        self._parts: dict[int, Part] = {}
        self._message: Spoke | None = None
        self._ended: FinishReason | None = None
        self._usage: Usage | None = None
        self._extras: dict[str, Any] = {}
        self.failed = False

    def encode(self, event: StreamEvent) -> bytes:
        """The bytes of one event; empty where the format has nothing to say (yet)."""
        if type(event) is TextDelta and event.logprobs is None and not event.choice:
            part = self._parts.get(event.index)  # nearly all are of this kind
            rest = part.add_usual(event.text) if isinstance(part, Spoken) else None
            if rest is not None:
                self._sequence += 1
                return b"%b%d,%b\n\n" % (_TEXT_DELTA, self._sequence - 1, rest[1:])
        match event:
            case Started():
                self._start(event)
            case Used():
                self._usage = event.usage
            case Unplaced():
                if self._is_own and event.choice is None:
                    self._extras |= event.fields
            case Finished():
                if event.choice == 0:
                    self._end_all()
                    self._ended = event.reason
            case Failed():
                self._fail(event.code, event.message, {})
            case _:
                if event.choice == 0:
                    self._begin()
                    self._part(event)
        return self._taken()

    def finish(self) -> bytes:
        """The event that ends the stream, with all of the answer; nothing after a failure."""
        if self.failed:
            return b""
        response = self.response()
        self._emit(f"response.{response['status']}", response=response)
        return self._taken()

    def fail(self, error: ConduitError) -> bytes:
        """The events that end a stream which cannot go on."""
        self._fail(error.code, error.message, {"type": error.type, "param": error.param})
        return self._taken()

    def response(self) -> dict[str, Any]:
        """The answer as it is once all events were given."""
        self._begin()
        self._end_all()
        status, _ = status_of(self._ended)
        if status == "incomplete" and self._items and "status" in self._items[-1]:
            self._items[-1]["status"] = status
        return response_object(
            self._head,
            self._items,
            ended=self._ended,
            usage=self._usage,
            extras=self._extras,
        )

    # --- frames

    def _emit(self, kind: str, **fields: Any) -> None:
        data = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        self._frames.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), write_json(data)))

    def _taken(self) -> bytes:
        frames, self._frames = self._frames, []
        return b"".join(frames)

    def _start(self, event: Started) -> None:
        self._is_own = event.dialect == _DIALECT
        response_id = id_with("resp_", event.id)
        self._base = response_id.removeprefix("resp_")
        self._head = {
            "id": response_id,
            "created_at": time_or_now(event.created_s),
            "model": event.model,
        }
        response = response_object(self._head | {"status": "in_progress"}, [])
        self._emit("response.created", response=response)
        self._emit("response.in_progress", response=response)

    def _begin(self) -> None:
        if not self._head:
            self._start(Started("", "", 0))

    def _fail(self, code: str, message: str, more: Mapping[str, Any]) -> None:
        """Both events: OpenAI's clients raise on the second, others look for the first.

        The second has its fields twice, as OpenAI documents it and as it sends it.
        """
        self._begin()
        self.failed = True
        head = self._head | {"status": "failed", "error": failure(code, message)}
        response = response_object(head, self._items, usage=self._usage, extras=self._extras)
        self._emit("response.failed", response=response)
        error = {"type": "upstream_error", "code": code, "message": message, "param": None, **more}
        flat = {"code": code, "message": message, "param": error["param"]}
        self._emit("error", **flat, error=error)

    # --- items and parts

    def _part(self, event: PartEvent) -> None:
        if isinstance(event, PartStarted):
            self._open(event)
            return
        if isinstance(event, WholePart):
            self._whole(event)
            return
        part = self._parts.get(event.index)
        if part is None:
            return
        match event:
            case TextDelta() | ThinkingDelta() | ArgumentsDelta():
                logprobs = event.logprobs if isinstance(event, TextDelta) else None
                part.add(event.text, logprobs, self._emit)
            case SignatureDelta():
                part.sign(event)
            case CitationDelta():
                part.citations.append(event.citation)
            case PartFinished():
                part.close(self._emit)
            case _:
                assert_never(event)

    def _open(self, event: PartStarted) -> None:
        extras = event.extras if self._is_own else {}
        match event.kind:
            case "text" | "refusal":
                self._parts[event.index] = self._speak(event.kind, extras)
            case "thinking":
                self._end_message()
                item = reasoning_item(self._id("rs", extras))
                self._parts[event.index] = Thought.begun(
                    self._add(item), item, event, is_content=extras.get("place") == "content"
                )
            case "tool_call":
                self._end_message()
                self._seal_call(event)
                call_id = id_or_new("call_", event.tool_call_id)
                more = {n: v for n, v in extras.items() if n not in _KNOWN_EXTRAS}
                item = call_item(self._id("fc", extras), call_id, event.tool_name or "", more)
                self._parts[event.index] = Call(self._add(item), item)
            case "audio":
                pass  # sound has no place in an answer of this format
            case kind:
                assert_never(kind)

    def _speak(self, kind: str, extras: Mapping[str, Any]) -> Part:
        """A part of the message that is open; of a new one where there is none, or another's."""
        message = self._message
        if message is None or (extras and extras.get("id") != message.item["id"]):
            self._end_message()
            phase = {"phase": extras["phase"]} if "phase" in extras else {}
            item = message_item(self._id("msg", extras), phase)
            message = self._message = Spoke(self._add(item), item)
        part = Spoken(
            message.output_index,
            message.item,
            content_index=len(message.parts),
            is_refusal=kind == "refusal",
        )
        part.begin(self._emit)
        message.parts.append(part)
        return part

    def _seal_call(self, event: PartStarted) -> None:
        """The signature of a call as an item before it: the kind of item that all send back."""
        if event.signature is not None:
            text = write_seal(Seal("call", event.signature, event.signed_by))
            item = reasoning_item(self._id("rs", {}), text)
            self._emit("response.output_item.done", output_index=self._add(item), item=item)

    def _whole(self, event: WholePart) -> None:
        self._end_message()
        match event.part:
            case Opaque(dialect="openai_responses", place="output", value=value):
                item = dict(value)
            case Image(url=url) if url.startswith("data:") and "," in url:
                item = {
                    "id": self._id("ig", {}),
                    "type": "image_generation_call",
                    "status": "completed",
                    "result": url.partition(",")[2],
                }
            case _:
                return  # it has no place in an answer of this format
        self._emit("response.output_item.done", output_index=self._add(item), item=item)

    def _add(self, item: dict[str, Any]) -> int:
        self._items.append(item)
        at = len(self._items) - 1
        self._emit("response.output_item.added", output_index=at, item=item)
        return at

    def _id(self, kind: str, extras: Mapping[str, Any]) -> str:
        own = extras.get("id")
        return own if isinstance(own, str) else f"{kind}{MADE_ID}{self._base}_{len(self._items)}"

    def _end_message(self) -> None:
        if self._message is not None:
            self._message.close(self._emit)
            self._message = None

    def _end_all(self) -> None:
        self._end_message()
        for part in self._parts.values():
            part.close(self._emit)
