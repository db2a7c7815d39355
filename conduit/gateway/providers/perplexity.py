"""Perplexity, whose Agent API speaks OpenAI's responses format.

Its chat completions (Sonar) ended on 27 September 2026.
"""

from collections.abc import Mapping
from typing import Final

from conduit.gateway.dialects.openai.http import bearer
from conduit.gateway.provider import Operation, OutgoingRequest, Provider, ProviderType


class Perplexity:
    """Perplexity's Agent API."""

    type: Final = ProviderType(
        name="perplexity",
        title="Perplexity",
        dialect="openai_responses",
        default_base_url="https://api.perplexity.ai/v1",
        environment=("PERPLEXITY_API_KEY",),
        operations=frozenset({Operation.CHAT}),
        prices="perplexity",
    )

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        return "/responses"

    async def authorize(
        self, credential: str | None, request: OutgoingRequest
    ) -> Mapping[str, str]:
        return bearer(credential)


PROVIDERS: Final[tuple[Provider, ...]] = (Perplexity(),)
