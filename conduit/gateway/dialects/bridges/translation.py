"""Two dialects: a call goes through the internal form to its provider, and its answer back."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from conduit.core.errors import ConduitError, UnsupportedParameterError, UpstreamFailure
from conduit.gateway.conversation import ChatRequest, Started, StreamEvent, Usage
from conduit.gateway.dialects.anthropic import native as anthropic_native
from conduit.gateway.dialects.bridges.events_seen import EventsSeen
from conduit.gateway.dialects.bridges.protocol import AnswerStream, Sending, WholeRead
from conduit.gateway.dialects.bridges.same_dialect import output_of, with_params
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.dialect import (
    ClientDialect,
    ProviderDialect,
    StreamDecoder,
    StreamEncoder,
)
from conduit.gateway.dialects.gemini import native as gemini_native
from conduit.gateway.dialects.hosted_tools import without_hosted_tools
from conduit.gateway.dialects.openai import native as openai_native
from conduit.gateway.dialects.openai.errors import Scrub
from conduit.gateway.dialects.openai.relayed_stream import EVENT_STREAM, Relayed
from conduit.gateway.dialects.openai.rules import adapt_raw, with_envelope
from conduit.gateway.dialects.registry import GEMINI_ARRAY
from conduit.gateway.dialects.strict_json import decode_raw
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError, Target

_encode = msgspec.json.Encoder().encode


class TranslationBridge:
    """From the client's dialect to another provider's, and back."""

    def __init__(
        self,
        client: ClientDialect,
        provider: ProviderDialect,
        request_of: Callable[[bytes], ChatRequest],
    ) -> None:
        """`request_of` decodes the body of a call that was read without decoding it."""
        self._client = client
        self._provider = provider
        self._request_of = request_of

    def encode(self, call: ClientCall, sending: Sending) -> EncodedRequest:
        quirks = sending.quirks
        request = _for_target(call.request or self._request_of(call.body), sending)
        target = Target(sending.model, sending.max_output_tokens, quirks.schema, quirks)
        try:
            left_out: tuple[str, ...] = ()
            if request.dialect != self._provider.NAME:
                request, left_out = without_hosted_tools(request)
                _refuse_native(request)
            encoded = self._provider.encode_request(request, target)
            body, dropped = as_the_vendor_wants(encoded.body, sending)
        except InexpressibleError as error:
            feature = self._named(error.feature)
            raise UnsupportedParameterError(error.reason, param=feature) from error
        names = dict.fromkeys(map(self._named, (*left_out, *encoded.dropped, *dropped)))
        return replace(
            encoded,
            body=body,
            dropped=tuple(names),
            emulated=tuple(map(self._named, encoded.emulated)),
        )

    def whole(
        self, call: ClientCall, encoded: EncodedRequest, body: bytes, hidden: Scrub
    ) -> WholeRead:
        response = self._provider.decode_response(body, answer_tool=encoded.answer_tool)
        named = replace(response, model=response.model or call.model)
        return WholeRead(self._client.encode_response(named), response.usage, output_of(response))

    def stream(
        self, call: ClientCall, encoded: EncodedRequest, sending: Sending, hidden: Scrub
    ) -> AnswerStream:
        encoder = self._client.StreamEncoder(include_usage=call.wants_stream_usage)
        decoder = self._provider.StreamDecoder(answer_tool=encoded.answer_tool)
        stream = TranslatedStream(decoder, encoder, EventsSeen(hidden), sending.model)
        if call.dialect == GEMINI_ARRAY:
            stream.content_type = "application/json"
        return stream

    def _named(self, feature: str) -> str:
        return self._client.FIELD_NAMES.get(feature, feature)


class TranslatedStream:
    """A stream of one dialect as one of another, one write for each read."""

    end_mark = b""  # the encoder has written its own

    def __init__(
        self, decoder: StreamDecoder, encoder: StreamEncoder, seen: EventsSeen, model: str
    ) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._seen = seen
        self._model = model
        self.output = seen.output
        self.done = False
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
            events = self._decoder.feed(chunk)
        except UpstreamFailure as error:
            return Relayed(b"", error)
        return self._relayed(events, ended=self._decoder.done)

    def finish(self) -> Relayed:
        return self._relayed(self._decoder.finish(), ended=self._decoder.complete)

    def _relayed(self, events: list[StreamEvent], *, ended: bool) -> Relayed:
        data = self._encoded(events)
        if ended and self._seen.failure is None and not self.done:
            self.done = True
            data += self._encoder.finish()
        return Relayed(self._seen.released(data), self._seen.failure)

    def error_frame(self, error: ConduitError) -> bytes:
        return self._encoder.fail(error)

    def _encoded(self, events: list[StreamEvent]) -> bytes:
        pieces = []
        for event in events:
            self._seen.note(event)
            if self._seen.failure is not None:
                break  # the caller writes the frame that tells of it
            if isinstance(event, Started) and not event.model:
                event = replace(event, model=self._model)
            pieces.append(self._encoder.encode(event))
        return b"".join(pieces)


def _refuse_native(request: ChatRequest) -> None:
    """Refuse what only a provider of the client's own format can do."""
    for native in (openai_native, anthropic_native, gemini_native):
        native.refuse_native(request)


def as_the_vendor_wants(body: bytes, sending: Sending) -> tuple[bytes, tuple[str, ...]]:
    """The body with the target's own fields, by the vendor's rules; and what these left out."""
    quirks = sending.quirks
    dropped: tuple[str, ...] = ()
    if sending.params or quirks.fields is not None:
        read = decode_raw(body)
        fields = with_params(read, _merged(read, sending.params, quirks.merged))
        if quirks.fields is not None:
            fields, dropped = adapt_raw(fields, quirks.fields)
        body = _encode(fields)
    return with_envelope(body, quirks), dropped


def _merged(
    fields: Mapping[str, msgspec.Raw], params: Mapping[str, Any], names: frozenset[str]
) -> Mapping[str, Any]:
    """The target's own fields, objects of these names with what the request says beside them."""
    both = {name: fields[name] for name in names & params.keys() & fields.keys()}
    objects = {
        name: {**msgspec.json.decode(raw), **params[name]}
        for name, raw in both.items()
        if isinstance(params[name], Mapping)
    }
    return {**params, **objects}


def _for_target(request: ChatRequest, sending: Sending) -> ChatRequest:
    sampling = request.sampling
    if sending.output_cap is not None:
        sampling = replace(sampling, max_output_tokens=sending.output_cap)
    return replace(
        request,
        model=sending.model,
        sampling=sampling,
        wants_stream_usage=request.stream and sending.ask_stream_usage,
    )
