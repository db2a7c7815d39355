"""Which bridge leads from a client's dialect to a provider's."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, cast

from conduit.gateway.dialects.bridges.openai import OpenAIBridge
from conduit.gateway.dialects.bridges.protocol import Bridge
from conduit.gateway.dialects.bridges.same_dialect import SameDialectBridge
from conduit.gateway.dialects.bridges.streamless import (
    EMBEDDING_CLIENTS,
    EMBEDDINGS,
    RANKINGS,
    EmbeddingBridge,
    RelayedEmbeddings,
    RerankBridge,
)
from conduit.gateway.dialects.bridges.translation import TranslationBridge
from conduit.gateway.dialects.dialect import ClientDialect, ProviderDialect
from conduit.gateway.dialects.openai_chat import dialect as openai_chat
from conduit.gateway.dialects.registry import DIALECTS, GEMINI
from conduit.gateway.provider import Operation

_CAP_FIELDS: Final[Mapping[str, str]] = {
    "anthropic_messages": "max_tokens",
    "openai_responses": "max_output_tokens",
}
"""Where a request in a dialect names its output cap, if that is a field of the top level."""


@lru_cache(maxsize=256)
def bridge_between(client: str, provider: str, operation: Operation = Operation.CHAT) -> Bridge:
    """The bridge between two dialects by their names, made once. Raises KeyError."""
    if operation is Operation.RERANK:
        return RerankBridge(RANKINGS[provider])
    if operation is Operation.EMBEDDING and client == provider == GEMINI:
        return RelayedEmbeddings()
    if operation is Operation.EMBEDDING and (client, provider) != (openai_chat.NAME,) * 2:
        return EmbeddingBridge(EMBEDDING_CLIENTS[client], EMBEDDINGS[provider])
    return _bridge_of_chats(client, provider)


def _bridge_of_chats(client: str, provider: str) -> Bridge:
    """OpenAI's own serves every operation, where that is spoken on both sides."""
    spoken = cast(ClientDialect, DIALECTS[client])
    served = cast(ProviderDialect, DIALECTS[provider])
    translation = TranslationBridge(spoken, served, openai_chat.decode_request)
    if client != provider:
        return translation
    if client == openai_chat.NAME:
        return OpenAIBridge(translation)
    return SameDialectBridge(spoken, translation, _CAP_FIELDS.get(client))
