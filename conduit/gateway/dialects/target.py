"""What an encoder of requests is told of its target, and what it says of its work."""

from dataclasses import dataclass, field

import msgspec

from conduit.gateway.provider import Quirks


@dataclass(frozen=True, slots=True)
class Target:
    """The model that a request is written for.

    `max_output_tokens` is the most it can write, None where that is not known; `schema` whether it
    takes a JSON schema for its answer.
    """

    model: str
    max_output_tokens: int | None = None
    schema: bool = True
    quirks: Quirks = field(default_factory=Quirks)


class EncodedRequest(msgspec.Struct, frozen=True):
    """A provider's body.

    `dropped` names what was left out because it does not change the meaning of the request, and
    `emulated` what is asked for in another way; both by the names of `ChatRequest` and its parts,
    or of extras, and each once. `answer_tool` is the tool whose arguments are the answer, where a
    schema is emulated by a forced call: the decoder of the answer must be told.
    """

    body: bytes
    dropped: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()
    answer_tool: str | None = None


class InexpressibleError(Exception):
    """A request that the target's format cannot say without changing its meaning.

    `feature` is named as in `EncodedRequest.dropped`; the caller turns it into a 400 that names the
    client's own field. `reason` is a sentence for the client.
    """

    def __init__(self, feature: str, reason: str) -> None:
        super().__init__(reason)
        self.feature = feature
        self.reason = reason
