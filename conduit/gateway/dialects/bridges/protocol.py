"""Between the dialect of a client and that of a provider: what is sent, and what comes back.

There is a bridge for each pair of dialects, made of the two and nothing else; see `choice.py`.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from conduit.core.errors import ConduitError
from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.openai.errors import Scrub
from conduit.gateway.dialects.openai.relayed_answer import Output
from conduit.gateway.dialects.openai.relayed_stream import Relayed
from conduit.gateway.dialects.target import EncodedRequest
from conduit.gateway.provider import Quirks


class Sending(msgspec.Struct, frozen=True):
    """What an attempt adds to a call: for which model, by what limits, in whose manner.

    `params` are the target's own fields, in the provider's words. `output_cap` is the cap that the
    gateway sets, `max_output_tokens` the most that the model can write, None where not known.
    """

    model: str
    params: Mapping[str, Any]
    quirks: Quirks
    ask_stream_usage: bool = False
    output_cap: int | None = None
    max_output_tokens: int | None = None


class WholeRead(msgspec.Struct, frozen=True):
    """A whole answer: the client's bytes, and what the gateway notes of it."""

    body: bytes
    usage: Usage | None
    output: Output


class AnswerStream(Protocol):
    """One stream on its way to the client; that of `openai/relayed_stream.py` is the model of all.

    `output` counts the text, `usage` is what the provider reported last, `done` tells that the end
    mark has come, and `end_mark` is what a client reads as one where the provider sent none.
    """

    output: Output
    done: bool

    @property
    def usage(self) -> Usage | None: ...

    @property
    def started(self) -> bool: ...

    @property
    def complete(self) -> bool: ...

    @property
    def end_mark(self) -> bytes: ...

    @property
    def content_type(self) -> str: ...

    def feed(self, chunk: bytes) -> Relayed: ...

    def finish(self) -> Relayed: ...

    def error_frame(self, error: ConduitError) -> bytes:
        """How the client is told in the middle of its stream."""
        ...


class Bridge(Protocol):
    """The way of a call to its provider and back."""

    def encode(self, call: ClientCall, sending: Sending) -> EncodedRequest:
        """The provider's body. Raises UnsupportedParameterError for what it cannot say."""
        ...

    def whole(
        self, call: ClientCall, encoded: EncodedRequest, body: bytes, hidden: Scrub
    ) -> WholeRead:
        """A whole answer for the client; raises UpstreamFailure where it is none."""
        ...

    def stream(
        self, call: ClientCall, encoded: EncodedRequest, sending: Sending, hidden: Scrub
    ) -> AnswerStream: ...
