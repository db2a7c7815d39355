"""Cohere, by version 2 of its API."""

from collections.abc import Mapping
from typing import Final

from conduit.gateway.dialects.openai.http import bearer
from conduit.gateway.provider import Operation, OutgoingRequest, Provider, ProviderType

_PATHS: Final[Mapping[Operation, str]] = {
    Operation.CHAT: "/v2/chat",
    Operation.EMBEDDING: "/v2/embed",
    Operation.RERANK: "/v2/rerank",
}


class Cohere:
    """Cohere's own API; its models are listed under version 1 alone."""

    type: Final = ProviderType(
        name="cohere",
        title="Cohere",
        dialect="cohere_v2",
        default_base_url="https://api.cohere.com",
        environment=("COHERE_API_KEY", "CO_API_KEY"),
        operations=frozenset(_PATHS),
        prices="cohere",
        models_path="/v1/models?page_size=1000&endpoint=chat",
    )

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        return _PATHS[operation]

    async def authorize(
        self, credential: str | None, request: OutgoingRequest
    ) -> Mapping[str, str]:
        return bearer(credential)


PROVIDERS: Final[tuple[Provider, ...]] = (Cohere(),)
