"""Ollama by its own API, for what its OpenAI form has no field for."""

from collections.abc import Mapping
from typing import Final

from conduit.gateway.dialects.openai.http import bearer
from conduit.gateway.provider import Operation, OutgoingRequest, Provider, ProviderType, Quirks

_PATHS: Final[Mapping[Operation, str]] = {
    Operation.CHAT: "/api/chat",
    Operation.EMBEDDING: "/api/embed",
}


class OllamaNative:
    """The same server as that of the type `ollama`, which a start finds by its OpenAI form.

    `options` of a target, such as the context's length, stand beside what a request asks for.
    """

    type: Final = ProviderType(
        name="ollama_native",
        title="Ollama, by its own API",
        dialect="ollama_native",
        default_base_url="http://127.0.0.1:11434",
        needs_credential=False,
        operations=frozenset(_PATHS),
        prices="ollama",
        models_path="/v1/models",
        quirks=Quirks(merged=frozenset({"options"})),
    )

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        return _PATHS[operation]

    async def authorize(
        self, credential: str | None, request: OutgoingRequest
    ) -> Mapping[str, str]:
        return bearer(credential)


PROVIDERS: Final[tuple[Provider, ...]] = (OllamaNative(),)
