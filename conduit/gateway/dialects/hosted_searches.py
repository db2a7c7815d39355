"""How often a call may search the web at its provider, which is charged by the search."""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.dialects.client_call import ClientCall

_MOST: Final = 10
"""What is taken where a call sets no limit of its own."""

_MARKS: Final = (b"web_search", b"google_search", b"googleSearch")


def most_searches(call: ClientCall) -> int:
    """An upper estimate; 0 of a call that has no tool for it."""
    if call.plain:
        return 0
    if "web_search_options" in call.fields:
        return _MOST
    raw = call.fields.get("tools")
    if raw is None or not any(mark in bytes(raw) for mark in _MARKS):
        return 0
    tools = call.read("tools")
    found = [each for each in tools if isinstance(each, dict)] if isinstance(tools, list) else []
    return sum([_uses(each) for each in found if _searches(each)])


def _searches(tool: Mapping[str, Any]) -> bool:
    kind = tool.get("type")
    named = isinstance(kind, str) and kind.startswith("web_search")
    return named or "google_search" in tool or "googleSearch" in tool


def _uses(tool: Mapping[str, Any]) -> int:
    most = tool.get("max_uses")
    return most if isinstance(most, int) and 0 < most <= 1_000 else _MOST
