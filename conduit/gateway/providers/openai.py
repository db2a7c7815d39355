"""OpenAI itself."""

from collections.abc import Mapping
from typing import Final

from conduit.gateway.dialects.openai.http import PATHS, bearer
from conduit.gateway.dialects.openai_chat import dialect as openai_chat
from conduit.gateway.provider import (
    USUAL_OPERATIONS,
    Operation,
    OutgoingRequest,
    Provider,
    ProviderType,
    Quirks,
)


class OpenAI:
    """OpenAI's own API."""

    type: Final = ProviderType(
        name="openai",
        title="OpenAI",
        dialect=openai_chat.NAME,
        default_base_url="https://api.openai.com/v1",
        environment=("OPENAI_API_KEY",),
        operations=USUAL_OPERATIONS | {Operation.MODERATION},
        prices="openai",
        quirks=Quirks(
            # Its reasoning models refuse `max_tokens`, and the others take both.
            output_cap_field="max_completion_tokens",
            request_id_header="x-client-request-id",
        ),
    )

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        return PATHS[operation]

    async def authorize(
        self, credential: str | None, request: OutgoingRequest
    ) -> Mapping[str, str]:
        return bearer(credential)


PROVIDERS: Final[tuple[Provider, ...]] = (OpenAI(),)
