"""One dialect on both sides, other than OpenAI's: relayed as it is, decoded only to be noted."""

from collections.abc import Mapping
from typing import Any

import msgspec

from conduit.core.errors import ConduitError, UpstreamFailure
from conduit.gateway.conversation import (
    ChatResponse,
    Refusal,
    Started,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from conduit.gateway.dialects.bridges.events_seen import EventsSeen
from conduit.gateway.dialects.bridges.protocol import AnswerStream, Bridge, Sending, WholeRead
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.dialect import ClientDialect, StreamDecoder
from conduit.gateway.dialects.frames.sse import EventSplitter, split_events
from conduit.gateway.dialects.openai.errors import Scrub
from conduit.gateway.dialects.openai.relayed_answer import Output
from conduit.gateway.dialects.openai.relayed_stream import EVENT_STREAM, Relayed
from conduit.gateway.dialects.openai.rules import with_envelope
from conduit.gateway.dialects.signatures import made_here
from conduit.gateway.dialects.target import EncodedRequest

_encode = msgspec.json.Encoder().encode


class SameDialectBridge:
    """Sends what the client wrote, with the fields replaced that the gateway owns."""

    def __init__(self, dialect: ClientDialect, translation: Bridge, cap_field: str | None) -> None:
        """`translation` is for what a client brings back from an answer of another dialect.

        `cap_field` is where a request names its output cap, None where that is not on top.
        """
        self._dialect = dialect
        self._translation = translation
        self._cap_field = cap_field

    def encode(self, call: ClientCall, sending: Sending) -> EncodedRequest:
        if made_here(call.body) or (sending.output_cap is not None and self._cap_field is None):
            return self._translation.encode(call, sending)
        fields = dict(call.fields)
        if "model" in fields:
            fields["model"] = msgspec.Raw(_encode(sending.model))
        if sending.output_cap is not None and self._cap_field is not None:
            fields[self._cap_field] = msgspec.Raw(b"%d" % sending.output_cap)
        body = _encode(with_params(fields, sending.params))
        return EncodedRequest(with_envelope(body, sending.quirks))

    def whole(
        self, call: ClientCall, encoded: EncodedRequest, body: bytes, hidden: Scrub
    ) -> WholeRead:
        response = self._dialect.decode_response(body)
        return WholeRead(body, response.usage, output_of(response))

    def stream(
        self, call: ClientCall, encoded: EncodedRequest, sending: Sending, hidden: Scrub
    ) -> AnswerStream:
        return RelayedStream(self._dialect, EventsSeen(hidden))


class RelayedStream:
    """A stream of whole events, as they came; looked into by the dialect's own decoder."""

    def __init__(self, dialect: ClientDialect, seen: EventsSeen) -> None:
        self._dialect = dialect
        self._decoder: StreamDecoder = dialect.StreamDecoder()
        self._splitter = EventSplitter()
        self._seen = seen
        self._head: Started | None = None
        self.output = seen.output
        self.done = False
        self.end_mark = b""
        self.content_type = EVENT_STREAM

    @property
    def usage(self) -> Usage | None:
        return self._seen.usage

    @property
    def started(self) -> bool:
        return self._seen.started

    @property
    def complete(self) -> bool:
        return self._seen.failure is None and (self.done or self._decoder.complete)

    def feed(self, chunk: bytes) -> Relayed:
        try:
            whole = self._splitter.feed(chunk)
        except UpstreamFailure as error:
            return Relayed(b"", error)
        return self._note(split_events(whole)) if whole else Relayed(b"")

    def finish(self) -> Relayed:
        rest = self._splitter.finish()
        relayed = self._note([rest]) if rest.strip() else Relayed(b"")
        for event in self._decoder.finish():
            self._seen.note(event)
        return Relayed(relayed.data + self._seen.released(b""), self._seen.failure)

    def error_frame(self, error: ConduitError) -> bytes:
        encoder = self._dialect.StreamEncoder(include_usage=True)
        if self._head is not None:
            encoder.encode(self._head)  # which the client has had: the error is about that answer
        return encoder.fail(error)

    def _note(self, events: list[bytes]) -> Relayed:
        """Look into the events; what came before one that tells of a failure is still relayed."""
        passed = []
        for event in events:
            for decoded in self._decoder.feed(event):
                if isinstance(decoded, Started):
                    self._head = decoded
                self._seen.note(decoded)
            if self._seen.failure is not None:
                break
            passed.append(event)
        self.done = self._decoder.done and self._seen.failure is None
        return Relayed(self._seen.released(b"".join(passed)), self._seen.failure)


def with_params(
    fields: dict[str, msgspec.Raw], params: Mapping[str, Any]
) -> dict[str, msgspec.Raw]:
    """The fields with the target's own: a value replaces a field, None takes it away."""
    for name, value in params.items():
        if value is None:
            fields.pop(name, None)
        else:
            fields[name] = msgspec.Raw(_encode(value))
    return fields


def output_of(response: ChatResponse) -> Output:
    """The text of a whole answer, for settling where no usage comes."""
    output = Output()
    for choice in response.choices:
        for part in choice.parts:
            match part:
                case Text() | Thinking() | Refusal():
                    output.add(part.text)
                case ToolCall():
                    output.add(part.name)
                    output.add(part.arguments)
                case _:
                    pass
    return output
