"""Tools that providers run themselves: which of them another provider's model can do without.

Agents declare a search or an interpreter with every request, for the model to use as it likes. One
that has none answers from what it knows, so that such a tool is left out and reported, unless the
client wants a call of it. Tools that work on what is the client's own cannot be left out: those it
runs itself (a shell, an editor, a form of its own), its files, its MCP servers.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from conduit.gateway.conversation import ChatRequest
from conduit.gateway.dialects.target import InexpressibleError

# Beginnings of types, whose ends are dates or tell a preview.
_LEFT_OUT: Final = (
    "web_search",
    "web_fetch",
    "code_interpreter",
    "code_execution",
    "image_generation",
    "tool_search",
)
_LEFT_OUT_OF_GEMINI: Final = frozenset(
    {"googleSearch", "googleSearchRetrieval", "enterpriseWebSearch", "urlContext", "codeExecution"}
)
_OTHER_TOOLS: Final = ".other_tools"
_GEMINI: Final = "tools."
_FORCED: Final = "a call of a tool is wanted that only the provider whose own it is can run"


def without_hosted_tools(request: ChatRequest) -> tuple[ChatRequest, tuple[str, ...]]:
    """The request without the hosted tools that it can do without, and these by their fields.

    Raises InexpressibleError where the client wants one of them called. Others stay, to be refused.
    """
    extras: dict[str, Any] = {}
    left_out: dict[str, None] = {}
    for name, value in request.extras.items():
        if name.endswith(_OTHER_TOOLS):
            kept = [(at, tool) for at, tool in value if not _is_left_out(tool)]
            left_out |= {f"tools.{tool['type']}": None for _, tool in value if _is_left_out(tool)}
            if kept:
                extras[name] = tuple(kept)
        elif name.removeprefix(_GEMINI) in _LEFT_OUT_OF_GEMINI and value is not None:
            left_out[name] = None
        else:
            extras[name] = value
    if not left_out:
        return request, ()
    if _wants_another(request):
        raise InexpressibleError("tool_choice", _FORCED)
    return replace(request, extras=extras), tuple(left_out)


def _is_left_out(tool: Mapping[str, Any]) -> bool:
    return str(tool.get("type")).startswith(_LEFT_OUT)


def _wants_another(request: ChatRequest) -> bool:
    """Whether a call is asked for that no function of the client's can be."""
    choice = request.tool_choice
    if choice is None:
        return False
    names = {tool.name for tool in request.tools}
    return (choice.mode == "required" and not names) or (
        choice.mode == "named" and choice.name not in names
    )
