"""Anthropic itself."""

from collections.abc import Mapping
from typing import Final

from conduit.gateway.provider import Operation, OutgoingRequest, Provider, ProviderType

VERSION: Final = "2023-06-01"


class Anthropic:
    """Anthropic's own API, by its messages."""

    type: Final = ProviderType(
        name="anthropic",
        title="Anthropic",
        dialect="anthropic_messages",
        default_base_url="https://api.anthropic.com/v1",
        environment=("ANTHROPIC_API_KEY",),
        operations=frozenset({Operation.CHAT}),
        prices="anthropic",
        models_path="/models?limit=1000",
    )

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        return "/messages"

    def count_path(self, model: str) -> str:
        return "/messages/count_tokens"

    async def authorize(
        self, credential: str | None, request: OutgoingRequest
    ) -> Mapping[str, str]:
        headers = {"anthropic-version": VERSION}
        return headers if credential is None else {"x-api-key": credential, **headers}


PROVIDERS: Final[tuple[Provider, ...]] = (Anthropic(),)
