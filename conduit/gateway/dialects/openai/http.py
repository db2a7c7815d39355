"""Paths and headers of OpenAI's HTTP interface."""

from collections.abc import Mapping

from conduit.gateway.provider import Operation

_PATHS: Mapping[Operation, str] = {
    Operation.CHAT: "/chat/completions",
    Operation.COMPLETION: "/completions",
    Operation.EMBEDDING: "/embeddings",
    Operation.RERANK: "/rerank",
    Operation.MODERATION: "/moderations",
}


def operation_path(operation: Operation) -> str:
    """The path of an operation below a base URL that ends in the version."""
    return _PATHS[operation]


def bearer(credential: str | None) -> Mapping[str, str]:
    """The header that authenticates a call; none for servers that take no credential."""
    return {} if credential is None else {"authorization": f"Bearer {credential}"}
