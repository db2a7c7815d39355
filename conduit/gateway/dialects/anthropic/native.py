"""What a client of Anthropic's API may ask that only a provider of the very same format can do."""

from collections.abc import Mapping
from typing import Final

from conduit.gateway.conversation import ChatRequest
from conduit.gateway.dialects.anthropic.words import NAME, OTHER_TOOLS
from conduit.gateway.dialects.target import InexpressibleError

_RUN: Final = "runs at Anthropic alone; only functions can be offered to this model"
_REFUSED: Final[Mapping[str, tuple[str, str]]] = {
    OTHER_TOOLS: ("tools", f"a tool that is no function {_RUN}"),
    "mcp_servers": ("mcp_servers", f"an MCP server {_RUN}"),
    "container": ("container", "a container is kept at Anthropic alone"),
}


def refuse_native(request: ChatRequest) -> None:
    """Raise InexpressibleError where a request of this dialect needs Anthropic itself.

    To be called before such a request is written for a provider of another dialect.
    """
    if request.dialect != NAME:
        return
    for name, (feature, reason) in _REFUSED.items():
        if request.extras.get(name):
            raise InexpressibleError(feature, f"This cannot be served: {reason}")
