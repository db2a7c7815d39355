"""One call as a client wrote it, in any dialect: what the gateway reads of it."""

from collections.abc import Container
from typing import Any

import msgspec

from conduit.gateway.conversation import ChatRequest
from conduit.gateway.dialects.input_units import InputUnits
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.embedding import EmbeddingRequest
from conduit.gateway.provider import Operation
from conduit.gateway.ranking import RerankRequest


class ClientCall(msgspec.Struct, frozen=True):
    """One call as a client wrote it; `fields` are its top-level fields, in order, as they stood.

    `max_output_tokens` is the cap of one choice, `choices` how many are generated in all (every
    prompt of a completion counts). `request` is the internal form of a chat, `asked` that of an
    embedding or a ranking, where reading the call has made it; one that may be relayed needs none.
    """

    operation: Operation
    model: str
    stream: bool
    wants_stream_usage: bool
    max_output_tokens: int | None
    choices: int
    units: InputUnits
    fields: dict[str, msgspec.Raw]
    body: bytes = b""
    dialect: str = "openai_chat"
    request: ChatRequest | None = None
    asked: EmbeddingRequest | RerankRequest | None = None
    plain: bool = False  # text turns alone
    unmixed: bool = False  # surely nothing is in it that an answer of another dialect has left

    @property
    def service_tier(self) -> str | None:
        """The grade of service asked for, None where the provider's default is meant."""
        fields = self.fields
        if "speed" in fields and self.read("speed") == "fast":  # Anthropic's word for one
            return "fast"
        if "service_tier" not in fields:
            return None
        value = self.read("service_tier")
        return value if isinstance(value, str) else None

    def reduced_to(self, names: Container[str]) -> "ClientCall":
        """The call with these of its fields alone, and nothing that holds on to the others."""
        fields = {name: raw.copy() for name, raw in self.fields.items() if name in names}
        return msgspec.structs.replace(self, fields=fields, body=b"", request=None, asked=None)

    def read(self, name: str) -> Any:
        """The value of a top-level field, None where there is none."""
        raw = self.fields.get(name)
        return None if raw is None else read_json(bytes(raw))
