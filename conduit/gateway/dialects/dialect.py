"""What a dialect's module offers, as the bridges use it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from conduit.core.errors import ConduitError
from conduit.gateway.conversation import ChatRequest, ChatResponse, StreamEvent
from conduit.gateway.dialects.entries import Turns
from conduit.gateway.dialects.target import EncodedRequest, Target


class StreamDecoder(Protocol):
    """Raw bytes of a body, cut anywhere, as events."""

    @property
    def done(self) -> bool:
        """The format's own end mark has been seen."""
        ...

    @property
    def complete(self) -> bool:
        """The answer is whole, although the mark may be missing."""
        ...

    def feed(self, piece: bytes) -> list[StreamEvent]: ...

    def finish(self) -> list[StreamEvent]: ...


class StreamEncoder(Protocol):
    """Events as the bytes that a client reads."""

    def encode(self, event: StreamEvent) -> bytes: ...

    def finish(self) -> bytes: ...

    def fail(self, error: ConduitError) -> bytes: ...


class MakeDecoder(Protocol):
    def __call__(self, *, answer_tool: str | None = None) -> StreamDecoder: ...


class MakeEncoder(Protocol):
    def __call__(self, *, include_usage: bool) -> StreamEncoder: ...


class DecodeResponse(Protocol):
    def __call__(self, body: bytes, *, answer_tool: str | None = None) -> ChatResponse: ...


class ProviderDialect(Protocol):
    """The side of a provider; a module is one."""

    @property
    def NAME(self) -> str: ...  # noqa: N802  # a constant of a module

    @property
    def StreamDecoder(self) -> MakeDecoder: ...  # noqa: N802  # a class of a module

    @property
    def decode_response(self) -> DecodeResponse: ...

    def encode_request(self, request: ChatRequest, target: Target) -> EncodedRequest: ...


class ClientDialect(ProviderDialect, Protocol):
    """The side of a client, which every dialect that clients speak has besides."""

    @property
    def StreamEncoder(self) -> MakeEncoder: ...  # noqa: N802

    @property
    def FIELD_NAMES(self) -> Mapping[str, str]: ...  # noqa: N802

    @property
    def TURNS(self) -> Turns: ...  # noqa: N802

    def encode_response(self, response: ChatResponse) -> bytes: ...

    def encode_error(self, error: ConduitError) -> bytes: ...


def written_by(encoder: StreamEncoder, events: Iterable[StreamEvent]) -> Iterator[bytes]:
    """The client's bytes of a stream of events, its end included unless it failed."""
    for event in events:
        encoded = encoder.encode(event)
        if encoded:
            yield encoded
    end = encoder.finish()
    if end:
        yield end
