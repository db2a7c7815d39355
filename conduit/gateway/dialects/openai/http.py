"""Paths and headers of OpenAI's HTTP interface."""

from collections.abc import Mapping
from typing import Final

from conduit.gateway.provider import Operation

PATHS: Final[Mapping[Operation, str]] = {
    Operation.CHAT: "/chat/completions",
    Operation.COMPLETION: "/completions",
    Operation.EMBEDDING: "/embeddings",
    Operation.RERANK: "/rerank",
    Operation.MODERATION: "/moderations",
}
"""Where the operations are, below a base URL that ends in the version."""


def bearer(credential: str | None) -> Mapping[str, str]:
    """The header that authenticates a call; none for servers that take no credential."""
    return {} if credential is None else {"authorization": f"Bearer {credential}"}
