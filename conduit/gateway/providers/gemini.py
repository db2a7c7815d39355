"""Google's Gemini API, with an API key of Google AI Studio."""

from collections.abc import Mapping
from typing import Final

from conduit.gateway.provider import (
    Operation,
    OutgoingRequest,
    Provider,
    ProviderType,
    path_segment,
)


class Gemini:
    """The Gemini Developer API; its models stand in the path."""

    type: Final = ProviderType(
        name="gemini",
        title="Google Gemini",
        dialect="gemini",
        default_base_url="https://generativelanguage.googleapis.com/v1beta",
        environment=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        operations=frozenset({Operation.CHAT, Operation.EMBEDDING}),
        prices="google",
        models_path="/models?pageSize=1000",
    )

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        """`model` may begin with `models/`, as Google's own lists have it."""
        if operation is Operation.EMBEDDING:
            return self._method(model, "batchEmbedContents")
        return self._method(model, "streamGenerateContent?alt=sse" if stream else "generateContent")

    def count_path(self, model: str) -> str:
        return self._method(model, "countTokens")

    @staticmethod
    def _method(model: str, method: str) -> str:
        return f"/models/{path_segment(model.removeprefix('models/'))}:{method}"

    async def authorize(
        self, credential: str | None, request: OutgoingRequest
    ) -> Mapping[str, str]:
        return {} if credential is None else {"x-goog-api-key": credential}


PROVIDERS: Final[tuple[Provider, ...]] = (Gemini(),)
