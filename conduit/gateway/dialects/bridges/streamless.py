"""Embeddings and rankings between a client's format and a provider's.

The two have no streams. They go through the internal form, but for Gemini's embeddings between its
client and its provider, which are relayed as a chat within one dialect is; those within OpenAI's
are relayed by `openai.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple, Protocol

import msgspec

from conduit.core.errors import UnsupportedParameterError, UpstreamFailure
from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.bridges.protocol import AnswerStream, Sending, WholeRead
from conduit.gateway.dialects.bridges.translation import as_the_vendor_wants
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.cohere import embeddings as cohere_embeddings
from conduit.gateway.dialects.cohere import rerank
from conduit.gateway.dialects.cohere import rerank_v2 as cohere_rerank
from conduit.gateway.dialects.gemini import embeddings as gemini_embeddings
from conduit.gateway.dialects.ollama import embeddings as ollama_embeddings
from conduit.gateway.dialects.openai import embeddings as openai_embeddings
from conduit.gateway.dialects.openai.errors import Scrub
from conduit.gateway.dialects.openai.relayed_answer import Output
from conduit.gateway.dialects.openai.rules import with_envelope
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError, Target
from conduit.gateway.dialects.whole_calls import most_requests
from conduit.gateway.embedding import EmbeddingRequest, EmbeddingResponse
from conduit.gateway.ranking import RerankRequest, RerankResponse


class EmbeddingForm(Protocol):
    """The side of a provider of embeddings; a module is one."""

    def encode_request(self, request: EmbeddingRequest, target: Target) -> EncodedRequest: ...

    def decode_response(self, body: bytes) -> EmbeddingResponse: ...


class RerankForm(Protocol):
    """The side of a provider of rankings; a module is one."""

    def encode_request(self, request: RerankRequest, target: Target) -> EncodedRequest: ...

    def decode_response(self, body: bytes) -> RerankResponse: ...


class EmbeddingClient(NamedTuple):
    """The side of a client of embeddings: its names of fields, its calls, its answers."""

    names: Mapping[str, str]
    read: Callable[[ClientCall], EmbeddingRequest]
    answer: Callable[[EmbeddingResponse, EmbeddingRequest], bytes]


class _Whole:
    def stream(
        self, call: ClientCall, encoded: EncodedRequest, sending: Sending, hidden: Scrub
    ) -> AnswerStream:
        raise AssertionError("a call of this kind is answered whole")


class EmbeddingBridge(_Whole):
    """From a client's format of embeddings to a provider's, and back."""

    def __init__(self, client: EmbeddingClient, provider: EmbeddingForm) -> None:
        self._client = client
        self._provider = provider

    def encode(self, call: ClientCall, sending: Sending) -> EncodedRequest:
        request = self._client.read(call)

        def write(target: Target) -> EncodedRequest:
            return self._provider.encode_request(request, target)

        if self._provider is not gemini_embeddings:
            return _encoded(write, sending, self._client.names)
        # Each text has its own settings there.
        encoded = _encoded(write, msgspec.structs.replace(sending, params={}), self._client.names)
        return msgspec.structs.replace(
            encoded, body=gemini_embeddings.with_params(encoded.body, sending.params)
        )

    def whole(
        self, call: ClientCall, encoded: EncodedRequest, body: bytes, hidden: Scrub
    ) -> WholeRead:
        request = self._client.read(call)
        response = self._provider.decode_response(body)
        _check_count(response, request)
        named = replace(response, model=response.model or call.model)
        return WholeRead(self._client.answer(named, request), response.usage, Output())


class RelayedEmbeddings(_Whole):
    """Gemini's format on both sides: what the client wrote, and what the provider answered."""

    def encode(self, call: ClientCall, sending: Sending) -> EncodedRequest:
        target = Target(sending.model, quirks=sending.quirks)
        body = gemini_embeddings.relayed_request(call.fields, target, sending.params)
        return EncodedRequest(with_envelope(body, sending.quirks))

    def whole(
        self, call: ClientCall, encoded: EncodedRequest, body: bytes, hidden: Scrub
    ) -> WholeRead:
        request = _read_gemini(call)
        response = gemini_embeddings.decode_response(body)
        _check_count(response, request)
        answer = gemini_embeddings.relayed_answer(body, single=request.single)
        return WholeRead(answer, response.usage, Output())


