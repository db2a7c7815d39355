"""The messages of Anthropic's format, as cutting a conversation sees them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from conduit.gateway.conversation import Message
from conduit.gateway.dialects.anthropic.read_blocks import decode_content, decode_message
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.entries import Entry, Turns


def _entries_of(messages: Sequence[Any]) -> list[Entry]:
    return [_entry(message) for message in messages]


def _entry(message: Mapping[str, Any]) -> Entry:
    role, content = message["role"], message["content"]
    blocks = content if isinstance(content, list) else ()
    # Calls of tools that Anthropic runs are blocks of other types with the same fields.
    calls = tuple(str(block.get("id")) for block in blocks if block["type"].endswith("tool_use"))
    results = tuple(str(block["tool_use_id"]) for block in blocks if "tool_use_id" in block)
    if role == "system":
        return Entry("instructions")
    if role == "user" and not (results and len(results) == len(blocks)):
        return Entry("user", calls, results)
    return Entry("others", calls, results)


def _decode(messages: list[Any]) -> list[Message]:
    return [
        decoded
        for at, message in enumerate(messages)
        for decoded in decode_message(message, f"messages[{at}].")
    ]


def _beside(call: ClientCall) -> int:
    return 1 if decode_content({"system": call.read("system")}, "system", "") else 0


# The API takes instructions among the messages, but not before the user's first.
TURNS: Final = Turns("messages", _entries_of, _decode, _beside, instructions_lead=False)
