"""The contents of Gemini's format, as cutting a conversation sees them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from conduit.gateway.conversation import Message
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.entries import Entry, Turns
from conduit.gateway.dialects.gemini.read_contents import CallIds, read_contents
from conduit.gateway.dialects.gemini.words import camel


def _entries_of(contents: Sequence[Any]) -> list[Entry]:
    ids = CallIds()
    return [_entry(camel(content), ids) for content in contents]


def _entry(content: Mapping[str, Any], ids: CallIds) -> Entry:
    given = content.get("parts") or ()
    parts = [given] if isinstance(given, dict) else given
    calls: list[str] = []
    results: list[str] = []
    for part in map(camel, parts):
        if isinstance(called := part.get("functionCall"), dict):
            calls.append(ids.call(*_named(called)))
        if isinstance(answered := part.get("functionResponse"), dict):
            results.append(ids.answer(*_named(answered)))
    is_users = content.get("role") != "model" and not (results and len(results) == len(parts))
    return Entry("user" if is_users else "others", tuple(calls), tuple(results))


def _named(function: Mapping[str, Any]) -> tuple[str, str | None]:
    return str(function.get("name")), function.get("id")


def _decode(contents: list[Any]) -> Sequence[Message]:
    return read_contents({"contents": contents})


def _beside(call: ClientCall) -> int:
    """The system message: contents make none."""
    messages = call.request.messages if call.request is not None else ()
    return 1 if messages and messages[0].role == "system" else 0


TURNS: Final = Turns(
    "contents",
    _entries_of,
    _decode,
    _beside,
    elsewhere=frozenset({"cachedContent", "cached_content"}),
)