class RerankBridge(_Whole):
    """From the form that clients share to a provider's, and back."""

    def __init__(self, provider: RerankForm) -> None:
        self._provider = provider

    def encode(self, call: ClientCall, sending: Sending) -> EncodedRequest:
        request = _ranking(call)
        return _encoded(
            lambda target: self._provider.encode_request(request, target),
            sending,
            rerank.FIELD_NAMES,
        )

    def whole(
        self, call: ClientCall, encoded: EncodedRequest, body: bytes, hidden: Scrub
    ) -> WholeRead:
        response = self._provider.decode_response(body)
        named = replace(response, model=response.model or call.model)
        answer = rerank.encode_response(named, _ranking(call))
        return WholeRead(answer, self._usage(call, response), Output())

    def _usage(self, call: ClientCall, response: RerankResponse) -> Usage | None:
        """The usage: units that nobody told are as many as may be charged, and say so."""
        usage = response.usage
        if usage is None or response.search_units is not None:
            return usage
        units = most_requests(call)
        # A ranking is one unit at least: where it is one at most, nothing is assumed.
        return msgspec.structs.replace(usage, requests=units, units_assumed=units > 1)


def _encoded(
    write: Callable[[Target], EncodedRequest], sending: Sending, names: Mapping[str, str]
) -> EncodedRequest:
    """The provider's body, and what was left out of it by the client's own names."""
    try:
        encoded = write(Target(sending.model, quirks=sending.quirks))
        body, dropped = as_the_vendor_wants(encoded.body, sending)
    except InexpressibleError as error:
        feature = names.get(error.feature, error.feature)
        raise UnsupportedParameterError(error.reason, param=feature) from error
    left_out = dict.fromkeys(names.get(name, name) for name in (*encoded.dropped, *dropped))
    emulated = tuple(names.get(name, name) for name in encoded.emulated)
    return msgspec.structs.replace(encoded, body=body, dropped=tuple(left_out), emulated=emulated)


def _check_count(response: EmbeddingResponse, request: EmbeddingRequest) -> None:
    if len(response.vectors) != len(request.inputs):
        raise UpstreamFailure("The provider's answer holds not one embedding for each input")


def _ranking(call: ClientCall) -> RerankRequest:
    assert isinstance(call.asked, RerankRequest), "reading the call has made it"
    return call.asked


def _read_openai(call: ClientCall) -> EmbeddingRequest:
    return openai_embeddings.decode_request(call.body)


def _read_gemini(call: ClientCall) -> EmbeddingRequest:
    assert isinstance(call.asked, EmbeddingRequest), "reading the call has made it"
    return call.asked


def _answer_openai(response: EmbeddingResponse, request: EmbeddingRequest) -> bytes:
    wanted = request.encoding_format
    return openai_embeddings.encode_response(response, encoding_format=wanted)


def _answer_gemini(response: EmbeddingResponse, request: EmbeddingRequest) -> bytes:
    return gemini_embeddings.encode_response(response, single=request.single)


EMBEDDING_CLIENTS: Final[Mapping[str, EmbeddingClient]] = {
    "openai_chat": EmbeddingClient(openai_embeddings.FIELD_NAMES, _read_openai, _answer_openai),
    "gemini": EmbeddingClient(gemini_embeddings.FIELD_NAMES, _read_gemini, _answer_gemini),
}
EMBEDDINGS: Final[Mapping[str, EmbeddingForm]] = {
    "openai_chat": openai_embeddings,
    "gemini": gemini_embeddings,
    "cohere_v2": cohere_embeddings,
    "ollama_native": ollama_embeddings,
}
RANKINGS: Final[Mapping[str, RerankForm]] = {
    "openai_chat": rerank,
    "cohere_v2": cohere_rerank,
}
"""Clients and providers of each, by the name of their dialect of chats."""
