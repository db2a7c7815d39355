"""The input items of OpenAI's responses, as cutting a conversation sees them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from conduit.gateway.conversation import Message
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.entries import Entry, Speaker, Turns
from conduit.gateway.dialects.openai_responses.decode_input import decode_items, kind_of

_SPEAKERS: Final[Mapping[str, Speaker]] = {
    "system": "instructions",
    "developer": "instructions",
    "user": "user",
}


def _entries_of(items: Sequence[Any]) -> list[Entry] | None:
    kinds = [kind_of(item) for item in items]
    if "item_reference" in kinds:
        return None
    return [_entry(kind, item) for kind, item in zip(kinds, items, strict=True)]


def _entry(kind: str, item: Mapping[str, Any]) -> Entry:
    match kind:
        case "message":
            return Entry(_SPEAKERS.get(item["role"], "others"))
        case "reasoning":
            return Entry("others", leads=True)  # it must be followed by what was reasoned about
        case "mcp_approval_request":
            return Entry("others", calls=_id(item, "id"))
        case "mcp_approval_response":
            return Entry("others", results=_id(item, "approval_request_id"))
        case _:
            pass
    ids = _id(item, "call_id")
    # Of functions, and of custom, shell, patch and computer tools likewise.
    return Entry("others", results=ids) if kind.endswith("_output") else Entry("others", calls=ids)


def _id(item: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = item.get(name)
    return (value,) if isinstance(value, str) else ()


def _decode(items: list[Any]) -> Sequence[Message]:
    return decode_items(items)


def _beside(call: ClientCall) -> int:
    messages = call.request.messages if call.request is not None else ()
    return 1 if messages and "instructions" in messages[0].form else 0


TURNS: Final = Turns(
    "input",
    _entries_of,
    _decode,
    _beside,
    elsewhere=frozenset({"conversation", "previous_response_id", "prompt"}),
)
